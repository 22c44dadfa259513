"""Kernel mass latency: mass latency with a Gaussian kernel of many scales in place of the inner product,

    k(x, x') = mean over gamma in SCALES of exp(-gamma |h - h'|^2).

With k_t the posterior kernel after the bought labels, lambda times the potential of `latency` is sum_j p_j k_t(j, j),
and buying label i lowers it by exactly

    gain_i = sum_j p_j k_t(j, i)^2 / (k_t(i, i) + lambda).

(THEORY 6; kernel bandits: Srinivas et al. 2010, Valko et al. 2013.) Up to EXACT rows the kernel is exact: memory
8 (2 N^2 + N B) bytes, O(N^2) per label. Above, LANDMARKS rows stand for all (Nystrom; Williams and Seeger 2001): the
kernel mass of z = K_NM K_MM^{-1/2} is the linear one of z, O(N M) per label. What z misses of k(i, i) = 1 stays with
row i as variance of its own (Snelson and Ghahramani 2006); without it rows far from all landmarks look known. Memory
then is 4 N M bytes beside the features, and 4 BLOCK (2 m + 3 M) to work in: N = 200,000, m = 1,024, M = 1,024 need
1 GB beside 1.6 GB of features (the caller's and the scaled copy, both float32).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stackelberg_lib.pool.latency import MassLatency, greedy
from stackelberg_lib.pool.view import Pool, blocks

GAMMA = 1.0  # a single scale, for features of root-mean-square norm 1 (tuned on banking77 with MiniLM, like LAMBDA)
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # each twice the one before: from classes far apart to near-duplicates
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows (n, m) and (k, m) to (n, k), 1 for equal rows
RIDGE = 0.03   # lambda beside a kernel of variance 1 (tuned like GAMMA, on PocketDesk too)
EXACT = 4096
LANDMARKS = 1024


class KernelMass:
    """Greedy minimisation of sum_j p_j k_t(j, j) with the exact kernel, one label at a time.

    features (N, m), weights (N,) >= 0, lam > 0; `bought` are rows whose labels are known. A label adds one column, as
    in a pivoted Cholesky factorisation; the kernel matrix itself is not touched again.
    """

    slack = 1e-9

    def __init__(self, features: np.ndarray, weights: np.ndarray, lam: float, kernel: Kernel, bought: np.ndarray):
        self.p, self.lam = weights, lam
        features = features.astype(float, copy=False)
        self.K = kernel(features, features)
        if len(bought):
            root = np.linalg.cholesky(self.K[np.ix_(bought, bought)] + lam * np.eye(len(bought)))
            known = np.linalg.solve(root, self.K[bought])
            self.K -= known.T @ known
        self.variance = self.K.diagonal().copy()                                       # k_t(i, i)
        self.mass = np.concatenate([self.K[part] ** 2 @ weights for part in blocks(len(self.K), 512)])
        self.columns = np.empty((0, len(self.K)))

    @property
    def gain(self) -> np.ndarray:
        """By how much a label of each row would lower the potential, (N,)."""
        return self.mass / (self.variance + self.lam)

    @property
    def potential(self) -> float:
        """sum_j p_j k_t(j, j)."""
        return float(self.p @ self.variance)

    def buy(self, i: int) -> None:
        """Add row i: k_t <- k_t - c c^T with c = k_t(., i) / sqrt(k_t(i, i) + lam), then variances and masses."""
        c = self.K[i] - self.columns[:, i] @ self.columns
        c /= np.sqrt(self.variance[i] + self.lam)
        q = self.p * c
        w = self.K @ q - (self.columns @ q) @ self.columns                             # sum_j k_t(., j) p_j c_j
        self.mass += c * (c * (q @ c) - 2.0 * w)
        self.variance -= c**2
        self.columns = np.vstack([self.columns, c])


def kernel_mass(pool: Pool, budget: int) -> np.ndarray:
    """Largest kernel mass latency first (THEORY 6); above EXACT rows with landmarks drawn by rng."""
    p = pool.weights()
    if len(pool.h) <= EXACT:
        state = KernelMass(pool.h, p, RIDGE, multiscale, pool.bought)
    else:
        rows = np.sort(pool.rng.choice(len(pool.h), LANDMARKS, replace=False))
        z = landmark_features(pool.h, rows, multiscale)
        missed = np.maximum(1.0 - np.einsum("nm,nm->n", z, z), 0.0)
        state = MassLatency(z, p, RIDGE, pool.bought, missed / RIDGE)
    return greedy(state, pool.open, budget)


def landmark_features(h: np.ndarray, rows: np.ndarray, kernel: Kernel) -> np.ndarray:
    """z (N, M) float32 with z z^T = K_NM K_MM^+ K_MN: the kernel of all rows, seen through landmarks `rows` (M,).

    Directions of K_MM below 1e-6 of the largest are left out: float32 cannot tell them from nothing.
    """
    middle = h.mean(0)  # distances do not feel it, float32 does
    marks = (h[rows] - middle).astype(np.float32)
    values, vectors = np.linalg.eigh(kernel(marks.astype(float), marks.astype(float)))
    kept = values > 1e-6 * values[-1]
    root = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    z = np.empty((len(h), root.shape[1]), dtype=np.float32)
    for part in blocks(len(h)):
        z[part] = kernel((h[part] - middle).astype(np.float32), marks) @ root
    return z


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|^2, (n, k), at least 0, in the type of `a` and `b`; one matrix product."""
    d = a @ b.T
    d *= -2.0
    d += np.einsum("nm,nm->n", a, a)[:, None]
    d += np.einsum("nm,nm->n", b, b)
    return np.maximum(d, 0.0, out=d)


def gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    """exp(-gamma |a_i - b_j|^2), (n, k)."""
    d = squared_distances(a, b)
    d *= -gamma
    return np.exp(d, out=d)


def multiscale(a: np.ndarray, b: np.ndarray, scales: tuple[float, ...] = SCALES) -> np.ndarray:
    """Mean of exp(-gamma |a_i - b_j|^2) over the scales, (n, k); each must be twice the one before."""
    term = gaussian(a, b, scales[0])
    total = term.copy()
    for _ in scales[1:]:
        term *= term  # a Gaussian of twice the scale is the square
        total += term
    total /= len(scales)
    return total
