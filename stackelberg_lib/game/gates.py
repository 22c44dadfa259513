"""Gates: does this round get a label?

A gate is any object with `decide(latency, features_seen, budget_left, horizon_left, rng) -> bool (n,)`. It
only wishes: that no more than B labels are bought is kept by the play loop, whatever a gate answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stackelberg_lib.game.checks import real


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
