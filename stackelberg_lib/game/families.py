"""Streams whose gaps are known: by how much the best candidate of a context beats the others.

Same interface as in `contexts`. The gap of a context is the smallest positive difference between the best
mean reward and another; laws of the gap decide how fast regret grows and what skipped rounds cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.game.contexts import Stationary, on_sphere


@dataclass(frozen=True)
class HardGaps:
    """The hardest gap for a horizon: every context has exactly this gap, and must be learned d times over.

    theta is uniform on {-gap/(2 L), gap/(2 L)}^d; a context draws a coordinate i and gives its candidates
    L e_i and -L e_i in equal numbers (one more of the first for odd K), in random order. About
    (sigma/gap)^2 labels of a coordinate tell its sign, and T/d contexts show it: gap = sigma sqrt(d/T) costs
    order sigma sqrt(d T), larger and smaller gaps cost less. d, K, M, L as in `Stationary`; gap > 0, reward
    units.
    """

    d: int
    K: int
    gap: float
    M: int = 1
    L: float = 1.0

    def __post_init__(self) -> None:
        for name, low in (("d", 1), ("K", 2), ("M", 1)):
            whole(name, getattr(self, name), low)
        for name in ("gap", "L"):
            real(name, getattr(self, name), above=0)

    @property
    def S(self) -> float:
        """|theta| = sqrt(d) gap / (2 L)."""
        return math.sqrt(self.d) * self.gap / (2 * self.L)

    def theta(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """The unknown parameter of each of n replicas: (n, d), |theta| = S."""
        return rng.choice([-1.0, 1.0], (n, self.d)) * (self.gap / (2 * self.L))

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| = L."""
        coordinate = rng.integers(self.d, size=(n, self.M))
        sign = 1.0 - 2 * (np.arange(self.K) % 2)
        sign = rng.permuted(np.broadcast_to(sign, (n, self.M, self.K)), axis=-1)
        return self.L * sign[..., None] * np.eye(self.d)[coordinate][:, :, None]


@dataclass(frozen=True)
class _Gapped(Stationary):
    """theta = S e_1 for all replicas, and a gap drawn from `gap(rng, shape)`; d >= 2.

    x = phi_1 is uniform for the best candidate on what the gap leaves free, gap/S below for the second, and
    uniform on [-L, second] for the rest; the other coordinates are uniform on the sphere that makes |phi| = L.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("d", self.d, 2)

    def theta(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """The unknown parameter of each of n replicas: (n, d), S e_1."""
        return np.tile(self.S * np.eye(self.d)[0], (n, 1))

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| = L."""
        below = self.gap(rng, (n, self.M, 1)) / self.S
        best = rng.uniform(below - self.L, self.L)
        rest = rng.uniform(-self.L, best - below, (n, self.M, self.K - 2))
        x = rng.permuted(np.concatenate([best, best - below, rest], axis=-1), axis=-1)
        x = np.clip(x, -self.L, self.L)[..., None]  # rounding only
        return np.concatenate([x, np.sqrt(self.L**2 - x**2) * on_sphere(rng, (*x.shape[:3], self.d - 1), 1.0)], -1)


@dataclass(frozen=True)
class Margin(_Gapped):
    """Every context has a margin: its gap is uniform on [Delta, 2 Delta], in the whole pool of every round.

    Arguments as in `Stationary`, d >= 2, theta = S e_1; 0 < Delta <= S L, reward units.
    """

    Delta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_most("Delta", self.Delta, self.S * self.L, "S L")

    def gap(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Gaps (*shape), reward units."""
        return rng.uniform(self.Delta, 2 * self.Delta, shape)


@dataclass(frozen=True)
class LowNoise(_Gapped):
    """Small gaps are rare: P(0 < gap <= e) = (e / Delta_0)^kappa for 0 <= e <= Delta_0, in each context.

    The law is that of a context nature draws; a follower that chooses from M can make small gaps up to M times
    as frequent. Arguments as in `Stationary`, d >= 2, theta = S e_1; kappa > 0; 0 < Delta_0 <= 2 S L.
    """

    kappa: float = 1.0
    Delta_0: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        real("kappa", self.kappa, above=0)
        _at_most("Delta_0", self.Delta_0, 2 * self.S * self.L, "2 S L")

    def gap(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Gaps (*shape), reward units."""
        return self.Delta_0 * (1 - rng.random(shape)) ** (1 / self.kappa)


def _at_most(name: str, value: float, end: float, what: str) -> None:
    if real(name, value, above=0) > end:
        raise InputError(f"{name}={value!r} is above {what}={end:g}: give a gap that rewards can have")
