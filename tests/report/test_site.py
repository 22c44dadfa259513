"""The site: what is laid out for Sphinx, what Sphinx makes of a small copy of the repository, and what it refuses."""

import pkgutil
import re
import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import stackelberg_lib
from stackelberg_lib.errors import InputError
from stackelberg_lib.report import site

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated. Check CHANGES")  # of the theme, about Sphinx
URL = "https://github.com/ann/lessons"
REMOTE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)\s*=\s*["']?(?:https?:)?//[^>]*>""", re.I)
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def small(tmp_path):
    """A repository with one package of one module, one lesson and everything else that the site shows."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "docs", root / "docs")
    (root / "README.md").write_text("# Front\n\n[A lesson](notebooks/01_small.ipynb)\n\n![Words](results/a.png)\n")
    (root / "results").mkdir()
    shutil.copy(ROOT / "results/lora_pocketdesk_pocket.png", root / "results/a.png")
    (root / "notebooks").mkdir()
    nbformat.write(notebook(), root / "notebooks/01_small.ipynb")
    package = root / "stackelberg_lib/pool"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "stackelberg_lib/errors.py", root / "stackelberg_lib")
    for name in ("__init__.py", "strategies.py"):
        shutil.copy(ROOT / "stackelberg_lib/pool" / name, package)
    return root


def notebook(*more):
    v4 = nbformat.v4
    pictures = [v4.new_output("display_data", {"image/png": PICTURE}, metadata=said)
                for said in ({}, {"image/png": {"alt": "Two costs $5."}})]
    drawn = [v4.new_code_cell("draw()", execution_count=1, outputs=[picture]) for picture in pictures]
    cells = [v4.new_markdown_cell("# 01 Small\n\n$a^2$ is a square"), v4.new_markdown_cell("## Part *one*"), *drawn]
    kernel = {"name": "python3", "display_name": "Python 3"}
    return v4.new_notebook(metadata={"kernelspec": kernel, "language_info": {"name": "python"}},
                           cells=cells + [v4.new_markdown_cell(text) for text in more])


def test_the_site_is_built(small, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.html").touch()
    assert site.build(small, out, URL) == 0
    assert not (out / "old.html").exists()
    pages = {p.relative_to(out).as_posix(): p.read_text() for p in out.rglob("*.html")}
    assert not [tag for text in pages.values() for tag in REMOTE.findall(text)]
    assert 'href="notebooks/01_small.html"' in pages["index.html"] and 'alt="Words"' in pages["index.html"]
    lesson = pages["notebooks/01_small.html"]
    tag = "v" + tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"https://colab.research.google.com/github/ann/lessons/blob/{tag}/notebooks/01_small.ipynb" in lesson
    assert f"https://mybinder.org/v2/gh/ann/lessons/{tag}?urlpath=lab/tree/notebooks/01_small.ipynb" in lesson
    assert f"--branch {tag} {URL}" in lesson
    assert 'alt="Two costs $5."' in lesson and 'alt="Figure in the section Part one"' in lesson
    assert "../_static/tex-svg.js" in lesson
    assert 'id="stackelberg_lib.pool.strategies.propose"' in pages["reference/pool.html"]
    assert 'id="stackelberg_lib.errors.InputError"' in pages["reference/index.html"]
    assert (out / "_static/tex-svg.js").stat().st_size > 1e6 and (out / "searchindex.js").exists()


def test_a_warning_is_an_error_and_leaves_the_old_site(small, tmp_path, capfd):
    nbformat.write(notebook("[away](02_missing.ipynb)"), small / "notebooks/01_small.ipynb")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.html").touch()
    assert site.build(small, tmp_path / "out", "") == 1
    assert "02_missing.ipynb" in capfd.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["old.html"]


def test_the_address_comes_from_one_place(monkeypatch):
    monkeypatch.setattr(site, "CITATION", {})
    assert site.repository("") == "" and site.launch_options("") == {}
    assert site.repository(URL) == URL
    monkeypatch.setattr(site, "CITATION", {"repository-code": URL})
    assert site.repository("") == URL and site.repository(URL + "2") == URL + "2"


@pytest.mark.parametrize("url", ["lessons", "http://github.com/a/b", "https://github.com/a", "https://example.org/a/b"])
def test_a_bad_address_is_refused(url, capsys):
    with pytest.raises(InputError, match=re.escape(f"REPOSITORY={url} ")):
        site.repository(url)
    assert site.main([f"--repository={url}"]) == 2
    assert capsys.readouterr().err.startswith("site: REPOSITORY=")


def test_the_release_is_the_one_that_is_cited():
    assert site.TAG == f"v{yaml.safe_load((ROOT / 'CITATION.cff').read_text())['version']}"


def test_the_lesson_stays_as_it_is_without_an_address():
    before = notebook()
    after = site.lesson(notebook(), "")
    assert [c.source for c in after.cells] == [c.source for c in before.cells]
    assert after.cells[2].outputs == before.cells[2].outputs
    assert len(site.lesson(notebook(), URL).cells) == len(before.cells) + 1


def test_every_public_module_is_in_the_reference(tmp_path):
    site.write_reference(ROOT / "stackelberg_lib", tmp_path / "reference")
    text = "".join(p.read_text() for p in (tmp_path / "reference").iterdir())
    documented = set(re.findall(r"automodule:: (\S+)\n", text))
    known = {m.name for m in pkgutil.walk_packages(stackelberg_lib.__path__, "stackelberg_lib.")}
    assert documented == known and len(known) > 50


def test_docstrings_are_shown_as_they_are_written():
    lines = ["|x|^2 of theta_hat_ and 2 * y", "", "a         (n,)  one", "longer_b  (n,)  two", "", "Say `a_b|c` so."]
    site.plain_docstring(lines)
    assert lines == [r"\|x\|^2 of theta\_hat\_ and 2 \* y", "", "::", "", "    a         (n,)  one",
                     "    longer_b  (n,)  two", "", "Say `a_b|c` so."]
    lines = ["Shares: they sum to 1.", "", "Args:", "    a_b: (n,) one.", "    c: two,", "        or three."]
    site.plain_docstring(lines)
    assert [line for line in lines if line] == [
        "Shares: they sum to 1.", ":param a_b: (n,) one.", ":param c: two,", "          or three."]
