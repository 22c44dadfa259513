"""The page checker in a real browser: a good page passes, and a page with each fault is caught, by that fault alone.

`make check-pages` runs this before it looks at any page. Skipped where there is no Chromium or no playwright.
"""

import json
from contextlib import nullcontext

import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import browser, check_pages, pages

try:
    browser.find_chromium()
    import axe_playwright_python  # noqa: F401
    import playwright  # noqa: F401

    MISSING = ""
except InputError as error:
    MISSING = str(error)
except ModuleNotFoundError as error:
    MISSING = f"{error.name} is not installed; make check-pages installs it"
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

HEAD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Page</title>
<meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark; } pre { overflow-x: auto; } body { background: #fff; color: #000; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee; } a { color: #9cf; } }</style>
%s</head><body><main><h1 id="top">Page</h1>
<p>All is well. <a href="#top">Up</a>, <a href="other.html#there">over</a> or <a href="https://example.org">out</a>.
It costs $5, and <code>$HOME$</code> is code, as <code>| --- |</code> is,
and |a| - |b| is neither.</p><p>%s</p></main></body></html>"""
MATHJAX = f"""<script>window.MathJax = {pages.MATHJAX_CONFIG};</script>
<script src="assets/tex-svg.js" defer></script>"""
DARK = "<style>@media (prefers-color-scheme: dark) { .x { color: #444 } }</style>"
SHRINKS = MATHJAX + "<style>svg { max-width: 100%; height: auto; } mjx-assistive-mml { max-width: 0; }</style>"
WIDE = "<div style='width: 600px'>wide</div>"


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as running:
        yield running


@pytest.fixture
def look(chromium, tmp_path):
    """A function that checks a page with this head and body, and returns what is wrong with it."""

    def go(body="", head=""):
        (tmp_path / "other.html").write_text(HEAD % ("", "<a name='there'>Named</a>"))
        (tmp_path / "page.html").write_text(HEAD % (head, body))
        seen, _ = check_pages.check(tmp_path, chromium)
        assert [s.faults for s in seen if s.path.name == "other.html"] == [[]]
        return next(s for s in seen if s.path.name == "page.html")

    return go


def test_a_good_page_passes(look, tmp_path):
    pages.copy_assets(tmp_path)
    some = "$" + 20 * "a + " + "a$"  # shrinks by a third, and can be read
    seen = look(rf"$a^2$ and \(b\) and {some} and <pre tabindex='0'>" + 999 * "x" + "</pre>" + DARK, SHRINKS)
    assert seen.faults == [] and seen.formulas == 3 and len(seen.links) == 3


FAULTS = {
    "no such page": ("<a href='gone.html'>x</a>", "", "link", "no such file"),
    "no such place": ("<a href='other.html#gone'>x</a>", "", "link", "no such anchor"),
    "a message": ("<script>console.error('oh no')</script>", "", "console", "oh no"),
    "an exception": ("<script>nothing.at.all</script>", "", "console", "nothing is not defined"),
    "a picture elsewhere": ("<img alt='x' src='https://example.org/x.png'>", "", "request", "https://example.org/x.png"),
    "a font elsewhere": ("<b style='font-family: f'>x</b>", "<style>@font-face { font-family: f; "
                         "src: url(http://example.org/f.woff2) }</style>", "request", "http://example.org/f.woff2"),
    "a script that is not there": ("", "<script src='gone.js'></script>", "request", "gone.js is not there"),
    "a request of a script": ("<script>fetch('https://example.org/y').catch(() => 0)</script>", "", "request",
                              "https://example.org/y"),
    "dollars": ("the square $a^2$ of", "", "math", "$a^2$"),
    "brackets": (r"the square \(a^2\) of", "", "math", r"\(a^2\)"),
    "a block": ("$$\na^2\n$$", "", "math", "$$"),
    "a wrapped formula": ("<span class='math'>a^2</span>", "", "math", "a^2"),
    "a wrong formula": (r"$\frac{a}$", MATHJAX, "math", "error in"),
    "a formula too small": ("$" + 40 * "a + " + "a$", SHRINKS, "math", "at 390 px too small: a+a"),
    "a table in pipes": ("| a | b |\n| --- | :--- |\n| 1 | 2 |", "", "table", "| a | b |"),
    "a table in pipes and dashes": ("| a | b |<br>| — | — |<br>| 1 | 2 |", "", "table", "| — | — |"),
    "a wide table": (WIDE, "", "scroll", "at 390 px"),
    "a very wide table": (WIDE.replace("600", "1300"), "", "scroll", "at 1280 px"),
    "pale text": ("<b style='color: #bbb; background: #fff'>pale</b>", "", "contrast", "light, color-contrast"),
    "pale text in the dark": ("<b class='x'>dark</b>" , DARK, "contrast", "dark, color-contrast"),
    "a picture without words": ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "", "axe", "image-alt"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(look, tmp_path, name):
    body, head, kind, words = FAULTS[name]
    if MATHJAX in head:
        pages.copy_assets(tmp_path)
    faults = look(body, head).faults
    assert {k for k, _ in faults} == {kind}
    assert any(words in said for _, said in faults)


def test_pale_text_in_the_dark_is_pale_only_there(look):
    assert all(said.startswith("dark") for _, said in look("<b class='x'>dark</b>", DARK).faults)


def test_a_search_that_finds_nothing_is_caught(look):
    script = "<div id='search-results'></div><script>const Search = {_index: {terms: {'0f': 1, word: 1}}}; %s</script>"
    found = "if (location.search === '?q=word') document.querySelector('#search-results').innerHTML = " \
        "`<ul class='search'><li><a href='#top'>Hit</a></li></ul>`"
    assert look(script % found).faults == []
    fault, = look(script % "").faults
    assert fault[0] == "search" and "no result for word" in fault[1]


def test_the_status_and_the_last_line(chromium, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(browser, "chromium", lambda: nullcontext(chromium))
    (tmp_path / "page.html").write_text(HEAD.replace("other.html#there", "gone.html") % ("", ""))
    assert check_pages.main([str(tmp_path)]) == 1
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (counts["pages"], counts["failed"], counts["link"], counts["not followed"]) == (1, 1, 1, 1)
