"""Gates that come with a promise: T2's level never meets its cap, T4's reserve refuses no threshold query."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    BBQ,
    DGS,
    LLF,
    AllLabels,
    BestResponse,
    FeaturesSeen,
    NoLabels,
    RandomGate,
    Reserve,
    WidthLLF,
    largest_width,
    play,
)
from stackelberg_lib.theory.bounds import t2_level


@dataclass(frozen=True)
class Unkind:
    """Candidates of random direction and random length up to 1, in few directions at a time."""

    d: int
    K: int
    M: int = 1

    def theta(self, rng, n):
        return rng.standard_normal((n, self.d))

    def menu(self, rng, t, T, n):
        phi = rng.standard_normal((n, 1, self.K, self.d)) * (rng.random((n, 1, 1, self.d)) < 0.6)
        length = np.maximum(np.linalg.norm(phi, axis=-1, keepdims=True), 1e-12)
        return phi / length * rng.random((n, 1, self.K, 1)) ** 0.3


SIZES = dict(d=hs.integers(1, 4), K=hs.integers(2, 4), B=hs.integers(2, 40),
             lam=hs.sampled_from([1e-6, 1e-3, 0.1, 1.0]), seed=hs.integers(0, 10_000),
             sigma=hs.sampled_from([0.0, 1.0, 30.0]))


@settings(max_examples=80, deadline=None)
@given(**SIZES)
def test_t2_level_buys_fewer_than_B_on_every_path(d, K, B, lam, seed, sigma):
    alpha = 2.0
    tau = t2_level(B, alpha=alpha, d=d, K=K, lam=lam)
    got = play(Unkind(d, K), BestResponse(), LLF(tau), T=150, B=150, seeds=5, seed=seed, sigma=sigma, lam=lam,
               alpha=alpha)
    assert (got.labels < B).all()


def test_t2_level_is_not_empty():
    tau = t2_level(20, alpha=2.0, d=2, K=2, lam=1e-3)
    game = dict(T=400, B=400, seeds=20, seed=0, sigma=1.0, lam=1e-3, alpha=2.0)
    got = play(Unkind(2, 2), BestResponse(), LLF(tau), **game)
    assert got.labels.min() >= 1 and got.labels.mean() > 2  # no promise kept by silence


def test_t2_level_equals_its_formula():
    Lambda = np.log(1 + 30 * 3 * 4.0 / (5 * 0.2))
    expected = 1.7 * np.sqrt(2 * (np.exp(5 * Lambda / 30) - 1))
    assert t2_level(30, alpha=1.7, d=5, K=3, L=2.0, lam=0.2) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(free=hs.sampled_from([AllLabels(), RandomGate(), LLF(0.05), NoLabels()]), **SIZES)
def test_reserve_refuses_no_threshold_query(d, K, B, lam, seed, sigma, free):
    alpha = 2.0
    gate = Reserve(t2_level(B // 2, alpha=alpha, d=d, K=K, lam=lam), alpha=alpha, lam=lam, L=1.0, free=free)
    game = dict(T=150, B=B, seeds=5, seed=seed, sigma=sigma, lam=lam, alpha=alpha)
    got = play(Unkind(d, K), BestResponse(), gate, **game)
    assert (got.queried | (got.latency <= gate.tau)).all()
    assert (got.labels <= B).all()


def test_reserve_spends_what_cannot_be_needed_any_more():
    settings_ = dict(T=300, B=40, seeds=10, seed=1, sigma=0.3, lam=0.1, alpha=2.0)
    gate = Reserve(t2_level(20, alpha=2.0, d=3, K=3, lam=0.1), alpha=2.0, lam=0.1, L=1.0, free=AllLabels())
    got = play(Unkind(3, 3), BestResponse(), gate, **settings_)
    assert got.labels.mean() > 0.9 * 40  # the release: half of B would stay unspent without it


@dataclass(frozen=True)
class Late(Unkind):
    """Nothing to learn in the first half, then everything: a gate that saved nothing is caught out."""

    def menu(self, rng, t, T, n):
        return super().menu(rng, t, T, n) * (t >= T // 2)


def test_reserve_is_there_when_the_news_comes_late():
    game = dict(T=200, B=40, seeds=10, seed=0, sigma=1.0, lam=1e-3, alpha=2.0)
    tau = t2_level(20, alpha=2.0, d=3, K=3, lam=1e-3)
    gate = Reserve(tau, alpha=2.0, lam=1e-3, L=1.0, free=AllLabels())
    got = play(Late(3, 3), BestResponse(), gate, **game)
    assert (got.latency > tau).sum(axis=1).min() >= 1
    assert (got.queried | (got.latency <= tau)).all()
    # fewer than 20 threshold queries can come, so 19 are kept: the rest is free, no more
    np.testing.assert_array_equal(got.queried[:, :100].sum(axis=1), 40 - 19)
    spent_all = play(Late(3, 3), BestResponse(), AllLabels(), **game)
    assert ((spent_all.latency > tau) & ~spent_all.queried).any()  # without a reserve the promise breaks


def test_reserve_follows_its_definition():
    # rho_t = min over s <= t of (n_s - threshold queries in s..t-1), with n_s made up and latencies drawn.
    rng = np.random.default_rng(0)
    n_s, latency = rng.integers(0, 30, (60, 4)).astype(float), rng.random((60, 4)) * 2
    gate = Reserve(1.0, alpha=1.0, lam=1.0, L=1.0, free=AllLabels())
    rounds = iter(n_s)
    gate._can_come = lambda seen, horizon_left: next(rounds)
    threshold = latency > 1.0
    for t in range(60):
        rho = np.min([n_s[s] - threshold[s:t].sum(axis=0) for s in range(t + 1)], axis=0)
        budget = rho + rng.integers(-1, 2, 4)
        bought = gate.decide(latency[t], None, budget, 60 - t, rng)
        np.testing.assert_array_equal(bought, threshold[t] | (budget > rho))


def test_what_can_still_come_by_direct_search():
    rng = np.random.default_rng(0)
    tau, alpha, lam, L, K, d = 1.1, 2.0, 0.3, 1.0, 3, 4
    gate = Reserve(tau, alpha=alpha, lam=lam, L=L, free=NoLabels())
    past = rng.standard_normal((6, 3, d)) / 2
    V = lam * np.eye(d) + past.swapaxes(1, 2) @ past
    seen = FeaturesSeen(np.zeros((6, K, d)), V, np.linalg.inv(V), np.linalg.slogdet(V / lam)[1])
    for horizon in (1, 7, 500):
        expected = []
        for v in V:
            room = [d * np.log((np.trace(v) + n * K * L**2) / d) - np.linalg.slogdet(v)[1]
                    - n * np.log1p(tau**2 / (2 * alpha**2)) for n in range(horizon + 1)]
            expected.append(max(n for n, r in enumerate(room) if r >= 0))
        np.testing.assert_array_equal(gate._can_come(seen, horizon), expected)
    known = seen._replace(V=np.tile(4 * L**2 * alpha**2 / tau**2 * np.eye(d), (6, 1, 1)))
    np.testing.assert_array_equal(gate._can_come(known, 500), 0)


def test_largest_width_by_all_pairs():
    rng = np.random.default_rng(1)
    phi, root = rng.standard_normal((5, 4, 3)), rng.standard_normal((5, 3, 3))
    V = root @ root.swapaxes(1, 2) + np.eye(3)
    seen = FeaturesSeen(phi, V, np.linalg.inv(V), np.zeros(5))
    for k in range(5):
        pairs = [np.sqrt((a - b) @ np.linalg.solve(V[k], a - b)) for a in phi[k] for b in phi[k]]
        assert largest_width(seen)[k] == pytest.approx(max(pairs), rel=1e-9)
    width = largest_width(seen)
    asked = WidthLLF(1.5 * np.median(width), 1.5).decide(None, seen, None, 1, None)
    np.testing.assert_array_equal(asked, width > np.median(width))
    nearly = seen._replace(phi=phi * np.sqrt(0.9) / width[:, None, None])  # squared width 0.9
    for t, expected in ((1, False), (2, True)):  # 1 and 2^-0.3 = 0.81
        assert (BBQ(0.3, 50).decide(None, nearly, None, 50 - t + 1, None) == expected).all()


def test_width_gate_does_not_look_at_labels():
    quiet, loud = (play(Unkind(3, 3), BestResponse(), WidthLLF(1.0, 1.0), T=80, B=80, seeds=6, seed=2, sigma=s, lam=0.5,
                        alpha=1.0) for s in (0.0, 50.0))
    np.testing.assert_array_equal(quiet.queried, loud.queried)
    assert 0 < quiet.labels.min() and quiet.labels.max() < 80


def test_dgs_buys_exactly_the_uncertain_rounds():
    np.testing.assert_array_equal(DGS().decide(np.array([0.0, 1e-9, 2.0]), None, None, 1, None), [False, True, True])


@pytest.mark.parametrize(("make", "name"), [
    (lambda: WidthLLF(-1, 1), "tau="), (lambda: WidthLLF(1, 0), "alpha="), (lambda: BBQ(1, 5), "kappa="),
    (lambda: BBQ(0.5, 0), "T="), (lambda: Reserve(0, alpha=1, lam=1, L=1, free=NoLabels()), "tau="),
    (lambda: t2_level(0, alpha=1, d=1, K=2), "B="), (lambda: t2_level(5, alpha=0, d=1, K=2), "alpha="),
])
def test_bad_settings_are_named(make, name):
    with pytest.raises(InputError, match=name):
        make()
