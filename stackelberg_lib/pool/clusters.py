"""Rules that cluster the pool first."""

from __future__ import annotations

import warnings

import numpy as np

from stackelberg_lib.pool.kernel import squared_distances
from stackelberg_lib.pool.latency import first_largest
from stackelberg_lib.pool.uncertainty import margin
from stackelberg_lib.pool.view import Pool, blocks, rounding

STRATA = 32
MOST_CLUSTERS, NEIGHBOURS, SMALLEST = 500, 20, 5  # TypiClust's constants, from the authors' code
FIT_ROWS = 16384  # k-means is fitted on at most so many rows


def k_means(h: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each row (N,) and centres (k, m) float32; at most min(k, rows) clusters, fewer when rows coincide.

    One start seeded by rng, at most 50 iterations; larger pools are fitted on FIT_ROWS rows drawn by rng.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    seed = int(rng.integers(2**31))
    part = rng.choice(len(h), FIT_ROWS, replace=False) if len(h) > FIT_ROWS else slice(None)
    rows = h[part].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: allowed here
        fitted = KMeans(min(k, len(rows)), n_init=1, max_iter=50, random_state=seed).fit(rows)
    ids = np.concatenate([fitted.predict(h[b].astype(np.float32)) for b in blocks(len(h))])
    return ids, fitted.cluster_centers_


def stratified(pool: Pool, budget: int) -> np.ndarray:
    """Random within k-means clusters, in proportion to their open rows (Neyman 1934), in random order.

    min(budget, STRATA) clusters. Systematic sampling of the rows sorted by cluster (Madow and Madow 1944): every open
    row is bought with the same probability, and a cluster's count differs from its share by less than 1.
    """
    rows = np.flatnonzero(pool.open)
    ids, _ = k_means(pool.h[rows], min(budget, STRATA), pool.rng)
    shuffled = pool.rng.permutation(len(rows))
    line = rows[shuffled[np.argsort(ids[shuffled], kind="stable")]]
    places = np.floor((pool.rng.random() + np.arange(budget)) * (len(rows) / budget)).astype(int)
    return pool.rng.permutation(line[np.minimum(places, len(rows) - 1)])


def kmeans_margin(pool: Pool, budget: int) -> np.ndarray:
    """The rows nearest to `budget` k-means centres, biggest cluster first (Zhdanov 2019); margin once there is a model.

    Clusters that coincide leave the batch short; the rest is then drawn at random.
    """
    if pool.margins() is not None:
        return margin(pool, budget)
    rows = np.flatnonzero(pool.open)
    ids, centres = k_means(pool.h[rows], budget, pool.rng)
    picks = []
    for c in np.argsort(-np.bincount(ids), kind="stable"):
        inside = np.flatnonzero(ids == c)
        if len(inside):
            distance = np.sum((pool.h[rows[inside]] - centres[c]) ** 2, axis=1)
            nearest = first_largest(-distance, np.ones(len(inside), dtype=bool), rounding(centres.dtype))
            picks.append(rows[inside[nearest]])
    rest = pool.rng.permutation(np.setdiff1d(rows, picks))
    return np.concatenate([picks, rest])[:budget].astype(int)


def typiclust(pool: Pool, budget: int) -> np.ndarray:
    """The most typical row of each cluster without labels, biggest first (Hacohen, Dekel and Weinshall, ICML 2022).

    min(labels in hand + budget, 500) k-means clusters; typicality = 1 / mean distance to the min(20, half) nearest open
    rows of the cluster. Clusters are visited by labels held, then size; those of at most 5 rows only when the others
    are used up. A cluster gives a second row when all have given one.
    """
    allowed = pool.open
    ids, _ = k_means(pool.h, min(int((~allowed).sum()) + budget, MOST_CLUSTERS), pool.rng)
    size = np.bincount(ids)
    held = np.bincount(ids[~allowed], minlength=len(size))
    queue = np.lexsort((-size, held))
    large, small = queue[size[queue] > SMALLEST], queue[size[queue] <= SMALLEST]
    picks: list[int] = []
    for group in (large, small):
        group = [c for c in group if (allowed & (ids == c)).any()]
        while group and len(picks) < budget:
            for c in group[:budget - len(picks)]:
                rows = np.flatnonzero(allowed & (ids == c))
                picks.append(int(rows[_most_typical(pool.h[rows])]))
                allowed[picks[-1]] = False
            group = [c for c in group if (allowed & (ids == c)).any()]
    return np.array(picks)


def _most_typical(h: np.ndarray) -> int:
    """Row with the least mean distance to its min(20, half) nearest others; the lowest of equals."""
    k = max(1, min(NEIGHBOURS, len(h) // 2))
    if len(h) == 1:
        return 0
    h = h - h.mean(0)
    spread = np.empty(len(h))
    for part in blocks(len(h), 1024):
        d = squared_distances(h[part], h)
        d[np.arange(len(d)), np.arange(part.start, part.stop)] = 0.0
        spread[part] = np.sqrt(np.partition(d, k, axis=1)[:, :k + 1]).sum(1) / k  # the row itself is the 0 among them
    return first_largest(-spread, np.ones(len(h), dtype=bool), rounding(h.dtype))
