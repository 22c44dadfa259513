"""The leader's estimate: ridge regression, batched over independent replicas."""

from __future__ import annotations

import numpy as np

# Each rank-k update of the inverse adds rounding; a direct inverse after this many wipes it out.
REFRESH_AFTER = 128


class Ridge:
    """Ridge regression of n replicas in d dimensions, updated by k labelled candidates at a time.

    V         (n, d, d)  Gram matrix, lam * I + sum phi phi^T
    V_inv     (n, d, d)  its inverse
    log_det   (n,)       log(det V / det(lam I)), the information bought so far, in nats
    theta_hat (n, d)     V_inv @ sum phi y
    labels    (n,)       how many contexts were labelled

    Memory is O(n d^2) whatever the horizon. An update replaces the arrays and leaves those handed out before
    as they were.
    """

    def __init__(self, n: int, d: int, lam: float) -> None:
        self.lam = lam
        self.V = np.tile(lam * np.eye(d), (n, 1, 1))
        self.V_inv = np.tile(np.eye(d) / lam, (n, 1, 1))
        self.log_det = np.zeros(n)
        self.theta_hat = np.zeros((n, d))
        self.labels = np.zeros(n, dtype=int)
        self._moment = np.zeros((n, d))

    def update(self, queried: np.ndarray, phi: np.ndarray, y: np.ndarray) -> None:
        """Learn from the replicas that bought a label; leave the others untouched to the last bit.

        queried (n,) bool; phi (n, k, d) labelled features; y (n, k) labels (not read where queried is False).
        """
        rows = np.flatnonzero(queried)
        if rows.size == 0:
            return
        F = phi[rows]
        Ft = F.swapaxes(1, 2)
        V_inv = self.V_inv[rows]
        G = V_inv @ Ft
        C = np.eye(F.shape[1]) + F @ G  # Woodbury's small matrix, k x k; its determinant is V's growth
        V_inv = V_inv - G @ np.linalg.solve(C, G.swapaxes(1, 2))
        self._moment[rows] += (Ft @ y[rows, :, None])[..., 0]
        self.labels = replaced(self.labels, rows, self.labels[rows] + 1)
        self.V = replaced(self.V, rows, self.V[rows] + Ft @ F)
        self.V_inv = replaced(self.V_inv, rows, (V_inv + V_inv.swapaxes(1, 2)) / 2)
        self.log_det = replaced(self.log_det, rows, self.log_det[rows] + np.linalg.slogdet(C)[1])
        self._refresh(rows[self.labels[rows] % REFRESH_AFTER == 0])
        estimate = (self.V_inv[rows] @ self._moment[rows, :, None])[..., 0]
        self.theta_hat = replaced(self.theta_hat, rows, estimate)

    def _refresh(self, rows: np.ndarray) -> None:
        """Recompute inverse and log determinant from V itself, which only ever adds."""
        if rows.size:
            self.V_inv[rows] = np.linalg.inv(self.V[rows])
            self.log_det[rows] = np.linalg.slogdet(self.V[rows] / self.lam)[1]


def replaced(whole: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of `whole` with `values` in the given rows."""
    copy = whole.copy()
    copy[rows] = values
    return copy
