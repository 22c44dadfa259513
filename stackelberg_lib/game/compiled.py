"""The steps of a round on disjoint arms, each written twice: plain, to be read, and compiled, to be run.

`plain_answer`, `plain_reveal` and `plain_learn` are NumPy, a line per formula; `answer`, `reveal` and `learn` do the
same for all replicas in one call, by numba. tests/game/test_compiled.py holds them together. Compiling takes some
seconds, once on a machine: numba keeps the machine code in __pycache__, or in the user's cache where that cannot be
written. Import this module inside functions only; it imports numba, and `import stackelberg_lib.game` must not.

What they find goes into the arrays given last: an array made by numba costs a microsecond to hand over to Python.

Shapes, everywhere: V_inv (n, K, d, d), theta_hat and theta (n, K, d), reach (n, K), alpha (n,), x (n, d) the context
that the arms share; leader, arm, queried, log_det and labels (n,).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from stackelberg_lib.errors import InputError

# Sums may be taken in any order, as BLAS takes them too; NaN, infinity and comparisons keep their rules.
SUMS = {"reassoc", "contract", "nsz"}
# The bound by which an arm is passed over is raised by a share far above rounding, so rounding never decides.
ABOVE_ROUNDING = 1.001


def plain_answer(V_inv: np.ndarray, theta_hat: np.ndarray, alpha: np.ndarray, x: np.ndarray,
                 ties: float) -> tuple[np.ndarray, np.ndarray]:
    """The arm (n,) with the largest upper bound and its width |x|_{V^-1} (n,): LinUCB, Li et al. 2010.

    Upper bounds that agree to the share `ties` of the largest are a tie, which goes to the lowest index.
    """
    width = np.sqrt(np.maximum(np.einsum("nj,nkjl,nl->nk", x, V_inv, x), 0))
    upper = np.einsum("nkj,nj->nk", theta_hat, x) + alpha[:, None] * width
    top = upper.max(axis=1, keepdims=True)
    leader = (upper >= top - ties * abs(top)).argmax(axis=1)
    return leader, width[np.arange(len(x)), leader]


def plain_reveal(theta: np.ndarray, x: np.ndarray, leader: np.ndarray, queried: np.ndarray,
                 eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean rewards mu (n, K), labels y (n, K), NaN but for the leader's answer where queried, and regret (n,)."""
    mu = np.einsum("nkj,nj->nk", theta, x)
    shown = queried[:, None] & (np.arange(mu.shape[1]) == leader[:, None])
    return mu, np.where(shown, mu + eta, np.nan), mu.max(axis=1) - mu[np.arange(len(mu)), leader]


def plain_learn(V_inv: np.ndarray, theta_hat: np.ndarray, log_det: np.ndarray, labels: np.ndarray, reach: np.ndarray,
                queried: np.ndarray, arm: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Learn in place, where queried, the label y (n,) of the arm `arm`: Sherman and Morrison's formula.

    reach: |x|_{V^-1} <= reach |x| with the root of V^-1's Frobenius norm, or of the start's 1/lam, as widths only fall.
    """
    for i in np.flatnonzero(queried):
        a = arm[i]
        g = V_inv[i, a] @ x[i]
        growth = 1 + x[i] @ g  # of the arm's determinant
        theta_hat[i, a] += g * (y[i] - x[i] @ theta_hat[i, a]) / growth
        V_inv[i, a] -= np.outer(g, g) / growth
        reach[i, a] = min(reach[i, a], np.sqrt(np.linalg.norm(V_inv[i, a])))
        log_det[i] += np.log(growth)
        labels[i] += 1


@numba.njit(cache=True, fastmath=SUMS)
def inner(u, v):
    """<u, v>, for vectors (d,)."""
    total = u[0] * v[0]
    for j in range(1, len(u)):
        total += u[j] * v[j]
    return total


@numba.njit(cache=True, fastmath=SUMS)
def squared_width(V_inv, x):
    """|x|^2 in V^-1 (d, d), from the lower triangle: nearly half the matrix need not be fetched."""
    total = V_inv[0, 0] * x[0] * x[0]
    for j in range(1, len(x)):
        off = inner(V_inv[j, :j], x[:j])
        total += x[j] * (off + off + V_inv[j, j] * x[j])
    return max(total, 0)


@numba.njit(cache=True)
def answer(V_inv, theta_hat, reach, alpha, x, ties, leader, width):
    """`plain_answer`; returns how many arms' V_inv were read.

    Arms are looked at in the order of what they could reach at most, score + alpha reach |x|, until no other can come
    up to the best so far: the answer is that of a look at all, and most matrices stay unread.
    """
    n, K, d = theta_hat.shape
    if x.shape != (n, d) or alpha.shape != (n,):
        raise InputError("alpha or x has a wrong shape: give alpha (n,) and x (n, d)")
    score, most, upper, widths, read = np.empty(K), np.empty(K), np.empty(K), np.empty(K), 0
    for i in range(n):
        length = ABOVE_ROUNDING * math.sqrt(inner(x[i], x[i]))
        for a in range(K):
            score[a] = inner(theta_hat[i, a], x[i])
            most[a] = score[a] + alpha[i] * reach[i, a] * length
        upper[:], top, least = -np.inf, -np.inf, -np.inf
        for _ in range(K):
            a = np.argmax(most)
            if most[a] < least:
                break
            most[a] = -np.inf
            widths[a] = math.sqrt(squared_width(V_inv[i, a], x[i]))
            upper[a] = score[a] + alpha[i] * widths[a]
            top = max(top, upper[a])
            least = top - ties * abs(top)
            read += 1
        leader[i] = np.argmax(upper >= least)
        width[i] = widths[leader[i]]
    return read


@numba.njit(cache=True)
def reveal(theta, x, leader, queried, eta, mu, y, regret):
    """`plain_reveal`."""
    n, K, d = theta.shape
    if x.shape != (n, d) or eta.shape != (n, K):
        raise InputError("the stream's theta, menu and K do not go together: give theta (n, K, d), menu (n, M, 1, d)")
    for i in range(n):
        for a in range(K):
            mu[i, a] = inner(theta[i, a], x[i])
        a, y[i] = leader[i], np.nan
        if queried[i]:
            y[i, a] = mu[i, a] + eta[i, a]
        regret[i] = mu[i].max() - mu[i, a]


@numba.njit(cache=True, fastmath=SUMS)
def learn(V_inv, theta_hat, log_det, labels, reach, queried, arm, x, y):
    """`plain_learn`. Replicas before one whose arm is not there have learned when InputError is raised."""
    n, K, d = theta_hat.shape
    if x.shape != (n, d) or not len(queried) == len(arm) == len(y) == n:
        raise InputError("queried, arm, x or y has a wrong shape: give (n,), (n,), (n, d) and (n,)")
    g = np.empty(d, V_inv.dtype)
    for i in range(n):
        if not queried[i]:
            continue
        a, squares = arm[i], 0.0
        if not 0 <= a < K:
            raise InputError("arm is out of range: give integers from 0 to K - 1")
        for j in range(d):
            g[j] = inner(V_inv[i, a, j], x[i])
        growth = 1 + inner(x[i], g)
        step = (y[i] - inner(x[i], theta_hat[i, a])) / growth
        for j in range(d):
            theta_hat[i, a, j] += step * g[j]
        root = math.sqrt(growth)
        for j in range(d):
            g[j] /= root  # g g^T / growth is symmetric to the last bit this way
        for j in range(d):
            for l in range(d):
                V_inv[i, a, j, l] -= g[j] * g[l]
                squares += V_inv[i, a, j, l] ** 2
        reach[i, a] = min(reach[i, a], math.sqrt(math.sqrt(squares)))
        log_det[i] += math.log(growth)
        labels[i] += 1
