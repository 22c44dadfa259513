"""The level without a label: the walk, the bisection, the memory, the reserve, and that no label is looked at."""

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    BestResponse,
    Calibrated,
    DisjointArms,
    Drifting,
    FeaturesSeen,
    MarginGate,
    Stationary,
    WidthLLF,
    play,
    pool_level,
    rounds,
)
from stackelberg_lib.game.calibrated import calibrated_level, labels_bought

GAME = dict(T=200, B=20, seeds=6, seed=1, sigma=0.3, lam=1.0, alpha=1.5)


class Listed:
    """A stream that serves a pool (N, K, d) in its order."""

    M = 1

    def __init__(self, phi):
        self.phi, (self.K, self.d) = phi, phi.shape[1:]

    def theta(self, rng, n):
        return rng.standard_normal((n, self.d))

    def menu(self, rng, t, T, n):
        return np.broadcast_to(self.phi[t], (n, 1, self.K, self.d)).copy()


def pool(N=60, K=3, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, K, d)) * rng.random((N, 1, 1))


def walk(phi, level, lam):
    """Direct: a new inverse each time, every pair written out."""
    V, bought = lam * np.eye(phi.shape[2]), 0
    for context in phi:
        inverse = np.linalg.inv(V)
        pairs = [a - b for a in context for b in context]
        if max(v @ inverse @ v for v in pairs) > level**2:
            V = V + context.T @ context
            bought += 1
    return bought


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 1.5])
def test_the_walk_buys_what_a_direct_one_buys(level):
    pools = np.stack([pool(seed=s) for s in range(4)])
    order = np.stack([np.random.default_rng(s).permutation(60) for s in range(4)])
    start = np.broadcast_to(np.eye(4) / 0.5, (4, 4, 4))
    got = labels_bought(pools, order, start, np.full(4, level), np.full(4, 1000))
    expected = [walk(p[o], level, 0.5) for p, o in zip(pools, order, strict=True)]
    np.testing.assert_array_equal(got, expected)
    assert len(set(expected)) > 1 or level == 0.1
    np.testing.assert_array_equal(labels_bought(pools, order, start, np.full(4, level), np.full(4, 3)),
                                  np.minimum(expected, 3))


@pytest.mark.parametrize("B", [1, 5, 20])
def test_the_level_is_the_lowest_within_its_bracket(B):
    phi = pool(seed=B)
    level = pool_level(phi, B, lam=0.5)
    assert walk(phi, level, 0.5) <= B < walk(phi, level / 1.04, 0.5)


def test_a_play_through_the_pool_spends_what_the_level_says():
    phi = pool(N=80, seed=3)
    level = pool_level(phi, 12, lam=1.0)
    got = play(Listed(phi), BestResponse(), WidthLLF(level, 1.0), **{**GAME, "T": 80, "B": 80})
    np.testing.assert_array_equal(got.labels, walk(phi, level, 1.0))
    assert 9 <= got.labels[0] <= 12


def test_no_label_is_looked_at():
    plays = [play(Drifting(8, 3), BestResponse(), Calibrated(1.0), **{**GAME, "sigma": sigma}) for sigma in (0.0, 5.0)]
    np.testing.assert_array_equal(plays[0].queried, plays[1].queried)
    assert np.abs(plays[0].regret - plays[1].regret).max() > 0.1


def test_it_spends_all_and_all_early_where_the_law_is_fixed():
    got = play(Stationary(8, 3), BestResponse(), Calibrated(1.0), **GAME)
    np.testing.assert_array_equal(got.labels, 20)
    assert got.queried[:, :100].sum(axis=1).min() >= 18


def test_the_reserve_opens_for_new_directions_and_only_with_a_share():
    kept = play(Drifting(8, 3), BestResponse(), Calibrated(1.0), **GAME)
    free = play(Drifting(8, 3), BestResponse(), Calibrated(1.0, share=0.0), **GAME)
    quarters = kept.queried.reshape(6, 4, 50).sum(axis=2)
    assert quarters.min() >= 1 and quarters[:, 0].max() <= 11
    assert free.queried[:, 50:].sum(axis=1).mean() < 2 < quarters[:, 1:].sum(axis=1).min()
    assert kept.cumulative[:, -1].mean() < free.cumulative[:, -1].mean() / 2


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_reserve_equals_its_formula(share):
    gate, d, T, B = Calibrated(1.0, share=share), 8, 200, 20
    seen, moved = [], 0
    for now in rounds(Drifting(d, 3), BestResponse(), gate, **GAME):
        information = np.linalg.eigvalsh(now.commitment.V) - 1.0
        untouched = (information <= 0.1 * information.mean(axis=1, keepdims=True) + 1e-9).sum(axis=1)
        left = T - now.t
        np.testing.assert_allclose(gate.reserve, np.minimum(share * B * untouched / d * left / T, left - 1))
        moved += len(seen) > 0 and (seen[-1] != untouched).any()
        seen.append(untouched)
    assert seen[0].tolist() == [d] * 6 and moved >= 4


def test_memory_is_a_uniform_sample_of_the_past():
    gate, rng, T, size, n = Calibrated(1.0, sample=10), np.random.default_rng(0), 40, 10, 1
    counts = np.zeros(T)
    for _ in range(400):
        gate.seen = 0
        gate.memory = np.zeros((n, size, 1, 1))
        for t in range(T):
            gate._remember(np.full((n, 1, 1), float(t)), rng)
        counts[gate.memory[0, :, 0, 0].astype(int)] += 1
    share = counts / 400
    np.testing.assert_allclose(share, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 400))
    assert share[:10].mean() == pytest.approx(share[30:].mean(), abs=0.08)


def test_all_or_nothing():
    everything = play(Drifting(8, 3), BestResponse(), Calibrated(1.0), **{**GAME, "B": 200})
    np.testing.assert_array_equal(everything.labels, 200)
    nothing = play(Drifting(8, 3), BestResponse(), Calibrated(1.0), **{**GAME, "B": 0})
    np.testing.assert_array_equal(nothing.labels, 0)
    shortest = play(Stationary(1, 2), BestResponse(), Calibrated(1.0), **{**GAME, "T": 1, "B": 1})
    np.testing.assert_array_equal(shortest.labels, 1)


def test_the_level_is_at_most_what_is_free():
    """Called with a budget of b, no more than b labels would be bought in the replay itself."""
    rng = np.random.default_rng(2)
    memory = rng.standard_normal((5, 30, 3, 4))
    order, start = rng.integers(30, size=(5, 100)), np.broadcast_to(np.eye(4), (5, 4, 4))
    budget = np.array([1, 3, 10, 30, 60])
    level = calibrated_level(memory, order, start, budget)
    assert (labels_bought(memory, order, start, level, np.full(5, 1000)) <= budget).all()
    assert (np.diff(level) < 0).all()


def test_with_nothing_free_an_old_level_is_forgotten():
    gate = Calibrated(1.0)
    features = FeaturesSeen(np.ones((2, 3, 4)), *[np.broadcast_to(np.eye(4), (2, 4, 4))] * 2, np.zeros(2))
    gate.decide(None, features, np.array([9, 9]), 20, np.random.default_rng(0))
    gate.level[:] = 0.5
    gate._calibrate(np.array([0, 1]), features.V_inv, np.array([0.0, 3.0]), 20, np.random.default_rng(0))
    assert gate.level[0] == np.inf and np.isfinite(gate.level[1])


@pytest.mark.parametrize(("call", "named"), [
    (lambda: Calibrated(0.0), "lam="), (lambda: Calibrated(1.0, share=1.5), "share="),
    (lambda: Calibrated(1.0, share=-0.1), "share="), (lambda: Calibrated(1.0, sample=0), "sample="),
    (lambda: Calibrated(float("nan")), "lam="), (lambda: pool_level(np.zeros((3, 2)), 1, lam=1.0), "phi has shape"),
    (lambda: pool_level(np.full((3, 2, 2), np.nan), 1, lam=1.0), "phi has shape"),
    (lambda: pool_level(pool(), 61, lam=1.0), "B="), (lambda: pool_level(pool(), 5, lam=0), "lam="),
])
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()


@pytest.mark.parametrize("gate", [Calibrated(1.0), MarginGate(0.1)])
def test_disjoint_arms_are_refused_by_name(gate):
    with pytest.raises(InputError, match=type(gate).__name__):
        play(DisjointArms(4, 3), None, gate, **GAME, feedback="chosen", answer="optimistic")


def test_margin_by_hand():
    bought = 0
    for now in rounds(Stationary(4, 3), BestResponse(), MarginGate(0.2), **{**GAME, "B": 200}):
        score = np.einsum("nkd,nd->nk", now.reply.phi, now.commitment.theta_hat)
        for i, row in enumerate(score):
            first, second = sorted(row, reverse=True)[:2]
            assert now.queried[i] == (first - second < 0.2)
        bought += now.queried.mean()
    assert 20 < bought < 150


def test_the_gate_needs_nothing_but_features():
    phi = np.random.default_rng(0).standard_normal((2, 3, 4))
    V = np.broadcast_to(np.eye(4), (2, 4, 4))
    seen = FeaturesSeen(phi, V, V, np.zeros(2))
    wish = Calibrated(1.0).decide(None, seen, np.array([0, 1]), 5, np.random.default_rng(0))
    assert wish.dtype == bool and wish.shape == (2,) and wish[1]
