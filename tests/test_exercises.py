"""Exercises of all lessons: wrong answers fail the visible check, right ones pass everything, student copies run.

Lessons are executed here in profile smoke, without a kernel: the cells are plain Python, in one namespace.
"""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from stackelberg_lib.report.student import exercises, is_tagged, student_copy, without_hidden_tests

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
HEADING = re.compile(r"\*\*Exercise \d+(?: |\*\* )\((easy|medium|hard), \d+ minutes\)\.")


def read(path):
    return nbformat.read(path, as_version=4)


def has_exercises(path):
    return any(is_tagged(cell, "exercise") or is_tagged(cell, "check") for cell in read(path).cells)


WITH = [path for path in NOTEBOOKS if has_exercises(path)]


# --- what an exercise looks like

def bad_form(nb):
    """Complaints about exercises: announced with difficulty and minutes, solved between markers, checked next."""
    found, cells = [], nb.cells
    for i, cell in enumerate(cells):
        if is_tagged(cell, "check") and not is_tagged(cells[i - 1], "exercise"):
            found.append(f"cell {i}: a check without an exercise before it")
        if not is_tagged(cell, "exercise"):
            continue
        if not HEADING.search(cells[i - 1].source):
            found.append(f"cell {i}: the text before it says no difficulty and minutes")
        if len(exercises(cell.source)) != 1:
            found.append(f"cell {i}: {len(exercises(cell.source))} functions with a solution")
        if i + 1 == len(cells) or not is_tagged(cells[i + 1], "check"):
            found.append(f"cell {i}: no check follows")
        elif cells[i + 1].source == without_hidden_tests(cells[i + 1].source):
            found.append(f"cell {i + 1}: no hidden tests")
    return found


# --- running a lesson

def run(source, scope, name):
    exec(compile(source, name, "exec"), scope)


# --- wrong answers

CHANGES: dict[str, Callable] = {"constant": lambda x: x * 0, "off by one": lambda x: x + 1, "scaled": lambda x: x * 2,
                                "sign flipped": lambda x: -x}
CHANGES_OF_BOOLS: dict[str, Callable] = {"always False": np.zeros_like, "always True": np.ones_like,
                                         "negated": np.logical_not}


def _challenger_gradient(scores, gold, weight, *, wrong=None, q=None, share=1.0, up=-1.0):
    """The right gradient; each argument puts one mistake in."""
    others = np.delete(np.arange(len(scores)), gold)
    z = others[scores[others].argmax()] if wrong is None else wrong(scores, others)
    q = 1 / (1 + np.exp(scores[gold] - scores[z])) if q is None else q(scores, gold, z)
    gradient = np.zeros(len(scores))
    gradient[gold] += up * weight * q
    gradient[z] += weight * q * share
    return gradient


def mistaken(**mistake):
    return lambda *args, **kwargs: _challenger_gradient(*args, **kwargs, **mistake)


def _rises(K, p, bought, *, cut=0.0, weights=True):
    """The right rises of coverage; each argument puts one mistake in."""
    cover = K[list(bought)].max(axis=0, initial=0.0)
    return np.maximum(K - cover, cut) @ (p if weights else np.ones_like(p))


def _mass_gains(K, p, lam, bought, *, noise=True, divide=True, power=2, ridge=True, known=True):
    """The right gains of kernel mass; each argument puts one mistake in."""
    A, k = list(bought), K
    if known:
        k = K - K[:, A] @ np.linalg.solve(K[np.ix_(A, A)] + noise * lam * np.eye(len(A)), K[A])
    return p @ k**power / (np.diag(k) + ridge * lam if divide else 1)


def _labels_needed(labels, accuracy, target, *, take=0, scale=np.log, back=np.exp, never=np.inf, between=True):
    """The right number of labels; each argument puts one mistake in."""
    above = np.flatnonzero(np.asarray(accuracy) >= target)
    if not len(above):
        return never if never == np.inf else labels[-1]
    k = above[take]
    if k == 0 or not between:
        return labels[k]
    share = (target - accuracy[k - 1]) / (accuracy[k] - accuracy[k - 1])
    return back(scale(labels[k - 1]) + share * (scale(labels[k]) - scale(labels[k - 1])))


def _holm_by_hand(p, *, times=lambda n, k: n - k, grow=True, most=1.0, order=True):
    """The right correction; each argument puts one mistake in."""
    rising = np.argsort(p)
    raised = p[rising] * times(len(p), np.arange(len(p)))
    raised = np.minimum(np.maximum.accumulate(raised) if grow else raised, most)
    return raised[np.argsort(rising)] if order else raised


def _adapter_bytes(shapes, rank, layers, *, copies=4, width=lambda n_out, n_in: n_out + n_in, each=4):
    """The right bytes of an adapter in training; each argument puts one mistake in."""
    return each * copies * layers * sum(rank * width(n_out, n_in) for n_out, n_in in shapes)


def _step_seconds(P, A, tokens, flops_per_second, mfu, frozen, *, dear=6, cheap=4, adapter=6, power=1):
    """The right seconds of a step; each argument puts one mistake in."""
    return tokens * ((cheap if frozen else dear) * P + adapter * A) / (flops_per_second * mfu**power)


def _level_for(latencies, B, *, rising=True):
    """The right level; `rising` puts a mistake in."""
    return np.append(0.0, np.sort(latencies))[len(latencies) - B] if rising else np.sort(latencies)[B - 1]


def _kept(V, lam, B, left, T, *, spectrum=np.linalg.eigvalsh, cap=True):
    """The right reserve; each argument puts one mistake in."""
    information = spectrum(V) - lam
    wanted = B * (information <= 0.1 * information.mean() + 1e-9 * lam).mean() * left / T
    return min(wanted, left - 1) if cap else wanted


def _labels_to_shrink(phi, lam, share, *, spectrum=np.linalg.eigvalsh):
    """The right number of labels; `spectrum` puts a mistake in."""
    growth = spectrum(phi.T @ phi) / lam
    return next(n for n in range(10**6) if np.prod(1 + n * growth) ** -0.5 <= share)


def _first_promise(latency, level, *, first=True):
    """The right round; `first` puts a mistake in."""
    broken = np.cumsum(latency) > level * np.arange(1, len(latency) + 1)
    if broken.all():
        return 0
    return int(broken.argmin()) + 1 if first else int(broken.sum()) + 1


def _calibration_error(probabilities, labels, *, bins=10):
    """The right error; `bins` puts a mistake in."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    inside = np.minimum((top * bins).astype(int), bins - 1) == np.arange(bins)[:, None]
    return sum(abs(top[b].sum() - right[b].sum()) for b in inside) / len(labels)


def _log_process(x, F, eta, sigma, *, square=lambda reach: (reach**2).sum(axis=1)):
    """The right log of the process; `square` puts a mistake in."""
    return np.cumsum(((F @ x) * eta).sum(axis=1) / sigma - square(F @ x) / 2)


def _t1(T, alpha, d, K, L, lam):
    """The right bound of T1."""
    X = 2 * L**2 / lam
    return alpha * np.sqrt(2 * X / np.log1p(X) * d * np.log1p(T * K * L**2 / (d * lam)) * T)


def wrongly(right, **mistake):
    return lambda *args: right(*args, **mistake)


# What students get wrong, and no change of a right answer imitates: exercise -> mistake -> function.
MISTAKES: dict[str, dict[str, Callable]] = {"rises": {
    "falls count against it": wrongly(_rises, cut=-np.inf),
    "no weights": wrongly(_rises, weights=False),
    "what is bought is forgotten": lambda K, p, bought: K @ p,
    "the last label only": lambda K, p, bought: _rises(K, p, bought[-1:]),
}, "mass_gains": {
    "the kernel before the labels": wrongly(_mass_gains, known=False),
    "labels without noise": wrongly(_mass_gains, noise=False),
    "no division": wrongly(_mass_gains, divide=False),
    "no ridge below": wrongly(_mass_gains, ridge=False),
    "not squared": wrongly(_mass_gains, power=1),
    "no weights": lambda K, p, lam, bought: _mass_gains(K, np.ones_like(p), lam, bought),
}, "labels_needed": {
    "linear in labels": wrongly(_labels_needed, scale=lambda x: x, back=lambda x: x),
    "nothing between the points": wrongly(_labels_needed, between=False),
    "the last time above": wrongly(_labels_needed, take=-1),
    "the budget when it is not reached": wrongly(_labels_needed, never=0),
    "never, when it falls back": lambda n, a, target: _labels_needed(n, a, target) if a[-1] >= target else np.inf,
}, "level_for": {
    "sorted the wrong way": wrongly(_level_for, rising=False),
}, "chance_in_round": {
    "the first example's": lambda t, T, B: 0.3,
}, "kept": {
    "the diagonal": wrongly(_kept, spectrum=np.diag),
    "more than can be spent": wrongly(_kept, cap=False),
}, "labels_to_shrink": {
    "the diagonal": wrongly(_labels_to_shrink, spectrum=np.diag),
}, "first_promise": {
    "how many are broken": wrongly(_first_promise, first=False),
}, "calibration_error": {
    "five bins": wrongly(_calibration_error, bins=5),
    "one bin": wrongly(_calibration_error, bins=1),
}, "log_process": {
    "the square of the sum": wrongly(_log_process, square=lambda reach: reach.sum(axis=1) ** 2),
}, "t1_by_hand": {
    "as if L and lam were 1": lambda T, alpha, d, K, L, lam: _t1(T, alpha, d, K, 1.0, 1.0),
}, "holm_by_hand": {
    "Bonferroni": wrongly(_holm_by_hand, times=lambda n, k: n),
    "one less": wrongly(_holm_by_hand, times=lambda n, k: n - k - 1),
    "not monotone": wrongly(_holm_by_hand, grow=False),
    "above 1": wrongly(_holm_by_hand, most=np.inf),
    "sorted": wrongly(_holm_by_hand, order=False),
    "Benjamini and Hochberg's factor": wrongly(_holm_by_hand, times=lambda n, k: n / (k + 1)),
}, "adapter_bytes": {
    "weights only": wrongly(_adapter_bytes, copies=1),
    "one moment": wrongly(_adapter_bytes, copies=3),
    "the whole matrix": wrongly(_adapter_bytes, width=lambda n_out, n_in: n_out * n_in),
    "two bytes": wrongly(_adapter_bytes, each=2),
    "one block": lambda shapes, rank, layers: _adapter_bytes(shapes, rank, 1),
}, "step_seconds": {
    "frozen matrices cost as much": wrongly(_step_seconds, cheap=6),
    "nobody trains the matrices": wrongly(_step_seconds, dear=4),
    "forward only": wrongly(_step_seconds, cheap=2, dear=2, adapter=2),
    "no adapter": wrongly(_step_seconds, adapter=0),
    "all of the speed": wrongly(_step_seconds, power=0),
    "the share upside down": wrongly(_step_seconds, power=-1),
}, "challenger_gradient": {
    "the right answer is its own challenger": mistaken(wrong=lambda s, others: s.argmax()),
    "the easiest wrong answer": mistaken(wrong=lambda s, others: others[s[others].argmin()]),
    "the first wrong answer": mistaken(wrong=lambda s, others: others[0]),
    "the right answer's probability": mistaken(q=lambda s, gold, z: 1 / (1 + np.exp(s[z] - s[gold]))),
    "the loss in place of its slope": mistaken(q=lambda s, gold, z: np.log1p(np.exp(s[z] - s[gold]))),
    "cross-entropy's probability": mistaken(q=lambda s, gold, z: (np.exp(s) / np.exp(s).sum())[z]),
    "a hinge": mistaken(q=lambda s, gold, z: float(s[z] > s[gold])),
    "only the challenger is pushed": mistaken(up=0.0),
    "only the right answer is pushed": mistaken(share=0.0),
    "both are pushed up": mistaken(share=-1.0),
    "no weight": lambda scores, gold, weight: _challenger_gradient(scores, gold, 1.0),
}}


def wrong_answers(answer):
    """Names of the ways to get an answer like `answer` wrong, each with the function that does so.

    Numbers, bools and arrays of either; of a tuple or list, one element at a time.
    """
    if isinstance(answer, tuple | list):
        return {f"{name} at {i}": lambda x, i=i, change=change: type(x)([*x[:i], change(x[i]), *x[i + 1:]])
                for i, part in enumerate(answer) for name, change in wrong_answers(part).items()}
    return CHANGES_OF_BOOLS if np.asarray(answer).dtype == bool else CHANGES


def survivors(name, check, scope):
    """Wrong answers that the visible check accepts, for the solved function `name` in `scope`."""
    solution, answers = scope[name], []

    def watched(*args, **kwargs):
        answers.append(solution(*args, **kwargs))
        return answers[-1]

    attempt(check, scope, name, watched)
    if not answers:
        return [f"{name}: the visible check never calls it"]
    wrong = {way: lambda *a, change=change, **k: change(solution(*a, **k))
             for way, change in wrong_answers(answers[0]).items()} | MISTAKES.get(name, {})
    return [f"{name}: {way}" for way, function in wrong.items() if attempt(check, scope, name, function) is None]


def attempt(check, scope, name, function):
    """The error of the check with `function` in place of the student's, or None."""
    return stopped(check, snapshot(scope) | {name: function}, f"check of {name}")


def stopped(source, scope, name):
    """The error that running the source ends with, or None."""
    try:
        run(source, scope, name)
    except Exception as error:
        return error
    return None


def snapshot(scope):
    """The names of a lesson, for code that may draw from its generators: it goes on as if nothing had been drawn."""
    return {k: copy.deepcopy(v) if isinstance(v, np.random.Generator) else v for k, v in scope.items()}


def checked(nb):
    """Run a lesson once: wrong answers that a visible check accepts, and where its student copy stops but should not.

    A solved exercise and its check see copies of the lesson's names; the lesson then goes on with the student's cells.
    A right answer that fails is an error.
    """
    plt.switch_backend("Agg")
    scope, solved, weak, stops = {"__name__": "lesson", "display": lambda *_, **__: None}, {}, [], []
    students = student_copy(nb, "a lesson").cells
    del students[1]  # the note where the copy comes from
    for i, (cell, student) in enumerate(zip(nb.cells, students, strict=True)):
        if cell.cell_type != "code":
            continue
        if is_tagged(cell, "exercise"):
            own = snapshot(scope) | solved
            run(cell.source, own, f"solved cell {i}")
            names = list(exercises(cell.source))
            solved |= {name: own[name] for name in names}
        if is_tagged(cell, "check"):
            visible = without_hidden_tests(cell.source)
            for name in names:
                assert attempt(visible, own, name, own[name]) is None
                weak += survivors(name, visible, own)
            run(cell.source, own, f"check {i}, hidden tests too")
        error = stopped(student.source + '\nprofile = "smoke"' * is_tagged(cell, "parameters"), scope, f"cell {i}")
        if error and not isinstance(error, NotImplementedError):
            stops.append(f"cell {i}: {type(error).__name__}: {error}")
        if is_tagged(cell, "check") and not error:
            stops.append(f"cell {i}: the check passes though nothing is solved")
    plt.close("all")
    return weak, stops


def accepted(nb):
    """Wrong answers that a visible check of the lesson accepts."""
    return checked(nb)[0]


def unexpected(nb):
    """Errors of a student copy other than NotImplementedError, and its checks that pass."""
    return checked(nb)[1]


def test_there_are_exercises():
    assert WITH


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_form(path):
    assert bad_form(read(path)) == []


@pytest.mark.parametrize("path", WITH, ids=lambda p: p.stem)
def test_wrong_answers_fail_right_ones_pass_and_a_student_copy_stops_only_there(path):
    assert checked(read(path)) == ([], [])


# --- the checks themselves, on exercises that are bad on purpose

TEXT = "**Exercise 1 (easy, 5 minutes).** Double it."
SOLVED = 'def twice(x):\n    """Twice x."""\n    ### BEGIN SOLUTION\n    return x * 2\n    ### END SOLUTION'
CHECK = "assert twice(3) == 6\n### BEGIN HIDDEN TESTS\nassert twice(4) == 8\n### END HIDDEN TESTS"


def lesson(text=TEXT, solved=SOLVED, check=CHECK, after="y = 1"):
    v4 = nbformat.v4
    return v4.new_notebook(cells=[
        v4.new_markdown_cell("# 03 A lesson"),
        v4.new_code_cell('profile = "lab"', metadata={"tags": ["parameters"]}),
        v4.new_code_cell('import numpy as np\nassert profile == "smoke"\nrng = np.random.default_rng(0)'),
        v4.new_markdown_cell(text), v4.new_code_cell(solved, metadata={"tags": ["exercise"]}),
        v4.new_code_cell(check, metadata={"tags": ["check"]}), v4.new_code_cell(after)])


def test_a_good_exercise_passes():
    assert (bad_form(lesson()), checked(lesson())) == ([], ([], []))


def test_checks_do_not_move_the_lessons_generators():
    after = "assert rng.random() == np.random.default_rng(0).random(2)[1]"
    assert accepted(lesson(check="rng.random()\n" + CHECK, after=after)) == []


@pytest.mark.parametrize(("check", "ways"), [
    ("twice(3)", ["constant", "off by one", "scaled", "sign flipped"]),
    ("assert twice(0) == 0", ["constant", "scaled", "sign flipped"]),
    ("assert abs(twice(3)) == 6", ["sign flipped"]),
    ("assert twice(3) >= 6", ["off by one", "scaled"]),
    ("assert twice(3) % 2 == 0", ["constant", "scaled", "sign flipped"]),
    ("pass", ["the visible check never calls it"]),
])
def test_weak_checks_are_caught(check, ways):
    """Hidden tests do not help: a student must see what is wrong."""
    check += "\n### BEGIN HIDDEN TESTS\nassert twice(3) == 6\n### END HIDDEN TESTS"
    missed = [found.removeprefix("twice: ") for found in accepted(lesson(check=check))]
    assert missed == ways


@pytest.mark.parametrize("answer", [3, 2.5, True, np.bool_(False), np.arange(3), np.array([True, False]), (1, True)])
def test_every_wrong_answer_is_another_one(answer):
    for name, change in wrong_answers(answer).items():
        changed = np.array_equal(np.asarray(change(answer), float), np.asarray(answer, float))
        assert not changed or name in ("always True", "always False", "always True at 1")


def test_mistakes_belong_to_exercises_and_differ_from_the_right_answer():
    there = {name for path in WITH for cell in read(path).cells if is_tagged(cell, "exercise")
             for name in exercises(cell.source)}
    assert set(MISTAKES) <= there
    K = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]])
    p, few, far = np.array([1.0, 2.0, 4.0]), np.array([0.2, 0.6, 0.3, 0.9]), np.array([0.01, 0.9, 0.04, 0.6])
    cases = {
        "challenger_gradient": (_challenger_gradient, (np.array([0.5, 3.0, -1.0, 2.0]), 0, 0.7),
                                (np.array([3.0, 0.5, 2.0]), 0, 0.7)),
        "rises": (_rises, (K, p, [0, 1])), "mass_gains": (_mass_gains, (K, p, 0.2, [0])),
        "labels_needed": (_labels_needed, (np.array([2, 4, 8, 16]), few, 0.5), (np.array([2, 4, 8, 16]), few, 0.95),
                          (np.array([2, 4, 8]), few[:3], 0.5)),
        "level_for": (_level_for, (few, 1)), "chance_in_round": (lambda t, T, B: B / T, (4, 40, 1)),
        "kept": (_kept, (np.array([[5.0, 4.0], [4.0, 5.0]]), 1.0, 20, 50, 100), (np.eye(3), 1.0, 90, 4, 100)),
        "labels_to_shrink": (_labels_to_shrink, (np.array([[1.0, 0.0], [0.6, 0.8]]), 1.0, 0.27)),
        "first_promise": (_first_promise, (np.array([1.0, 3.0, 0.0]), 1.0)),
        "calibration_error": (_calibration_error, (np.array([[0.72, 0.28], [0.65, 0.35]]), np.array([1, 0]))),
        "log_process": (_log_process, (np.array([2.0, 1.0]), np.diag([1.0, 3.0])[None], np.array([[0.5, 1.0]]), 1.0)),
        "t1_by_hand": (_t1, (1, 3.0, 1, 2, 2.0, 1.0)),
        "holm_by_hand": (_holm_by_hand, (far,)), "adapter_bytes": (_adapter_bytes, ([(2, 3), (4, 4)], 8, 10)),
        "step_seconds": (_step_seconds, (5.0, 2.0, 10, 3.0, 0.5, True), (5.0, 0.0, 10, 3.0, 0.5, False))}
    assert set(cases) == set(MISTAKES)
    for exercise, (right, *given) in cases.items():
        for name, function in MISTAKES[exercise].items():
            assert not all(np.allclose(function(*case), right(*case)) for case in given), (exercise, name)


def test_mistakes_are_tried(monkeypatch):
    monkeypatch.setitem(MISTAKES, "twice", {"squared": lambda x: x ** 2, "six": lambda x: 6})
    assert accepted(lesson()) == ["twice: six"]
    assert accepted(lesson(check=CHECK.replace("(3) == 6", "(2) == 4"))) == ["twice: squared"]


def test_a_wrong_solution_is_caught():
    for check in (CHECK.replace("6", "7"), CHECK.replace("8", "9"), CHECK.replace("twice(3)", "once(3)")):
        with pytest.raises(AssertionError):
            accepted(lesson(check=check))


@pytest.mark.parametrize("bad", [
    {"text": "Double it."}, {"check": "assert twice(3) == 6"}, {"solved": "def twice(x):\n    return x * 2"},
    {"solved": SOLVED + "\n\n\n" + SOLVED.replace("twice", "again")},
])
def test_bad_form_is_caught(bad):
    assert len(bad_form(lesson(**bad))) == 1


def test_a_missing_check_and_a_stray_one_are_caught():
    nb = lesson()
    nb.cells[5].metadata.tags = []
    assert bad_form(nb) == ["cell 4: no check follows"]
    nb = lesson()
    nb.cells[4].metadata.tags = []
    assert bad_form(nb) == ["cell 5: a check without an exercise before it"]


@pytest.mark.parametrize(("bad", "words"), [
    ({"check": CHECK.replace("(4) == 8", "(4) == (z := 8)"), "after": "z"}, "NameError"),
    ({"check": "assert callable(twice)"}, "passes though nothing"),
    ({"check": "try:\n    twice(3)\nexcept Exception:\n    assert False"}, "AssertionError"),
    ({"after": "1 / 0"}, "ZeroDivisionError"),
])
def test_a_student_copy_that_stops_elsewhere_is_caught(bad, words):
    found, = unexpected(lesson(**bad))
    assert words in found
