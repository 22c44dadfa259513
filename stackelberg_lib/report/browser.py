"""What a real browser finds on an HTML page, opened as a file: the observations behind `make check-pages`.

Needs playwright and axe-playwright-python (requirements-browser.txt) and a Chromium that is installed on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stackelberg_lib.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (1280, 390)  # pixels: a laptop and a telephone
SCHEMES = ("light", "dark")
LOCAL = re.compile(r"(file|data|blob|about|chrome|devtools):")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"],
         "preload": False}  # axe would ask for the style sheets again, which a page opened as a file may not
# Once the formulas are drawn and no colour is on its way from one scheme to the other.
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const brief = document.getAnimations().filter(a => a.effect.getComputedTiming().iterations < Infinity);
  await Promise.allSettled(brief.map(a => a.finished));
}"""
# Signs of mathematics left in the text, formulas that were wrapped for MathJax and not drawn, and those with an error.
MATH = r"""() => {
  const skip = 'script, style, noscript, code, pre, kbd, samp, textarea, mjx-container', found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const raw = walk.currentNode.data.match(/\\[(\[]|\\begin\{|\$\$|\$[^$\n]+\$/);
    if (raw && !walk.currentNode.parentElement.closest(skip))
      found.push('not typeset: ' + walk.currentNode.data.trim().slice(0, 60));
  }
  for (const e of document.querySelectorAll('.math'))
    if (!e.querySelector('mjx-container')) found.push('not typeset: ' + e.textContent.trim().slice(0, 60));
  const drawn = [...document.querySelectorAll('mjx-container')];
  for (const e of drawn)
    if (!e.querySelector('svg, mjx-math') || e.querySelector('mjx-merror, [data-mjx-error], [data-mml-node="merror"]'))
      found.push('error in: ' + e.textContent.trim().slice(0, 60));
  return [drawn.length, [...new Set(found)]];
}"""
# Lines of a table that stand in the text as they were written: the rule below its head.
TABLE = r"""() => {
  const skip = 'script, style, noscript, code, pre, kbd, samp, textarea', found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const raw = walk.currentNode.data.match(/\|\s*:?(?:-{2,}|[\u2013\u2014]-?):?\s*\|/);
    if (raw && !walk.currentNode.parentElement.closest(skip))
      found.push('not a table: ' + walk.currentNode.data.trim().slice(0, 60));
  }
  return [...new Set(found)];
}"""
# How many pixels the page is too wide, and the first element that sticks out and does not scroll in a box of its own.
SCROLL = """() => {
  const page = document.scrollingElement, over = page.scrollWidth - page.clientWidth;
  if (over < 1) return null;
  const boxed = e => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
  const wide = [...document.body.querySelectorAll('*')].find(
    e => e.getBoundingClientRect().right > page.clientWidth + 1 && !boxed(e));
  return over + ' px too wide' + (wide ? ', by ' + wide.outerHTML.slice(0, 80) : '');
}"""
# Formulas that were shrunk to fit until they are hard to read.
SMALL = """least => [...document.querySelectorAll('mjx-container > svg')].filter(svg => {
  const shown = svg.getBoundingClientRect().width;
  svg.style.maxWidth = 'none';
  const full = svg.getBoundingClientRect().width;
  svg.style.maxWidth = '';
  return shown < least * full;
}).map(svg => svg.parentElement.textContent.trim().slice(0, 60))"""
LEAST = 0.55  # of a formula's size: letters of 9 pixels
# Where the links lead, and the places that links can lead to.
PLACES = """() => [
  [...document.querySelectorAll('a[href], area[href]')].map(a => a.href),
  [...document.querySelectorAll('[id], a[name]')].flatMap(e => [e.id, e.getAttribute('name')]).filter(x => x)]"""
WORD = """() => !document.querySelector('#search-results') ? '' :
  Object.keys(Search._index?.terms ?? {}).find(word => /^[a-z]{4,}$/.test(word)) ?? ''"""
PATIENCE = 300_000  # milliseconds: a page of many formulas on a machine that is busy with other things


class Seen(NamedTuple):
    """One page: what is wrong with it, as (kind, words) pairs, and what only the other pages can judge."""

    path: Path
    faults: list[tuple[str, str]]
    links: list[str]  # absolute, as the browser resolves them
    anchors: set[str]
    formulas: int


def find_chromium() -> str:
    """The path of a Chromium: $CHROMIUM, or the first one on the path. Raises InputError."""
    given = os.environ.get("CHROMIUM", "")
    found = [shutil.which(name) for name in ([given] if given else NAMES)]
    if not any(found):
        raise InputError(f"CHROMIUM={given or '(not given)'}: no Chromium found; install one (Debian: apt install "
                         "chromium) or name its program: CHROMIUM=/path/to/chromium")
    return next(path for path in found if path)


@contextmanager
def chromium():
    """A running headless Chromium. Raises InputError where there is none."""
    program = find_chromium()
    from playwright.sync_api import sync_playwright  # carries a driver; only who checks pages needs it

    with sync_playwright() as playwright:
        # the sandbox needs rights that containers and root do not have; only local pages are opened
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def look(browser, path: Path) -> Seen:
    """Open the page `path` in light and in dark, at both widths, and tell what was seen."""
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.set_default_timeout(PATIENCE)
    faults: list[tuple[str, str]] = []
    _listen(page, faults)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.goto(path.as_uri())
        page.evaluate(SETTLED)
        faults += [("contrast" if rule == "color-contrast" else "axe", f"{scheme}, {rule}: {words}")
                   for rule, words in _axe(page)]
    formulas, wrong = page.evaluate(MATH)
    links, anchors = page.evaluate(PLACES)
    faults += [("math", words) for words in wrong]
    faults += [("table", words) for words in page.evaluate(TABLE)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate(SCROLL)
        faults += [("scroll", f"at {width} px {over}")] if over else []
        faults += [("math", f"at {width} px too small: {words}") for words in page.evaluate(SMALL, LEAST)]
    faults += _search(page)
    page.close()
    return Seen(path, list(dict.fromkeys(faults)), links, set(anchors), formulas)


def _listen(page, faults: list) -> None:
    """Write down what the page says on the console and asks for; what lies on another host is not fetched."""

    def asked(route):
        if LOCAL.match(route.request.url):
            return route.continue_()
        faults.append(("request", route.request.url))
        return route.abort()

    def said(message):
        # a resource that is refused or not there is told of once, as a request
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(("console", message.text[:200]))

    page.route("**/*", asked)
    page.on("console", said)
    page.on("pageerror", lambda error: faults.append(("console", str(error)[:200])))
    page.on("requestfailed", lambda request: LOCAL.match(request.url)
            and faults.append(("request", f"{request.url} is not there")))


def _axe(page) -> list[tuple[str, str]]:
    """(rule, words) of each rule of WCAG 2.2 AA that axe-core finds broken."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    return [(v["id"], f"{len(v['nodes'])} times, first {v['nodes'][0]['target'][0]}: "
             f"{' '.join(v['nodes'][0]['failureSummary'].split())[:240]}") for v in found]


def _search(page) -> list[tuple[str, str]]:
    """On the search page of a Sphinx site: a word of the index must be found."""
    word = page.evaluate(WORD)
    if not word:
        return []
    page.goto(f"{page.url.partition('?')[0]}?q={word}")
    try:
        page.wait_for_selector("#search-results ul.search li a", timeout=5_000)
    except Exception as error:  # playwright's own TimeoutError, which is imported only with a browser at hand
        return [("search", f"no result for {word}: {type(error).__name__}")]
    return []
