"""A lesson as one HTML page that asks no other host for anything: MathJax lies beside it in assets/."""

import base64
import json
import shutil
from importlib import metadata
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

ASSETS = "assets"
MATHJAX_PACKAGE = "sphinx-mathjax-offline"
MATHJAX_CONFIG = json.dumps({
    "tex": {"inlineMath": [["$", "$"], ["\\(", "\\)"]], "displayMath": [["$$", "$$"], ["\\[", "\\]"]],
            "processEscapes": True, "processEnvironments": True, "tags": "ams"},
    "svg": {"fontCache": "global"},
})
# nbconvert's page without what it would fetch from a CDN (require.js, MathJax 2, mermaid, widgets)
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>window.MathJax = MATHJAX_CONFIG;</script>
<script src="assets/tex-svg.js" defer></script>
{%- endblock -%}
{%- block html_head_css -%}
<style>
body.jp-Notebook { max-width: 66rem; margin: 0 auto; padding: 1rem; box-sizing: border-box; }
.jp-RenderedImage img, .jp-RenderedHTMLCommon img { max-width: 100%; height: auto; }
.jp-RenderedHTMLCommon mjx-container[display=true] { overflow-x: auto; overflow-y: hidden; }
.jp-OutputArea-output, .jp-InputArea-editor { overflow-x: auto; }
.jp-InputArea-editor .highlight pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 700px) {
  .jp-InputPrompt, .jp-OutputPrompt { display: none; }
  body.jp-Notebook { padding: .5rem; }
}
</style>
{%- endblock -%}
{%- block body_header -%}
{{ super() }}
<p class="jp-RenderedHTMLCommon"><a href="index.html">All lessons of this report</a></p>
{%- endblock -%}
""".replace("MATHJAX_CONFIG", MATHJAX_CONFIG)


def copy_assets(out: Path) -> None:
    """Copy MathJax and the TeX extensions that it loads on demand into `out`/assets."""
    main = next(f for f in metadata.files(MATHJAX_PACKAGE) if f.name == "tex-svg.js").locate()
    extensions = Path("input", "tex", "extensions")
    (out / ASSETS).mkdir(parents=True, exist_ok=True)
    shutil.copy(main, out / ASSETS)
    shutil.copytree(Path(main).parent / extensions, out / ASSETS / extensions, dirs_exist_ok=True)


def write_page(nb: nbformat.NotebookNode, target: Path, title: str) -> None:
    """Write the notebook `nb` as the HTML page `target`."""
    exporter = HTMLExporter(raw_template=TEMPLATE, config=Config(HTMLExporter={"exclude_anchor_links": True}))
    nb = nb.copy()
    nb.metadata = nb.metadata | {"title": title}
    nb.metadata.pop("widgets", None)
    page, _ = exporter.from_notebook_node(nb)
    target.write_text(page, encoding="utf-8")


def write_figure(nb: nbformat.NotebookNode, out: Path, name: str) -> str:
    """Write the first picture of the outputs to `out`/assets; return its path in `out`, or ""."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind, suffix in (("image/svg+xml", "svg"), ("image/png", "png"), ("image/jpeg", "jpg")):
                if kind in data:
                    path = Path(ASSETS, f"{name}.{suffix}")
                    text = "".join(data[kind])
                    (out / path).write_bytes(text.encode() if suffix == "svg" else base64.b64decode(text))
                    return path.as_posix()
    return ""
