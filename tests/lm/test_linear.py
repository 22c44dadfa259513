"""The linear model: each number against an independent computation, and the radius on truths that are linear or not."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import joint, linear
from stackelberg_lib.theory.radii import alpha_log_det

RNG = np.random.default_rng(0)
H, Y = RNG.normal(size=(30, 4)), RNG.integers(3, size=30)
MU = RNG.dirichlet(np.ones(3), 30)


def test_fit_minimises_its_criterion():
    weights, targets = RNG.random(30) + 0.5, RNG.normal(size=(30, 3))

    def criterion(flat):
        theta = flat.reshape(4, 3)
        return (weights * ((targets - H @ theta) ** 2).sum(1)).sum() + 0.7 * (theta**2).sum()

    found = minimize(criterion, np.zeros(12), tol=1e-12).x.reshape(4, 3)
    got = linear.fit(H, targets, 0.7, weights)
    assert_allclose(got.theta, found, atol=1e-5)
    G = 0.7 * np.eye(4) + sum(w * np.outer(h, h) for w, h in zip(weights, H, strict=True))
    assert_allclose(got.G_inv @ G, np.eye(4), atol=1e-12)
    assert_allclose(got.log_det, np.log(np.linalg.det(G) / 0.7**4))


def test_counts_are_single_labels_added_up():
    counts = RNG.integers(0, 4, size=(30, 3))
    counts[5] = 0
    rows, labels = (np.repeat(x, counts.ravel()) for x in np.indices(counts.shape).reshape(2, -1))
    one_by_one = linear.fit(H[rows], linear.one_hot(labels, 3), 0.2)
    together = linear.fit_counts(H, counts, 0.2)
    for a, b in zip(one_by_one, together, strict=True):
        assert_allclose(a, b, rtol=1e-10)


def test_widths_and_latency_are_those_of_the_dense_game():
    phi, got = joint.labels(H, 3), linear.fit(H[:20], linear.one_hot(Y[:20], 3), 0.5)
    rows = phi[:20].reshape(-1, 12)
    V_inv = np.linalg.inv(0.5 * np.eye(12) + rows.T @ rows)
    width, scores = linear.pair_width(H, got.G_inv), H @ got.theta
    for y, z in combinations(range(3), 2):
        apart = phi[:, y] - phi[:, z]
        assert_allclose(np.sqrt(np.einsum("nd,de,ne->n", apart, V_inv, apart)), width, rtol=1e-10)
    leader = scores.argmax(1)
    widths = linear.joint_width(phi, leader, V_inv)
    for alpha in (0.0, 0.2, 5.0):
        dense = [max(alpha * widths[i, z] - (scores[i, leader[i]] - scores[i, z]) for z in range(3)) for i in range(30)]
        assert_allclose(linear.latency(scores, width, alpha), dense, atol=1e-10)
        assert_allclose(linear.joint_latency(scores, widths, alpha), dense, atol=1e-10)
    assert_allclose(widths[np.arange(30), leader], 0)


def test_margin_spread_and_pair_norm_by_hand():
    assert_allclose(linear.margin(np.array([[0.2, 0.9, 0.4], [3.0, 3.0, 1.0]])), [0.5, 0])
    assert_allclose(linear.spread(np.array([[-1.0, 2.0, 0.5]])), [3])
    theta = RNG.normal(size=(4, 5))
    assert_allclose(linear.pair_norm(theta), max(np.linalg.norm(a - b) for a, b in combinations(theta.T, 2)) / 2**0.5)


def test_effective_dimension_is_the_trace_of_the_hat_matrix():
    for lam in (0.01, 1.0, 50.0):
        hat = H @ np.linalg.solve(H.T @ H + lam * np.eye(4), H.T)
        assert_allclose(linear.effective_dimension(H, lam), np.trace(hat))
    assert_allclose(linear.effective_dimension(np.eye(3), 1.0), 1.5)
    assert 3.99 < linear.effective_dimension(H, 1e-6) <= 4


def test_split_is_what_drawn_labels_show():
    scores = RNG.normal(size=(30, 3)) * 0.3
    found = linear.split(MU, scores)
    assert found.total == pytest.approx(found.noise + found.misfit)
    draws = np.stack([linear.one_hot(np.array([RNG.choice(3, p=p) for p in MU]), 3) for _ in range(3000)])
    errors = ((draws - scores) ** 2).sum(2).mean(1)
    assert abs(errors.mean() - found.total) < 4 * errors.std() / np.sqrt(3000)
    noise = ((draws - MU) ** 2).sum(2).mean(1)
    assert abs(noise.mean() - found.noise) < 4 * noise.std() / np.sqrt(3000)
    assert found.misfit == pytest.approx(np.mean([np.sum((p - s) ** 2) for p, s in zip(MU, scores, strict=True)]))


def test_labels_are_drawn_as_often_as_they_should():
    few = linear.label_counts(MU, 12, np.random.default_rng(1))
    assert few.sum() == 12 and few.sum(1).max() == 1
    n = 3_000_000
    many = linear.label_counts(MU, n, np.random.default_rng(2))
    expected = n * MU / 30
    assert many.sum() == n and (np.abs(many - expected) < 5 * np.sqrt(expected) + 1).all()
    assert (linear.label_counts(linear.one_hot(Y, 3), 90, RNG).argmax(1)[:5] == Y[:5])[many[:5].sum(1) > 0].any()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.95, 1.0])
def test_the_covering_radius_covers_and_no_smaller_one_does(share):
    error, width = RNG.random(40), 0.1 + RNG.random(40)
    radius = linear.covering_radius(error, width, share)
    assert np.mean(error / width <= radius) >= share > np.mean(error / width < radius)


def test_auc_is_the_share_of_pairs_in_order():
    score, wrong = RNG.integers(5, size=60).astype(float), RNG.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in score[wrong] for b in score[~wrong]]
    assert linear.auc(score, wrong) == pytest.approx(np.mean(pairs))
    assert linear.auc(-score, wrong) == pytest.approx(1 - np.mean(pairs))
    assert np.isnan(linear.auc(score, np.zeros(60, bool))) and np.isnan(linear.auc(score, np.ones(60, bool)))


def test_reliability_counts_and_wilson_by_hand():
    score, wrong = np.arange(20.0)[::-1], np.arange(20) < 5  # the five highest scores are wrong
    found = linear.reliability(score, wrong, 2)
    assert_allclose(found["share"], [0, 0.5])
    assert_allclose(found["score"], [4.5, 14.5])
    assert_allclose([found["low"][1], found["high"][1]], [0.2366, 0.7634], atol=1e-3)  # 5 of 10, Wilson
    assert_allclose([found["low"][0], found["high"][0]], [0, 0.2775], atol=1e-3)
    with pytest.raises(InputError, match="bins=21 must lie between 1 and the 20 texts"):
        linear.reliability(score, wrong, 21)


def test_the_kernel_rival_solves_its_equations_and_bends():
    x = np.linspace(0, 1, 80)[:, None]
    h, targets = np.hstack([np.cos(6 * x), np.sin(6 * x)]), (x * 7 % 1 > 0.5).astype(float)
    distance = ((h[:, None] - h[None]) ** 2).sum(2)
    scale = np.median(distance[np.triu_indices(80, 1)])
    alone = np.linalg.solve(np.exp(-distance / scale) + 0.01 * np.eye(80), targets)
    assert_allclose(linear.kernel_ridge(h, targets, h[:9]), np.exp(-distance[:9] / scale) @ alone, atol=1e-6)
    straight = h @ linear.fit(h, targets, 1e-6).theta
    assert np.mean((linear.kernel_ridge(h, targets, h) - targets) ** 2) < 0.95 * np.mean((straight - targets) ** 2)


def linear_world(bend):
    """Features of length about 1 and mu (400, 3), linear in them up to `bend`."""
    rng = np.random.default_rng(5)
    mu = rng.dirichlet(np.ones(3), 400)
    crooked = mu + bend * np.stack([z := np.sign(rng.normal(size=400)), -z, 0 * z], axis=1) * mu.min(1)[:, None]
    return mu, crooked


def coverage(bend, n, draws=100):
    """Share of draws in which the radius covers the truth on all texts at once, delta = 0.05."""
    h, mu = linear_world(bend)
    theta = np.eye(3) if not bend else linear.fit(h, mu, 1e-9).theta
    S, hits = linear.pair_norm(theta), []
    for s in range(draws):
        got = linear.fit_counts(h, linear.label_counts(mu, n, np.random.default_rng([s, n])), 0.1)
        alpha = alpha_log_det(got.log_det, sigma=linear.SIGMA, delta=0.05 / 3, S=S, lam=0.1)
        hits.append(np.all(linear.spread(h @ got.theta - mu) <= alpha * linear.pair_width(h, got.G_inv)))
    return np.mean(hits)


def test_the_radius_covers_a_linear_truth():
    assert coverage(0, 50) >= 0.95 and coverage(0, 300) >= 0.95 and coverage(0, 100_000) >= 0.95


def test_a_crooked_truth_breaks_the_promise_in_the_end():
    assert coverage(0.5, 50) >= 0.95 and coverage(0.5, 1_000_000, 10) == 0


@pytest.mark.parametrize(("call", "words"), [
    (lambda: linear.fit(H, MU, 0.0), "lam=0.0 must be above 0"),
    (lambda: linear.fit(H, MU[:5], 1.0), "30 features, 5 targets"),
    (lambda: linear.effective_dimension(H, -1.0), "lam=-1.0 must be above 0"),
    (lambda: linear.covering_radius(np.ones(3), np.ones(3), 1.5), "share=1.5 must lie above 0"),
])
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
