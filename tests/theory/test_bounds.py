"""T1-T4 as functions: formulas, conditions, the constants that the proofs lean on, and levels at the very boundary."""

import bound_checks
import numpy as np
import pytest
from scipy import stats

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    LLF,
    AllLabels,
    BestResponse,
    ContextSelecting,
    HardGaps,
    RandomGate,
    Stationary,
    play,
)
from stackelberg_lib.theory import bounds, potential


@pytest.mark.parametrize("check", [bound_checks.check_radii, bound_checks.check_potential, bound_checks.check_bounds,
                                   bound_checks.check_conditions], ids=lambda f: f.__name__)
def test_formulas_and_conditions(check):
    check()


def test_a_quarter_is_the_worst_share_and_is_reached():
    q = np.linspace(0, 1, 100_001)
    assert (np.sqrt(q) - q).max() == bounds.QUARTER


@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.1, 1, 100])
def test_c_x_is_the_least_constant(lam):
    X, C = potential.widest(lam=lam), potential.c_x(lam=lam)
    y = np.geomspace(1e-9, X, 1001)
    assert (y <= C * np.log1p(y) * (1 + 1e-12)).all()
    np.testing.assert_allclose(X, C * np.log1p(X), rtol=1e-12)
    assert C <= 1 / np.log(2) or X > 1


def test_the_constant_of_freedman_covers_and_half_of_it_does_not():
    """Binomial tails are exact. The best constant is 1/s, e^s = 1 + 2 s, about 0.8: none of half of 7/6 holds."""
    for T in (20, 500, 100_000):
        for p in np.geomspace(0.1 / T, 0.9, 60):
            for delta in (0.5, 0.1, 1e-3, 1e-9, 1e-100):
                assert stats.binom.sf(np.floor(bounds.small_gaps_sure(T, p, delta=delta)), T, p) <= delta
    p, log = 120 / 100_000, 100 * np.log(10)
    assert stats.binom.sf(np.floor(2 * 120 + bounds.FREEDMAN / 2 * log), 100_000, p) > 1e-100


@pytest.mark.parametrize("lam", [1e-6, 1e-3, 0.1, 0.3, 1, 7])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
def test_rounding_buys_no_label_at_the_boundary(d, lam):
    """B = d, K = 2: u = log(1 + X), the first latency of every direction equals the level and must not be above it."""
    for alpha, L in ((0.3, 0.7), (1.0, 0.7), (1.1, 1.0), (2.7, 0.7), (0.7, 0.3)):
        tau = bounds.t2_level(d, alpha=alpha, d=d, K=2, L=L, lam=lam)
        got = play(HardGaps(d, 2, 0.1, L=L), BestResponse(), LLF(tau), T=40, B=40, seeds=2, seed=0, sigma=0.3, lam=lam,
                   alpha=alpha)
        assert (got.labels < d).all()
        np.testing.assert_allclose(got.latency[:, 0], tau, rtol=1e-12)


@pytest.mark.parametrize(("gate", "B"), [(AllLabels(), 60), (LLF(0.5), 30), (RandomGate(), 20)])
@pytest.mark.parametrize("follower", [BestResponse(), ContextSelecting()])
def test_t1_in_the_mean_needs_no_oblivious_follower(follower, gate, B):
    """Both forms, squared and not, for the labelled rounds of 400 plays: means below the bound by 5 standard errors."""
    sizes, truth = dict(d=3, K=3, lam=0.3), dict(sigma=0.4, S=1.0)
    got = play(Stationary(3, 3, M=4), follower, gate, T=60, B=B, seeds=400, seed=5, sigma=0.4, lam=0.3, alpha=1.0)
    bound = bounds.t1_mean_regret(B, **truth, **sizes)
    for power, most in ((1, bound), (2, bound**2 / B)):
        suffered = (np.where(got.queried, got.regret, 0) ** power).sum(axis=1)
        assert suffered.mean() + 5 * suffered.std() / 20 < most
    assert bounds.t1_mean_regret(B, sigma=0.0, S=0.01, **sizes) < got.regret_queried.mean()  # no bound by being huge


def test_t1_in_the_mean_is_reached():
    """Each round a direction of its own, and the tie broken the wrong way: R = 2 L S sqrt(d), for small lam, sigma."""
    class OneByOne:
        d, K, M = 8, 2, 1

        def theta(self, rng, n):
            return np.full((n, 8), -1 / np.sqrt(8))

        def menu(self, rng, t, T, n):
            return np.tile(np.stack([np.eye(8)[t], -np.eye(8)[t]]), (n, 1, 1, 1))

    got = play(OneByOne(), BestResponse(), AllLabels(), T=8, B=8, seeds=2, seed=0, sigma=1e-6, lam=1e-4, alpha=1.0)
    bound = bounds.t1_mean_regret(8, sigma=1e-6, S=1.0, d=8, K=2, lam=1e-4)
    np.testing.assert_allclose(got.cumulative[:, -1], 2 * np.sqrt(8))
    assert 1 <= bound / (2 * np.sqrt(8)) < 1.001


def test_certificate_splits_and_refuses():
    got = bounds.t3_certificate([[1.0, 2.0, 4.0]], [[True, False, True]])
    np.testing.assert_array_equal(np.concatenate(got), [[1, 3, 7], [1, 1, 5], [0, 2, 2]])
    for latency, queried in (([1.0], [True, False]), ([-1.0], [True]), ([np.nan], [True])):
        with pytest.raises(InputError, match="give latencies >= 0"):
            bounds.t3_certificate(latency, queried)


def test_leakage_and_regret_tell_the_same():
    """(ii) is the bound on the queried rounds, plus sqrt(B) times the leakage; its constant is the worst over Q."""
    a = dict(alpha=0.7, d=3, K=4, lam=0.2)
    T, B = 300, 32
    root = 0.7 * np.sqrt(potential.squared_widths(B, d=3, K=4, lam=0.2))
    total = [root * np.sqrt(Q) + np.sqrt(B) * bounds.t2_leakage(T, B, Q, **a) for Q in range(B + 1)]
    assert np.argmax(total) == B // 4
    np.testing.assert_allclose(max(total), bounds.t2_regret(T, B, **a), rtol=1e-12)
