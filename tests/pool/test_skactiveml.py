"""Our rules inside scikit-activeml: the same picks as `propose`, its conventions, its loop."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("skactiveml")
from skactiveml.classifier import SklearnClassifier  # noqa: E402
from skactiveml.pool import CoreSet, SubSamplingWrapper  # noqa: E402
from skactiveml.utils import check_random_state, is_labeled  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

from stackelberg_lib.errors import InputError  # noqa: E402
from stackelberg_lib.pool import propose  # noqa: E402
from stackelberg_lib.pool.skactiveml import PoolRule  # noqa: E402
from stackelberg_lib.pool.strategies import RULES  # noqa: E402

N, CLASSES = 90, 4


def pool(seed=0):
    """Features (N, 6) in four groups, their labels as float, and y with eight of them known and nan elsewhere."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(N) % CLASSES).astype(float)
    X = rng.normal(size=(CLASSES, 6))[truth.astype(int)] + 0.6 * rng.normal(size=(N, 6))
    y = np.full(N, np.nan)
    rows = np.concatenate([np.flatnonzero(truth == c)[:2] for c in range(CLASSES)])
    y[rows] = truth[rows]
    return X, truth, y


def same_rng(seed, y):
    """The generator that a rule draws from when random_state is `seed`."""
    return np.random.default_rng(check_random_state(seed, int(np.isnan(y).sum()) + 1).randint(2**31))


def as_codes(y):
    return np.where(np.isnan(y), -1, y).astype(int)


@pytest.mark.parametrize("rule", RULES)
def test_picks_are_those_of_propose(rule):
    X, _, y = pool()
    expected = propose(X, 7, as_codes(y), rng=same_rng(3, y), strategy=rule).tolist()
    query = PoolRule(rule, random_state=3).query
    assert query(X, y, batch_size=7).tolist() == expected
    assert query(X, y, candidates=np.flatnonzero(np.isnan(y)), batch_size=7).tolist() == expected
    assert query(X, y, batch_size=7).tolist() == expected  # one int, the same draw again


@pytest.mark.parametrize("rule", RULES)
def test_the_classifiers_probabilities_are_used(rule):
    X, _, y = pool()
    clf = SklearnClassifier(LogisticRegression(C=0.01), classes=range(CLASSES)).fit(X, y)
    expected = propose(X, 7, as_codes(y), rng=same_rng(3, y), strategy=rule, probabilities=clf.predict_proba(X))
    for arguments in (dict(clf=clf, fit_clf=False), dict(clf=clone(clf))):
        assert PoolRule(rule, random_state=3).query(X, y, batch_size=7, **arguments).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="must be equal"):
        PoolRule(rule, missing_label=-1).query(X, as_codes(y), clf)


@pytest.mark.parametrize(("missing", "name"), [(None, "abcd"), ("?", "abcd"), (-1, [10, 20, 30, 50])])
def test_labels_of_any_kind(missing, name):
    X, truth, y = pool()
    other = np.array([missing if np.isnan(label) else name[int(label)] for label in y],
                     dtype=object if missing is None else None)
    for rule in ("mass", "margin", "typiclust"):
        assert (PoolRule(rule, missing_label=missing, random_state=0).query(X, other, batch_size=5).tolist()
                == PoolRule(rule, random_state=0).query(X, y, batch_size=5).tolist())
    clf = SklearnClassifier(LogisticRegression(), classes=list(name), missing_label=missing)
    assert len(PoolRule("mass", missing_label=missing).query(X, other, clf, batch_size=5)) == 5


@pytest.mark.parametrize("rule", RULES)
def test_only_candidates_are_bought(rule):
    X, _, y = pool()
    candidates = np.flatnonzero(np.isnan(y))[5:40:3]
    picks = PoolRule(rule, random_state=1).query(X, y, candidates=candidates, batch_size=6)
    assert len(set(picks.tolist())) == 6 and set(picks) <= set(candidates)


def test_rows_that_are_no_candidates_still_count():
    """A candidate with many neighbours that are not for sale goes before one with none."""
    X = np.vstack([[1.0, 0.0], [0.0, 1.0], np.tile([0.0, 1.0], (20, 1))])
    y = np.full(len(X), np.nan)
    assert PoolRule("mass").query(X, y, candidates=[0, 1]).tolist() == [1]


@pytest.mark.parametrize("rule", RULES)
def test_candidates_from_outside_the_pool(rule):
    X, _, y = pool()
    known = ~np.isnan(y)
    outside = X[~known][10:40]
    labels = np.concatenate([np.full(30, -1), y[known].astype(int)])
    expected = propose(np.concatenate([outside, X[known]]), 4, labels, rng=same_rng(2, y), strategy=rule)
    got, utilities = PoolRule(rule, random_state=2).query(X, y, candidates=outside, batch_size=4,
                                                          return_utilities=True)
    assert got.tolist() == expected.tolist() and utilities.shape == (4, 30)


def test_utilities_name_the_pick_of_each_step():
    X, _, y = pool()
    picks, utilities = PoolRule().query(X, y, candidates=[20, 30, 40], batch_size=2, return_utilities=True)
    assert utilities.shape == (2, N) and np.nanargmax(utilities, axis=1).tolist() == picks.tolist()
    assert np.flatnonzero(~np.isnan(utilities[0])).tolist() == [20, 30, 40]
    assert np.flatnonzero(~np.isnan(utilities[1])).tolist() == sorted({20, 30, 40} - {picks[0]})


def test_what_is_refused():
    X, _, y = pool()
    with pytest.raises(InputError, match="strategy='best' does not exist; use one of "):
        PoolRule("best").query(X, y)
    with pytest.raises(ValueError, match="labeled"):
        PoolRule().query(X, y, candidates=[int(np.flatnonzero(~np.isnan(y))[0])])
    with pytest.raises(ValueError, match="NaN"):
        PoolRule().query(np.where(X > 0, np.nan, X), y)
    with pytest.raises(ValueError):
        PoolRule().query(X, y, batch_size=0)
    with pytest.warns(UserWarning, match="batch_size=3"):
        assert sorted(PoolRule().query(X, y, candidates=[20, 30, 40], batch_size=9)) == [20, 30, 40]


def test_without_any_label():
    X, _, y = pool()
    y[:] = np.nan
    for rule in RULES:
        assert len(set(PoolRule(rule, random_state=0).query(X, y, batch_size=5).tolist())) == 5


@pytest.mark.parametrize("rule", ["mass", "kernel_mass", "badge", "random"])
def test_the_usual_loop(rule):
    """Fit, query, label: every round buys new rows, twice the same, and the classifier learns."""
    X, truth, start = pool()
    histories = []
    for _ in range(2):
        y, clf = start.copy(), SklearnClassifier(LogisticRegression(), classes=range(CLASSES), random_state=0)
        strategy, bought = PoolRule(rule, random_state=5), []
        for _ in range(4):
            clf.fit(X, y)
            rows = strategy.query(X, y, clf, fit_clf=False, batch_size=5)
            assert np.isnan(y[rows]).all() and len(rows) == 5
            y[rows] = truth[rows]
            bought += rows.tolist()
        assert is_labeled(y).sum() == 8 + 20 and clf.fit(X, y).score(X, truth) > 0.8
        histories.append(bought)
    assert histories[0] == histories[1]


def test_the_default_is_that_of_propose():
    assert PoolRule().strategy == inspect.signature(propose).parameters["strategy"].default


def test_parameters_and_clone():
    rule = PoolRule("point", missing_label=-1, random_state=4)
    assert rule.get_params() == {"strategy": "point", "missing_label": -1, "random_state": 4}
    copy = clone(rule).set_params(strategy="mass")
    assert copy.get_params() == {"strategy": "mass", "missing_label": -1, "random_state": 4}
    assert rule.strategy == "point" and "strategy='point'" in repr(rule)


def test_inside_a_wrapper_of_theirs():
    X, _, y = pool()
    wrapped = SubSamplingWrapper(PoolRule(random_state=0), max_candidates=20, random_state=0)
    picks = wrapped.query(X, y, batch_size=4)
    assert len(set(picks)) == 4 and np.isnan(y[picks]).all()


def test_k_center_is_their_core_set():
    """Two libraries, one algorithm: with labels to start from, nothing is drawn."""
    X, _, y = pool()
    assert PoolRule("k_center").query(X, y, batch_size=20).tolist() == CoreSet().query(X, y, batch_size=20).tolist()


def test_nothing_else_imports_scikit_activeml():
    code = "import stackelberg_lib.pool.strategies, stackelberg_lib.pool, sys; print('skactiveml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
