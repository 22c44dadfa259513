"""What all pages of a report share: the head, which loads style and script from assets/, and the bar over the text."""

import re

HEAD = """<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="assets/report.css">
<script src="assets/report.js"></script>"""
THEME = '<button class="theme" type="button" hidden>Dark</button>'
# the links between the comments are written when it is known which lessons have a page
BAR = f"""<nav class="bar" aria-label="Lessons"><a href="index.html">All lessons of this report</a>
<!-- lessons --><!-- /lessons -->
{THEME}</nav>"""
LESSONS = re.compile(r"(<!-- lessons -->).*?(<!-- /lessons -->)", re.DOTALL)
