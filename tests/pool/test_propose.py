"""`propose` and the oracle: the budget, the picks, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import propose
from stackelberg_lib.pool.oracle import LabelOracle

RNG = np.random.default_rng


def crowd(seed=0):
    """80 texts in four tight groups of 35, 25, 15, 5, and one outlier far from all: row 80."""
    rng = RNG(seed)
    centres = np.eye(6)[:4]
    h = np.repeat(centres, [35, 25, 15, 5], axis=0) + 0.05 * rng.normal(size=(80, 6))
    return np.vstack([h, 1.2 * np.eye(6)[5]])


def test_mass_covers_groups_in_order_of_size_and_leaves_the_outlier():
    picks = propose(crowd(), 4, rng=RNG(0), strategy="mass")
    groups = np.digitize(picks, [35, 60, 75, 80])
    assert groups[:3].tolist() == [0, 1, 2] and 80 not in picks[:3]


def test_mass_picks_equal_brute_force_on_the_definition():
    h = RNG(1).normal(size=(30, 4))
    y = np.full(30, -1)
    y[[2, 9, 11]] = [0, 1, 1]
    scaled = h / np.sqrt((h**2).sum(1).mean())
    from stackelberg_lib.pool.strategies import LAMBDA

    V = LAMBDA * np.eye(4) + scaled[[2, 9, 11]].T @ scaled[[2, 9, 11]]
    theta = np.linalg.inv(V) @ scaled[[2, 9, 11]].T @ np.array([[1, 0], [0, 1], [0, 1]])
    score = scaled @ theta
    p = 1 - np.clip(np.abs(score[:, 0] - score[:, 1]), 0, 1)
    bought, expected = [2, 9, 11], []
    for _ in range(5):
        def phi(rows):
            G = LAMBDA * np.eye(4) + scaled[rows].T @ scaled[rows]
            return np.sum(p * np.einsum("nm,mk,nk->n", scaled, np.linalg.inv(G), scaled))
        values = [phi([*bought, i]) if i not in bought else np.inf for i in range(30)]
        bought.append(int(np.argmin(values)))
        expected.append(bought[-1])
    assert propose(h, 5, y, rng=RNG(0), strategy="mass").tolist() == expected


def test_margin_takes_the_closest_calls():
    margins = np.array([0.9, 0.1, 0.5, 0.1, 0.3])
    assert propose(np.eye(5), 3, rng=RNG(0), strategy="margin", margins=margins).tolist() == [1, 3, 4]


def test_margin_from_labels_prefers_the_border():
    h = np.array([[1, 0.0], [0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0, 1.0]])
    labels = np.array([0, -1, -1, -1, 1])
    assert propose(h, 1, labels, rng=RNG(0), strategy="margin").tolist() == [2]


def test_random_is_the_generators_and_uniform():
    counts = np.zeros(6)
    rng, labels = RNG(0), np.array([-1, -1, 0, -1, -1, -1])
    for _ in range(2000):
        counts[propose(np.eye(6), 2, labels, rng=rng, strategy="random")] += 1
    assert counts[2] == 0
    assert np.abs(counts[[0, 1, 3, 4, 5]] / 2000 - 2 / 5).max() < 0.05


@settings(max_examples=60, deadline=None)
@given(n=hs.integers(2, 25), m=hs.integers(1, 6), seed=hs.integers(0, 10_000),
       strategy=hs.sampled_from(["mass", "margin", "random"]), data=hs.data())
def test_exactly_budget_distinct_unlabelled_rows(n, m, seed, strategy, data):
    rng = RNG(seed)
    h = rng.normal(size=(n, m)) * data.draw(hs.sampled_from([0.0, 1e-6, 1.0, 1e6]))
    h[rng.integers(n)] = h[0]
    labels = np.where(rng.random(n) < 0.5, -1, rng.integers(0, 3, n))
    labels[rng.integers(n)] = -1
    budget = data.draw(hs.integers(1, int((labels == -1).sum())))
    picks = propose(h, budget, labels, rng=RNG(seed), strategy=strategy)
    assert len(picks) == budget == len(set(picks.tolist())) and (labels[picks] == -1).all()
    assert picks.tolist() == propose(h, budget, labels, rng=RNG(seed), strategy=strategy).tolist()


def test_scaling_the_features_changes_nothing():
    h = RNG(3).normal(size=(50, 5))
    assert propose(h, 9, rng=RNG(0)).tolist() == propose(1e3 * h, 9, rng=RNG(0)).tolist()


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(features=[1.0, 2.0], budget=1), "features has shape"),
    (dict(features=np.zeros((0, 3)), budget=1), "features has shape"),
    (dict(features=[[1.0], [np.nan]], budget=1), "NaN or infinity in row 1"),
    (dict(features=np.eye(3), budget=0), "budget=0 must be a whole number from 1 to 3"),
    (dict(features=np.eye(3), budget=4), "budget=4 must be a whole number from 1 to 3"),
    (dict(features=np.eye(3), budget=-1), "budget=-1 must be"),
    (dict(features=np.eye(3), budget=1.5), "budget=1.5 must be"),
    (dict(features=np.eye(3), budget=float("nan")), "budget=nan must be"),
    (dict(features=np.eye(3), budget=3, labels=[-1, 0, -1]), "from 1 to 2"),
    (dict(features=np.eye(3), budget=1, labels=[0, 1]), "labels has shape"),
    (dict(features=np.eye(3), budget=1, labels=[0.5, -1, -1]), "whole numbers"),
    (dict(features=np.eye(3), budget=1, strategy="best"), "use one of mass, margin, random"),
    (dict(features=np.eye(3), budget=1, margins=[0, 0, 2]), "margins has shape"),
])
def test_bad_input(arguments, message):
    with pytest.raises(InputError) as error:
        propose(rng=RNG(0), **arguments)
    assert message in str(error.value)


def test_oracle_keeps_the_budget_and_charges_once():
    oracle = LabelOracle(np.array([5, 6, 7, 8]), 2)
    assert oracle.buy([1]).tolist() == [6] and oracle.spent == 1
    assert oracle.buy([1, 1, 3]).tolist() == [6, 6, 8] and oracle.spent == 2
    with pytest.raises(InputError, match="exceeds the budget of 2"):
        oracle.buy([0, 1])
    assert oracle.labels.tolist() == [-1, 6, -1, 8]
