"""Student copies: what is taken out, what stays, and that nobody's answers are overwritten."""

import copy

import nbformat
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import student

SOLVED = '''def twice(x):
    """Twice x.

    A number.
    """
    helper = 2
    ### BEGIN SOLUTION
    y = x * helper
    return y
    ### END SOLUTION


def other():
    return 1'''
CHECK = "assert twice(3) == 6\n### BEGIN HIDDEN TESTS\nassert twice(4) == 8\n### END HIDDEN TESTS"


def notebook():
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# 03 A lesson"),
             v4.new_code_cell('profile = "lab"\nseed = 0', metadata={"tags": ["parameters"]}, execution_count=1),
             v4.new_code_cell("print(1)", execution_count=2),
             v4.new_code_cell(SOLVED, metadata={"tags": ["exercise"]}, execution_count=3),
             v4.new_code_cell(CHECK, metadata={"tags": ["check"]}, execution_count=4)]
    for cell in cells[2:]:
        cell.outputs = [v4.new_output("stream", text="1\n")]
    return v4.new_notebook(cells=cells)


def test_solution_becomes_an_error_that_says_what_to_return():
    lines = student.without_solution(SOLVED).splitlines()
    assert lines[5:8] == ["    helper = 2", "    raise NotImplementedError('twice: Twice x.')", ""]
    assert lines[-1] == "    return 1" and "y = x" not in "\n".join(lines)
    assert student.exercises(SOLVED) == {"twice": "Twice x."}


def test_hidden_tests_disappear():
    assert student.without_hidden_tests(CHECK) == "assert twice(3) == 6"
    assert student.without_hidden_tests(f"{CHECK}\nx = 1\n{CHECK}").splitlines() == [
        "assert twice(3) == 6", "x = 1", "assert twice(3) == 6"]


@pytest.mark.parametrize("source", [
    SOLVED.replace("### END SOLUTION", ""), SOLVED.replace("    ### BEGIN SOLUTION\n", ""),
    SOLVED.replace('    """Twice x.\n\n    A number.\n    """\n', ""), "### BEGIN SOLUTION\nx = 1\n### END SOLUTION",
])
def test_bad_solutions_are_refused(source):
    with pytest.raises(InputError):
        student.without_solution(source)


def test_hidden_tests_without_an_end_are_refused():
    with pytest.raises(InputError, match="no partner"):
        student.without_hidden_tests(CHECK.replace("### END HIDDEN TESTS", ""))


def test_copy_keeps_all_but_answers():
    nb = notebook()
    before = copy.deepcopy(nb)
    made = student.student_copy(nb, "notebooks/03_a_lesson.ipynb")
    assert nb == before
    title, note, parameters, plain, exercise, check = made.cells
    assert title.source == "# 03 A lesson" and "notebooks/03_a_lesson.ipynb" in note.source
    assert parameters.metadata.tags == ["parameters"] and parameters.source == nb.cells[1].source
    assert plain.outputs and plain.execution_count == 2
    for cell in (exercise, check):
        assert cell.outputs == [] and cell.execution_count is None and "###" not in cell.source
    nbformat.validate(made)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook(), tmp_path / "notebooks/03_a_lesson.ipynb")
    return tmp_path


def test_writes_every_lesson_once(root, capsys):
    assert student.main(root) == 0
    target = root / "work/student/03_a_lesson.ipynb"
    assert "NotImplementedError" in target.read_text() and "commit not a git checkout" in target.read_text()
    target.write_text("my answers")
    capsys.readouterr()
    assert student.main(root) == 0
    assert target.read_text() == "my answers" and "kept" in capsys.readouterr().out


def test_a_bad_exercise_is_one_line(root, capsys):
    nb = notebook()
    nb.cells[3].source = SOLVED.replace("### END SOLUTION", "")
    nbformat.write(nb, root / "notebooks/03_a_lesson.ipynb")
    assert student.main(root) == 2
    assert capsys.readouterr().err.startswith("student: 03_a_lesson.ipynb: ")
