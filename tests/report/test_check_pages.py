"""The parts of the page checker that need no browser: broken links, the pages of a folder, refusals."""

import json
from contextlib import nullcontext

import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import browser, check_pages
from stackelberg_lib.report.browser import Seen


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my site"
    (folder / "part").mkdir(parents=True)
    for name in ("index.html", "part/index.html", "part/b.html", "data.csv"):
        (folder / name).touch()
    return folder


def seen(folder, *links, anchors=("top",)):
    other = Seen(folder / "part/b.html", [], [], {"here", "two words"}, 0)
    links = [link.replace("~", folder.as_uri()) for link in links]
    return [Seen(folder / "index.html", [], links, set(anchors), 0), other]


@pytest.mark.parametrize("link", [
    "~/part/b.html", "~/part/b.html#here", "~/part/b.html#two%20words", "~/part/b.html?q=1#here", "~/part/",
    "~/data.csv", "~/index.html#top", "~/index.html#", "https://example.org/x", "mailto:ann@example.org",
])
def test_links_that_lead_somewhere(folder, link):
    assert check_pages.broken_links(seen(folder, link), folder)[folder / "index.html"] == []


@pytest.mark.parametrize(("link", "why"), [
    ("~/gone.html", "no such file"), ("~/part/b.html#gone", "no such anchor in b.html"),
    ("~/index.html#gone", "no such anchor in index.html"), ("~.html", "leads out of the folder"),
    ("file:///etc/hosts", "leads out of the folder"), ("~/empty/", "no such file"),
])
def test_links_that_lead_nowhere(folder, link, why):
    found = check_pages.broken_links(seen(folder, link, link), folder)
    assert found[folder / "part/b.html"] == [] and len(found[folder / "index.html"]) == 1
    assert found[folder / "index.html"][0].endswith(": " + why)


def test_addresses_elsewhere_are_counted_once(folder):
    assert check_pages.outside(seen(folder, "https://a.org", "https://a.org", "http://b.org", "~/data.csv")) == 2


def test_pages_are_found_at_every_depth(folder):
    assert [p.relative_to(folder).as_posix() for p in check_pages.html_pages(folder)] == [
        "index.html", "part/b.html", "part/index.html"]


@pytest.mark.parametrize("argv", [[], ["not/there"]])
def test_nothing_to_check_is_an_error(argv, capsys):
    assert check_pages.main(argv) == 2
    assert capsys.readouterr().err.startswith("check-pages: ")


def test_no_chromium_is_an_error(folder, monkeypatch, capsys):
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    with pytest.raises(InputError, match="CHROMIUM=no-such-browser: no Chromium found"):
        browser.find_chromium()
    assert check_pages.main([str(folder)]) == 2
    assert "no Chromium found" in capsys.readouterr().err


def test_the_last_line_counts_what_was_found(folder, monkeypatch, capsys):
    """With a stand-in for the browser: one page with a fault of its own and a bad link, two without."""

    def look(chromium, path):
        first = path.name == "b.html"
        return Seen(path, [("math", "not typeset: $x$")] if first else [], ["file:///gone"] if first else [], set(), 3)

    monkeypatch.setattr(browser, "look", look)
    monkeypatch.setattr(browser, "chromium", nullcontext)
    assert check_pages.main([str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines if not line.startswith(" ")][:3] == ["ok  ", "FAIL", "ok  "]
    counts = json.loads(lines[-1])
    assert {kind: n for kind, n in counts.items() if n} == {"pages": 3, "failed": 1, "math": 1, "link": 1,
                                                            "formulas": 9, "links": 1}
    assert set(check_pages.KINDS) < set(counts)
