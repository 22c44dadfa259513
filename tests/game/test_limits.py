"""The edges of the game: features that are not numbers, long horizons, other scales, and the certificate's promise."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    LLF,
    AllLabels,
    BestResponse,
    ContextSelecting,
    DisjointArms,
    RandomGate,
    Stationary,
    play,
    rounds,
)
from stackelberg_lib.theory.radii import alpha_log_det

GAME = dict(T=30, B=10, seeds=2, seed=0, sigma=0.1, lam=1.0, alpha=1.0)


class Changed:
    """The stationary stream with something done to its features, or to theta."""

    d, K, M = 3, 2, 1

    def __init__(self, change, theta=lambda x: x):
        self.change, self.truth, self.law = change, theta, Stationary(3, 2)

    def theta(self, rng, n):
        return self.truth(self.law.theta(rng, n))

    def menu(self, rng, t, T, n):
        return self.change(self.law.menu(rng, t, T, n)) if t == 3 else self.law.menu(rng, t, T, n)


def spoiled(value):
    def put(x):
        x = x.copy()
        x.flat[-1] = value
        return x
    return put


@pytest.mark.parametrize("change", [spoiled(np.nan), spoiled(np.inf), spoiled(-np.inf), spoiled(1e200)])
@pytest.mark.parametrize("gate", [LLF(0.1), RandomGate()])
def test_features_that_are_no_numbers_are_named_with_their_round(change, gate):
    with pytest.raises(InputError, match=r"stream\.menu .* round 3"):
        play(Changed(change), BestResponse(), gate, **GAME)


@pytest.mark.parametrize("change", [lambda x: x[..., :2], lambda x: x[:, 0], lambda x: x[:1], lambda x: x[:, :, :1]])
def test_a_menu_of_another_shape_is_named(change):
    with pytest.raises(InputError, match=r"stream\.menu .*shape.* round 3: give \(2, 1, 2, 3\)"):
        play(Changed(change), BestResponse(), LLF(0.1), **GAME)


@pytest.mark.parametrize("change", [lambda x: x[:, :2], spoiled(np.nan)])
def test_a_bad_theta_is_named(change):
    with pytest.raises(InputError, match=r"stream\.theta"):
        play(Changed(lambda x: x, change), BestResponse(), LLF(0.1), **GAME)


def test_bad_contexts_of_disjoint_arms_are_named():
    class Bad(DisjointArms):
        def menu(self, rng, t, T, n):
            return spoiled(np.nan)(super().menu(rng, t, T, n))

    with pytest.raises(InputError, match=r"stream\.menu .* round 0"):
        play(Bad(3, 2), None, AllLabels(), **GAME, feedback="chosen", answer="optimistic")


@pytest.mark.parametrize("scale", [0.01, 7.0, 100.0])
def test_features_of_another_length_play_the_same_game(scale):
    """phi times c, theta over c and lam times c^2 leave every reward, score and width as they were."""
    one = play(Stationary(4, 3), BestResponse(), LLF(0.4), **GAME)
    other = play(Stationary(4, 3, S=1 / scale, L=scale), BestResponse(), LLF(0.4), **{**GAME, "lam": scale**2})
    np.testing.assert_allclose(other.latency, one.latency, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(other.regret, one.regret, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(other.queried, one.queried)


@pytest.mark.parametrize("follower", [BestResponse(), ContextSelecting()])
def test_certificate_stands_above_regret_in_its_share_of_1000_runs(follower):
    """Violations on any prefix: at most what delta allows, within the 99.9 % quantile of a binomial count."""
    delta, runs = 0.05, 1000
    radius = partial(alpha_log_det, sigma=0.5, delta=delta, S=1.0, lam=0.5)
    got = play(Stationary(2, 3, M=4), follower, LLF(0.5),
               **{**GAME, "T": 150, "B": 60, "seeds": runs, "sigma": 0.5, "lam": 0.5, "alpha": radius})
    violated = (got.cumulative > got.certificate + 1e-9).any(axis=1)
    assert violated.sum() <= binom.ppf(0.999, runs, delta)
    # The promise is not kept by silence: a radius forty times smaller breaks it.
    small = play(Stationary(2, 3, M=4), follower, LLF(0.5 / 40),
                 **{**GAME, "T": 150, "B": 60, "seeds": runs, "sigma": 0.5, "lam": 0.5,
                    "alpha": lambda x: radius(x) / 40})
    assert (small.cumulative > small.certificate + 1e-9).any(axis=1).mean() > 0.3


def test_memory_does_not_grow_with_the_horizon():
    def peak(T):
        tracemalloc.start()
        for _ in rounds(Stationary(8, 3), BestResponse(), LLF(0.2), **{**GAME, "T": T, "B": T}):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(7500) < peak(2500) * 1.1
