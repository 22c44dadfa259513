"""Mass latency: how much a label lowers the latency of the whole pool.

In a pool every prompt i has features h_i and a weight p_i, its share of what the learner can still lose. With
G = lambda I + sum of h h^T over the bought labels, the potential is

    Phi(G) = sum_j p_j |h_j|^2_{G^-1},

and buying label i lowers it by exactly

    gain_i = h_i^T G^-1 S_p G^-1 h_i / (1 + |h_i|^2_{G^-1}),      S_p = sum_j p_j h_j h_j^T.

A single prompt's latency (`point`) ranks outliers first; its mass counts whom else the label would help. (This
project's own reading of "largest latency first"; the criterion is transductive optimal design: Yu, Bi and Tresp 2006.)
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.view import LAMBDA, Pool, blocks, rounding

RADIUS = 1.0  # alpha of point latency: what the width is worth against the margin, both on the scale of one label


class MassLatency:
    """Greedy minimisation of Phi over a pool, one label at a time, O(N m) per label.

    features (N, m), weights (N,) >= 0, lam > 0; `bought` are rows whose labels are already in G. Features are read in
    blocks and never copied; float32 features halve time and memory and widen `slack`, below which gains are equal.
    `own` (N,) >= 0, in units of lam, is variance of each row that the features miss and no other row shares.
    """

    def __init__(self, features: np.ndarray, weights: np.ndarray, lam: float, bought: np.ndarray,
                 own: np.ndarray | float = 0.0):
        self.h, self.p = features, weights
        n, m = features.shape
        self.own = np.zeros(n) + own
        self.slack = rounding(features.dtype)
        self.G_inv = _inverse_gram(features, lam, bought, self.own)
        self.S = np.zeros((m, m))
        for part in blocks(n):
            self.S += features[part].T @ (weights[part, None].astype(features.dtype) * features[part])
        self.leverage, self.mass = np.empty(n), np.empty(n)
        G_inv, S = self.G_inv.astype(features.dtype), self.S.astype(features.dtype)
        for part in blocks(n):
            spread = features[part] @ G_inv                                            # rows G^-1 h_i
            self.leverage[part] = np.einsum("nm,nm->n", spread, features[part])        # |h_i|^2_{G^-1}
            self.mass[part] = np.einsum("nm,nm->n", spread @ S, spread)                # h_i^T G^-1 S_p G^-1 h_i

    @property
    def gain(self) -> np.ndarray:
        """By how much a label of each row would lower Phi, (N,)."""
        return (self.mass + self.p * self.own * (2.0 * self.leverage + self.own)) / (1.0 + self.own + self.leverage)

    @property
    def potential(self) -> float:
        """Phi(G) = tr(G^-1 S_p), of what the features span."""
        return float(np.sum(self.G_inv * self.S))

    def buy(self, i: int) -> None:
        """Add row i to G: the rank-one updates of G^-1 (Sherman-Morrison), leverage and mass."""
        u = self.G_inv @ self.h[i] / np.sqrt(1.0 + self.own[i] + self.leverage[i])   # G^-1 <- G^-1 - u u^T
        Su = self.S @ u
        hu, hw = (self.h @ x.astype(self.h.dtype) for x in (u, self.G_inv @ Su))
        self.mass += hu * (hu * (u @ Su) - 2.0 * hw)
        self.leverage -= hu**2
        self.G_inv -= np.outer(u, u)


def mass(pool: Pool, budget: int) -> np.ndarray:
    """Largest mass latency first (THEORY 6; Yu, Bi and Tresp 2006), O(N m) per label after O(N m^2)."""
    return greedy(MassLatency(pool.h, pool.weights(), LAMBDA, pool.bought), pool.open, budget)


def greedy(state, allowed: np.ndarray, budget: int) -> np.ndarray:
    """`budget` picks (B,), each the allowed row of largest `state.gain` when it is made; `allowed` is used up.

    The state has gain (N,), slack and buy(i): MassLatency or KernelMass.
    """
    picks = []
    for _ in range(budget):
        i = first_largest(state.gain, allowed, state.slack)
        allowed[i] = False
        state.buy(i)
        picks.append(i)
    return np.array(picks)


def point(pool: Pool, budget: int) -> np.ndarray:
    """Largest latency of a single row first: alpha sqrt(2) |h_i|_{G^-1} - margin_i (THEORY 5a), alpha = RADIUS.

    G takes in each pick, so that near-duplicates cool each other down. Negative values rank too: a batch must be full.
    """
    margins = pool.margins()
    doubt = 0.0 if margins is None else -margins
    G_inv = _inverse_gram(pool.h, LAMBDA, pool.bought, np.zeros(len(pool.h)))
    allowed, picks = pool.open, []
    slack = rounding(pool.h.dtype)
    leverage = np.concatenate([np.einsum("nm,nm->n", pool.h[p] @ G_inv, pool.h[p]) for p in blocks(len(pool.h))])
    for _ in range(budget):
        i = first_largest(RADIUS * np.sqrt(2.0 * np.maximum(leverage, 0.0)) + doubt, allowed, slack)
        allowed[i] = False
        u = G_inv @ pool.h[i] / np.sqrt(1.0 + leverage[i])
        leverage -= (pool.h @ u.astype(pool.h.dtype)) ** 2
        G_inv -= np.outer(u, u)
        picks.append(i)
    return np.array(picks)


def first_largest(score: np.ndarray, allowed: np.ndarray, slack: float = 1e-9) -> int:
    """Lowest allowed row whose score is the largest, equal up to rounding (`slack` of the largest): the tie rule.

    Rounding depends on the machine and on the number of threads; the rule makes picks the same everywhere.
    """
    open_scores = np.where(allowed, score, -np.inf)
    best = open_scores.max()
    return int(np.argmax(open_scores >= best - slack * max(abs(best), 1e-300)))


def _inverse_gram(h: np.ndarray, lam: float, bought: np.ndarray, own: np.ndarray) -> np.ndarray:
    done = h[bought].astype(float) / np.sqrt(1.0 + own[bought])[:, None]
    return np.linalg.inv(lam * np.eye(h.shape[1]) + done.T @ done)
