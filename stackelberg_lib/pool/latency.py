"""Mass latency: how much a label lowers the latency of the whole pool.

In a pool every prompt i has features h_i and a weight p_i, its share of what the learner can still lose. With
G = lambda I + sum of h h^T over the bought labels, the potential is

    Phi(G) = sum_j p_j |h_j|^2_{G^-1},

and buying label i lowers it by exactly

    gain_i = h_i^T G^-1 S_p G^-1 h_i / (1 + |h_i|^2_{G^-1}),      S_p = sum_j p_j h_j h_j^T.

A single prompt's latency ranks outliers first; its mass counts whom else the label would help. (This project's own
reading of "largest latency first"; the criterion itself is transductive optimal design: Yu, Bi and Tresp 2006.)
"""

from __future__ import annotations

import numpy as np


class MassLatency:
    """Greedy minimisation of Phi over a pool, one label at a time, O(N m) per label.

    features (N, m), weights (N,) >= 0, lam > 0; `bought` are rows whose labels are already in G.
    """

    def __init__(self, features: np.ndarray, weights: np.ndarray, lam: float, bought: np.ndarray):
        self.h = features
        done = features[bought]
        self.G_inv = np.linalg.inv(lam * np.eye(features.shape[1]) + done.T @ done)
        self.S = features.T @ (weights[:, None] * features)
        spread = features @ self.G_inv                                           # rows G^-1 h_i
        self.leverage = np.einsum("nm,nm->n", spread, features)                   # |h_i|^2_{G^-1}
        self.mass = np.einsum("nm,nm->n", spread @ self.S, spread)                # h_i^T G^-1 S_p G^-1 h_i

    @property
    def gain(self) -> np.ndarray:
        """By how much a label of each row would lower Phi, (N,)."""
        return self.mass / (1.0 + self.leverage)

    @property
    def potential(self) -> float:
        """Phi(G) = tr(G^-1 S_p)."""
        return float(np.sum(self.G_inv * self.S))

    def buy(self, i: int) -> None:
        """Add row i to G: the rank-one updates of G^-1 (Sherman-Morrison), leverage and mass."""
        u = self.G_inv @ self.h[i] / np.sqrt(1.0 + self.leverage[i])              # G^-1 <- G^-1 - u u^T
        Su = self.S @ u
        hu, hw = self.h @ u, self.h @ (self.G_inv @ Su)
        self.mass += hu * (hu * (u @ Su) - 2.0 * hw)
        self.leverage -= hu**2
        self.G_inv -= np.outer(u, u)


def first_largest(score: np.ndarray, allowed: np.ndarray) -> int:
    """Lowest allowed row whose score is the largest, equal up to rounding (1e-9 of the range): the tie rule.

    Rounding depends on the machine and on the number of threads; the rule makes picks the same everywhere.
    """
    open_scores = np.where(allowed, score, -np.inf)
    best = open_scores.max()
    slack = 1e-9 * max(abs(best), 1e-300)
    return int(np.argmax(open_scores >= best - slack))
