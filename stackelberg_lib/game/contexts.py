"""Nature: the unknown parameter and, round by round, the pool of contexts a follower may serve.

A stream is any object with integers `d`, `K`, `M` and methods `theta(rng, n)` and `menu(rng, t, T, n)`. It
holds no round: each menu is drawn when its round comes, so memory does not grow with the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole


def on_sphere(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> np.ndarray:
    """Vectors (*shape), uniform on the sphere of the given radius along the last axis."""
    x = rng.standard_normal(shape)
    return x * (radius / np.linalg.norm(x, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Stationary:
    """The same law in every round: candidates and theta uniform on spheres.

    d: features, K >= 2: candidates in a context, M: contexts in a round's pool, S = |theta|, L = |phi|.
    Raises InputError for sizes or radii out of range.
    """

    d: int
    K: int
    M: int = 1
    S: float = 1.0
    L: float = 1.0

    def __post_init__(self) -> None:
        for name, low in (("d", 1), ("K", 2), ("M", 1)):
            whole(name, getattr(self, name), low)
        for name in ("S", "L"):
            real(name, getattr(self, name), above=0)

    def theta(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """The unknown parameter of each of n replicas: (n, d), |theta| = S."""
        return on_sphere(rng, (n, self.d), self.S)

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| = L."""
        return on_sphere(rng, (n, self.M, self.K, self.d), self.L)


@dataclass(frozen=True)
class Drifting(Stationary):
    """New directions appear: each of `blocks` equal stretches of time uses coordinates of its own.

    Arguments as in `Stationary`, and d >= blocks. What was learned in one block says nothing about the next.
    """

    blocks: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("blocks", self.blocks, 1)
        if self.d < self.blocks:
            raise InputError(f"d={self.d!r} is below blocks={self.blocks}: give each block a coordinate")

    def coordinates(self, t: int, T: int) -> np.ndarray:
        """The coordinates (integers) that are active in round t = 0..T-1."""
        return np.array_split(np.arange(self.d), self.blocks)[t * self.blocks // T]

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| = L, zero where not active."""
        active = self.coordinates(t, T)
        menu = np.zeros((n, self.M, self.K, self.d))
        menu[..., active] = on_sphere(rng, (n, self.M, self.K, len(active)), self.L)
        return menu
