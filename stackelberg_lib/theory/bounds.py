"""Levels that come with a promise: theorems T2 and T4 of this project's reconstruction.

Common arguments: B, labels; alpha > 0, a deterministic radius (reward units), see `radii`; d features; K candidates;
L, bound on |phi|; lam > 0, ridge. All functions raise InputError for values out of range.
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.theory.radii import log_growth


def t2_level(B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """Level tau = alpha sqrt(2 (e^u - 1)), u = d Lambda_B / B, above which every path has fewer than B latencies.

    A query needs alpha w_t >= latency > tau, so log(1 + w_t^2 / 2) > u, and B of them would exceed d Lambda_B, the
    ceiling of log(det V / det(lam I)). Holds on every path, whatever the noise. Source: T2 (i), this project's
    reconstruction.
    """
    u = d * log_growth(whole("B", B, 1), d=d, K=K, L=L, lam=lam) / B
    return float(real("alpha", alpha, above=0) * np.sqrt(2 * np.expm1(u)))
