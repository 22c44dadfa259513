"""The theorems T1-T4 of this project's reconstruction: levels and bounds, every constant in sight.

Common arguments: T, rounds; B, labels; alpha > 0, a deterministic radius (reward units), see `radii`: `alpha_adp` with
as many labels as the theorem buys, or `alpha_fix` where its conditions hold; d features; K candidates; L, bound on
|phi|; lam > 0, ridge. Levels, regrets and certificates in reward units. Regret bounds hold on the good event of the
radius; `t1_mean_regret` holds in the mean. All functions raise InputError for values out of range and for a condition
of the theorem that fails.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.theory.potential import c_x, growth_ceiling, squared_widths, widest

# The largest sqrt(q) - q over shares q = Q/B of the budget, at q = 1/4: a query more is a skipped round less.
QUARTER = 1 / 4
# Freedman's inequality for a count of mean m: m + sqrt(2 m log(1/delta')) + (2/3) log(1/delta'), and
# sqrt(2 m log) <= m + log/2: the count's mean twice, and 1/2 + 2/3 logarithms.
FREEDMAN = 7 / 6
# A level may be higher than the theorem's, never lower: at B = d, K = 2 the first latency of each direction equals it.
ROUNDING_UP = 1 + 2.0**-46


class Certificate(NamedTuple):
    """T3: cumulative latency, an upper bound on the regret so far; each (..., T)."""

    total: np.ndarray
    queried: np.ndarray  # the part suffered where a label was bought
    skipped: np.ndarray  # the rest


def t1_regret(T: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """R_T <= alpha sqrt(2 C_X d Lambda_T T), with every round labelled. Source: T1."""
    widths = squared_widths(whole("T", T, 1), d=d, K=K, L=L, lam=lam)
    return real("alpha", alpha, above=0) * float(np.sqrt(widths * T))


def t1_mean_regret(T: int, *, sigma: float, d: int, K: int, S: float = 1.0, L: float = 1.0, lam: float = 1.0) -> float:
    """E R_T <= sqrt(2 (1 + X) (lam S^2 + sigma^2 d Lambda_T) T), all rounds labelled, whatever the follower knows.

    No radius and no factor sqrt(d) beside the one in d Lambda_T: a label shows the answer and the best candidate, so
    e^T V e, e = theta_hat - theta, loses r^2 / (2 (1 + X)) in each round and gains at most what log det V gains,
    times sigma^2, in the mean. Needs noise of conditional mean 0 and covariance at most sigma^2 I. With at most B
    labels, asked for before they are seen, it bounds the regret of the labelled rounds: put B for T. Source: this
    project's reconstruction, lesson 03.
    """
    growth = real("sigma", sigma, at_least=0) ** 2 * growth_ceiling(whole("T", T, 1), d=d, K=K, L=L, lam=lam)
    start = lam * real("S", S, above=0) ** 2
    return float(np.sqrt(2 * (1 + widest(L=L, lam=lam)) * (start + growth) * T))


def t2_share(B: int, *, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """u = d Lambda_B / B, a label's even share of all that log det V can grow (nats). Source: T2."""
    return growth_ceiling(whole("B", B, 1), d=d, K=K, L=L, lam=lam) / B


def t2_level(B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """Level tau = alpha sqrt(2 (e^u - 1)), u = d Lambda_B / B, above which every path has fewer than B latencies.

    A query needs alpha w_t >= latency > tau, so log(1 + w_t^2 / 2) > u, and B of them would exceed d Lambda_B, the
    ceiling of log(det V / det(lam I)). Holds on every path, whatever the noise; if u > log(1 + X) no latency is above.
    Source: T2 (i).
    """
    u = t2_share(B, d=d, K=K, L=L, lam=lam)
    if u > np.log(np.finfo(float).max):
        raise InputError(f"B={B} gives u = d Lambda_B / B = {u:.4g}, and e^u overflows: give more labels")
    return float(real("alpha", alpha, above=0) * np.sqrt(2 * np.expm1(u))) * ROUNDING_UP


def t2_level_ceiling(B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """tau <= alpha sqrt(2 C_X u); needs u <= log(1 + X), where (e^u - 1) / u is largest. Source: T2 (ii)."""
    u, most = t2_share(B, d=d, K=K, L=L, lam=lam), float(np.log1p(widest(L=L, lam=lam)))
    # u = log(1 + X) exactly is common (B = d = 1, K = 2): rounding must not refuse it.
    if u > most * (1 + 1e-12):
        raise InputError(f"B={B} gives u = d Lambda_B / B = {u:.4g} > log(1 + X) = {most:.4g}, X = 2 L^2 / lam: no "
                         "query can fire, and T2 (ii) is not claimed; give more labels")
    return real("alpha", alpha, above=0) * float(np.sqrt(2 * c_x(L=L, lam=lam) * u))


def t2_regret(T: int, B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """R_T <= (1/beta + 1/4) alpha sqrt(2 C_X d Lambda_B B), beta = B/T, for a gate at `t2_level`.

    Needs B <= T and u <= log(1 + X). Source: T2 (ii).
    """
    whole("B", B, 1, whole("T", T, 1))
    return (T / B + QUARTER) * B * t2_level_ceiling(B, alpha=alpha, d=d, K=K, L=L, lam=lam)


def t2_leakage(T: int, B: int, Q: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """c <= ((T - Q) / B) alpha sqrt(2 C_X d Lambda_B): regret over the skipped rounds, divided by sqrt(B).

    Q labels were bought, 0 <= Q <= B <= T; needs u <= log(1 + X). Source: T2 (ii).
    """
    whole("Q", Q, 0, whole("B", B, 1, whole("T", T, 1)))
    return (T - Q) / np.sqrt(B) * t2_level_ceiling(B, alpha=alpha, d=d, K=K, L=L, lam=lam)


def t2_margin(B: int, *, Delta: float, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """R_T <= 2 C_X alpha^2 d Lambda_B / Delta for all T, where every positive gap is at least Delta.

    Needs Delta above the level `t2_level`: then skipped rounds cost nothing. Source: T2 (iii).
    """
    tau = t2_level(B, alpha=alpha, d=d, K=K, L=L, lam=lam)
    if real("Delta", Delta, above=0) <= tau:
        raise InputError(f"Delta={Delta!r} is not above the level tau={tau:.4g} of B={B}: T2 (iii) needs Delta > tau")
    return alpha**2 * squared_widths(B, d=d, K=K, L=L, lam=lam) / Delta


def t2_low_noise(T: int, B: int, *, kappa: float, Delta_0: float, alpha: float, d: int, K: int, M: int = 1,
                 L: float = 1.0, lam: float = 1.0) -> float:
    """E[leaked regret on the good event] <= T tau M (tau / Delta_0)^kappa at tau = `t2_level`.

    Where P(0 < Delta_t <= e) <= (e / Delta_0)^kappa for each of the M contexts a follower may serve; Delta_0 in reward
    units. `off_event` is what the rest can add. Source: T2 (iv).
    """
    whole("B", B, 1, whole("T", T, 1))
    tau = t2_level(B, alpha=alpha, d=d, K=K, L=L, lam=lam)
    return tau * T * small_gap(tau, kappa=kappa, Delta_0=Delta_0, M=M)


def t2_low_noise_sure(T: int, B: int, *, delta: float, kappa: float, Delta_0: float, alpha: float, d: int, K: int,
                      M: int = 1, L: float = 1.0, lam: float = 1.0) -> float:
    """Leaked regret <= tau (2 T M (tau / Delta_0)^kappa + (7/6) log(1/delta)) with probability 1 - delta.

    On the good event, where the law of `t2_low_noise` holds conditionally on the past. Source: T2 (iv) with
    Freedman 1975.
    """
    whole("B", B, 1, whole("T", T, 1))
    tau = t2_level(B, alpha=alpha, d=d, K=K, L=L, lam=lam)
    return tau * small_gaps_sure(T, small_gap(tau, kappa=kappa, Delta_0=Delta_0, M=M), delta=delta)


def small_gap(tau: float, *, kappa: float, Delta_0: float, M: int = 1) -> float:
    """M (tau / Delta_0)^kappa, an upper bound on the probability of 0 < Delta_t <= tau; may exceed 1."""
    ratio = real("tau", tau, at_least=0) / real("Delta_0", Delta_0, above=0)
    return whole("M", M, 1) * ratio ** real("kappa", kappa, above=0)


def small_gaps_sure(T: int, p: float, *, delta: float) -> float:
    """2 T p + (7/6) log(1/delta): T events of conditional probability <= p are no more, with probability 1 - delta.

    Source: Freedman 1975, in the form of Bernstein's inequality.
    """
    count = 2 * whole("T", T, 1) * real("p", p, at_least=0)
    return count + FREEDMAN * float(np.log(1 / real("delta", delta, above=0, below=1)))


def off_event(T: int, *, S: float, delta: float, L: float = 1.0) -> float:
    """2 L S T delta: what the rounds can cost in expectation off the good event, of probability <= delta. T2 (iv)."""
    return 2 * real("L", L, above=0) * real("S", S, above=0) * whole("T", T, 1) * real("delta", delta, above=0, below=1)


def t3_certificate(latency, queried) -> Certificate:
    """Cumulative latency (..., T), split by `queried` (..., T) bool: sum of l_s over s <= t is at least R_t.

    At all rounds at once, for any gate, with a best-responding challenger; reward units. InputError unless the shapes
    agree and latencies are >= 0. Source: T3.
    """
    latency, queried = np.asarray(latency, float), np.asarray(queried, bool)
    if latency.shape != queried.shape or not (latency >= 0).all():
        raise InputError(f"latency {latency.shape}, queried {queried.shape}: give latencies >= 0 and a bool for each")
    parts = [np.where(which, latency, 0.0).cumsum(axis=-1) for which in (queried, ~queried)]
    return Certificate(parts[0] + parts[1], *parts)


def t4_level(B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """Level of the reserve gate: `t2_level` for B' = floor(B/2) labels, with the radius alpha of all B. Source: T4."""
    return t2_level(whole("B", B, 2) // 2, alpha=alpha, d=d, K=K, L=L, lam=lam)


def t4_regret(T: int, B: int, *, alpha: float, d: int, K: int, L: float = 1.0, lam: float = 1.0) -> float:
    """R_T <= (2/beta + 1/4) alpha sqrt(2 C_X d Lambda_B' B'), B' = B/2, beta = B/T, for `gates.Reserve`.

    Needs an even B <= T and u = d Lambda_B' / B' <= log(1 + X). Source: T4.
    """
    if whole("B", B, 2, whole("T", T, 2)) % 2:
        raise InputError(f"B={B} is odd: T4's constant 2/beta holds for even B, give {B - 1} or {B + 1}")
    return t2_regret(T, B // 2, alpha=alpha, d=d, K=K, L=L, lam=lam)
