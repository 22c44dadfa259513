"""Check every HTML page of folders in a real browser.

    python -m stackelberg_lib.report.check_pages reports/site reports/lab

Each page is opened as a file and must say no error on the console, ask no other host for anything, typeset its
mathematics and its tables, fit 1280 and 390 pixels without scrolling sideways, have only links that lead somewhere in
its folder, and pass axe-core's rules for WCAG 2.2 AA, in light and in dark. Links to other hosts are counted, not
followed. The last line is one JSON object. Exit status: 0 all pages pass, 1 some do not, 2 refused before a page was
opened.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import browser
from stackelberg_lib.report.browser import Seen

KINDS = ("console", "request", "math", "table", "scroll", "link", "contrast", "axe", "search")


def html_pages(folder: Path) -> list[Path]:
    """The HTML pages below `folder`, sorted. Raises InputError if there are none."""
    found = sorted(folder.resolve().rglob("*.html"))
    if not found:
        raise InputError(f"{folder} holds no HTML page; make one first: make site, make report")
    return found


def broken_links(seen: list[Seen], folder: Path) -> dict[Path, list[str]]:
    """Links, by page, that lead to no file of `folder` or to no anchor of its pages."""
    pages = {s.path: s for s in seen}
    return {s.path: [f"{link}: {why}" for link in dict.fromkeys(s.links) if (why := _wrong(link, pages, folder))]
            for s in seen}


def _wrong(link: str, pages: dict[Path, Seen], folder: Path) -> str:
    parts = urlsplit(link)
    if parts.scheme != "file":
        return ""
    path, anchor = Path(unquote(parts.path)), unquote(parts.fragment)
    path = path / "index.html" if path.is_dir() else path
    if not path.is_relative_to(folder.resolve()):
        return "leads out of the folder"
    if not path.is_file():
        return "no such file"
    known = pages.get(path)
    return f"no such anchor in {path.name}" if anchor and known and anchor not in known.anchors else ""


def outside(seen: list[Seen]) -> int:
    """How many different addresses on other hosts the pages link to."""
    return len({link for s in seen for link in s.links if urlsplit(link).scheme in ("http", "https")})


def check(folder: Path, chromium) -> tuple[list[Seen], int]:
    """Look at every page of `folder`, print what is wrong with each, return what was seen and how many pages fail."""
    seen = []
    for path in html_pages(folder):
        seen.append(browser.look(chromium, path))
        print(f"[{len(seen)}] {path.name}", end="\r", file=sys.stderr, flush=True)
    links, bad = broken_links(seen, folder), 0
    for page in seen:
        page.faults.extend(("link", words) for words in links[page.path])
        bad += bool(page.faults)
        print(f"{'FAIL' if page.faults else 'ok'}  {folder / page.path.relative_to(folder.resolve())}")
        for kind, words in page.faults:
            print(f"      {kind}: {words}")
    return seen, bad


def main(argv: list[str]) -> int:
    """Check the pages of the folders in `argv` and return the exit status."""
    seen, bad = [], 0
    try:
        folders = [Path(word) for word in argv]
        for folder in folders:
            html_pages(folder)
        if not folders:
            raise InputError("no folder was named; name one: make check-pages PAGES=reports/site")
        with browser.chromium() as chromium:
            for folder in folders:
                looked, failed = check(folder, chromium)
                seen, bad = seen + looked, bad + failed
    except InputError as error:
        print(f"check-pages: {error}", file=sys.stderr)
        return 2
    counts = {kind: sum(k == kind for page in seen for k, _ in page.faults) for kind in KINDS}
    print(json.dumps({"pages": len(seen), "failed": bad, **counts, "formulas": sum(p.formulas for p in seen),
                      "links": sum(len(p.links) for p in seen), "not followed": outside(seen)}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
