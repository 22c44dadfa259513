"""Kernel mass latency against dense linear algebra, and landmarks against the exact kernel."""

import numpy as np
import pytest

from stackelberg_lib.pool import kernel, propose
from stackelberg_lib.pool.kernel import RIDGE, KernelMass, gaussian, landmark_features, multiscale, squared_distances
from stackelberg_lib.pool.latency import MassLatency

RNG = np.random.default_rng
NONE = np.array([], dtype=int)


def many(a, b):
    """The kernel written out."""
    return [[np.mean([np.exp(-g * np.sum((x - y) ** 2)) for g in (0.25, 0.5, 1, 2, 4)]) for y in b] for x in a]


def one(a, b):
    """A kernel of a single scale."""
    return gaussian(a, b, 0.7)


def dense(h, p, lam, kernel, bought):
    """sum_j p_j k_t(j, j), from the whole kernel matrix and an inverse."""
    K = np.array(kernel(h, h))
    inside = np.linalg.inv(K[np.ix_(bought, bought)] + lam * np.eye(len(bought)))
    return p @ np.diag(K - K[:, bought] @ inside @ K[bought])


def groups(n, m=8, seed=0):
    """n rows around 12 centres of unequal weight."""
    rng = RNG(seed)
    centres = rng.normal(size=(12, m)) / np.sqrt(m)
    return centres[np.minimum(rng.geometric(0.2, n) - 1, 11)] + 0.15 * rng.normal(size=(n, m))


@pytest.fixture
def pool():
    rng = RNG(0)
    return rng.normal(size=(35, 3)), rng.random(35), 0.4, one


def test_gain_is_the_fall_of_the_dense_potential(pool):
    h, p, lam, k = pool
    bought = [3, 5]
    state = KernelMass(h, p, lam, k, np.array(bought))
    for bought in ([3, 5], [3, 5, 20], [3, 5, 20, 21]):
        if len(bought) > 2:
            state.buy(bought[-1])
        before = dense(h, p, lam, k, bought)
        assert state.potential == pytest.approx(before, rel=1e-11)
        falls = [before - dense(h, p, lam, k, [*bought, i]) for i in range(len(h)) if i not in bought]
        np.testing.assert_allclose(np.delete(state.gain, bought), falls, rtol=0, atol=1e-10)
        assert min(falls) > 1e-4  # the tolerance is far below what is compared


def test_columns_equal_a_fresh_start(pool):
    h, p, lam, k = pool
    bought = [4, 17, 0, 31]
    state = KernelMass(h, p, lam, k, NONE)
    for i in bought:
        state.buy(i)
    fresh = KernelMass(h, p, lam, k, np.array(bought))
    np.testing.assert_allclose(state.gain, fresh.gain, rtol=1e-9)
    np.testing.assert_allclose(state.variance, fresh.variance, rtol=1e-9)


def test_picks_equal_brute_force():
    h, y = RNG(1).normal(size=(30, 4)), np.full(30, -1)
    y[[2, 9]] = [0, 1]
    margins = RNG(2).random(30)
    scaled, bought = h / np.sqrt((h**2).sum(1).mean()), [2, 9]
    for _ in range(6):
        value = [dense(scaled, 1 - margins, RIDGE, many, [*bought, i]) if i not in bought else np.inf
                 for i in range(30)]
        bought.append(int(np.argmin(value)))
    assert propose(h, 6, y, rng=RNG(0), strategy="kernel_mass", margins=margins).tolist() == bought[2:]


def test_every_row_a_landmark_is_the_exact_kernel():
    h = groups(60)
    z = landmark_features(h, np.arange(60), one)
    np.testing.assert_allclose(z @ z.T, gaussian(h, h, 0.7), atol=1e-4)
    p, bought = RNG(0).random(60), np.array([7, 30])
    linear, exact = MassLatency(z, p, 0.3, bought), KernelMass(h, p, 0.3, one, bought)
    for i in (1, 44):
        linear.buy(i)
        exact.buy(i)
    np.testing.assert_allclose(0.3 * linear.gain, exact.gain, rtol=2e-3)


def test_own_variance_is_that_of_a_kernel_with_a_diagonal():
    z, r, lam, p = RNG(0).normal(size=(30, 3)), RNG(1).random(30), 0.4, RNG(2).random(30)
    bought = [3, 5, 20]
    p[bought] = 0  # exact where only rows without a label count
    K = z @ z.T + np.diag(r)

    def phi(rows):
        inside = np.linalg.inv(K[np.ix_(rows, rows)] + lam * np.eye(len(rows)))
        return p @ np.diag(K - K[:, rows] @ inside @ K[rows])

    state = MassLatency(z, p, lam, np.array(bought[:2]), r / lam)
    state.buy(20)
    others = np.setdiff1d(np.arange(30), bought)
    falls = [phi(bought) - phi([*bought, i]) for i in others]
    np.testing.assert_allclose(lam * state.gain[others], falls, rtol=0, atol=1e-10)
    assert np.abs(lam * MassLatency(z, p, lam, np.array(bought)).gain[others] - falls).max() > 0.01


def test_landmark_picks_are_nearly_as_good_as_exact_ones(monkeypatch):
    h, B = groups(900), 25
    scaled = h / np.sqrt((h**2).sum(1).mean())

    def fall(picks):
        state = KernelMass(scaled, np.ones(900), RIDGE, multiscale, NONE)
        start = state.potential
        for i in picks:
            state.buy(i)
        return start - state.potential

    exact = propose(h, B, rng=RNG(0), strategy="kernel_mass")
    monkeypatch.setattr(kernel, "EXACT", 100)
    monkeypatch.setattr(kernel, "LANDMARKS", 300)
    close = propose(h, B, rng=RNG(0), strategy="kernel_mass")
    chance = np.mean([fall(RNG(s).choice(900, B, replace=False)) for s in range(5)])
    assert fall(exact) - fall(close) < 0.1 * (fall(exact) - chance)  # the sharp scales slip between landmarks
    assert fall(close) <= fall(exact) * 1.005
    assert len(set(exact) & set(close)) >= 12  # of 25; 0.7 are expected by chance
    monkeypatch.setattr(kernel, "LANDMARKS", 900)
    assert propose(h, B, rng=RNG(0), strategy="kernel_mass")[:15].tolist() == exact[:15].tolist()


def test_squared_distances_are_the_plain_ones():
    a, b = RNG(0).normal(size=(7, 3)), RNG(1).normal(size=(5, 3))
    np.testing.assert_allclose(squared_distances(a, b), [[np.sum((x - y) ** 2) for y in b] for x in a], rtol=1e-12)
    far = 1e4 + RNG(0).normal(size=(50, 30))  # rounding alone makes some of these negative
    assert (squared_distances(far, far) >= 0).all() and (gaussian(far, far, 1.0) <= 1).all()


def test_the_kernel_of_many_scales_is_their_mean():
    a, b = RNG(0).normal(size=(7, 3)), RNG(1).normal(size=(5, 3))
    np.testing.assert_allclose(multiscale(a, b), many(a, b), rtol=1e-12)
