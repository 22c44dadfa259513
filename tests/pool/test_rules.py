"""Each rule of selection against a direct implementation on a small pool."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stackelberg_lib.pool import clusters, coverage, propose, strategies
from stackelberg_lib.pool.kernel import GAMMA
from stackelberg_lib.pool.latency import RADIUS
from stackelberg_lib.pool.view import HEAD, LAMBDA, blocks, fit_head

RNG = np.random.default_rng
N = 40


@pytest.fixture
def pool():
    """Features of root-mean-square norm 1, labels at three rows, probabilities of five classes."""
    h, y = RNG(1).normal(size=(N, 4)), np.full(N, -1)
    y[[2, 9, 11]] = [0, 1, 1]
    return h / np.sqrt((h**2).sum(1).mean()), y, RNG(2).dirichlet(np.full(5, 0.5), N)


def blobs(sizes, seed=0, spread=0.05):
    """Tight groups far apart, and the group of each row."""
    ids = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(len(sizes))[ids] + spread * RNG(seed).normal(size=(len(ids), len(sizes))), ids


def pick(rule, pool, budget, seed=0, **more):
    h, y, p = pool
    return propose(h, budget, y, rng=RNG(seed), strategy=rule, **{"probabilities": p, **more}).tolist()


def greedily(score, bought, budget):
    """Rows of largest score(bought, i), one after the other."""
    bought, start = list(bought), len(bought)
    for _ in range(budget):
        bought.append(int(np.argmax([score(bought, i) if i not in bought else -np.inf for i in range(N)])))
    return bought[start:]


def gap(p):
    top = np.sort(p, axis=1)
    return top[:, -1] - top[:, -2]


def test_point_is_width_minus_margin(pool):
    h, y, p = pool

    def latency(bought, i):
        G = LAMBDA * np.eye(4) + sum(np.outer(h[b], h[b]) for b in bought)
        return RADIUS * np.sqrt(2 * h[i] @ np.linalg.inv(G) @ h[i]) - gap(p)[i]

    assert pick("point", pool, 30) == greedily(latency, [2, 9, 11], 30)
    margins = RNG(5).random(N)
    assert pick("point", pool, 1, margins=margins) == [max(
        (i for i in range(N) if y[i] < 0), key=lambda i: latency([2, 9, 11], i) + gap(p)[i] - margins[i])]


def test_uncertainty_rules_sort_by_their_score(pool):
    h, y, p = pool
    rows = np.flatnonzero(y == -1)
    for rule, score in (("entropy", np.sum(p * np.log(p), 1)), ("least_confidence", p.max(1)), ("margin", gap(p))):
        assert pick(rule, pool, 7) == rows[np.argsort(score[rows])][:7].tolist()
    assert pick("first", pool, 4) == [0, 1, 3, 4]


@pytest.mark.parametrize("rule", ["entropy", "least_confidence", "badge", "bait"])
def test_without_a_model_a_logistic_head_is_fitted(pool, rule):
    h, y, _ = pool
    y = np.where(np.arange(N) < 12, np.arange(N) % 3, -1)
    p = LogisticRegression(C=HEAD, max_iter=1000).fit(h[:12], y[:12]).predict_proba(h)
    asked = propose(h, 8, y, rng=RNG(0), strategy=rule, probabilities=p).tolist()
    assert propose(h, 8, y, rng=RNG(0), strategy=rule).tolist() == asked
    flat = np.full((N, 3), 1 / 3)
    assert propose(h, 8, y, rng=RNG(0), strategy=rule, probabilities=flat).tolist() != asked


def test_the_head_knows_its_classes_only():
    h, y = RNG(1).normal(size=(N, 4)), np.array([1, 4, 6] * 13 + [1])
    p = fit_head(h, y, 8)(h)
    assert p.shape == (N, 8) and not p[:, [0, 2, 3, 5, 7]].any()
    expected = LogisticRegression(C=HEAD, max_iter=1000).fit(h, y).predict_proba(h)
    np.testing.assert_allclose(p[:, [1, 4, 6]], expected, rtol=1e-9)
    two = fit_head(h[:20], y[:20] % 2, 2)(h)
    expected = LogisticRegression(C=HEAD, max_iter=1000).fit(h[:20], y[:20] % 2).predict_proba(h)
    np.testing.assert_allclose(two, expected, rtol=1e-9)
    alone = fit_head(h[:3], np.full(3, 2), 4)(h)
    assert (alone == np.eye(4)[2]).all()


@pytest.mark.parametrize("rule", ["margin", "entropy", "least_confidence", "badge"])
@pytest.mark.parametrize("labels", [None, np.where(np.arange(N) < 3, 4, -1)])
def test_before_two_classes_a_random_batch(rule, labels):
    h = RNG(0).normal(size=(N, 4))
    draw = propose(h, 6, labels, rng=RNG(3), strategy="random")
    assert propose(h, 6, labels, rng=RNG(3), strategy=rule).tolist() == draw.tolist()


@pytest.mark.parametrize("rule", ["coverage", "facility_location"])
def test_facility_location_is_the_greedy_one(pool, rule):
    h, _, p = pool
    D = np.sum((h[:, None] - h) ** 2, axis=2)
    scales, weights = ((0.0625, 0.125, 0.25, 0.5, 1, 2, 4), (1 - gap(p)) ** 2)
    if rule == "facility_location":
        scales, weights = (GAMMA,), np.ones(N)
    K = np.mean([np.exp(-g * D) for g in scales], axis=0)
    assert pick(rule, pool, 12) == greedily(lambda bought, i: weights @ K[[*bought, i]].max(0), [2, 9, 11], 12)


def test_k_center_takes_the_farthest_row(pool):
    h = pool[0]
    D = np.sqrt(np.sum((h[:, None] - h) ** 2, axis=2))
    assert pick("k_center", pool, 12) == greedily(lambda bought, i: D[i, bought].min(), [2, 9, 11], 12)
    start = [int(RNG(4).choice(np.arange(N), 1, replace=False)[0])]
    free = propose(h, 9, rng=RNG(4), strategy="k_center").tolist()
    assert free == start + greedily(lambda bought, i: D[i, bought].min(), start, 8)


def gradients(h, p):
    return np.array([np.outer(p[i] - np.eye(5)[p[i].argmax()], h[i]).ravel() for i in range(len(h))])


def test_badge_is_k_means_plus_plus_on_the_gradients(pool):
    h, y, p = pool
    g, rng = gradients(h, p), RNG(6)
    open_rows = np.flatnonzero(y == -1)
    expected = [open_rows[np.argmax(np.linalg.norm(g[open_rows], axis=1))]]
    while len(expected) < 10:
        D = np.min([np.sum((g - g[c]) ** 2, axis=1) for c in expected], axis=0)
        D[y != -1] = 0
        expected.append(np.searchsorted(np.cumsum(D), rng.random() * D.sum()))
    assert pick("badge", pool, 10, seed=6) == [int(i) for i in expected]


def test_badge_draws_by_squared_distance(pool):
    h, y, p = pool
    start = pick("badge", pool, 1)[0]
    crowd = np.delete(np.arange(15, N), start - 15 if start >= 15 else [])
    h[crowd], p[crowd] = 0.6 * h[start], p[start]
    g = gradients(h, p)
    D = np.where(y == -1, np.sum((g - g[start]) ** 2, axis=1), 0)
    seen = np.bincount([pick("badge", (h, y, p), 2, seed)[1] for seed in range(1500)], minlength=N) / 1500
    np.testing.assert_allclose(seen, D / D.sum(), atol=0.035)
    near, distance = seen[crowd].sum(), np.sqrt(D)
    assert near == pytest.approx(D[crowd].sum() / D.sum(), abs=0.04)
    assert distance[crowd].sum() / distance.sum() - near > 0.1  # squared distance, not distance


def test_badge_draws_uniformly_among_copies():
    h, p = np.tile(RNG(0).normal(size=(3, 90)), (10, 1)), np.tile(RNG(1).dirichlet(np.ones(5), 3), (10, 1))
    batches = [propose(h, 4, rng=RNG(s), strategy="badge", probabilities=p) for s in range(200)]
    assert all(set(b[:3] % 3) == {0, 1, 2} for b in batches)
    assert len({int(b[3]) for b in batches}) >= 27  # of 30 rows, less the first pick
    assert np.abs(np.bincount([b[3] % 3 for b in batches]) / 200 - 1 / 3).max() < 0.15  # rounding has no say


@pytest.mark.parametrize("model", [True, False])
def test_bait_is_forward_then_backward_on_the_trace(pool, model):
    h, y, p = pool
    if not model:
        y = np.full(N, -1)
    v = np.array([np.trace(np.diag(q) - np.outer(q, q)) for q in p]) if model else np.ones(N)
    F = v[:, None, None] * np.einsum("ni,nj->nij", h, h)

    def trace(rows):
        return np.trace(np.linalg.inv(LAMBDA * np.eye(4) + F[list(rows)].sum(0)) @ F.sum(0))

    had = np.flatnonzero(y >= 0).tolist()
    chosen = greedily(lambda bought, i: -trace([*bought, i]), had, 12)
    while len(chosen) > 6:
        chosen.remove(min(chosen, key=lambda out: trace(had + [c for c in chosen if c != out])))
    assert propose(h, 6, y, rng=RNG(0), strategy="bait", probabilities=p if model else None).tolist() == chosen


def test_bait_prunes_something():
    h = RNG(3).normal(size=(60, 5))
    chosen, forward = (propose(h, 8, rng=RNG(0), strategy=rule).tolist() for rule in ("bait", "mass"))
    assert sorted(chosen) != sorted(forward)  # without labels, mass is the forward half of bait


def test_typiclust_takes_the_densest_row_of_each_cluster_by_size():
    h, ids = blobs([9, 30, 20, 14, 3])
    labels = np.full(len(h), -1)

    def typical(rows):
        k = min(20, len(rows) // 2)
        D = np.sqrt(np.sum((h[rows][:, None] - h[rows]) ** 2, axis=2))
        return rows[np.argmin([np.sort(D[i])[1:k + 1].mean() for i in range(len(rows))])]

    best = [int(typical(np.flatnonzero(ids == c))) for c in range(5)]
    # the cluster of three is too small: a second row of the largest comes first
    again = np.setdiff1d(np.flatnonzero(ids == 1), best)
    expected = [best[1], best[2], best[3], best[0], int(typical(again))]
    for seed in range(4):  # k-means numbers its clusters differently
        assert propose(h, 5, labels, rng=RNG(seed), strategy="typiclust").tolist() == expected
    labels[ids == 1] = np.where(np.arange(30) == 7, 0, -1)
    assert propose(h, 4, labels, rng=RNG(0), strategy="typiclust").tolist() == [best[2], best[3], best[0], int(
        typical(np.flatnonzero((ids == 1) & (labels < 0))))]


def test_probcover_covers_most_at_the_largest_pure_radius():
    h, y = RNG(8).normal(size=(60, 2)), np.full(60, -1)
    y[5] = 0
    scaled = h / np.sqrt((h**2).sum(1).mean())
    scaled -= scaled.mean(0)
    D = np.sqrt(np.sum((scaled[:, None] - scaled) ** 2, axis=2))
    ids, _ = clusters.k_means(scaled.astype(np.float32), 6, RNG(0))
    pure = [d for d in np.unique(D) if np.mean([(ids[D[i] <= d] == ids[i]).all() for i in range(60)]) >= 0.95]
    ball = max(pure) + 1e-6 > D
    assert 2 < ball.sum(1).mean() < 30  # neither single points nor everything
    covered, expected = ball[5].copy(), []
    for _ in range(6):
        new = (ball & ~covered).sum(1)
        new[[5, *expected]] = -1
        expected.append(int(new.argmax()))
        covered |= ball[expected[-1]]
    assert propose(h, 6, y, rng=RNG(0), strategy="probcover").tolist() == expected


def test_probcover_draws_what_is_left_when_all_is_covered():
    h, ids = blobs([12, 8, 5], spread=0.001)
    batches = [propose(h, 6, rng=RNG(s), strategy="probcover", probabilities=np.full((25, 3), 1 / 3)) for s in range(9)]
    assert all(ids[b[:3]].tolist() == [0, 1, 2] for b in batches)
    assert len({tuple(b[3:]) for b in batches}) > 6


def test_stratified_shares_follow_the_clusters():
    h, ids = blobs([40, 20, 20, 20])
    seen = np.zeros(100)
    for seed in range(300):
        picks = propose(h, 4, rng=RNG(seed), strategy="stratified")
        seen[picks] += 1
        assert len(set(picks)) == 4 and np.bincount(ids[picks], minlength=4).max() <= 2
    np.testing.assert_allclose(np.bincount(ids, seen) / 300, [1.6, 0.8, 0.8, 0.8], atol=0.1)
    assert np.abs(seen / 300 - 0.04).max() < 0.045 and (seen > 0).all()


def test_stratified_is_exact_on_clusters_that_are_plain(monkeypatch):
    monkeypatch.setattr(clusters, "STRATA", 4)
    h, ids = blobs([40, 20, 20, 20])
    batches = [np.sort(propose(h, 10, rng=RNG(seed), strategy="stratified")) for seed in range(20)]
    assert all(np.bincount(ids[b]).tolist() == [4, 2, 2, 2] for b in batches)
    assert len({int(gap) for b in batches for gap in np.diff(b[:4])}) > 15  # random inside, not every tenth row


def test_kmeans_margin_starts_at_the_centres_and_goes_on_by_margin(pool):
    h, ids = blobs([9, 30, 20, 14])
    centre = [np.argmin([np.sum((x - h[ids == c].mean(0)) ** 2) + 9 * (ids[i] != c) for i, x in enumerate(h)])
              for c in (1, 2, 3, 0)]
    assert propose(h, 4, rng=RNG(0), strategy="kmeans_margin").tolist() == centre
    assert pick("kmeans_margin", pool, 7) == pick("margin", pool, 7)


def test_large_pools_in_float32_and_in_blocks_pick_the_same(monkeypatch):
    assert [len(range(9)[b]) for b in blocks(9, 4)] == [4, 4, 1]
    h, y = RNG(0).normal(size=(9000, 5)), np.full(9000, -1)
    y[:20] = np.arange(20) % 3
    rules = ("mass", "point", "k_center", "bait")
    double = [propose(h, 10, y, rng=RNG(0), strategy=rule).tolist() for rule in rules]
    monkeypatch.setattr(strategies, "SINGLE", 0)
    assert strategies._check(h, 1, None, "mass")[0].dtype == np.float32
    assert [propose(h, 10, y, rng=RNG(0), strategy=rule).tolist() for rule in rules] == double


def test_a_sample_of_targets_is_nearly_as_good(monkeypatch):
    h = blobs([200, 100, 50, 25], spread=0.3)[0]
    K = np.exp(-GAMMA * np.sum((h[:, None] - h) ** 2, axis=2) / np.mean(np.sum(h**2, 1)))
    full = K[propose(h, 8, rng=RNG(0), strategy="facility_location")].max(0).sum()
    monkeypatch.setattr(coverage, "TARGETS", 100)
    part = K[propose(h, 8, rng=RNG(0), strategy="facility_location")].max(0).sum()
    assert 0.95 * full < part <= full * 1.01
