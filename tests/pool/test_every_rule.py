"""What holds for all rules: exact budgets, defined answers to odd pools, the same picks everywhere."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import propose, strategies
from stackelberg_lib.pool.strategies import DEFAULT, RULES

RNG = np.random.default_rng
DRAWS = {"random", "stratified", "k_center", "badge", "probcover", "kmeans_margin"}
PROGRAM = """
import json, numpy as np
from stackelberg_lib.pool.strategies import RULES, propose
rng = np.random.default_rng(0)
h, y = rng.normal(size=(16, 24))[rng.integers(16, size=2500)] + 0.5 * rng.normal(size=(2500, 24)), np.full(2500, -1)
h[1200:1300] = h[:100]
y[:60] = np.arange(60) % 5
print(json.dumps({rule: propose(h, 25, y, rng=np.random.default_rng(1), strategy=rule).tolist() for rule in RULES}))
"""


def test_the_registry():
    assert len(RULES) == 17 and DEFAULT in RULES and all(rule.__doc__ for rule in RULES.values())


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(n=hs.integers(2, 25), m=hs.integers(1, 5), seed=hs.integers(0, 10_000), model=hs.booleans(), data=hs.data())
def test_exactly_budget_distinct_unlabelled_rows(rule, n, m, seed, model, data):
    rng = RNG(seed)
    h = rng.normal(size=(n, m)) * data.draw(hs.sampled_from([0.0, 1e-6, 1.0, 1e6]))
    h[rng.integers(n)] = h[0]
    labels = np.where(rng.random(n) < 0.5, -1, rng.integers(0, 3, n))
    labels[rng.integers(n)] = -1
    budget = data.draw(hs.integers(1, int((labels == -1).sum())))
    p = np.eye(3)[rng.integers(3, size=n)] if model else None
    picks = propose(h, budget, labels, rng=RNG(seed), strategy=rule, probabilities=p)
    assert picks.dtype.kind == "i" and len(picks) == budget == len(set(picks.tolist()))
    assert (labels[picks] == -1).all()
    assert picks.tolist() == propose(h, budget, labels, rng=RNG(seed), strategy=rule, probabilities=p).tolist()


@pytest.mark.parametrize("rule", sorted(set(RULES) - DRAWS))
def test_of_equal_rows_the_lower_goes_first(rule):
    h, p = RNG(0).normal(size=(20, 3)), RNG(1).dirichlet(np.ones(4), 20)
    picks = propose(np.vstack([h, h]), 12, rng=RNG(0), strategy=rule, probabilities=np.vstack([p, p])).tolist()
    for place, i in enumerate(picks):
        assert i < 20 or i - 20 in picks[:place]


@pytest.mark.parametrize("rule", ["mass", "point", "bait", "kernel_mass", "facility_location"])
@pytest.mark.parametrize("single", [False, True])
def test_of_rows_equal_up_to_rounding_the_lower_goes_first(rule, single, monkeypatch):
    if single:
        monkeypatch.setattr(strategies, "SINGLE", 0)
    for seed in range(8):
        h = RNG(seed).normal(size=(60, 33))
        mirrored = np.vstack([h, h[:, ::-1]])  # the same pool to every rule here, added up in another order
        assert propose(mirrored, 1, rng=RNG(0), strategy=rule)[0] < 60


@pytest.mark.parametrize("rule", sorted(set(RULES) - DRAWS - {"typiclust"}))
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_features_go_by_row_number(rule, value):
    assert propose(np.full((12, 3), value), 5, rng=RNG(0), strategy=rule,
                   probabilities=np.full((12, 2), 0.5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rule", sorted(DRAWS - {"k_center", "badge"}))
def test_constant_features_leave_only_the_draw(rule):
    seen = {tuple(propose(np.ones((12, 3)), 4, rng=RNG(s), strategy=rule)) for s in range(12)}
    assert len(seen) > 8


@pytest.mark.parametrize("rule", ["k_center", "badge", "typiclust"])
def test_copies_of_bought_rows_come_last(rule):
    h = np.vstack([np.eye(6), np.eye(6)[[0, 1, 2] * 9]])
    labels = np.full(33, -1)
    labels[:3] = [0, 1, 2]
    p = np.full((33, 4), 0.2) + 0.2 * np.eye(4)[0]
    picks = propose(h, 3 + (rule == "badge") * 3, labels, rng=RNG(0), strategy=rule, probabilities=p)
    if rule == "typiclust":
        assert set(picks) <= set(range(6, 33))  # single rows are clusters of at most five: they wait
    else:
        assert {3, 4, 5} <= set(picks)


@pytest.mark.parametrize("rule", ["k_center", "facility_location", "coverage"])
def test_when_all_is_covered_the_rest_goes_by_row_number(rule):
    h, labels = np.tile(RNG(0).normal(size=(5, 90)), (300, 1))[RNG(1).permutation(1500)], np.full(1500, -1)
    labels[7] = 0
    picks = propose(h, 30, labels, rng=RNG(0), strategy=rule).tolist()
    assert len(np.unique(h[[7, *picks[:4]]], axis=0)) == 5
    assert picks[4:] == np.setdiff1d(np.arange(60), [7, *picks[:4]])[:26].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_a_class_nobody_has_seen_is_no_obstacle(rule):
    h, labels = RNG(0).normal(size=(30, 4)), np.full(30, -1)
    labels[:6] = [0, 0, 2, 2, 5, 5]
    p = np.zeros((30, 6))
    p[:, [0, 2, 5]] = RNG(1).dirichlet(np.ones(3), 30)
    for probabilities in (None, p):
        assert len(propose(h, 24, labels, rng=RNG(0), strategy=rule, probabilities=probabilities)) == 24


@pytest.mark.parametrize("rule", RULES)
def test_what_is_refused_by_every_rule(rule):
    h = np.eye(4)
    for arguments, message in [
            (dict(features=h, budget=5), "from 1 to 4"),
            (dict(features=np.where(h > 0, np.nan, h), budget=1), "NaN or infinity in row 0"),
            (dict(features=h, budget=1, margins=[0, 0, 0, np.nan]), "margins has shape"),
            (dict(features=h, budget=1, probabilities=np.full((4, 2), np.nan)), "probabilities has shape"),
            (dict(features=h, budget=1, probabilities=np.full((3, 2), 0.5)), "give 4 rows"),
            (dict(features=h, budget=1, probabilities=np.ones((4, 1))), "two or more classes"),
            (dict(features=h, budget=1, probabilities=np.full((4, 2), 0.4)), "summing to 1"),
            (dict(features=h, budget=1, probabilities=[[1.5, -0.5]] * 4), "summing to 1")]:
        with pytest.raises(InputError, match=message) as error:
            propose(rng=RNG(0), strategy=rule, **arguments)
        assert "\n" not in str(error.value)


def test_picks_do_not_depend_on_the_number_of_threads():
    one, two = (json.loads(subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
                                          env=os.environ | {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n}).stdout)
                for n in "12")
    assert one == two and len(one) == len(RULES)
