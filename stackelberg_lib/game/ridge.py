"""The leader's estimate: ridge regression, batched over independent replicas."""

from __future__ import annotations

import math

import numpy as np

from stackelberg_lib.errors import InputError

# Each rank-k update of the inverse adds rounding; a direct inverse after this many wipes it out.
REFRESH_AFTER = 128
# So many replicas are learned one by one: with so few, calling NumPy costs more than the sums.
FEW = 2


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
        self.lam, dtype = lam, floating(dtype)
        self.V = np.tile(lam * np.eye(d, dtype=dtype), (n, 1, 1))
        self.V_inv = np.tile(np.eye(d, dtype=dtype) / lam, (n, 1, 1))
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

    The same estimate as `Ridge` on the K d features x (x) e_a, whose Gram matrix has K blocks and zeros elsewhere:
    memory O(n K d^2) instead of O(n K^2 d^2). Updates are made in place: copy what is to be kept. The share of
    V_inv that is rounding is about eps * labels / (d lam). dtype and errors as in `Ridge`.
    """

    def __init__(self, n: int, K: int, d: int, lam: float, dtype=np.float64) -> None:
        dtype = floating(dtype)
        self.V_inv = np.tile(np.eye(d, dtype=dtype) / lam, (n, K, 1, 1))
        self.log_det = np.zeros(n)
        self.theta_hat = np.zeros((n, K, d), dtype)
        self.labels = np.zeros(n, dtype=int)
        # The same numbers with replicas and arms on one axis; replica i's arms begin at i K.
        self._V_inv, self._theta_hat = self.V_inv.reshape(n * K, d, d), self.theta_hat.reshape(n * K, d)
        self._first = K * np.arange(n)
        self._room = np.empty((2, n, d, d), dtype)  # large arrays made anew each round would cost more than the sums

    def update(self, queried: np.ndarray, arm: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Learn one label of the arm `arm` (n,): Sherman and Morrison's formula, O(n d^2).

        queried (n,) bool; x (n, d) contexts; y (n,) labels (not read where queried is False).
        """
        if len(queried) <= FEW:
            for i in np.flatnonzero(queried):
                self._learn(i, arm[i], x[i], y[i])
            return
        rows = slice(None)
        if np.count_nonzero(queried) < len(queried):
            rows = np.flatnonzero(queried)
            arm, x, y = arm[rows], x[rows], y[rows]
        at = self._first[rows] + arm
        V_inv, outer = (room[:len(at)] for room in self._room)
        self._V_inv.take(at, axis=0, out=V_inv, mode="clip")
        theta = self._theta_hat[at]
        g = (V_inv @ x[:, :, None])[..., 0]
        growth = 1 + np.vecdot(x, g)  # of the arm's determinant
        step = g / growth[:, None]
        np.multiply(step[:, :, None], g[:, None], out=outer)
        self._V_inv[at] = np.subtract(V_inv, outer, out=V_inv)
        self._theta_hat[at] = theta + step * (y - np.vecdot(x, theta))[:, None]
        self.log_det[rows] += np.log(growth)
        self.labels[rows] += 1

    def _learn(self, i: int, a: int, x: np.ndarray, y: float) -> None:
        """The plain form of `update`: one label y of arm a in the context x (d,) of replica i."""
        V_inv, theta = self.V_inv[i, a], self.theta_hat[i, a]
        g = V_inv @ x
        growth = 1 + x @ g
        step = g / growth
        theta += step * (y - x @ theta)
        V_inv -= step[:, None] * g
        self.log_det[i] += math.log(growth)
        self.labels[i] += 1


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
