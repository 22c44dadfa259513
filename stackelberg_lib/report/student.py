"""Student copies of the lessons: solutions and hidden tests taken out, everything else as it is.

    python -m stackelberg_lib.report.student

One source for both versions: a solution stands between `### BEGIN SOLUTION` and `### END SOLUTION` in a cell tagged
`exercise`, stronger tests between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS` in the cell tagged `check` that
follows. Writes work/student/; a file that is there already may hold somebody's answers and is left alone.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
from pathlib import Path

import nbformat

from stackelberg_lib.errors import InputError
from stackelberg_lib.report.provenance import checkout

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^ *### BEGIN HIDDEN TESTS\n.*?^ *### END HIDDEN TESTS\n?", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"### (BEGIN|END) (SOLUTION|HIDDEN TESTS)")


def is_tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    """Whether the cell carries the tag."""
    return tag in cell.metadata.get("tags", [])


def exercises(source: str) -> dict[str, str]:
    """The functions of a cell that hold a solution: name -> what to return, the first line of the docstring."""
    lines = [source[:match.start()].count("\n") + 1 for match in SOLUTION.finditer(source)]
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and any(node.lineno < line <= node.end_lineno for line in lines):
            found[node.name] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


def without_solution(source: str) -> str:
    """The cell with each solution replaced by a NotImplementedError that says what to return. Raises InputError."""
    hints = iter(exercises(source).items())

    def blank(match: re.Match) -> str:
        name, hint = next(hints, ("", ""))
        if not hint:
            raise InputError(f"exercise {name or source.splitlines()[0]!r}: write each solution into a function of its "
                             "own, with a docstring that says what to return")
        return f"{match.group(1)}raise NotImplementedError({f'{name}: {hint}'!r})\n"

    return _unmarked(SOLUTION.sub(blank, source))


def without_hidden_tests(source: str) -> str:
    """The cell with only those tests that students see. Raises InputError for a marker without its partner."""
    return _unmarked(HIDDEN.sub("", source))


def _unmarked(source: str) -> str:
    if left := MARKER.search(source):
        raise InputError(f"marker {left.group()!r} has no partner in the cell:\n{source}")
    return source.rstrip("\n")


def student_copy(nb: nbformat.NotebookNode, origin: str) -> nbformat.NotebookNode:
    """The student's version of a lesson; `origin` says where it comes from. Raises InputError for a bad exercise."""
    student = copy.deepcopy(nb)
    for cell in student.cells:
        if is_tagged(cell, "exercise") or is_tagged(cell, "check"):
            blank = without_solution if is_tagged(cell, "exercise") else without_hidden_tests
            cell.source, cell.outputs, cell.execution_count = blank(cell.source), [], None
    note = f"*Student copy of {origin}. Replace every `raise NotImplementedError`, then run the cell below it.*"
    student.cells.insert(1, nbformat.v4.new_markdown_cell(note, id="provenance", metadata={"tags": ["provenance"]}))
    return student


def main(root: Path = ROOT) -> int:
    """Write the copies of all lessons to work/student/ and say which; return the exit status."""
    out, commit = root / "work" / "student", checkout(root)
    out.mkdir(parents=True, exist_ok=True)
    written, kept = 0, []
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if (out / path.name).exists():
            kept.append(path.name)
            continue
        try:
            student = student_copy(nbformat.read(path, as_version=4), f"`notebooks/{path.name}`, commit {commit}")
        except InputError as error:
            print(f"student: {path.name}: {error}", file=sys.stderr)
            return 2
        nbformat.write(student, out / path.name)
        written += 1
    if kept:
        print(f"student: kept, for they may hold answers: {', '.join(kept)}; remove them for new copies")
    print(f"student: {written} lessons written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
