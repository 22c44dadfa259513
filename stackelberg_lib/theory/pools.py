"""A pool as the proofs see it: features, weights, bought rows, and the answers a leader gives after them.

A closed set of C classes: class c is worth <theta_c, h_j> in prompt j, a label shows all C values with noise, and the
leader answers with the largest ridge score. G = lam I + sum of h h^T over the bought rows; then every pair of classes
has width sqrt(2) |h_j|_{G^-1} in prompt j, and the potential is Phi = sum_j p_j |h_j|^2_{G^-1}. A kernel is the same
thing seen from outside: k(i, j) = <h_i, h_j>, and lam Phi is the posterior variance of the pool.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real
from stackelberg_lib.theory.radii import alpha_log_det
from stackelberg_lib.theory.trajectory import ROUNDING

NOTHING = np.array([], dtype=int)  # no rows


class PoolPlay(NamedTuple):
    """N prompts, the rows bought so far, another set of rows to compare with, and n replicas of the answers.

    Everything of the answers is as it is after the last label. `rows` are row numbers throughout.
    """

    h: np.ndarray  # (N, m) features
    p: np.ndarray  # (N,) weights >= 0
    picks: np.ndarray  # (B,) bought rows, in order
    rival: np.ndarray  # (b,) any other rows: the best set, or what might still be bought
    lam: float
    sigma: float
    delta: float
    S: float
    classes: int
    regret: np.ndarray  # (n, N) r_j, 0 below rounding
    best_gap: np.ndarray  # (n, N) by how much the scores put the truly best class behind the answer, >= 0
    best_error: np.ndarray  # (n, N) <e_best - e_answer, h_j>, with e_c = theta_c - theta_hat_c
    best_distance: np.ndarray  # (n, N) |e_best - e_answer| in the norm of G
    margin: np.ndarray  # (N,) Delta_j, the smallest positive gap of the rewards; inf where all are equal
    good: np.ndarray  # (n,) bool, L1 for pairs: no two classes have |e_c - e_c'|_G above sqrt(2) alpha

    @property
    def kernel(self) -> np.ndarray:
        """k(i, j), (N, N)."""
        return self.h @ self.h.T

    @property
    def S_p(self) -> np.ndarray:
        """Sum of p_j h_j h_j^T, (m, m)."""
        return self.h.T @ (self.p[:, None] * self.h)

    def inverse(self, rows) -> np.ndarray:
        """G^-1 (m, m) after labels of these rows."""
        return np.linalg.inv(_gram(self.h, rows, self.lam))

    def potential(self, rows) -> float:
        """Phi = tr(G^-1 S_p) after labels of these rows."""
        return float(np.sum(self.inverse(rows) * self.S_p))

    def leverage(self, rows) -> np.ndarray:
        """|h_j|^2 in the norm of G^-1, (N,)."""
        return np.sum(self.h @ self.inverse(rows) * self.h, axis=1)

    def mass(self, rows) -> np.ndarray:
        """m_i = h_i^T G^-1 S_p G^-1 h_i, (N,)."""
        spread = self.h @ self.inverse(rows)
        return np.sum(spread @ self.S_p * spread, axis=1)

    def gain(self, rows) -> np.ndarray:
        """g_i = m_i / (1 + |h_i|^2_{G^-1}), (N,)."""
        return self.mass(rows) / (1 + self.leverage(rows))

    def radius(self, rows) -> float:
        """alpha after labels of these rows: L1 for the difference of two classes, for all pairs of classes at once."""
        growth = np.linalg.slogdet(_gram(self.h, rows, self.lam) / self.lam)[1]
        return float(_radius(growth, self.classes, self.sigma, self.delta, self.S, self.lam))

    def variance(self, rows) -> np.ndarray:
        """k_A(j, j) = k(j, j) - k_jA (k_AA + lam I)^-1 k_Aj, (N,)."""
        k, rows = self.kernel, _rows(rows)
        inside = k[np.ix_(rows, rows)] + self.lam * np.eye(len(rows))
        return np.diagonal(k) - np.sum(k[rows] * np.linalg.solve(inside, k[rows]), axis=0)

    def cover(self, rows) -> np.ndarray:
        """The largest k(i, j) over these rows i, or 0, (N,)."""
        return self.kernel[_rows(rows)].max(axis=0, initial=0.0)

    def covered(self, rows) -> float:
        """F = sum_j p_j max_i k(i, j), weighted facility location."""
        return float(self.p @ self.cover(rows))

    def covers(self, rows) -> np.ndarray:
        """By how much a label of each row would raise F, (N,)."""
        return np.maximum(self.kernel - self.cover(rows), 0.0) @ self.p

    def open(self, rows) -> np.ndarray:
        """All other rows."""
        return np.setdiff1d(np.arange(len(self.h)), rows)

    @property
    def fresh(self) -> np.ndarray:
        """The rival's rows that are not bought."""
        return np.setdiff1d(self.rival, self.picks)

    def joined(self, rows) -> np.ndarray:
        """These rows and the rival's."""
        return np.union1d(rows, self.rival).astype(int)

    def fall(self, rows) -> float:
        """D, by how much labels of these rows alone lower the potential."""
        return self.potential(NOTHING) - self.potential(rows)

    def ratio(self, rows) -> float:
        """gamma = 1 / (1 + the largest leverage of a row that is not among these)."""
        return float(1 / (1 + self.leverage(rows)[self.open(rows)].max()))

    @property
    def least_ratio(self) -> float:
        """lam / (lam + L^2), below which no gamma falls."""
        return float(self.lam / (self.lam + np.sum(self.h**2, axis=1).max()))


def answered(h, p, picks, theta, labels, *, rival, lam: float, sigma: float, delta: float, S: float) -> PoolPlay:
    """The pool and the answers after the labels.

    h (N, m), p (N,), picks (B,) rows in the order of buying, theta (m, C) with Frobenius norm at most S, labels
    (n, B, C) noisy values of all classes of the picks, noise sigma-sub-Gaussian; rival (b,) rows. InputError for
    shapes that do not fit, negative weights or numbers out of range.
    """
    lam, picks, rival = real("lam", lam, above=0), _rows(picks), _rows(rival)
    wanted = (len(labels), len(picks), theta.shape[1])
    if h.shape != (len(p), len(theta)) or labels.shape != wanted or theta.shape[1] < 2:
        raise InputError(f"h {h.shape}, p {p.shape}, theta {theta.shape} and labels {labels.shape} do not fit: give "
                         "(N, m), (N,), (m, C) with two classes or more, and (n, picks, C)")
    if not (p >= 0).all() or not p.any():
        raise InputError(f"p goes from {p.min():g} to {p.max():g}: give weights of at least 0, and not all 0")
    G = _gram(h, picks, lam)
    theta_hat = np.linalg.solve(G, h[picks].T @ labels)
    error, (j, n) = theta - theta_hat, (np.arange(len(h)), np.arange(len(labels))[:, None])
    score, reward = h @ theta_hat, h @ theta
    answer, best = score.argmax(axis=2), reward.argmax(axis=1)
    gaps = reward.max(axis=1, keepdims=True) - reward
    gaps = np.where(gaps > ROUNDING * S * np.linalg.norm(h, axis=1, keepdims=True), gaps, 0.0)
    apart = error[n, :, best] - error[n, :, answer]
    pairs = error[:, :, :, None] - error[:, :, None]
    alpha = _radius(np.linalg.slogdet(G / lam)[1], theta.shape[1], sigma, delta, S, lam)
    return PoolPlay(
        h, p, picks, rival, lam, sigma, delta, S, theta.shape[1], regret=gaps[j, answer],
        best_gap=score[n, j, answer] - score[n, j, best], best_error=np.sum(apart * h, axis=2),
        best_distance=_norm(apart, G), margin=np.where(gaps > 0, gaps, np.inf).min(axis=1),
        good=(_norm(np.moveaxis(pairs, 1, -1), G) <= np.sqrt(2) * alpha).all(axis=(1, 2)))


def root(kernel) -> np.ndarray:
    """Features (N, N) whose inner products are the kernel matrix (N, N). InputError if it has a negative eigenvalue."""
    values, vectors = np.linalg.eigh(kernel)
    if values[0] < -ROUNDING * values[-1]:
        raise InputError(f"kernel has the eigenvalue {values[0]:g}: give a positive semidefinite matrix")
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _gram(h: np.ndarray, rows, lam: float) -> np.ndarray:
    x = h[_rows(rows)]
    return lam * np.eye(h.shape[1]) + x.T @ x


def _rows(rows) -> np.ndarray:
    """An array, whatever the sequence: NumPy reads a tuple as one position."""
    return np.asarray(rows, dtype=int)


def _norm(x: np.ndarray, G: np.ndarray) -> np.ndarray:
    """sqrt(x^T G x) over the last axis."""
    return np.sqrt(np.maximum(np.sum(x @ G * x, axis=-1), 0.0))


def _radius(growth: float, classes: int, sigma: float, delta: float, S: float, lam: float) -> float:
    pairs = classes * (classes - 1) / 2
    return alpha_log_det(growth, sigma=sigma, delta=delta / pairs, S=S, lam=lam)
