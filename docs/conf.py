"""Configuration of the site. Sources and build: stackelberg_lib/report/site.py."""

from stackelberg_lib.report.site import COPYRIGHT, VERSION, launch_options, plain_docstring

project = "Which labels should you pay for?"
author = copyright = COPYRIGHT
version = release = VERSION
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["README.md"]  # its text is on the front page
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!stackelberg_lib\.).*")]  # other libraries' references lie on other hosts

nb_execution_mode = "off"  # the outputs are the committed ones
nb_render_markdown_format = "myst"  # the default, CommonMark, knows no tables
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
mathjax_path = "tex-svg.js"  # MathJax 3 (Apache-2.0), which sphinx-mathjax-offline carries

autodoc_mock_imports = ["skactiveml"]  # a peer, which the lessons do without
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say shapes and units
default_role = "code"
highlight_language = "none"  # of blocks that name no language

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_theme_options = {"show_navbar_depth": 1, "home_page_in_toc": True, "use_download_button": False,
                      "navbar_persistent": []}
html_context = {"default_mode": "auto"}


def setup(app):
    app.add_config_value("repository", "", "html", types=[str])
    app.connect("config-inited", lambda _, config: config.html_theme_options.update(launch_options(config.repository)))
    # a field of a named tuple has no words of its own but "alias for field number 0"
    app.connect("autodoc-skip-member", lambda *event: type(event[3]).__name__ == "_tuplegetter" or None)
    app.connect("autodoc-process-docstring", lambda *event: plain_docstring(event[-1]))
