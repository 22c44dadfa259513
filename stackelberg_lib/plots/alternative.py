"""What a figure says to people who cannot see it: its titles and its caption, kept with the picture in the notebook."""

from __future__ import annotations

import re

COMMAND = re.compile(r"\\(?:mathrm|mathbf|mathit|text|tilde|hat|bar|left|right)\b|\\[,;! ]")


def words(fig) -> str:
    """The title of a figure, of its panels where they have some, and its caption, as one line without TeX."""
    parts = [fig.get_suptitle(), *(ax.get_title(loc) for ax in fig.axes for loc in ("left", "center", "right")),
             fig.get_supxlabel()]
    sentences = [plain(part).rstrip(".") for part in dict.fromkeys(parts) if part]
    return ". ".join(sentences) + "." * bool(sentences)


def plain(text: str) -> str:
    """A text of matplotlib without the signs of its TeX, such as dollars, backslashes, braces and names of fonts."""
    def formula(match: re.Match) -> str:
        return re.sub(r"[\\{}]", "", COMMAND.sub("", match.group(1)))

    return " ".join(re.sub(r"\$([^$]*)\$", formula, text).split())


def install() -> None:
    """Let every figure that a notebook shows carry its words in the output's metadata; elsewhere do nothing."""
    import sys

    from matplotlib.figure import Figure

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):
        return
    import matplotlib_inline.backend_inline  # noqa: F401  sets the formatter that is extended here

    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.lookup_by_type(Figure)
    if not getattr(draw, "says_words", False):
        def draw_with_words(fig):
            png = draw(fig)
            return (png, {"alt": said}) if png and (said := words(fig)) else png

        draw_with_words.says_words = True
        formatter.for_type(Figure, draw_with_words)
