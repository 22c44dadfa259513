"""Mass latency against its definition, computed from scratch."""

import numpy as np
import pytest

from stackelberg_lib.pool.latency import MassLatency, first_largest


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 6)), rng.random(40), 0.7


def potential(h, p, lam, bought):
    G = lam * np.eye(h.shape[1]) + h[bought].T @ h[bought]
    return sum(p[j] * h[j] @ np.linalg.solve(G, h[j]) for j in range(len(h)))


def test_gain_is_the_fall_of_the_potential(pool):
    h, p, lam = pool
    state = MassLatency(h, p, lam, np.array([3, 5]))
    before = potential(h, p, lam, [3, 5])
    falls = [before - potential(h, p, lam, [3, 5, i]) for i in range(len(h))]
    np.testing.assert_allclose(state.gain, falls, rtol=1e-10)
    assert state.potential == pytest.approx(before, rel=1e-12)


def test_rank_one_updates_equal_a_fresh_start(pool):
    h, p, lam = pool
    state, bought = MassLatency(h, p, lam, np.array([], dtype=int)), [4, 4, 17, 0, 31]
    for i in bought:
        state.buy(i)
    fresh = MassLatency(h, p, lam, np.array(bought))
    np.testing.assert_allclose(state.gain, fresh.gain, rtol=1e-9)
    np.testing.assert_allclose(state.G_inv, fresh.G_inv, atol=1e-12)
    np.testing.assert_allclose(state.leverage, fresh.leverage, rtol=1e-9)


def test_greedy_decrease_beats_its_guarantee_against_the_best_pair():
    # Submodularity ratio gamma = lam / (lam + L^2): greedy gets at least 1 - exp(-gamma) of the best set's decrease.
    rng = np.random.default_rng(2)
    for _ in range(20):
        h, p, lam = rng.normal(size=(9, 3)), rng.random(9), 0.5
        state = MassLatency(h, p, lam, np.array([], dtype=int))
        start = state.potential
        for _ in range(2):
            state.buy(int(np.argmax(state.gain)))
        best = max(start - potential(h, p, lam, [i, j]) for i in range(9) for j in range(9) if i != j)
        ratio = lam / (lam + np.max(np.sum(h**2, 1)))
        assert (1 - np.exp(-ratio)) * best - 1e-12 <= start - state.potential <= best + 1e-9


def test_ties_go_to_the_lowest_allowed_row():
    allowed = np.array([False, True, True, True])
    assert first_largest(np.array([9.0, 1.0, 1.0 + 1e-13, 0.5]), allowed) == 1
    assert first_largest(np.array([9.0, 1.0, 1.1, 0.5]), allowed) == 2
    assert first_largest(np.array([9.0, -2.0, -1.0, -1.0]), allowed) == 2
    assert first_largest(np.zeros(4), allowed) == 1
