"""Nature: the unknown parameter and, round by round, the pool of contexts a follower may serve.

A stream is any object with integers `d`, `K`, `M` and methods `theta(rng, n)` and `menu(rng, t, T, n)`. It
holds no round: each menu is drawn when its round comes, so memory does not grow with the horizon. Streams
whose gaps between the candidates' rewards follow a stated law are in `families`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class DisjointArms(Stationary):
    """K arms with a parameter each, which share the round's context: uniform on spheres, |theta| = S over all arms.

    The same game as candidates x (x) e_a in K d dimensions, never written out; arguments as in `Stationary`. For
    `play` with feedback="chosen", answer="optimistic", follower None.
    """

    disjoint = True

    def theta(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """The unknown parameters of each of n replicas: (n, K, d)."""
        return on_sphere(rng, (n, self.K * self.d), self.S).reshape(n, self.K, self.d)

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: contexts (n, M, 1, d), |x| = L, one for all arms."""
        return on_sphere(rng, (n, self.M, 1, self.d), self.L)


@dataclass(frozen=True)
class PowerLaw(Stationary):
    """Few directions carry most of the features: covariance diag(L^2 w_i / 3) with w_i = i^-p / sum_j j^-p.

    phi_i = L sqrt(w_i) u_i with u_i independent and uniform on [-1, 1], hence |phi| <= L. Arguments as in
    `Stationary`; p >= 0: exponent, 0 for no preferred direction.
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        real("p", self.p, at_least=0)

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| <= L."""
        weight = zipf(self.d, self.p)
        return self.L * np.sqrt(weight) * rng.uniform(-1, 1, (n, self.M, self.K, self.d))


@dataclass(frozen=True)
class ZipfClusters(Stationary):
    """Few kinds of context come often, many seldom: P(cluster c) = c^-exponent / sum_j j^-exponent, c = 1, 2...

    Candidate k of a context of cluster c is L (m + spread v) / |m + spread v|: m the centre of (c, k), v
    uniform on the unit sphere; its angle to the centre is at most arcsin(spread). Arguments as in
    `Stationary`; clusters: how many; exponent >= 0; 0 <= spread < 1; world: the integer that fixes the
    centres, the same for all replicas.
    """

    clusters: int = 20
    exponent: float = 1.0
    spread: float = 0.2
    world: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("clusters", self.clusters, 1)
        real("exponent", self.exponent, at_least=0)
        real("spread", self.spread, at_least=0, below=1)
        whole("world", self.world, 0)

    @cached_property
    def centres(self) -> np.ndarray:
        """Unit vectors (clusters, K, d), one for each candidate of each cluster."""
        return on_sphere(np.random.default_rng(self.world), (self.clusters, self.K, self.d), 1.0)

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| = L."""
        cluster = rng.choice(self.clusters, size=(n, self.M), p=zipf(self.clusters, self.exponent))
        phi = self.centres[cluster] + self.spread * on_sphere(rng, (n, self.M, self.K, self.d), 1.0)
        return phi * (self.L / np.linalg.norm(phi, axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class FromEmbeddings:
    """Features of real texts: a context's K candidates are rows of a matrix, drawn without replacement.

    rows: embeddings (N, d) with N >= K, multiplied by one number so that the longest has norm L. truth (d,):
    theta of all replicas, a parameter for the rows so scaled; S is then its norm. When None, theta is uniform
    on the sphere of radius S. Contexts of one pool are drawn independently. Raises InputError.
    """

    rows: np.ndarray
    K: int
    M: int = 1
    S: float = 1.0
    L: float = 1.0
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = finite("rows", self.rows, 2)
        whole("K", self.K, 2, len(rows))
        whole("M", self.M, 1)
        for name in ("S", "L"):
            real(name, getattr(self, name), above=0)
        longest = np.linalg.norm(rows, axis=1).max()
        object.__setattr__(self, "rows", rows * (self.L / longest))
        if self.truth is not None:
            truth = finite("truth", self.truth, 1)
            if truth.shape != (self.d,):
                raise InputError(f"truth has shape {truth.shape}: give one number per column of rows, ({self.d},)")
            object.__setattr__(self, "truth", truth)
            object.__setattr__(self, "S", float(np.linalg.norm(truth)))

    @property
    def d(self) -> int:
        """Features: the columns of `rows`."""
        return self.rows.shape[1]

    def theta(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """The unknown parameter of each of n replicas: (n, d), |theta| = S."""
        return on_sphere(rng, (n, self.d), self.S) if self.truth is None else np.tile(self.truth, (n, 1))

    def menu(self, rng: np.random.Generator, t: int, T: int, n: int) -> np.ndarray:
        """The pool of round t = 0..T-1: features (n, M, K, d), |phi| <= L."""
        return self.rows[distinct(rng, (n, self.M), self.K, len(self.rows))]


def zipf(n: int, exponent: float) -> np.ndarray:
    """Shares (n,) proportional to 1^-exponent, 2^-exponent, ..., n^-exponent; they sum to 1."""
    share = np.arange(1, n + 1) ** -float(exponent)
    return share / share.sum()


def distinct(rng: np.random.Generator, shape: tuple[int, ...], k: int, n: int) -> np.ndarray:
    """Indices (*shape, k) below n: along the last axis k different ones, each ordered choice equally likely.

    Source: Floyd's sampling, Bentley and Floyd 1987, here for many samples at once: k draws each, not n.
    """
    chosen = np.full((*shape, k), -1)
    for i, top in enumerate(range(n - k, n)):
        drawn = rng.integers(top + 1, size=shape)
        taken = (chosen == drawn[..., None]).any(axis=-1)
        chosen[..., i] = np.where(taken, top, drawn)
    return rng.permuted(chosen, axis=-1)


def finite(name: str, value, axes: int) -> np.ndarray:
    """A copy of `value` as floats if it has that many axes, is finite and not all zero; else InputError."""
    try:
        array = np.array(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is not an array of numbers: give {axes} axes of finite numbers") from None
    if array.ndim != axes or not np.isfinite(array).all() or not array.any():
        raise InputError(f"{name} has shape {array.shape}, {np.isfinite(array).sum()} finite entries and "
                         f"{np.count_nonzero(array)} nonzero ones: give {axes} axes, all finite, not all zero")
    return array
