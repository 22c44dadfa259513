"""Calibration error and settled answers, against counting by hand and against many draws."""

import numpy as np
import pytest
from scipy.stats import beta

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import confidence


def drawn(n, seed, honest=True):
    """Probabilities of which the first class is right as often as they say, or always half as often."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.5, 1, n)
    wrong = rng.random(n) >= (sure if honest else sure / 2)
    return np.stack([sure, 1 - sure], axis=1), wrong.astype(int)


def test_calibration_error_by_hand():
    p = np.array([[0.95, 0.05], [0.92, 0.08], [0.3, 0.7], [1.0, 0.0]])
    y = np.array([0, 1, 1, 0])
    sharp = abs(0.95 + 0.92 + 1.0 - 2)  # one bin from 0.9 to 1, its ends included
    assert confidence.ece(p, y) == pytest.approx((sharp + abs(0.7 - 1)) / 4)
    assert confidence.ece(p, y, bins=1) == pytest.approx(abs(0.95 + 0.92 + 0.7 + 1 - 3) / 4)


def test_calibration_error_of_honest_and_of_boastful_confidence():
    assert confidence.ece(*drawn(40_000, 0)) < 0.02
    assert confidence.ece(*drawn(40_000, 0, honest=False)) == pytest.approx(0.375, abs=0.02)


def test_the_lowest_threshold_is_that_of_trying_them_all():
    rng = np.random.default_rng(1)
    for _ in range(200):
        c = rng.integers(1, 8, 12) / 8
        right = rng.random(12) < 0.8
        fits = [t for t in np.unique(c) if np.mean(~right[c >= t]) <= 0.2]
        assert confidence.lowest_threshold(c, right, 0.2) == min(fits, default=np.inf)


def test_what_is_settled_is_counted_on_the_other_half():
    p, y = drawn(4001, 2)
    got = confidence.settle(p, y, 0.1, seed=3)
    order = np.random.default_rng([3, 15]).permutation(4001)
    kept = order[2000:][p[order[2000:]].max(1) >= got.threshold]
    assert (got.n, got.settled, got.wrong) == (2001, len(kept), int(y[kept].sum()))
    assert got.low == pytest.approx(beta.ppf(0.025, got.wrong, got.settled - got.wrong + 1))
    assert got.high == pytest.approx(beta.ppf(0.975, got.wrong + 1, got.settled - got.wrong))
    assert got.threshold == confidence.lowest_threshold(p[order[:2000]].max(1), y[order[:2000]] == 0, 0.1)
    assert got.low < 0.1 < got.high + 0.03


def test_nothing_is_settled_when_nothing_can_be():
    p, y = np.tile([0.6, 0.4], (20, 1)), np.ones(20, dtype=int)
    got = confidence.settle(p, y)
    assert got.threshold == np.inf and (got.settled, got.wrong, got.low, got.high) == (0, 0, 0.0, 1.0)


@pytest.mark.parametrize(("target", "n"), [(0, 9), (1, 9), (float("nan"), 9), (0.1, 1)])
def test_refusals(target, n):
    with pytest.raises(InputError, match="between 0 and 1 and at least 2 texts"):
        confidence.settle(np.full((n, 2), 0.5), np.zeros(n, dtype=int), target)
