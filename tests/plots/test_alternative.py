"""What figures say to people who cannot see them, and that a notebook keeps it."""

import nbformat
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

from stackelberg_lib.plots import alternative, style


def test_words_are_titles_and_caption():
    fig = Figure()
    left, right = fig.subplots(1, 2)
    left.set_title("regret", loc="left")
    right.set_title("labels")
    style.titled(fig, "It grows.", "Mean over\n20 seeds; $d = 8$.")
    assert alternative.words(fig) == "It grows. regret. labels. Mean over 20 seeds; d = 8."


def test_a_figure_without_titles_says_nothing():
    fig = Figure()
    fig.subplots()
    assert alternative.words(fig) == ""


@pytest.mark.parametrize(("text", "read"), [
    (r"$\alpha^{\mathrm{fix}}$ for 61 rounds", "alpha^fix for 61 rounds"),
    (r"$\tilde O(\sqrt{dB})$", "O(sqrtdB)"), ("5 % of $40", "5 % of $40"),
])
def test_plain(text, read):
    assert alternative.plain(text) == read


def test_a_notebook_keeps_the_words():
    """Once, however often the style is set; a figure without a title and other outputs stay as they are."""
    sources = ["from stackelberg_lib.plots import style\nstyle.use()\nstyle.use()",
               "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nax.set_title('Up');",
               "fig, ax = plt.subplots()\nax.plot([1, 2]);", "style.titled(plt.figure(), 'Empty', 'none');"]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(nb, kernel_name="python3").execute()
    shown = [[o.metadata.get("image/png", {}).get("alt") for o in cell.outputs if "image/png" in o.data]
             for cell in nb.cells]
    assert shown == [[], ["Up."], [None], []]
