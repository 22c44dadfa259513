"""L3, the potential: squared widths of queried rounds add up to little, however the follower chooses.

Common arguments as in `radii`. Sum over queried rounds of log(1 + w_t^2 / 2) <= log(det V / det(lam I)) <= d Lambda_Q
for any lam > 0; w_t^2 / 2 never exceeds X = 2 L^2 / lam, and y / log(1 + y) grows. Source: L3, this project's
reconstruction; for one candidate a round Abbasi-Yadkori, Pal, Szepesvari 2011, Lemma 11.
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.game.checks import real
from stackelberg_lib.theory.radii import log_growth


def widest(*, L: float = 1.0, lam: float = 1.0) -> float:
    """X = 2 L^2 / lam, the largest w_t^2 / 2: |phi(z) - phi(a)| <= 2 L, and V >= lam I. InputError out of range."""
    return 2 * real("L", L, above=0) ** 2 / real("lam", lam, above=0)


def c_x(*, L: float = 1.0, lam: float = 1.0) -> float:
    """C_X = X / log(1 + X) >= 1: what y <= C_X log(1 + y) costs for y <= X. InputError out of range."""
    X = widest(L=L, lam=lam)
    return float(X / np.log1p(X))


def growth_ceiling(n: int, *, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """d Lambda_n, the most that log(det V / det(lam I)) can be after n labels. InputError out of range."""
    return d * log_growth(n, d=d, K=K, L=L, lam=lam)


def squared_widths(n: int, *, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """2 C_X d Lambda_n, the most that w_t^2 can add up to over n queried rounds. InputError out of range."""
    return 2 * c_x(L=L, lam=lam) * growth_ceiling(n, d=d, K=K, L=L, lam=lam)
