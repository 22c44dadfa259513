"""Rules that spread labels so that every text has one nearby. All distances in float32 of centred features."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.clusters import k_means
from stackelberg_lib.pool.kernel import GAMMA, SCALES, Kernel, gaussian, multiscale, squared_distances
from stackelberg_lib.pool.latency import first_largest
from stackelberg_lib.pool.view import Pool, blocks, rounding

WIDE = (0.0625, 0.125, *SCALES)  # from the whole pool to near-duplicates; chosen like the square (docs/llf-lab-book.md)
TARGETS = 12288  # rows to be covered; of a larger pool so many are drawn
PURITY = 0.95    # of ProbCover's balls, the paper's value
SLACK = rounding(np.float32)


def k_center(pool: Pool, budget: int) -> np.ndarray:
    """The row farthest from all bought rows and picks, again and again (Sener and Savarese, ICLR 2018), O(N m) each.

    Without a label the first row is drawn at random. Rows nearer than rounding to a pick count as covered.
    """
    h = _centred(pool.h)
    size = np.einsum("nm,nm->n", h, h)
    allowed, nearest, picks = pool.open, np.full(len(h), np.inf, dtype=np.float32), []
    for part in blocks(len(pool.bought), 128):
        nearest = np.minimum(nearest, squared_distances(h, h[pool.bought[part]]).min(1))
    nearest[nearest <= 2 * SLACK * size] = 0.0
    for _ in range(budget):
        i = int(pool.draw(1)[0]) if np.isinf(nearest[0]) else first_largest(nearest, allowed, SLACK)
        allowed[i] = False
        picks.append(i)
        distance = h @ h[i]
        distance *= -2.0
        distance += size
        distance += size[i]
        distance[distance <= SLACK * (size + size[i])] = 0.0
        np.minimum(nearest, distance, out=nearest)
    return np.array(picks)


def facility_location(pool: Pool, budget: int) -> np.ndarray:
    """Maximise sum_j max over bought i of k(i, j) greedily (Bhatt et al. 2024), k the Gaussian of scale GAMMA."""
    return _facility(pool, np.ones(len(pool.h)), budget, lambda a, b: gaussian(a, b, GAMMA))


def coverage(pool: Pool, budget: int) -> np.ndarray:
    """Facility location in which row j counts p_j = (1 - margin_j)^2, the most what is most in doubt; scales WIDE.

    Any weights and any kernel with k(x, x) = 1 certify widths (THEORY 6); these ones were chosen by trial.
    """
    return _facility(pool, pool.weights() ** 2, budget, lambda a, b: multiscale(a, b, WIDE))


def _facility(pool: Pool, weights: np.ndarray, budget: int, kernel: Kernel) -> np.ndarray:
    """Lazy greedy (Minoux 1978): gains only fall, so an old gain is an upper bound and few rows are looked at again.

    O(N T m) once, T = min(N, TARGETS) rows to be covered.
    """
    h, allowed, picks = _centred(pool.h), pool.open, []
    rows = _targets(pool)
    aims, p, cover = h[rows], weights[rows].astype(np.float32), np.zeros(len(rows), dtype=np.float32)

    def gains(some):
        value = np.maximum(kernel(h[some], aims) - cover, 0.0) @ p
        return np.where(value > 0.1 * SLACK * p.sum(), value, 0.0)  # below: rounding, all is covered

    for part in blocks(len(pool.bought), 512):
        cover = np.maximum(cover, kernel(h[pool.bought[part]], aims).max(0))
    bound = np.concatenate([gains(part) for part in blocks(len(h), 512)])
    fresh = np.ones(len(h), dtype=bool)
    for _ in range(budget):
        while True:
            best = bound[allowed & fresh].max(initial=0.0)
            stale = np.flatnonzero(allowed & ~fresh & (bound >= best * (1.0 - 2 * SLACK)) & (bound > 0))
            if not len(stale):
                break
            some = stale[np.argsort(-bound[stale], kind="stable")[:64]]
            bound[some], fresh[some] = gains(some), True
        i = first_largest(bound, allowed, SLACK)
        allowed[i] = False
        cover = np.maximum(cover, kernel(h[i:i + 1], aims)[0])
        fresh[:] = False
        picks.append(i)
    return np.array(picks)


def probcover(pool: Pool, budget: int) -> np.ndarray:
    """Each pick covers the most rows that no ball of radius delta covers yet (Yehuda et al., NeurIPS 2022).

    delta is the largest radius at which 95 % of the balls hold one k-means cluster only; clusters: as many as classes
    (of the probabilities, else seen in two or more labels, else the budget). What is left of the budget when every row
    is covered is drawn at random. Degrees are counted in blocks; the graph is never stored.
    """
    h, allowed, rows = _centred(pool.h), pool.open, _targets(pool)
    aims = h[rows]
    delta2 = _pure_radius(aims, k_means(aims, _classes(pool, budget), pool.rng)[0])
    waiting = np.ones(len(rows), dtype=bool)
    degree = _near(h, aims, delta2)
    for part in blocks(len(pool.bought), 512):
        hit = waiting & (squared_distances(h[pool.bought[part]], aims) < delta2).any(0)
        degree, waiting = degree - _near(h, aims[hit], delta2), waiting & ~hit
    picks: list[int] = []
    while len(picks) < budget and degree[allowed].max() > 0:
        i = first_largest(degree, allowed)
        allowed[i] = False
        picks.append(i)
        hit = waiting & (squared_distances(h[i:i + 1], aims)[0] < delta2)
        degree, waiting = degree - _near(h, aims[hit], delta2), waiting & ~hit
    rest = pool.rng.permutation(np.flatnonzero(allowed))
    return np.concatenate([picks, rest])[:budget].astype(int)


def _pure_radius(aims: np.ndarray, ids: np.ndarray) -> float:
    """Squared radius just below the least at which more than 5 % of balls reach another cluster; inf with one cluster.

    A ball is pure as long as its radius is below the distance to the nearest row of another cluster, hence a quantile.
    """
    foreign = np.empty(len(aims))
    for part in blocks(len(aims), 512):
        d = squared_distances(aims[part], aims)
        d[ids[part, None] == ids] = np.inf
        foreign[part] = d.min(1)
    # a thousandth off, so that the pair that sets the radius lies clearly outside, whatever the rounding
    return float(0.999 * np.sort(foreign)[int((1.0 - PURITY) * len(aims) + 1e-9)])


def _near(h: np.ndarray, aims: np.ndarray, delta2: float) -> np.ndarray:
    """How many of `aims` lie within the radius of each row, (N,)."""
    if not len(aims):
        return np.zeros(len(h), dtype=int)
    return np.concatenate([(squared_distances(h[b], aims) < delta2).sum(1) for b in blocks(len(h), 512)])


def _classes(pool: Pool, budget: int) -> int:
    if pool.given_probabilities is not None:
        return pool.given_probabilities.shape[1]
    seen = len(np.unique(pool.y[pool.bought]))
    return seen if seen >= 2 else budget


def _targets(pool: Pool) -> np.ndarray:
    n = len(pool.h)
    return np.arange(n) if n <= TARGETS else np.sort(pool.rng.choice(n, TARGETS, replace=False))


def _centred(h: np.ndarray) -> np.ndarray:
    return (h - h.mean(0)).astype(np.float32, copy=False)  # distances stay, and float32 keeps their digits
