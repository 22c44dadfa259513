"""A lesson as one HTML page that asks no other host for anything: MathJax, style and script lie in assets/."""

import html
import json
import re
import shutil
from importlib import metadata
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

from stackelberg_lib.report import figures, files
from stackelberg_lib.report.figures import ASSETS
from stackelberg_lib.report.frame import BAR, HEAD, LESSONS
from stackelberg_lib.report.lessons import Lesson

STATIC = Path(__file__).parent / "static"
MATHJAX_PACKAGE = "sphinx-mathjax-offline"
MATHJAX_CONFIG = json.dumps({
    "tex": {"inlineMath": [["$", "$"], ["\\(", "\\)"]], "displayMath": [["$$", "$$"], ["\\[", "\\]"]],
            "processEscapes": True, "processEnvironments": True, "tags": "ams"},
    "svg": {"fontCache": "global"},
})
LONG = 40  # lines of output that are folded away
HEADING = re.compile(r"<h([23])>(.*?)</h\1>", re.DOTALL)
CONTENTS = "<!-- contents -->"
NOTEBOOK_LINK = re.compile(r'<a href="(\d\d_\w+)\.ipynb">')
LESSON_LINK = re.compile(r'<a data-lesson="(\w+)"[^>]*>')
# the cells as nbconvert writes them, in a page of our own: its page would fetch scripts and has one colour scheme
TEMPLATE = """{%- extends 'lab/base.html.j2' -%}
{%- macro folded(lines) -%}
{%- if lines > LONG %}<details class="long"><summary>Output, {{ lines }} lines</summary>{{ caller() }}</details>
{%- else %}{{ caller() }}{% endif -%}
{%- endmacro -%}
{%- block header -%}
<!DOCTYPE html>
<html lang="en">
<head>
<title>{{ nb.metadata.title | escape_html }}</title>
HEAD
<script>window.MathJax = MATHJAX_CONFIG;</script>
<script src="assets/tex-svg.js" defer></script>
</head>
{%- endblock -%}
{%- block body_header -%}
<body>
<div class="page with-toc">
BAR
CONTENTS
<main>
<p class="facts">{{ nb.metadata.facts_line }}</p>
{%- endblock -%}
{%- block body_footer -%}
</main>
BAR
</div>
</body>
{%- endblock -%}
{%- block footer -%}
</html>
{%- endblock -%}
{%- block stream_stdout -%}
{%- call folded(output.text.count("\\n")) -%}{{ super() }}{%- endcall -%}
{%- endblock -%}
{%- block data_text -%}
{%- call folded(output.data["text/plain"].count("\\n")) -%}{{ super() }}{%- endcall -%}
{%- endblock -%}
{%- block data_html -%}
{%- call folded(output.data["text/html"].count("<tr")) -%}{{ super() }}{%- endcall -%}
{%- endblock -%}
{%- block data_png -%}
<div class="figure"><img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
alt="{{ output.metadata['image/png']['alt'] | escape_html }}"></div>
{%- endblock -%}
"""
for name, text in {"MATHJAX_CONFIG": MATHJAX_CONFIG, "HEAD": HEAD, "BAR": BAR, "CONTENTS": CONTENTS,
                   "LONG": str(LONG)}.items():
    TEMPLATE = TEMPLATE.replace(name, text)


def copy_assets(out: Path) -> None:
    """Copy style, script, MathJax and the TeX extensions that it loads on demand into `out`/assets."""
    main = next(f for f in metadata.files(MATHJAX_PACKAGE) if f.name == "tex-svg.js").locate()
    extensions = Path("input", "tex", "extensions")
    with files.writing(out):
        (out / ASSETS).mkdir(parents=True, exist_ok=True)
        for file in (main, *STATIC.iterdir()):
            shutil.copy(file, out / ASSETS)
        shutil.copytree(Path(main).parent / extensions, out / ASSETS / extensions, dirs_exist_ok=True)


def page(nb: nbformat.NotebookNode, title: str, facts: str = "") -> str:
    """The notebook `nb` as an HTML page; `facts` is a line of HTML below its head. The notebook stays as it is."""
    exporter = HTMLExporter(raw_template=TEMPLATE, config=Config(HTMLExporter={"exclude_anchor_links": True}))
    nb = nbformat.from_dict(json.loads(json.dumps(nb)))
    nb.metadata |= {"title": title, "facts_line": facts}
    nb.metadata.pop("widgets", None)
    _name_figures(nb)
    text, _ = exporter.from_notebook_node(nb)
    text, contents = _with_anchors(NOTEBOOK_LINK.sub(r'<a data-lesson="\1">', text))
    return text.replace(CONTENTS, contents, 1)


def _name_figures(nb: nbformat.NotebookNode) -> None:
    """A picture that brings no words of its own is named after the section that it stands in."""
    section = nb.metadata.title
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            section = (re.findall(r"^#{1,3} +(.+)$", cell.source, re.MULTILINE) or [section])[-1]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                words = figures.alternative(output) or f"Figure in the section: {section}"
                output.metadata["image/png"] = {"alt": words}


def _with_anchors(text: str) -> tuple[str, str]:
    """The page with an id on every heading of the second and third level, and the contents that link to them."""
    entries, taken = [], set()

    def anchored(match: re.Match) -> str:
        level, inner = match.groups()
        words = html.unescape(re.sub(r"<[^>]*>", "", inner))
        slug = base = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "section"
        while slug in taken:
            slug = f"{base}-{len(taken)}"
        taken.add(slug)
        entries.append(f'<li class="level-{level}"><a href="#{slug}">{re.sub("</?a[^>]*>", "", inner)}</a></li>')
        return f'<h{level} id="{slug}">{inner}</h{level}>'

    text = HEADING.sub(anchored, text)
    if not entries:
        return text, ""
    rows = "\n".join(entries)
    return text, ('<details class="toc"><summary>Contents</summary>'
                  f'<nav aria-label="Contents"><ol>\n{rows}\n</ol></nav></details>')


def link(out: Path, lessons: list[Lesson]) -> None:
    """Link the pages of `lessons`, which are all written, to the ones before and after and where their text names them.

    The name of a lesson that has no page here stays without a link. Raises InputError.
    """
    there = {lesson.name for lesson in lessons}

    def named(match: re.Match) -> str:
        name = match.group(1)
        return f'<a data-lesson="{name}" href="{name}.html">' if name in there else f'<a data-lesson="{name}">'

    for before, lesson, after in zip([None, *lessons], lessons, [*lessons[1:], None], strict=False):
        near = [f'<a rel="{rel}" href="{other.name}.html">{arrow.format(html.escape(other.title))}</a>'
                for rel, other, arrow in (("prev", before, "← {}"), ("next", after, "{} →")) if other]
        file = out / f"{lesson.name}.html"
        text = LESSONS.sub(lambda match, near=near: match.group(1) + "\n".join(near) + match.group(2),
                           file.read_text(encoding="utf-8"))
        files.write(file, LESSON_LINK.sub(named, text))
