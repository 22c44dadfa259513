"""The leader's estimate: ridge regression, batched over independent replicas."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.followers import TIES

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
    as they were. dtype: float64, or float32 for half the memory and about seven digits less to trust; log_det is
    float64 in any case. Raises InputError for any other dtype.
    """

    def __init__(self, n: int, d: int, lam: float, dtype=np.float64) -> None:
        self.lam, dtype = float(lam), floating(dtype)  # one of NumPy's own floats would decide the dtype
        self.V = np.tile(self.lam * np.eye(d, dtype=dtype), (n, 1, 1))
        self.V_inv = np.tile(np.eye(d, dtype=dtype) / self.lam, (n, 1, 1))
        self.log_det = np.zeros(n)
        self.theta_hat = np.zeros((n, d), dtype)
        self.labels = np.zeros(n, dtype=int)
        self._moment = np.zeros((n, d), dtype)

    def update(self, queried: np.ndarray, phi: np.ndarray, y: np.ndarray) -> None:
        """Learn from the replicas that bought a label; leave the others untouched to the last bit.

        queried (n,) bool; phi (n, k, d) labelled features; y (n, k) labels (not read where queried is False).
        """
        rows = np.flatnonzero(queried)
        if rows.size == 0:
            return
        F = phi[rows].astype(self.V.dtype, copy=False)
        Ft = F.swapaxes(1, 2)
        V_inv = self.V_inv[rows]
        G = V_inv @ Ft
        C = np.eye(F.shape[1], dtype=F.dtype) + F @ G  # Woodbury's small matrix, k x k; its determinant is V's growth
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


class ArmRidge:
    """Disjoint arms: one ridge regression per replica and arm on a context shared by the arms, one label at a time.

    V_inv     (n, K, d, d)  inverse of each arm's Gram matrix lam * I + sum x x^T
    log_det   (n,)          log(det V / det(lam I)) of all the arms together, in nats
    theta_hat (n, K, d)     each arm's estimate
    labels    (n,)          how many contexts were labelled
    reach     (n, K)        no context of length 1 is wider than this in the arm's norm of V^-1

    The same estimate as `Ridge` on the K d features x (x) e_a, whose Gram matrix has K blocks and zeros elsewhere:
    memory O(n K d^2) instead of O(n K^2 d^2). Updates are made in place: copy what is to be kept. The share of
    V_inv that is rounding is about eps * labels / (d lam). dtype as in `Ridge`. Both steps are compiled; `compiled`
    has them in plain NumPy too. Raises InputError for another dtype, shapes that do not fit, an arm that is not there.
    """

    V = None  # never written out

    def __init__(self, n: int, K: int, d: int, lam: float, dtype=np.float64) -> None:
        from stackelberg_lib.game import compiled  # numba takes a second to import
        dtype = floating(dtype)
        self._steps, self._ties = compiled, TIES[dtype]
        self.V_inv = np.tile(np.eye(d, dtype=dtype) / float(lam), (n, K, 1, 1))
        self.log_det = np.zeros(n)
        self.theta_hat = np.zeros((n, K, d), dtype)
        self.labels = np.zeros(n, dtype=int)
        self.reach = np.full((n, K), float(lam)**-0.5)

    def optimistic(self, alpha: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """The arm (n,) with the largest upper bound, score + alpha |x|_{V^-1}, that width (n,), and arms read.

        alpha (n,) radii; x (n, d) contexts. Ties go to the lowest index. The third result counts the V_inv that were
        read, n to n K: arms that cannot be the answer are passed over.
        """
        leader, width = np.empty(len(self.labels), int), np.empty(len(self.labels), self.V_inv.dtype)
        read = self._steps.answer(self.V_inv, self.theta_hat, self.reach, alpha, x, self._ties, leader, width)
        return leader, width, read

    def update(self, queried: np.ndarray, arm: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Learn one label of the arm `arm` (n,): Sherman and Morrison's formula, O(n d^2).

        queried (n,) bool; x (n, d) contexts; y (n,) labels (not read where queried is False).
        """
        self._steps.learn(self.V_inv, self.theta_hat, self.log_det, self.labels, self.reach, queried, arm, x, y)


def floating(dtype) -> np.dtype:
    """numpy's dtype if it is float64 or float32; else InputError."""
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = None
    if known not in (np.float64, np.float32):
        raise InputError(f"dtype={dtype!r} is not supported: give float64 or float32")
    return known


def replaced(whole: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy of `whole` with `values` in the given rows."""
    copy = whole.copy()
    copy[rows] = values
    return copy
