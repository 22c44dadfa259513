"""BADGE: diverse and uncertain at once, by k-means++ on the gradients of the last layer."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.latency import first_largest
from stackelberg_lib.pool.view import Pool


def badge(pool: Pool, budget: int) -> np.ndarray:
    """k-means++ seeding on g_i = (p_i - onehot(argmax p_i)) (x) h_i (Ash et al., ICLR 2020).

    The largest gradient comes first, as in the authors' code; each later row is drawn with probability proportional to
    its squared distance from the nearest pick, uniformly once all distances are 0. Random before there is a model.
    The (N, C m) matrix of gradients is never formed: g_i . g_j = (a_i . a_j)(h_i . h_j), O(N (m + C)) per label.
    """
    p = pool.probabilities()
    if p is None:
        return pool.draw(budget)
    h, a = pool.h, np.array(p, dtype=float)
    a[np.arange(len(a)), a.argmax(1)] -= 1.0
    size = np.einsum("nm,nm->n", h, h) * np.einsum("nc,nc->n", a, a)                    # |g_i|^2
    allowed, nearest = pool.open, np.full(len(h), np.inf)
    i = first_largest(size, allowed)
    picks = []
    while True:
        picks.append(i)
        allowed[i] = False
        if len(picks) == budget:
            return np.array(picks)
        distance = size + size[i] - 2.0 * (a @ a[i]) * (h @ h[i])
        distance[distance <= 1e-9 * (size + size[i])] = 0.0                              # copies, up to rounding
        nearest = np.minimum(nearest, distance)
        i = _draw(np.where(allowed, nearest, 0.0), allowed, pool.rng)


def _draw(weights: np.ndarray, allowed: np.ndarray, rng: np.random.Generator) -> int:
    total = np.cumsum(weights if weights.any() else allowed.astype(float))
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))
