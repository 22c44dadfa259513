"""The stopping rule against all sets of further labels, by looking at each of them."""

from itertools import combinations

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.kernel import KernelMass, multiscale
from stackelberg_lib.pool.latency import MassLatency
from stackelberg_lib.pool.stopping import cover_worth, mass_worth

RNG = np.random.default_rng
LAMS = (1e-3, 0.1, 1.0, 10.0)
N = 8


def subsets(rows):
    return [R for b in range(1, len(rows) + 1) for R in combinations(rows, b)]


def one_pool(seed, lam):
    """Features (N, m), weights, bought rows, the others, radius and price-free numbers of a small pool."""
    rng = RNG(seed)
    h = rng.normal(size=(N, rng.integers(1, 5)))
    h *= rng.choice([0.3, 1.0]) / np.sqrt(h.shape[1])
    bought = rng.permutation(N)[:rng.integers(0, 4)]
    return h, rng.random(N) + 0.01, np.sort(bought), np.setdiff1d(np.arange(N), bought), rng.random() + 0.1, lam


def pools():
    return [one_pool(60 * k + seed, lam) for k, lam in enumerate(LAMS) for seed in range(60)]


def phi(h, p, lam, rows):
    G_inv = np.linalg.inv(lam * np.eye(h.shape[1]) + sum(np.outer(h[i], h[i]) for i in rows))
    return sum(q * x @ G_inv @ x for q, x in zip(p, h, strict=True))


def worth_of(h, p, bought, left, alpha, lam):
    state = MassLatency(h, p, lam, bought)
    return mass_worth(state.potential, state.gain[left], state.leverage[left], total=p.sum(), alpha=alpha), state


def falls(h, p, bought, left, alpha, lam):
    """What each set takes from U, alpha held, per label: one entry a set."""
    U = {R: alpha * np.sqrt(2 * p.sum() * phi(h, p, lam, [*bought, *R])) for R in [(), *subsets(left)]}
    return {R: (U[()] - U[R]) / len(R) for R in U if R}


def test_no_set_takes_more_per_label_and_one_label_takes_what_is_said():
    seen = []
    for pool in pools():
        worth, state = worth_of(*pool)
        by_hand = falls(*pool)
        best, size = max(by_hand.values()), abs(max(by_hand.values()))
        np.testing.assert_allclose(worth.one, max(by_hand[R] for R in by_hand if len(R) == 1), rtol=1e-6)
        assert worth.one - 1e-9 * size <= best <= worth.most + 1e-9 * size
        assert worth.most <= 2 * (1 + state.leverage[pool[3]].max()) * worth.one * (1 + 1e-9)
        seen.append((best / worth.one, worth.most / best))
    together, loose = np.array(seen).T
    assert len(seen) == 240 and (together > 1 + 1e-6).sum() >= 5  # companies do bring more than their best member
    assert loose.min() < 1.05  # and nothing smaller than `most` would do in all pools


def test_a_stop_lowers_regret_and_price_together_as_far_as_can_be():
    stopped = bought_on = 0
    for h, p, bought, left, alpha, lam in pools():
        worth, _ = worth_of(h, p, bought, left, alpha, lam)
        by_hand = falls(h, p, bought, left, alpha, lam)
        for price in (0.999 * worth.one, worth.most):
            saved = max((fall - price) * len(R) for R, fall in by_hand.items())
            if worth.most <= price:
                stopped += 1
                assert saved <= 1e-9 * worth.most * N
            if worth.one > price:
                bought_on += 1
                assert saved > 0
    assert stopped >= 240 and bought_on >= 240


def test_the_stop_stands_when_the_radius_grows_with_the_labels():
    sigma, delta, S = 0.5, 0.05, 1.0

    def radius(h, lam, rows):
        det = np.linalg.det(np.eye(h.shape[1]) + sum((np.outer(h[i], h[i]) for i in rows), 0 * h.T @ h) / lam)
        return sigma * np.sqrt(2 * np.log(1 / delta) + np.log(det)) + np.sqrt(lam) * S

    for h, p, bought, left, _, lam in pools()[::3]:
        U = {R: radius(h, lam, [*bought, *R]) * np.sqrt(2 * p.sum() * phi(h, p, lam, [*bought, *R]))
             for R in [(), *subsets(left)]}
        worth, _ = worth_of(h, p, bought, left, radius(h, lam, bought), lam)
        assert max((U[()] - U[R]) / len(R) for R in U if R) <= worth.most * (1 + 1e-9)


def test_most_is_the_largest_mean_of_the_best_masses():
    for h, p, bought, left, alpha, lam in pools()[::7]:
        worth, state = worth_of(h, p, bought, left, alpha, lam)
        G_inv = np.linalg.inv(lam * np.eye(h.shape[1]) + h[bought].T @ h[bought])
        mass = sorted([sum(q * (x @ G_inv @ h[i]) ** 2 for q, x in zip(p, h, strict=True)) for i in left])[::-1]
        value = phi(h, p, lam, bought)
        wanted = max(alpha * np.sqrt(2 * p.sum()) * (value**0.5 - max(value - sum(mass[:b]), 0) ** 0.5) / b
                     for b in range(1, len(left) + 1))
        np.testing.assert_allclose(worth.most, wanted, rtol=1e-6)


def test_two_labels_may_pay_where_one_does_not():
    # each row alone hardly sees the second feature; together they do, and `most` allows for it
    h, p, none = np.array([[1, 0.01], [1, -0.01], [0, 1]]), np.array([0, 0, 1.0]), np.array([], dtype=int)
    left = np.array([0, 1])
    worth, _ = worth_of(h, p, none, left, 1.0, 0.01)
    by_hand = falls(h, p, none, left, 1.0, 0.01)
    assert by_hand[0, 1] > 40 * worth.one
    assert by_hand[0, 1] <= worth.most < 1.03 * by_hand[0, 1]


def test_a_kernel_is_asked_in_units_of_lam():
    for seed, lam in enumerate(LAMS):
        h, p, bought = RNG(seed).normal(size=(7, 2)), RNG(seed + 9).random(7), np.array([2, 5])
        left = np.setdiff1d(np.arange(7), bought)
        values, vectors = np.linalg.eigh(multiscale(h, h))
        z, state = vectors * np.sqrt(values), KernelMass(h, p, lam, multiscale, bought)
        got = mass_worth(state.potential / lam, state.gain[left] / lam, state.variance[left] / lam, total=p.sum(),
                         alpha=0.7)
        np.testing.assert_allclose(got, worth_of(z, p, bought, left, 0.7, lam)[0], rtol=1e-6)


def test_no_set_takes_more_from_what_coverage_certifies():
    loose = []
    for seed in range(200):
        rng, lam = RNG(seed), LAMS[seed % 4]
        h, p, alpha = rng.normal(size=(N, 2)) * rng.choice([0.3, 1.0, 3.0]), rng.random(N), rng.random() + 0.1
        K, bought = multiscale(h, h), rng.permutation(N)[:rng.integers(0, 4)].tolist()
        left = [i for i in range(N) if i not in bought]

        def F(rows, K=K, p=p):
            return sum(p[j] * max([0.0, *(K[i, j] for i in rows)]) for j in range(N))

        def C(rows, p=p, alpha=alpha, lam=lam, F=F):
            return alpha * np.sqrt(2 / lam * (p.sum() ** 2 - F(rows) ** 2 / (1 + lam)))

        rise = np.array([F([*bought, i]) - F(bought) for i in left])
        worth = cover_worth(F(bought), rise, total=p.sum(), alpha=alpha, lam=lam)
        by_hand = {R: (C(bought) - C([*bought, *R])) / len(R) for R in subsets(left)}
        best = max(by_hand.values())
        np.testing.assert_allclose(worth.one, max(v for R, v in by_hand.items() if len(R) == 1), rtol=1e-7)
        sums = [min(sum(sorted(rise)[::-1][:b]), p.sum() - F(bought)) for b in range(1, len(left) + 1)]
        most = [(C(bought) - alpha * np.sqrt(2 / lam * (p.sum() ** 2 - (F(bought) + s) ** 2 / (1 + lam)))) / (b + 1)
                for b, s in enumerate(sums)]
        np.testing.assert_allclose(worth.most, max(most), rtol=1e-7)
        assert worth.one <= best * (1 + 1e-9) and best <= worth.most * (1 + 1e-9)
        loose.append(worth.most / best)
    assert min(loose) < 1.05 and np.median(loose) < 2


@pytest.mark.parametrize(("word", "change"), [
    ("potential=0", dict(potential=0.0)), ("gain has shape", dict(gain=[])), ("gain goes from", dict(gain=[-1.0, 0.5])),
    ("gain goes from", dict(gain=[2.1, 0.5])), ("gain goes from", dict(gain=[np.nan, 0.5])),
    ("leverage has shape", dict(leverage=[0.1])), ("alpha=-1", dict(alpha=-1.0)), ("total=0", dict(total=0.0)),
])
def test_bad_numbers_are_refused(word, change):
    fine = dict(potential=2.0, gain=[1.0, 0.5], leverage=[0.2, 0.1], total=3.0, alpha=1.0)
    assert mass_worth(**{**fine, "leverage": np.array([0.2, 0.1])}).one > 0
    asked = {**fine, **change}
    with pytest.raises(InputError, match=word):
        mass_worth(asked.pop("potential"), np.array(asked.pop("gain")), np.array(asked.pop("leverage")), **asked)


@pytest.mark.parametrize(("word", "change"), [
    ("cover=-1", dict(cover=-1.0)), ("rise has shape", dict(rise=[[0.1]])), ("rise goes from", dict(rise=[1.1])),
    ("lam=0", dict(lam=0.0)), ("total=0", dict(total=0.0)),
])
def test_bad_coverage_is_refused(word, change):
    fine = dict(cover=2.0, rise=[1.0], total=3.0, alpha=1.0, lam=0.1)
    assert cover_worth(**fine).one > 0
    with pytest.raises(InputError, match=word):
        cover_worth(**{**fine, **change})


def test_rounding_is_allowed_for():
    assert mass_worth(1.0, np.array([1 + 1e-7, -1e-7]), np.ones(2), total=1.0, alpha=1.0).one == np.sqrt(2)
    assert cover_worth(1.0, np.array([1e-7]), total=1.0, alpha=1.0, lam=1.0) == (0.0, 0.0)  # all is covered: stop
