"""Structure of the committed notebooks: what comparing outputs (nbval) leaves open.

nbval compares nothing in a cell without an execution count, ignores pictures, and passes a printed False that was
committed. Each check here returns complaints; each is shown a bad notebook that it must catch.
"""

import ast
import copy
import json
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MOST_LINES, MOST_BYTES = 25, 3_000_000
UNCOMPARED = ("NBVAL_IGNORE_OUTPUT", "NBVAL_SKIP", "nbval-ignore-output", "nbval-skip")
SHOWING = {"print", "display", "show"}
# a line that ends in a truth value, alone or after its name, with brackets around it
BOOLEAN = re.compile(r"(?:^|[\s:=(\[{,])(?:np\.)?(?:True|False)_?[\s)\]},]*$")
MACHINE_PATH = re.compile(r"(?<![\w.~:/])/(?:root|home|work|Users|tmp|mnt|opt|var)/|\b[A-Z]:\\\w")


def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def outputs(nb):
    return [(i, output) for i, cell in enumerate(nb.cells) for output in cell.get("outputs", [])]


def texts(output):
    """The parts of an output that people read, without pictures."""
    if output.output_type == "stream":
        return [output.text]
    return [str(v) for kind, v in output.get("data", {}).items() if not kind.startswith("image/")]


def tree(cell):
    """Syntax tree of a code cell; lines of IPython's own (magics, shell) are left out."""
    return ast.parse("\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in cell.source.splitlines()))


def called(node):
    """Name of the function that `node` calls, without its module; "" if it is no call."""
    name = node.func if isinstance(node, ast.Call) else None
    return getattr(name, "id", getattr(name, "attr", ""))


def asserts(cell):
    return any(isinstance(n, ast.Assert) or called(n).startswith("assert") for n in ast.walk(tree(cell)))


def check_counts(nb, path):
    """Execution counts are 1..n: one run, top to bottom, nothing left out."""
    counts = [cell.execution_count for cell in code(nb)]
    return [] if counts and counts == list(range(1, len(counts) + 1)) else [f"execution counts {counts}"]


def check_no_errors(nb, path):
    return [f"cell {i}: error output {o.ename}" for i, o in outputs(nb) if o.output_type == "error"]


def check_no_stderr(nb, path):
    """No warnings and no progress bars: they carry process ids and times, which always differ."""
    return [f"cell {i}: output on stderr" for i, o in outputs(nb) if o.get("name") == "stderr"]


def check_parameters(nb, path):
    """The first code cell, and only it, is tagged; its profile is the one of the committed outputs."""
    tagged = [i for i, cell in enumerate(code(nb)) if "parameters" in cell.metadata.get("tags", [])]
    if tagged != [0]:
        return [f"the tag `parameters` is on the code cells {tagged}, not on the first alone"]
    values = {n.targets[0].id: ast.unparse(n.value) for n in tree(code(nb)[0]).body if isinstance(n, ast.Assign)}
    complaints = [f"no parameter {name}" for name in ("profile", "seed") if name not in values]
    return complaints + (["the default profile is not lab"] if values.get("profile", "'lab'") != "'lab'" else [])


def check_short_cells(nb, path):
    return [f"cell {i}: {n} lines of code" for i, cell in enumerate(nb.cells) if cell.cell_type == "code"
            and (n := len(cell.source.splitlines())) > MOST_LINES]


def check_not_stripped(nb, path):
    """A cell that prints, displays or shows a picture on its top level has an output."""
    complaints = [] if outputs(nb) else ["no outputs at all"]
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and not cell.outputs:
            calls = {called(n.value) for n in tree(cell).body if isinstance(n, ast.Expr)} & SHOWING
            complaints += [f"cell {i}: {name}() but no output" for name in sorted(calls)]
    return complaints


def check_no_booleans(nb, path):
    """A claim ends in an assertion; a printed True or False is compared with whatever was committed."""
    return [f"cell {i}: {line.strip()}" for i, o in outputs(nb) for text in texts(o)
            for line in text.splitlines() if BOOLEAN.search(line)]


def check_kernel(nb, path):
    name = nb.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"kernel {name}, not python3"]


def check_size(nb, path):
    size = path.stat().st_size
    return [] if size < MOST_BYTES else [f"{size} bytes"]


def check_no_machine_paths(nb, path):
    read = [(i, cell.source) for i, cell in enumerate(nb.cells)]
    read += [(i, text) for i, o in outputs(nb) for text in texts(o)]
    return [f"cell {i}: a path of one machine: {m.group()}" for i, text in read if (m := MACHINE_PATH.search(text))]


def check_uncompared_cells_assert(nb, path):
    """Where nbval is told to look away, an assertion in that cell or in the next looks at the numbers."""
    cells, complaints = code(nb), []
    for i, cell in enumerate(cells):
        marked = set(cell.metadata.get("tags", [])) | set(re.findall(r"^\s*#\s*(NBVAL_\w+)\s*$", cell.source, re.M))
        if marked & set(UNCOMPARED) and not any(asserts(c) for c in cells[i:i + 2]):
            complaints.append(f"code cell {i + 1}: output not compared and nothing asserted")
        if marked & {"NBVAL_RAISES_EXCEPTION", "raises-exception"}:
            complaints.append(f"code cell {i + 1}: marked as raising")
    return complaints


def check_title(nb, path):
    start = f"# {path.name[:2]} "
    begins = nb.cells[0].cell_type == "markdown" and nb.cells[0].source.startswith(start)
    return [] if begins else [f"does not begin with '{start}'"]


def check_links(nb, path):
    """Every lesson that is named with its file exists, and so does every file that is linked."""
    prose = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    linked = set(re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", prose)) | set(re.findall(r"\b\d\d_\w+\.ipynb", prose))
    return [f"link to {name}, which does not exist" for name in sorted(linked) if not (path.parent / name).exists()]


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_committed(check, path):
    assert check(nbformat.read(path, as_version=4), path) == []


# --- the checks themselves, on notebooks that are bad on purpose

GOOD_CELLS = {
    "parameters": 'profile = "lab"\nseed = 0',
    "print": "print(round(0.5, 3))",
    "noisy": "# NBVAL_IGNORE_OUTPUT\nprint(profile)",
    "claim": "import numpy as np\nnp.testing.assert_allclose(1, 1)",
}


@pytest.fixture
def good():
    """A notebook that every check accepts."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# 03 A lesson\n\nSee [itself](03_a_lesson.ipynb), [a page](https://example.org/x).")]
    for count, source in enumerate(GOOD_CELLS.values(), start=1):
        cells.append(v4.new_code_cell(source, execution_count=count))
    cells[1].metadata.tags = ["parameters"]
    cells[2].outputs = [v4.new_output("stream", text="0.5\n")]
    cells[3].outputs = [v4.new_output("stream", text="lab\n")]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def saved(nb, tmp_path):
    path = tmp_path / "03_a_lesson.ipynb"
    path.write_text(json.dumps(nb))
    return nb, path


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_good_passes(check, good, tmp_path):
    assert check(*saved(good, tmp_path)) == []


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", text=text, name=name)


def result(text):
    return nbformat.v4.new_output("execute_result", data={"text/plain": text}, execution_count=2)


def change(index, **values):
    """A spoiler that sets attributes of one cell."""
    return lambda nb: nb.cells[index].update(copy.deepcopy(values))


def strip(nb):
    for cell in code(nb):
        cell.outputs, cell.execution_count = [], None


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])
BAD = [
    (check_counts, change(2, execution_count=None)),
    (check_counts, change(2, execution_count=7)),
    (check_counts, strip),
    (check_counts, lambda nb: nb.cells.__setitem__(slice(2, 4), nb.cells[3:1:-1])),
    (check_counts, lambda nb: nb.cells.__delitem__(slice(1, None))),
    (check_no_errors, change(2, outputs=[stream("0.5\n"), ERROR])),
    (check_no_stderr, change(2, outputs=[stream("0.5\n"), stream("UserWarning\n", "stderr")])),
    (check_parameters, change(1, metadata={})),
    (check_parameters, change(2, metadata={"tags": ["parameters"]})),
    (check_parameters, lambda nb: nb.cells.insert(1, nbformat.v4.new_code_cell("x = 1"))),
    (check_parameters, change(1, source='profile = "smoke"\nseed = 0')),
    (check_parameters, change(1, source='profile = "lab"')),
    (check_short_cells, change(4, source="x = 1\n" * (MOST_LINES + 1))),
    (check_not_stripped, strip),
    (check_not_stripped, change(2, outputs=[])),
    (check_not_stripped, change(4, source="import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()")),
    (check_no_booleans, change(2, outputs=[stream("0.5\nFalse\n")])),
    (check_no_booleans, change(2, outputs=[stream("True\n")])),
    (check_no_booleans, change(2, outputs=[result("np.True_")])),
    (check_no_booleans, change(2, outputs=[stream("the bound holds: False\n")])),
    (check_no_booleans, change(2, outputs=[result("(0.5, False)")])),
    (check_no_booleans, change(2, outputs=[result("array([ True, False])")])),
    (check_kernel, lambda nb: nb.metadata.kernelspec.update(name="my-env")),
    (check_kernel, lambda nb: nb.metadata.clear()),
    (check_size, change(4, source="#" * MOST_BYTES)),
    (check_no_machine_paths, change(2, outputs=[stream("/ho" + "me/ann/x.csv\n")])),
    (check_no_machine_paths, change(4, source='open("/tmp/' + 'x")')),
    (check_no_machine_paths, change(2, outputs=[result("C:\\" + "Users")])),
    (check_uncompared_cells_assert, change(4, source="x = 1")),
    (check_uncompared_cells_assert, change(4, metadata={"tags": ["nbval-skip"]}, source="x = 1")),
    (check_uncompared_cells_assert, change(4, metadata={"tags": ["raises-exception"]})),
    (check_title, lambda nb: nb.cells.pop(0)),
    (check_title, change(0, source="# 04 Another")),
    (check_links, change(0, source="# 03 A\n\n[next](08_missing.ipynb)")),
    (check_links, change(0, source="# 03 A\n\nNext: 08_missing.ipynb")),
    (check_links, change(0, source="# 03 A\n\n![figure](missing.png)")),
]


@pytest.mark.parametrize(("check", "spoil"), BAD, ids=[f"{c.__name__}-{i}" for i, (c, _) in enumerate(BAD)])
def test_bad_is_caught(check, spoil, good, tmp_path):
    spoil(good)
    assert check(*saved(good, tmp_path))


def test_every_check_is_shown_something_bad():
    assert {check for check, _ in BAD} == set(CHECKS)
