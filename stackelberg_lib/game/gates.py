"""Gates: does this round get a label?

A gate is any object with `decide(latency, features_seen, budget_left, horizon_left, rng) -> bool (n,)`. It
only wishes: that no more than B labels are bought is kept by the play loop, whatever a gate answers. One that goes by
the leader's scores has `watch(commitment, reply)` too, called in every round before `decide`; one that reads
`features_seen` says so with `reads_features = True`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.game.followers import Commitment, Reply


class FeaturesSeen(NamedTuple):
    """What a gate may know from features alone; nothing in it depends on a label's value."""

    phi: np.ndarray  # (n, K, d) the served context
    V: np.ndarray  # (n, d, d) Gram matrix
    V_inv: np.ndarray  # (n, d, d) its inverse
    log_det: np.ndarray  # (n,) log(det V / det(lam I))


@dataclass(frozen=True)
class LLF:
    """Largest latency first: buy iff the latency exceeds the level tau >= 0 (reward units)."""

    tau: float

    def __post_init__(self) -> None:
        real("tau", self.tau, at_least=0)

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """latency (n,), budget_left (n,) labels, horizon_left rounds with this one -> wishes (n,) bool."""
        return latency > self.tau


def squared_widths(inner: np.ndarray) -> np.ndarray:
    """|phi(a) - phi(b)|^2 for all pairs (n, K, K), from the inner products (n, K, K) of the candidates."""
    own = np.diagonal(inner, axis1=1, axis2=2)
    return np.maximum(own[:, :, None] + own[:, None, :] - 2 * inner, 0)


def largest_width(features_seen: FeaturesSeen) -> np.ndarray:
    """Width max over pairs a, b of |phi(a) - phi(b)| in the norm of V^-1, (n,): no score, no label."""
    phi = features_seen.phi
    return np.sqrt(squared_widths(phi @ features_seen.V_inv @ phi.swapaxes(1, 2)).max(axis=(1, 2)))


@dataclass(frozen=True)
class WidthLLF:
    """Largest width first: buy iff alpha times the largest width of any pair exceeds tau (reward units).

    It looks at features alone, so with contexts that do not react to labels the radius may be alpha_fix.
    """

    reads_features = True
    tau: float
    alpha: float

    def __post_init__(self) -> None:
        real("tau", self.tau, at_least=0)
        real("alpha", self.alpha, above=0)

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; the latency is not looked at."""
        return self.alpha * largest_width(features_seen) > self.tau


class Reserve:
    """T4's gate: latencies above tau are always served, the rest of the budget is free for another gate.

    tau: `theory.bounds.t2_level` for floor(B / 2) labels, with the play's radius `alpha` (a number, fixed for the
    whole play); lam, L: the play's ridge and bound on |phi|; free: the gate that asks for free labels. A free label is
    bought iff more budget is left than threshold queries can still come, so no threshold query is ever refused.
    Keeps a count: one object, one play. Source: T4, this project's reconstruction.
    """

    reads_features = True

    def __init__(self, tau: float, *, alpha: float, lam: float, L: float, free) -> None:
        self.tau, self.alpha = real("tau", tau, above=0), real("alpha", alpha, above=0)
        self.lam, self.L, self.free = real("lam", lam, above=0), real("L", L, above=0), free
        self.reserve: np.ndarray | None = None  # (n,) rho_t, threshold queries that can still come

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`."""
        still = self._can_come(features_seen, horizon_left)
        self.reserve = still if self.reserve is None else np.minimum(self.reserve, still)
        threshold = latency > self.tau
        wish = self.free.decide(latency, features_seen, budget_left, horizon_left, rng)
        bought = threshold | (wish & (budget_left > self.reserve))
        self.reserve = self.reserve - threshold
        return bought

    def _can_come(self, features_seen: FeaturesSeen, horizon_left: int) -> np.ndarray:
        """Largest n <= horizon_left with n log(1 + tau^2 / (2 alpha^2)) <= what log det V can still gain, (n,)."""
        K, d = features_seen.phi.shape[1:]
        trace = np.trace(features_seen.V, axis1=1, axis2=2)
        log_det = features_seen.log_det + d * np.log(self.lam)
        each = np.log1p(self.tau**2 / (2 * self.alpha**2))
        low, high = np.zeros(len(trace)), np.full(len(trace), float(horizon_left))
        while (high > low).any():  # the room for n more is concave in n and not negative at 0: bisect
            middle = np.ceil((low + high) / 2)
            room = d * np.log((trace + middle * K * self.L**2) / d) - log_det - middle * each
            low, high = np.where(room >= 0, middle, low), np.where(room >= 0, high, middle - 1)
        smallest = np.linalg.eigvalsh(features_seen.V)[:, 0]
        return np.where(smallest >= 4 * self.L**2 * self.alpha**2 / self.tau**2, 0.0, low)


@dataclass(frozen=True)
class BBQ:
    """Buy iff the squared width exceeds t^-kappa in round t of T: Cesa-Bianchi, Gentile, Orabona 2009, for pairs.

    kappa in (0, 1): smaller buys fewer labels. It looks at features alone.
    """

    reads_features = True
    kappa: float
    T: int

    def __post_init__(self) -> None:
        real("kappa", self.kappa, above=0, below=1)
        whole("T", self.T, 1)

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; the latency is not looked at."""
        t = self.T - horizon_left + 1
        return largest_width(features_seen) ** 2 > t**-self.kappa


@dataclass(frozen=True)
class DGS:
    """Buy iff the leader's answer is not certain, i.e. the latency is positive: Dekel, Gentile, Sridharan 2012.

    Their rule asks when the margin is within the confidence width; with the play's radius that is latency > 0.
    """

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; features are not looked at."""
        return latency > 0


class MarginGate:
    """Buy iff the leader's best score is less than tau >= 0 (reward units) above its second best."""

    def __init__(self, tau: float) -> None:
        self.tau = real("tau", tau, at_least=0)

    def watch(self, commitment: Commitment, reply: Reply) -> None:
        """Read the scores of the served candidates."""
        score = np.sort((reply.phi @ commitment.theta_hat[:, :, None])[..., 0], axis=1)
        self.margin = score[:, -1] - score[:, -2]

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; latency and features are not looked at."""
        return self.margin < self.tau


@dataclass(frozen=True)
class RandomGate:
    """A coin with probability budget left / horizon left: spends all of B, any B rounds equally likely."""

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; latency and features are not looked at."""
        return rng.random(len(latency)) * horizon_left < budget_left


@dataclass(frozen=True)
class AllLabels:
    """Always buy: all labels when B = T, the first B otherwise."""

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; nothing is looked at."""
        return np.ones(len(latency), bool)


@dataclass(frozen=True)
class NoLabels:
    """Never buy."""

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; nothing is looked at."""
        return np.zeros(len(latency), bool)

