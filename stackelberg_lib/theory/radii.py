"""How far theta can be from its estimate: the radii of the confidence ellipsoids (lemmas L1 and L1').

Common arguments: sigma, noise (reward units); lam > 0, ridge; S, bound on |theta|; L, bound on |phi|; delta
in (0, 1), the probability of failure; d features; K candidates. All functions raise InputError for values
out of range.
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.game.checks import real, whole


def log_growth(n: int, *, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """Lambda_n = log(1 + n K L^2 / (d lam)): d Lambda_n bounds log(det V / det(lam I)) with n labels.

    Source: determinant-trace inequality, Abbasi-Yadkori, Pal, Szepesvari 2011, Lemma 10.
    """
    n, d, K = whole("n", n, 0), whole("d", d, 1), whole("K", K, 1)
    return float(np.log1p(n * K * real("L", L, above=0) ** 2 / (d * real("lam", lam, above=0))))


def alpha_log_det(log_det, *, sigma: float, delta: float, S: float = 1.0, lam: float = 1.0):
    """Radius of L1, sigma sqrt(2 log(1/delta) + log(det V / det(lam I))) + sqrt(lam) S, for any gate.

    log_det >= 0, a number or an array; the result has its shape. Holds for all rounds at once with
    probability 1 - delta. Source: Abbasi-Yadkori, Pal, Szepesvari 2011, Theorem 2, here for vector noise
    (this project's reconstruction).
    """
    _common(sigma, delta, S, lam)
    return sigma * np.sqrt(2 * np.log(1 / delta) + log_det) + np.sqrt(lam) * S


def alpha_adp(n: int, *, d: int, K: int, sigma: float, delta: float, S: float = 1.0, L: float = 1.0,
              lam: float = 1.0) -> float:
    """Deterministic ceiling of L1's radius with n labelled contexts: log det replaced by d Lambda_n.

    Source: Abbasi-Yadkori, Pal, Szepesvari 2011, Theorem 2, with `log_growth`; this project's reconstruction.
    """
    ceiling = d * log_growth(n, d=d, K=K, L=L, lam=lam)
    return float(alpha_log_det(ceiling, sigma=sigma, delta=delta, S=S, lam=lam))


def alpha_fix(T: int, *, K: int, sigma: float, delta: float, S: float = 1.0, lam: float = 1.0) -> float:
    """Radius of L1', sigma sqrt(2 log(K (K-1) T / delta)) + sqrt(lam) S: no factor sqrt(d).

    Only for pairs of candidates in T rounds, and only where neither contexts nor gate nor level depend on the
    labels' values. Source: this project's reconstruction (fixed design, union over pairs and rounds).
    """
    _common(sigma, delta, S, lam)
    pairs = whole("K", K, 2) * (K - 1)
    return float(sigma * np.sqrt(2 * np.log(pairs * whole("T", T, 1) / delta)) + np.sqrt(lam) * S)


def _common(sigma: float, delta: float, S: float, lam: float) -> None:
    real("sigma", sigma, at_least=0)
    real("delta", delta, above=0, below=1)
    real("S", S, above=0)
    real("lam", lam, above=0)
