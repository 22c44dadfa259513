"""The ledger of claims: claims.yaml held against the tests and against what the lessons measured.

    python -m stackelberg_lib.report.claims

A lesson measures a claim in a cell tagged `claim:ID`, which calls `claim` or `claim_share`: one printed line. The
committed output of that cell is the claim's last measurement. Prints the table; exit status 0 if all agrees, 1 if not,
2 if claims.yaml cannot be read.
"""

from __future__ import annotations

import ast
import json
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

from stackelberg_lib.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
STATUSES = ("consistent", "inconsistent", "not testable", "not attempted")
MEASURED = STATUSES[:2]
ORIGINS = ("abstract", "ours")
NEEDED = {"id", "statement", "origin", "status", "lesson", "tests"}
OPTIONAL = {"figure", "measured", "expected", "note"}
NUMBER = r"-?\d+(?:\.\d+)?"
NOT_DECIDED = "Not decided"  # how a note begins where the interval leaves both open
VERDICTS = ("supported", "not decided", "ruled out")
LINE = re.compile(rf"^claim ([\w-]+): (.+): ({NUMBER})(?: \[({NUMBER}), ({NUMBER})\])?$", re.MULTILINE)


class Measurement(NamedTuple):
    """One printed line: what was measured with its numbers, and the ends of the interval (equal without one)."""

    text: str
    low: float
    high: float

    @property
    def value(self) -> float:
        """The number itself, as printed."""
        return float(re.search(rf": ({NUMBER})(?: \[[^\]]*\])?$", self.text).group(1))


class Cell(NamedTuple):
    """A cell of a lesson: the claims in its tags, and per claim what its committed output says."""

    lesson: str
    place: str  # for people: lesson and position
    tagged: list[str]
    measured: dict[str, list[Measurement]]


def claim(id: str, what: str, value: float, low: float | None = None, high: float | None = None, *,
          digits: int = 2) -> None:
    """Print a measurement of the claim `id` as one line, `claim ID: WHAT: VALUE [LOW, HIGH]`.

    what: what the number is, with its unit. low, high: the ends of its 95 % interval, both or none; none says that the
    number is exact. digits: decimal places, so few that a repetition prints the same. Raises InputError.
    """
    numbers = [value] if low is None and high is None else [value, low, high]
    finite = all(x is not None and math.isfinite(x) for x in numbers)
    if not finite or (len(numbers) == 3 and not low <= value <= high):
        raise InputError(f"claim {id}: value={value}, low={low}, high={high}: give low <= value <= high, finite")
    value, *ends = (f"{round(float(x), digits) + 0.0:.{digits}f}" for x in numbers)
    line = f"claim {id}: {what}: {value}" + (f" [{', '.join(ends)}]" if ends else "")
    if not LINE.fullmatch(line):
        raise InputError(f"claim id={id!r}, what={what!r}: give an id of letters, digits, _ and -, and a line of text")
    print(line)


def claim_share(id: str, what: str, count: int, of: int, *, digits: int = 3) -> None:
    """`claim` for the share `count` / `of`, with its exact 95 % interval (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    exact = binomtest(int(count), int(of)).proportion_ci(0.95, method="exact")
    claim(id, f"{what}, of {of:,}", count / of, exact.low, exact.high, digits=digits)


def load(path: Path) -> list[dict]:
    """The claims in the file, in its order. Raises InputError for what is no list of claims with the needed keys."""
    try:
        claims = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(claims, list) or not all(isinstance(c, dict) for c in claims):
        raise InputError(f"{path.name} is no list of claims: begin each with `- id:`")
    for number, entry in enumerate(claims, start=1):
        name = f"{path.name}: claim {entry.get('id', f'number {number}')}"
        if missing := NEEDED - set(entry):
            raise InputError(f"{name} lacks {', '.join(sorted(missing))}")
        if unknown := set(entry) - NEEDED - OPTIONAL:
            raise InputError(f"{name} has the unknown key {sorted(unknown, key=str)[0]}; the keys are: "
                             f"{', '.join(sorted(NEEDED | OPTIONAL))}")
        if not isinstance(entry["tests"], list):
            raise InputError(f"{name}: tests is {entry['tests']!r}; give a list, as in [tests/test_x.py::test_y]")
        _range(name, entry.get("expected"))
    return claims


def _range(name: str, expected: object) -> None:
    ends = expected if isinstance(expected, list) else []
    numbers = [x for x in ends if type(x) in (int, float)]
    others = [x for x in ends if x is not None and x not in numbers]
    if expected is not None and (len(ends) != 2 or not numbers or others or numbers != sorted(numbers)):
        raise InputError(f"{name}: expected is {expected!r}; give [low, high], null for an end that is open")


def read_lessons(folder: Path) -> tuple[list[Cell], dict[str, str]]:
    """The cells that speak of claims, by tag or by output, and the code of every lesson, by its name."""
    cells, code = [], {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        read = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code[path.stem] = "\n".join("".join(c["source"]) for c in read if c["cell_type"] == "code")
        for number, cell in enumerate(read):
            tags = cell.get("metadata", {}).get("tags", [])
            tagged = [tag.removeprefix("claim:") for tag in tags if tag.startswith("claim:")]
            printed = "".join("".join(o["text"]) for o in cell.get("outputs", []) if o.get("name") == "stdout")
            measured = measurements(printed)
            if tagged or measured:
                cells.append(Cell(path.stem, f"{path.stem}, cell {number}", tagged, measured))
    return cells, code


def measurements(printed: str) -> dict[str, list[Measurement]]:
    """The claims that a text measures, by their ids."""
    found: dict[str, list[Measurement]] = {}
    for match in LINE.finditer(printed):
        name, _, value, low, high = match.groups()
        ends = float(low or value), float(high or value)
        found.setdefault(name, []).append(Measurement(match.group().removeprefix(f"claim {name}: "), *ends))
    return found


def complaints(claims: list[dict], cells: list[Cell], code: dict[str, str], root: Path) -> list[str]:
    """Everything in which ledger, tests and lessons disagree, one line each; empty if they agree."""
    found, known = [], [entry["id"] for entry in claims]
    found += [f"{name}: stands in claims.yaml {known.count(name)} times" for name in dict.fromkeys(known)
              if known.count(name) > 1]
    for cell in cells:
        found += [f"{cell.place}: tagged claim:{name}, which claims.yaml does not have"
                  for name in cell.tagged if name not in known]
        found += [f"{cell.place}: measures {name} without the tag claim:{name}"
                  for name in cell.measured if name not in cell.tagged]
    for entry in claims:
        own = [cell for cell in cells if entry["id"] in cell.tagged]
        wrong = [*_wrong_words(entry), *_wrong_places(entry, own, code, root), *_wrong_numbers(entry, own)]
        found += [f"{entry['id']}: {complaint}" for complaint in wrong]
    return found


def _wrong_words(entry: dict) -> list[str]:
    found = []
    if entry["status"] not in STATUSES:
        found.append(f"status {entry['status']!r} is none of: {', '.join(STATUSES)}")
    if entry["origin"] not in ORIGINS:
        found.append(f"origin {entry['origin']!r} is none of: {', '.join(ORIGINS)}")
    if entry["status"] == "not testable" and not entry.get("note"):
        found.append("not testable, and no note says why")
    return found


def _wrong_places(entry: dict, own: list[Cell], code: dict[str, str], root: Path) -> list[str]:
    """Cells, tests and the figure that the claim names and that are not there."""
    found, lesson, attempted = [], entry["lesson"], entry["status"] != "not attempted"
    if attempted and not own:
        found.append(f"no cell is tagged claim:{entry['id']}")
    found += [f"{cell.place} is tagged, but claims.yaml says lesson {lesson}" for cell in own if cell.lesson != lesson]
    found += [f"the test {test} does not exist" for test in entry["tests"] if not _test_exists(test, root)]
    if entry["status"] in MEASURED and not entry["tests"]:
        found.append("no test")
    figure = entry.get("figure")
    if attempted and figure and f"{figure}(" not in code.get(lesson, ""):
        found.append(f"the figure {figure} is not drawn in lesson {lesson}")
    return found


def _test_exists(node: str, root: Path) -> bool:
    """Whether a pytest node is there: FILE::FUNCTION, or a lesson, whose outputs nbval compares."""
    name, _, function = node.partition("::")
    file = root / name
    if not file.is_file():
        return False
    if file.suffix == ".ipynb":
        return not function
    return any(isinstance(n, ast.FunctionDef) and n.name == function and function.startswith("test_")
               for n in ast.parse(file.read_text(encoding="utf-8")).body)


def meets(expected: list, measured: Measurement) -> bool:
    """Whether the interval leaves the expected range possible: only a range that it misses altogether is ruled out."""
    least, most = expected
    return (most is None or measured.low <= most) and (least is None or measured.high >= least)


def verdict(expected: list, measured: Measurement) -> str:
    """One of VERDICTS: the interval lies in the expected range, sticks out of it, or misses it.

    An end of the interval that is printed on an end of the range was rounded and may lie on either side: it decides
    nothing, unless the number itself is printed there too, as a share of 0 is.
    """
    if not meets(expected, measured):
        return VERDICTS[2]
    (least, most), value = expected, measured.value
    above = least is None or measured.low > least or least == measured.low == value
    below = most is None or measured.high < most or most == measured.high == value
    return VERDICTS[0] if above and below else VERDICTS[1]


def in_words(expected: list | None) -> str:
    """The expected range for people; "" where there is none."""
    if expected is None:
        return ""
    least, most = (None if end is None else f"{end:.12f}".rstrip("0").rstrip(".") for end in expected)
    if least == most:
        return f"exactly {least}"
    return f"at most {most}" if least is None else f"at least {least}" if most is None else f"{least} to {most}"


def plain(statement: str) -> str:
    """A statement without its TeX, for a terminal: a radius reads alpha_adp, a rate sqrt(dT)."""
    text = re.sub(r"\^\{\\mathrm\{(\w+)\}\}", r"_\1", statement)
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text)
    return re.sub(r"\\[,;]|[\\${}]", "", text)


def _wrong_numbers(entry: dict, own: list[Cell]) -> list[str]:
    """The status against the last measurement, and the measurement written down against the one in the lesson."""
    lines = [line for cell in own for line in cell.measured.get(entry["id"], [])]
    written, status = entry.get("measured"), entry["status"]
    if status not in MEASURED:
        return [f"status {status}, but measured: {text}" for text in [written, *(m.text for m in lines)] if text]
    if len(lines) != 1 or entry.get("expected") is None:
        return [f"{len(lines)} measurements in the outputs of its cells; one is needed" if len(lines) != 1
                else "no expected range"]
    found, text = [], lines[0].text
    if written != text:
        found.append(f"claims.yaml has measured: {written}; the lesson has: {text}")
    possible = meets(entry["expected"], lines[0])
    if possible != (status == "consistent"):
        found.append(f"status {status}, but {text} {'meets' if possible else 'misses'} the expected "
                     f"{entry['expected']}")
    return found + _wrong_note(entry, lines[0])


def _wrong_note(entry: dict, line: Measurement) -> list[str]:
    """A note that says of the interval what it does not show."""
    note, found = entry.get("note") or "", []
    said, shown = note.startswith(NOT_DECIDED), verdict(entry["expected"], line)
    if said and shown != "not decided":
        found.append(f"the note says {NOT_DECIDED!r}, but {line.text} is {shown} by the expected {entry['expected']}")
    if shown == "not decided" and not note:
        found.append(f"{line.text} does not decide over the expected {entry['expected']}, and no note says so")
    zero = line.low <= 0 <= line.high
    for words, true in (("takes in zero", zero), ("leaves out zero", not zero)):
        if words in note and not true:
            found.append(f"the note says that the interval {words}, but the lesson has {line.text}")
    return found


def table(claims: list[dict]) -> str:
    """The ledger for people: one row a claim, and below it what was measured and in which range it should lie."""
    width = max(len(entry["id"]) for entry in claims)
    rows = [f"{'id':{width}}  {'origin':8}  {'status':13}  lesson  statement"]
    for entry in claims:
        rows.append(f"{entry['id']:{width}}  {entry['origin']:8}  {entry['status']:13}  {entry['lesson'][:2]:6}  "
                    f"{plain(entry['statement'])}")
        said = "; expected: ".join(filter(None, (entry.get("measured"), in_words(entry.get("expected")))))
        rows += [f"{'':{width + 35}}{said}"] if entry.get("measured") else []
    counts = ", ".join(f"{sum(e['status'] == status for e in claims)} {status}" for status in STATUSES)
    return "\n".join([*rows, "", f"{len(claims)} claims: {counts}"])


def main(root: Path = ROOT) -> int:
    """Print the table and the complaints; return the exit status."""
    try:
        claims = load(root / "claims.yaml")
    except InputError as error:
        print(f"claims: {error}", file=sys.stderr)
        return 2
    print(table(claims))
    found = complaints(claims, *read_lessons(root / "notebooks"), root)
    for complaint in found:
        print(f"claims: {complaint}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
