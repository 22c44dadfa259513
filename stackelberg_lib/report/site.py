"""The lessons, the reference and the lab books as a static book.

    python -m stackelberg_lib.report.site --out reports/site --repository https://github.com/OWNER/NAME

Lays the sources out in a temporary folder as they lie in the repository, writes the reference beside them, and lets
Sphinx build them with docs/conf.py; a warning is an error. Nothing is executed: the outputs are the committed ones.
Exit status: 0 built, 1 Sphinx refused, 2 refused before anything was built (one line on stderr).
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import nbformat
import yaml

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import figures, pages

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
COPYRIGHT = CITATION["authors"][0]["name"]
TAG = f"v{VERSION}"  # the release that the launch links open
GITHUB = re.compile(r"https://github\.com/[\w.-]+/([\w.-]+?)(?:\.git)?/?")
IN_COLAB = """```{{note}}
In Colab, run this first, in a cell of its own; Binder needs nothing:

    !git clone --quiet --depth 1 --branch {tag} {url} lessons
    %cd lessons/notebooks
    %pip install --quiet -r ../requirements.lock -e ..
```"""


def repository(given: str) -> str:
    """The address that launch links are made from: `given`, else CITATION.cff's, else "". Raises InputError."""
    url = given or CITATION.get("repository-code", "")
    if url and not GITHUB.fullmatch(url):
        raise InputError(f"REPOSITORY={url} is no address that Colab and Binder open; "
                         "give one like https://github.com/OWNER/NAME")
    return url


def launch_options(url: str) -> dict:
    """Options of the theme: buttons that open a lesson of the release elsewhere; none where `url` is ""."""
    if not url:
        return {}
    return {"repository_url": url, "repository_branch": TAG, "launch_buttons": {
        "colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org",
        "notebook_interface": "jupyterlab"}}


def lay_out(root: Path, to: Path, url: str) -> None:
    """Write to the folder `to` what Sphinx reads of the repository `root`."""
    shutil.copy(root / "docs/index.md", to)
    shutil.copy(root / "README.md", to)
    for folder, pattern in (("docs", "*.md"), ("results", "*.png")):
        (to / folder).mkdir()
        for file in (root / folder).glob(pattern):
            shutil.copy(file, to / folder)
    (to / "docs/index.md").unlink()
    (to / "notebooks").mkdir()
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        nbformat.write(lesson(nbformat.read(path, as_version=4), url), to / "notebooks" / path.name)
    write_reference(root / "stackelberg_lib", to / "reference")


def lesson(nb: nbformat.NotebookNode, url: str) -> nbformat.NotebookNode:
    """The notebook with words for who cannot see its pictures and, where it can be launched, what Colab needs."""
    heading = ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE)
            heading = re.sub(r"[*`$\\]", "", found[-1]) if found else heading
        elif pictures := [o for o in cell.outputs if any(kind.startswith("image/") for kind in o.get("data", {}))]:
            words = " ".join(filter(None, map(figures.alternative, pictures)))
            cell.metadata["mystnb"] = {"image": {"alt": words or f"Figure in the section {heading}"}}
    if url:
        nb.cells.insert(1, nbformat.v4.new_markdown_cell(IN_COLAB.format(tag=TAG, url=url)))
    return nb


def write_reference(package: Path, to: Path) -> None:
    """Write one page for each package below `package`, with every public module of it, and an index of them."""
    to.mkdir()
    folders = sorted(f for f in package.iterdir() if (f / "__init__.py").exists())
    for folder in folders:
        name = f"{package.name}.{folder.name}"
        modules = sorted(m.stem for m in folder.glob("[!_]*.py"))
        parts = [f"# {folder.name}", _automodule(name, members=False)]
        parts += [f"## {folder.name}.{m}\n\n{_automodule(f'{name}.{m}')}" for m in modules]
        (to / f"{folder.name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    top = [f"## {m.stem}\n\n{_automodule(f'{package.name}.{m.stem}')}" for m in package.glob("[!_]*.py")]
    contents = "\n".join(["```{toctree}", ":maxdepth: 1", "", *(f.name for f in folders), "```"])
    head = "# Reference\n\nEvery public function and class of the library, from its docstring."
    (to / "index.md").write_text("\n\n".join([head, contents, *sorted(top)]) + "\n", encoding="utf-8")


def _automodule(name: str, members: bool = True) -> str:
    options = ":members:\n" if members else ""
    return f"```{{eval-rst}}\n.. automodule:: {name}\n" + re.sub("^", "   ", options, flags=re.M).rstrip() + "\n```"


def plain_docstring(lines: list[str]) -> None:
    """Make a docstring, which is plain text with code between backticks, into reStructuredText, in place.

    Signs that would be markup are escaped, a paragraph set in columns stays as it is set, and `Args:` becomes a list.
    """
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).split("\n")
    if "Args:" in lines:  # elsewhere a colon is a colon
        from sphinx.ext.napoleon import GoogleDocstring

        lines[:] = GoogleDocstring(lines, what="function").lines()


def _paragraph(text: str) -> str:
    if re.search(r"\S {2,}\S", text) or re.search(r"^ {4}(?!.*:)", text.split("\n")[0]):
        return "::\n\n" + re.sub("^", "    ", text, flags=re.M)
    # every second piece is code, or the name of an argument, which is marked up already
    pieces = re.split(r"(`[^`]+`|^ {4}\w+:)", text, flags=re.M)
    pieces[::2] = [re.sub(r"([\\*|_])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def build(root: Path, out: Path, url: str) -> int:
    """Build the site of the repository `root` into the folder `out`; return the exit status.

    url: what `repository` returned. `out` is replaced, and left as it was if a page has a fault.
    """
    from sphinx.application import Sphinx  # a second of imports
    from sphinx.errors import SphinxError

    with tempfile.TemporaryDirectory() as tmp:
        source, made = Path(tmp, "source"), Path(tmp, "html")
        source.mkdir()
        lay_out(root, source, url)
        pages.copy_assets(source)
        static = [str(ROOT / "docs/static"), str(source / pages.ASSETS)]
        try:
            app = Sphinx(source, ROOT / "docs", made, Path(tmp, "doctrees"), "html", warningiserror=True,
                         exception_on_warning=False, status=None, warning=sys.stderr,
                         confoverrides={"repository": url, "html_static_path": static})
            app.build(force_all=True)
        except SphinxError as error:
            print(f"site: {error}", file=sys.stderr)
            return 1
        if app.statuscode:
            return app.statuscode
        for macros in made.glob("_static/*macros.html"):  # templates of the theme, no pages
            macros.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)
    return 0


def main(argv: list[str]) -> int:
    """Check `argv`, build the site, and return the exit status."""
    parser = argparse.ArgumentParser("site", usage=argparse.SUPPRESS, allow_abbrev=False)
    parser.add_argument("--out", default=ROOT / "reports/site", type=Path)
    parser.add_argument("--repository", default="")
    args = parser.parse_args(argv)
    try:
        url = repository(args.repository)
    except InputError as error:
        print(f"site: {error}", file=sys.stderr)
        return 2
    status = build(ROOT, args.out, url)
    if status == 0:
        launch = f"launch links open {TAG}" if url else "no launch links: CITATION.cff has no repository-code and no " \
            "REPOSITORY=https://github.com/OWNER/NAME was given"
        print(f"site: {args.out / 'index.html'} ({launch})")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
