"""The ledger: the repository's own agrees with its lessons, and every way of disagreeing is caught on a broken copy."""

import json
import re

import pytest
import yaml

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import claims

NUMBERS = "share of runs outside, of 50: 0.020 [0.001, 0.106]"
GOOD = [
    {"id": "L1", "statement": "It covers", "origin": "ours", "status": "consistent", "lesson": "01_a",
     "tests": ["tests/test_a.py::test_covers", "notebooks/01_a.ipynb"], "figure": "plots.draw", "expected": [0, 0.05],
     "measured": NUMBERS, "note": "Not decided."},
    {"id": "no-root-d", "statement": "It needs no sqrt(d)", "origin": "ours", "status": "inconsistent",
     "lesson": "01_a", "tests": ["notebooks/01_a.ipynb"], "expected": [None, 0], "measured": "regret: 3.1"},
    {"id": "A1", "statement": "It is a game", "origin": "abstract", "status": "not testable", "lesson": "01_a",
     "tests": [], "note": "a way to look at it"},
    {"id": "A4", "statement": "sqrt(dB)", "origin": "abstract", "status": "not attempted", "lesson": "02_b",
     "tests": [], "figure": "plots.to_come", "expected": [0, 1]},
]


def cell(tags, printed="", source="plots.draw(1)", kind="code"):
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}] * bool(printed)
    made = {"cell_type": kind, "metadata": {"tags": tags}, "source": source}
    return made | {"outputs": outputs} if kind == "code" else made


@pytest.fixture
def repository(tmp_path):
    """A function that writes a small repository, whose ledger agrees with it unless changed, and returns its root."""

    def write(change=lambda ledger, cells: None):
        ledger = json.loads(json.dumps(GOOD))
        cells = [cell(["claim:A1"], kind="markdown"), cell(["claim:L1"], f"hello\nclaim L1: {NUMBERS}\n"),
                 cell(["claim:no-root-d", "other"], "claim no-root-d: regret: 3.1\n"), cell([], "claim nothing\n")]
        change(ledger, cells)
        for folder in ("notebooks", "tests"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(ledger))
        (tmp_path / "notebooks/01_a.ipynb").write_text(json.dumps({"cells": cells}))
        (tmp_path / "tests/test_a.py").write_text("def test_covers():\n    pass\n\n\ndef helper():\n    pass\n")
        return tmp_path

    return write


def test_the_ledger_of_this_repository_agrees(capsys):
    assert claims.main() == 0, capsys.readouterr().err


def test_a_good_ledger_passes(repository, capsys):
    assert claims.main(repository()) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and NUMBERS in printed.out
    assert printed.out.endswith("4 claims: 1 consistent, 1 inconsistent, 1 not testable, 1 not attempted\n")


@pytest.mark.parametrize("expected", [[0.106, None], [None, 0.001], [0.05, 0.06], [0, 1], [0.1, 0.2], [-1, 0.01]])
def test_an_interval_that_meets_the_range_is_consistent(expected, repository, capsys):
    note = claims.NOT_DECIDED if expected != [0, 1] else ""
    assert claims.main(repository(set_to(0, expected=expected, note=note))) == 0


@pytest.mark.parametrize("expected", [[0.107, None], [None, 0.0009], [0.11, 0.2], [-1, 0]])
def test_an_interval_that_misses_the_range_is_not(expected, repository, capsys):
    assert claims.main(repository(set_to(0, expected=expected))) == 1
    assert "misses the expected" in capsys.readouterr().err


@pytest.mark.parametrize(("expected", "line", "word"), [
    ([0, 1], "it: 0.5 [0.1, 0.9]", "supported"), ([0, None], "it: 0.5 [0.1, 0.9]", "supported"),
    ([0.2, 1], "it: 0.5 [0.1, 0.9]", "not decided"), ([None, 0.8], "it: 0.5 [0.1, 0.9]", "not decided"),
    ([1, None], "it: 0.5 [0.1, 0.9]", "ruled out"), ([None, 0], "it: 0.5 [0.1, 0.9]", "ruled out"),
    # an end that was rounded to the end of the range, on either side of it
    ([0, None], "it: 0.11 [0.00, 0.22]", "not decided"), ([None, 0], "it: -0.11 [-0.22, 0.00]", "not decided"),
    # a share of nothing or of all, and an exact number
    ([0, 0.05], "it: 0.00 [0.00, 0.01]", "supported"), ([0.8, 1], "it: 1.00 [0.90, 1.00]", "supported"),
    ([0, 1], "a: b: 1.00", "supported"), ([0, 0], "it: 0", "supported"), ([None, 49], "most, B = 50: 50", "ruled out"),
])
def test_the_verdict_is_the_place_of_the_interval(expected, line, word):
    measured = claims.measurements(f"claim x: {line}")["x"][0]
    assert claims.verdict(expected, measured) == word
    assert claims.meets(expected, measured) == (word != "ruled out")


@pytest.mark.parametrize(("expected", "words"), [
    (None, ""), ([None, 0.5], "at most 0.5"), ([1, None], "at least 1"), ([0, 0.05], "0 to 0.05"),
    ([0, 0], "exactly 0"), ([None, -1], "at most -1"), ([0, 1e-9], "0 to 0.000000001"), ([100, None], "at least 100")])
def test_a_range_in_words(expected, words):
    assert claims.in_words(expected) == words


def test_statements_can_be_read_without_tex():
    assert claims.plain(r"$\alpha^{\mathrm{adp}}$ holds, at most $(1/\beta + 1/4) \sqrt{2 C_X d \Lambda_B B}$") == \
        "alpha_adp holds, at most (1/beta + 1/4) sqrt(2 C_X d Lambda_B B)"
    for entry in claims.load(claims.ROOT / "claims.yaml"):
        assert not set("$\\{}") & set(claims.plain(entry["statement"])), entry["id"]
        assert entry["statement"].count("$") % 2 == 0 and "|" not in entry["statement"]


def set_to(index, **values):
    return lambda ledger, cells: ledger[index].update(values)


def printing(index, text):
    return lambda ledger, cells: cells.__setitem__(index, cells[index] | {"outputs": cell([], text)["outputs"]})


def both(*changes):
    return lambda ledger, cells: [change(ledger, cells) for change in changes]


OTHER = "share of runs outside, of 50: 0.200 [0.100, 0.337]"
INSIDE = "share of runs outside, of 50: 0.020 [0.001, 0.040]"
ROUNDED = "gain: 0.007 [0.000, 0.013]"
BROKEN = {
    "orphan claim": (lambda ledger, cells: ledger.append(GOOD[0] | {"id": "L9"}), "L9: no cell is tagged claim:L9"),
    "untagged cell": (lambda ledger, cells: cells[2]["metadata"].clear(), "measures no-root-d without the tag"),
    "orphan cell": (lambda ledger, cells: ledger.pop(2), "cell 0: tagged claim:A1, which claims.yaml does not have"),
    "orphan measurement": (printing(3, "claim L7: it: 3\n"), "cell 3: measures L7 without the tag claim:L7"),
    "twice": (lambda ledger, cells: ledger.append(ledger[3]), "A4: stands in claims.yaml 2 times"),
    "missing file": (set_to(0, tests=["tests/test_b.py::test_covers"]), "the test tests/test_b.py::test_covers does"),
    "missing test": (set_to(0, tests=["tests/test_a.py::test_gone"]), "the test tests/test_a.py::test_gone does not"),
    "a helper is no test": (set_to(0, tests=["tests/test_a.py::helper"]), "the test tests/test_a.py::helper does not"),
    "a file is no test": (set_to(0, tests=["tests/test_a.py"]), "the test tests/test_a.py does not exist"),
    "missing notebook": (set_to(1, tests=["notebooks/09_x.ipynb"]), "the test notebooks/09_x.ipynb does not exist"),
    "no test": (set_to(0, tests=[]), "L1: no test"),
    "bad status": (set_to(0, status="reproduced"), "status 'reproduced' is none of: consistent, inconsistent"),
    "bad origin": (set_to(0, origin="paper"), "origin 'paper' is none of: abstract, ours"),
    "no reason": (set_to(2, note=""), "A1: not testable, and no note says why"),
    "wrong lesson": (set_to(0, lesson="02_b"), "01_a, cell 1 is tagged, but claims.yaml says lesson 02_b"),
    "missing figure": (set_to(0, figure="plots.draw_all"), "the figure plots.draw_all is not drawn in lesson 01_a"),
    "missing output": (printing(1, ""), "L1: 0 measurements in the outputs of its cells"),
    "output of another kind": (printing(1, "share 0.02\n"), "L1: 0 measurements in the outputs of its cells"),
    "two outputs": (printing(1, f"claim L1: {NUMBERS}\nclaim L1: {NUMBERS}\n"), "L1: 2 measurements"),
    "no range": (set_to(0, expected=None), "L1: no expected range"),
    "stale": (both(printing(1, f"claim L1: {NUMBERS.replace('0.020', '0.021')}\n")), "L1: claims.yaml has measured"),
    "contradiction": (both(printing(1, f"claim L1: {OTHER}\n"), set_to(0, measured=OTHER)),
                      "L1: status consistent, but share of runs outside, of 50: 0.200 [0.100, 0.337] misses"),
    "too hard on it": (set_to(0, status="inconsistent"), "L1: status inconsistent, but share of runs outside"),
    "an exact number": (both(printing(2, "claim no-root-d: regret: -0.1\n"), set_to(1, measured="regret: -0.1")),
                        "no-root-d: status inconsistent, but regret: -0.1 meets the expected [None, 0]"),
    "said to be open though decided": (both(printing(1, f"claim L1: {INSIDE}\n"), set_to(
        0, measured=INSIDE, note="Not decided. Few seeds.")), f"'Not decided', but {INSIDE} is supported by"),
    "said to be open though ruled out": (set_to(1, note="Not decided."), "'Not decided', but regret: 3.1 is ruled"),
    "open and no word of it": (set_to(0, note=""), "does not decide over the expected [0, 0.05], and no note says so"),
    "zero that is not taken in": (set_to(0, note="The interval takes in zero."), "the interval takes in zero, but"),
    "zero that is not left out": (both(printing(1, f"claim L1: {ROUNDED}\n"), set_to(
        0, measured=ROUNDED, note="The interval leaves out zero.")), "the interval leaves out zero, but the"),
    "measured though not attempted": (set_to(0, status="not attempted"), "L1: status not attempted, but measured:"),
    "measured though not testable": (set_to(2, measured="it: 1"), "A1: status not testable, but measured: it: 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_copies_are_caught(name, repository, capsys):
    change, words = BROKEN[name]
    assert claims.main(repository(change)) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("text", "words"), [
    ("- id: [", "cannot be read"), ("id: L1", "is no list of claims"), ("- id: L1", "claim L1 lacks lesson, origin"),
    (yaml.safe_dump([GOOD[0] | {"statsu": 1}]), "unknown key statsu"),
    (yaml.safe_dump([GOOD[0] | {"tests": "tests/test_a.py::test_covers"}]), "give a list"),
    *((yaml.safe_dump([GOOD[0] | {"expected": bad}]), "give [low, high]")
      for bad in ([1, 0], [None, None], [0], "0 to 1", [0, "1"], [True, 2])),
])
def test_a_ledger_that_cannot_be_read_is_one_line(text, words, repository, capsys):
    root = repository()
    (root / "claims.yaml").write_text(text)
    assert claims.main(root) == 2
    error = capsys.readouterr().err
    assert error.startswith("claims: claims.yaml") and words in error and error.count("\n") == 1


def test_printed_lines_are_read_back(capsys):
    claims.claim("T1-slope", "exponent of T: worst case", 0.4949, 0.461, 0.5249)
    claims.claim("T2-i", "labels bought", 8, digits=0)
    claims.claim("x_1", "difference", -1e-9)
    claims.claim_share("L1", "share of runs outside", 0, 1_000)
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "claim T1-slope: exponent of T: worst case: 0.49 [0.46, 0.52]", "claim T2-i: labels bought: 8",
        "claim x_1: difference: 0.00", "claim L1: share of runs outside, of 1,000: 0.000 [0.000, 0.004]"]
    found = [claims.LINE.fullmatch(line).groups() for line in printed.splitlines()]
    assert found[0] == ("T1-slope", "exponent of T: worst case", "0.49", "0.46", "0.52")
    assert found[1] == ("T2-i", "labels bought", "8", None, None)


def test_share_has_the_exact_interval(capsys):
    claims.claim_share("L1", "share", 0, 20, digits=6)
    assert float(re.search(r", ([\d.]+)\]", capsys.readouterr().out).group(1)) == round(1 - 0.025 ** (1 / 20), 6)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (1, 0), (1, None, 2), (float("nan"),), (1, 0, float("inf")), (3, 0, 2)])
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(InputError, match="claim L1: value="):
        claims.claim("L1", "it", *numbers)


@pytest.mark.parametrize(("name", "what"), [("L 1", "it"), ("", "it"), ("L1", ""), ("L1", "two\nlines")])
def test_words_that_cannot_be_read_back_are_refused(name, what):
    with pytest.raises(InputError, match="give an id of letters"):
        claims.claim(name, what, 1)
