"""What every test shares: where the real data sets may lie, and tiny notebooks to run."""

import os
from pathlib import Path

import matplotlib
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Real sets may lie beside the repository instead of in data/; an explicit STACKELBERG_DATA wins.
_beside = ROOT / "../shared/data"
if "STACKELBERG_DATA" not in os.environ and _beside.is_dir():
    os.environ["STACKELBERG_DATA"] = str(_beside.resolve())


@pytest.fixture(autouse=True)
def same_look():
    """A lesson sets matplotlib's defaults for itself; the next test finds them as this one did."""
    with matplotlib.rc_context():
        yield


@pytest.fixture
def real_set():
    """A function that skips the test unless the named real set is on this machine."""

    def need(name: str) -> None:
        folders = [ROOT / "data"] + [Path(f) for f in [os.environ.get("STACKELBERG_DATA")] if f]
        if not any((folder / name).is_dir() for folder in folders):
            pytest.skip(f"the set {name} is neither in data/ nor in $STACKELBERG_DATA")

    return need


@pytest.fixture
def write_lesson(tmp_path):
    """A function that writes a tiny notebook `name`.ipynb with a parameters cell and returns its path."""

    def write(name: str, *cells: str, parameters: str = 'profile = "lab"\nseed = 0', tag: str = "parameters"):
        v4 = nbformat.v4
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nb = v4.new_notebook(metadata={"kernelspec": kernel})
        nb.cells = [v4.new_markdown_cell(f"# {name[:2]} Lesson <{name[3:]}>"),
                    v4.new_code_cell(parameters, metadata={"tags": [tag]}), *map(v4.new_code_cell, cells)]
        folder = tmp_path / "notebooks"
        folder.mkdir(exist_ok=True)
        nbformat.write(nb, folder / f"{name}.ipynb")
        return folder / f"{name}.ipynb"

    return write
