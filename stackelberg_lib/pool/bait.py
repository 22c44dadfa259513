"""BAIT: the batch after which the Fisher information of the pool is best covered."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.latency import MassLatency, greedy
from stackelberg_lib.pool.view import LAMBDA, Pool


def bait(pool: Pool, budget: int) -> np.ndarray:
    """Minimise tr(M^-1 sum_j F_j), M = lambda I + sum of F over bought rows and batch (Ash et al., NeurIPS 2021).

    F_j = v_j h_j h_j^T is the Fisher information of a linear head with the class block diag(p) - p p^T replaced by its
    trace v_j = 1 - sum_c p_jc^2: (m, m) instead of (C m, C m). v = 1, the paper's regression form, before there is a
    model. Greedy forward to twice the budget, then backward to the budget, as in the paper.
    """
    p = pool.probabilities()
    v = np.ones(len(pool.h)) if p is None else np.maximum(1.0 - np.einsum("nc,nc->n", p, p), 0.0)
    state = MassLatency(pool.h * np.sqrt(v)[:, None].astype(pool.h.dtype), np.ones(len(v)), LAMBDA, pool.bought)
    allowed = pool.open
    chosen = greedy(state, allowed, min(2 * budget, int(allowed.sum())))
    return chosen[_prune(state, chosen, budget)]


def _prune(state: MassLatency, chosen: np.ndarray, keep: int) -> np.ndarray:
    """Places of the `keep` picks left after taking out, one by one, the one whose loss raises tr(G^-1 S) least."""
    rows, G_inv, left = state.h[chosen].astype(float), state.G_inv, np.arange(len(chosen))
    while len(left) > keep:
        spread = rows[left] @ G_inv
        rest = 1.0 - np.einsum("nm,nm->n", spread, rows[left])
        loss = np.einsum("nm,nm->n", spread @ state.S, spread) / rest
        # of equals the last bought goes: the order of buying is the order of gain
        out = np.flatnonzero(loss <= loss.min() * (1.0 + state.slack))[-1]
        G_inv = G_inv + np.outer(spread[out], spread[out]) / rest[out]
        left = np.delete(left, out)
    return left
