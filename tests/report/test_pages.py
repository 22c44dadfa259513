"""The pages of a report: contents, words for figures, long outputs, links, colours; the claims on the front page."""

import base64
import re
from html.parser import HTMLParser
from itertools import product

import nbformat
import pytest

from stackelberg_lib.report import index, pages, records, verdicts
from stackelberg_lib.report.arguments import Plan
from stackelberg_lib.report.claims import Measurement
from stackelberg_lib.report.lessons import Lesson

v4 = nbformat.v4
PNG = base64.b64encode(b"\x89PNG").decode()


class Tags(HTMLParser):
    """Every start tag of a page with its attributes, and the text inside of it up to the next one."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def named(self, tag):
        return [(attributes, text.strip()) for name, attributes, text in self.found if name == tag]


def picture(**metadata):
    return v4.new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"}, metadata=metadata)


@pytest.fixture
def nb():
    lines = "\n".join(map(str, range(pages.LONG + 1)))
    return v4.new_notebook(cells=[
        v4.new_markdown_cell("# 01 The <title>\n\n## Steps\n\nText."),
        v4.new_code_cell("a", outputs=[picture(**{"image/png": {"alt": 'Rising "fast" <up>. Caption.'}}), picture()]),
        v4.new_markdown_cell("## Steps\n\n### 2. A $x < y$ deep\n\n![own words](x.png)"),
        v4.new_code_cell("b", outputs=[v4.new_output("stream", text=lines + "\n"), picture()]),
        v4.new_code_cell("c", outputs=[v4.new_output("stream", text="short\n")]),
    ])


def test_contents_lead_to_every_heading(nb):
    tags = Tags(pages.page(nb, "01 The <title>"))
    ids = [attributes["id"] for level in ("h2", "h3") for attributes, _ in tags.named(level)]
    assert len(ids) == len(set(ids)) == 3
    links = [a["href"] for a, _ in tags.named("a") if a["href"].startswith("#")]
    assert sorted(links) == sorted(f"#{name}" for name in ids)
    assert tags.named("title")[0][1] == "01 The <title>"


def test_a_page_without_sections_has_no_contents():
    assert "Contents" not in pages.page(v4.new_notebook(cells=[v4.new_markdown_cell("# 01 A")]), "01 A")


def test_every_figure_has_words(nb):
    words = [attributes["alt"] for attributes, _ in Tags(pages.page(nb, "01 T")).named("img")]
    assert words == ['Rising "fast" <up>. Caption.', "Figure in the section: Steps", "own words",
                     "Figure in the section: 2. A $x < y$ deep"]


def test_long_outputs_are_folded_and_short_ones_are_not(nb):
    text = pages.page(nb, "01 T")
    assert text.count('<details class="long">') == 1 and f"Output, {pages.LONG + 1} lines" in text
    folded = text.split('<details class="long">')[1].split("</details>")[0]
    assert f"\n{pages.LONG}\n" in folded and "short" not in folded


def test_the_notebook_is_left_as_it_was(nb):
    before = nbformat.writes(nb)
    pages.page(nb, "01 T")
    assert nbformat.writes(nb) == before


def lesson(number, tmp_path, title):
    return Lesson(number, tmp_path / f"{number}_x.ipynb", title, {})


def test_links_between_lessons(nb, tmp_path):
    """To the neighbours in both bars, only to pages that are there, and again after another run."""
    a, b, c = (lesson(number, tmp_path, f"{number} <{number}>") for number in ("01", "02", "05"))
    for one in (a, b, c):
        (tmp_path / f"{one.name}.html").write_text(pages.page(nb, one.title))

    def near(one):
        tags = Tags((tmp_path / f"{one.name}.html").read_text())
        return [(x["rel"], x["href"], text) for x, text in tags.named("a") if "rel" in x]

    assert near(b) == []
    pages.link(tmp_path, [a, b])
    pages.link(tmp_path, [a, b, c])
    assert near(a) == 2 * [("next", "02_x.html", "02 <02> →")]
    assert near(b) == 2 * [("prev", "01_x.html", "← 01 <01>"), ("next", "05_x.html", "05 <05> →")]
    assert near(c) == 2 * [("prev", "02_x.html", "← 02 <02>")]


def test_lessons_named_in_the_text(nb, tmp_path):
    """A link to a notebook leads to its page, and nowhere as long as the report has none."""
    nb.cells[0].source += "\n\n- [two](02_x.ipynb)\n- [nine](09_x.ipynb)\n- [more](https://example.org/02_x.ipynb)"
    a, b, c = (lesson(number, tmp_path, number) for number in ("01", "02", "09"))
    for one in (a, b, c):
        (tmp_path / f"{one.name}.html").write_text(pages.page(nb, one.title))

    def seen():
        tags = Tags((tmp_path / "01_x.html").read_text())
        return [(text, x.get("href")) for x, text in tags.named("a") if text in ("two", "nine", "more")]

    more = ("more", "https://example.org/02_x.ipynb")
    assert seen() == [("two", None), ("nine", None), more]
    pages.link(tmp_path, [a, b])
    assert seen() == [("two", "02_x.html"), ("nine", None), more]
    pages.link(tmp_path, [a, c])
    assert seen() == [("two", None), ("nine", "09_x.html"), more]


# --- colours

STYLE = (pages.STATIC / "report.css").read_text()
INKS = {"text": ("paper", "code"), "muted": ("paper",), "link": ("paper", "code"), "good": ("paper",),
        "bad": ("paper", "code"), "open": ("paper",), **dict.fromkeys(
            ("keyword", "string", "comment", "name", "number"), ("code", "paper"))}


def schemes():
    """Every block of variables in the style: where it holds -> name -> colour."""
    found = re.findall(r"([^{}]*:root[^{}]*)\{([^{}]*--paper[^{}]*)\}", STYLE)
    return [(" ".join(where.split()), dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", body))) for where, body in found]


def luminance(colour):
    parts = [int(colour[k:k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """The ratio of WCAG 2.2, from 1 to 21; AA asks for 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_itself():
    assert contrast("#ffffff", "#000000") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5


@pytest.mark.parametrize(("place", "ink"), list(product(range(4), INKS)))
def test_text_stands_out_from_its_ground(place, ink):
    where, colours = schemes()[place]
    assert min(contrast(colours[ink], colours[ground]) for ground in INKS[ink]) >= 4.5, where


def test_dark_is_the_same_by_wish_and_by_button_and_print_is_light():
    (_, light), (button, dark), (wish, wished), (_, printed) = schemes()
    assert dark == wished and 'data-theme="dark"' in button and 'not([data-theme="light"])' in wish
    assert light.keys() == dark.keys() == printed.keys()
    assert luminance(dark["paper"]) < 0.05 and printed["paper"] == light["paper"] == "#ffffff"


def test_no_text_has_a_colour_of_its_own():
    """Every other colour in the style is the white paper of figures."""
    outside = re.sub(r"--\w+: #[0-9a-f]{6};", "", STYLE)
    assert re.findall(r"#[0-9a-f]{3,8}\b", outside) == ["#ffffff"]


# --- the front page

LEDGER = """
- {id: A, statement: It is small, origin: ours, status: consistent, lesson: 01_x, tests: [], expected: [0, 1]}
- {id: B, statement: It is large, origin: abstract, status: inconsistent, lesson: 01_x, tests: [], expected: [5, null]}
- {id: C, statement: It is a game, origin: abstract, status: not testable, lesson: 01_x, tests: []}
- {id: D, statement: Elsewhere, origin: ours, status: consistent, lesson: 02_x, tests: [], expected: [0, 1]}
"""
MEASURED = {"A": Measurement("size: 2.0 [0.9, 3.0]", 0.9, 3), "B": Measurement("size: 2.0 [1.0, 3.0]", 1, 3),
            "D": Measurement("size: 2", 2, 2)}


def test_verdicts(tmp_path):
    (tmp_path / "claims.yaml").write_text(LEDGER)
    found = verdicts.verdicts({"01_x"}, MEASURED, tmp_path)
    assert [(v.id, v.word, v.measured[:4]) for v in found] == [
        ("A", "meets", "size"), ("B", "misses", "size"), ("C", "unmeasured", "")]
    assert [v.word for v in verdicts.verdicts({"02_x"}, MEASURED, tmp_path)] == ["misses"]
    assert [v.word for v in verdicts.verdicts({"02_x"}, {}, tmp_path)] == ["unmeasured"]


def test_the_front_page(tmp_path, monkeypatch):
    (tmp_path / "claims.yaml").write_text(LEDGER)
    monkeypatch.setattr(index, "verdicts", lambda names, measured: verdicts.verdicts(names, measured, tmp_path))
    one, two = lesson("01", tmp_path, "01 A <b>"), lesson("02", tmp_path, "02 C")
    shown = {name: line for name, line in MEASURED.items() if name != "D"}
    plan = Plan([one, two], [{"profile": "lab", "seed": 3}, {"profile": "lab"}], tmp_path,
                "make report PARAMS='a=<b>'", "lab", 2)
    outcome = records.Outcome(one, {"profile": "lab", "seed": 3}, 0.5, "", "assets/a.png", "What it shows", shown)
    index.write_index(plan, [outcome])
    text = (tmp_path / "index.html").read_text()
    tags = Tags(text)
    assert "1 passed, 0 failed, 1 missing" in text and "1 agree,\n1 disagree, 2 are not measured here" in text
    assert ("make report PARAMS='a=<b>'" in [body for _, body in tags.named("code")])
    assert [a["alt"] for a, _ in tags.named("img")] == ["What it shows"]
    assert "30 s" in text and "cores" in text and "seed=3" in text
    assert [a["href"] for a, body in tags.named("a") if body == "01 A <b>"] == 2 * ["01_x.html"]
    assert "02_x.html" not in text  # no link to a page that is not there
