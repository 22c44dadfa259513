"""Swapped pictures, which nbval looks past, are caught; letters smoothed in another way are not."""

import io
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from stackelberg_lib.report import pictures

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def drawn(change=lambda ax: None):
    """A small picture of two lines; `change` is done to its axes."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(5, 3), dpi=80)
    ax = fig.subplots()
    ax.plot([1, 2, 3], [1, 4, 9], color="#0b3c8c", label="one")
    ax.plot([1, 2, 3], [3, 3, 2], color="#d1670a", label="other")
    ax.set(xlabel="labels", title="A finding")
    ax.legend()
    change(ax)
    file = io.BytesIO()
    fig.savefig(file, format="png")
    return Image.open(file)


def moved(picture):
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture.convert("RGB"), (1, 1))
    return paper


def smoothed(picture):
    """Drawn at other edges: to 97 % of the size, as with a font that is a little narrower."""
    return picture.convert("RGB").resize([round(0.97 * n) for n in picture.size], Image.Resampling.BILINEAR)


def swap_colours(ax):
    for line, colour in zip(ax.lines, ("#d1670a", "#0b3c8c"), strict=True):
        line.set_color(colour)
    ax.legend()


SAME = {
    "itself": lambda p: p,
    "moved by a pixel": moved,
    "smoothed": smoothed,
    "a line a hundredth higher": lambda p: drawn(lambda ax: ax.lines[1].set_ydata([3.05, 3.05, 2.05])),
}
OTHER = {
    "another line": lambda p: drawn(lambda ax: ax.lines[0].set_ydata([9, 4, 1])),
    "lines with swapped colours": lambda p: drawn(swap_colours),
    "upside down": lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "empty": lambda p: Image.new("RGB", p.size, "white"),
    "wider": lambda p: p.resize((round(1.2 * p.width), p.height)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_figure(name):
    assert pictures.alike(pictures.look(drawn()), pictures.look(SAME[name](drawn())))


@pytest.mark.parametrize("name", OTHER)
def test_another_figure(name):
    assert not pictures.alike(pictures.look(drawn()), pictures.look(OTHER[name](drawn())))


def committed():
    for path in NOTEBOOKS:
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            for png in pictures.pngs(cell.get("outputs", [])):
                yield f"{path.stem}, cell {number}", pictures.opened(png)


def test_no_two_figures_of_the_lessons_pass_for_each_other():
    """Whichever two are swapped, it is seen; and each passes for itself when it is moved or smoothed."""
    figures = [(name, picture, pictures.look(picture)) for name, picture in committed()]
    assert len(figures) > 50
    mistaken = [(a, b) for (a, _, left), (b, _, right) in combinations(figures, 2) if pictures.alike(left, right)]
    assert mistaken == []
    refused = [name for name, picture, look in figures for change in (moved, smoothed)
               if not pictures.alike(look, pictures.look(change(picture)))]
    assert refused == []


# --- a notebook that is bad on purpose, compared as `make test` compares the lessons

SOURCES = {
    "import": "import matplotlib.pyplot as plt",
    "good": "plt.plot([1, 4, 9])\nplt.show()",
    "swapped": "plt.plot([9, 4, 1])\nplt.show()",
    "swapped too": "plt.bar([1, 2, 3], [9, 4, 1])\nplt.show()",
    "twice": "plt.plot([1, 9, 1])\nplt.show()",
    "lost": "plt.plot([9, 1, 9])\nplt.show()",
    "number": "print(round(0.5, 3))",
    "right number": "print(round(0.25, 3))",
}


def spoil(cell):
    """`cell`: name in SOURCES -> outputs of the cell as a notebook file holds them."""
    one, other = (cell[name][0]["data"] for name in ("swapped", "swapped too"))
    one["image/png"], other["image/png"] = other["image/png"], one["image/png"]
    cell["twice"] *= 2
    cell["lost"][0]["data"].pop("image/png")
    cell["number"][0]["text"] = ["0.6\n"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What pytest says of the bad notebook; conftest.py lies above it, as it does above the lessons."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copy(ROOT / "conftest.py", folder)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCES.values()])
    NotebookClient(nb, kernel_name="python3").execute()
    spoil({name: cell.outputs for name, cell in zip(SOURCES, nb.cells, strict=True)})
    nbformat.write(nb, folder / "bad.ipynb")
    command = [sys.executable, "-m", "pytest", "-rfE", "-p", "no:cacheprovider", "--color=no", "--nbval",
               "--nbval-current-env", "bad.ipynb"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("number", "name"), list(enumerate(SOURCES)))
def test_what_is_spoilt_is_caught_and_nothing_else(compared, number, name):
    good = name in ("import", "good", "right number")
    assert (f"FAILED bad.ipynb::Cell {number}" in compared) != good, compared


def test_the_complaints_say_what_is_wrong(compared):
    told = compared.split("short test summary")[0]  # the summary repeats them, where the terminal is wide or CI is set
    assert told.count("picture 1 is not the one that the cell draws") == 2
    assert "0 pictures are committed, 1 were drawn" in told


def test_the_file_lies_where_pytest_reads_it_for_every_lesson():
    assert (ROOT / "conftest.py").is_file()
    assert all(path.parent.parent == ROOT for path in NOTEBOOKS) and NOTEBOOKS
