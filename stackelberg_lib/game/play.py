"""The game: leader commits, follower responds, gate decides, labels come, the leader learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.game.followers import Commitment, Reply
from stackelberg_lib.game.gates import FeaturesSeen
from stackelberg_lib.game.ridge import Ridge

Radius = float | Callable[[np.ndarray], np.ndarray]


class Round(NamedTuple):
    """One round of n replicas."""

    t: int  # 0..T-1
    commitment: Commitment  # before this round's label
    reply: Reply
    theta: np.ndarray  # (n, d) the unknown parameter, for the audience only
    mu: np.ndarray  # (n, K) mean rewards of the served candidates, for the audience only
    y: np.ndarray  # (n, K) labels; NaN where none was bought
    queried: np.ndarray  # (n,) bool
    spent: np.ndarray  # (n,) labels bought, this round's included
    regret: np.ndarray  # (n,) max mu - mu of the leader's answer, >= 0


class Play(NamedTuple):
    """A whole play of n replicas over T rounds; regret, latency and certificate in reward units."""

    regret: np.ndarray  # (n, T) per round
    queried: np.ndarray  # (n, T) bool
    latency: np.ndarray  # (n, T)
    width: np.ndarray  # (n, T)
    certificate: np.ndarray  # (n, T) cumulative latency, the learner's own bound on its cumulative regret

    @property
    def cumulative(self) -> np.ndarray:
        """Cumulative regret (n, T)."""
        return self.regret.cumsum(axis=1)

    @property
    def labels(self) -> np.ndarray:
        """Labels bought (n,)."""
        return self.queried.sum(axis=1)

    @property
    def regret_queried(self) -> np.ndarray:
        """Regret (n,) suffered on rounds that bought a label."""
        return np.where(self.queried, self.regret, 0.0).sum(axis=1)

    @property
    def regret_skipped(self) -> np.ndarray:
        """Regret (n,) suffered on rounds that went without; over sqrt(B) it is the gate's leakage."""
        return np.where(self.queried, 0.0, self.regret).sum(axis=1)


def rounds(stream, follower, gate, *, T: int, B: int, seeds: int, seed: int, sigma: float, lam: float,
           alpha: Radius) -> Iterator[Round]:
    """Play round by round in memory O(seeds d^2), whatever T; arguments and errors as in `play`."""
    whole("T", T, 1)
    whole("B", B, 0, T)
    whole("seeds", seeds, 1)
    whole("seed", seed, 0)
    real("sigma", sigma, at_least=0)
    real("lam", lam, above=0)
    _has("stream", stream, "menu")
    _has("follower", follower, "respond")
    _has("gate", gate, "decide")
    return _rounds(stream, follower, gate, T, B, seeds, seed, sigma, lam, _radius(alpha, seeds))


def play(stream, follower, gate, *, T: int, B: int, seeds: int, seed: int, sigma: float, lam: float,
         alpha: Radius, progress: bool = False) -> Play:
    """Play T rounds with at most B labels on every path, batched over `seeds` independent replicas.

    stream, follower, gate: see `contexts`, `followers`, `gates`. sigma: noise, reward units. lam: ridge,
    squared feature units. alpha: radius, a number or a function of log(det V / det(lam I)) (seeds,), e.g. of
    `stackelberg_lib.theory.radii`. progress: a bar on stderr. Equal `seed`, `seeds`, T and stream give equal
    theta, pools and noise whatever gate and follower do. Raises InputError.
    """
    source = rounds(stream, follower, gate, T=T, B=B, seeds=seeds, seed=seed, sigma=sigma, lam=lam,
                    alpha=alpha)
    if progress:
        from tqdm.auto import tqdm
        source = tqdm(source, total=T, unit="round")
    regret, latency, width = (np.empty((seeds, T)) for _ in range(3))
    queried = np.empty((seeds, T), bool)
    for now in source:
        regret[:, now.t], queried[:, now.t] = now.regret, now.queried
        latency[:, now.t], width[:, now.t] = now.reply.latency, now.reply.width
    return Play(regret, queried, latency, width, latency.cumsum(axis=1))


def _rounds(stream, follower, gate, T, B, n, seed, sigma, lam, radius) -> Iterator[Round]:
    # One generator per purpose, and noise drawn even when no label is bought: arms share contexts and noise.
    nature, noise, moves, coins = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    theta = stream.theta(nature, n)
    ridge = Ridge(n, stream.d, lam)
    spent = np.zeros(n, int)
    replica, alpha = np.arange(n), radius(ridge.log_det)
    for t in range(T):
        menu = stream.menu(nature, t, T, n)
        eta = sigma * noise.standard_normal((n, stream.K))
        commitment = Commitment(ridge.theta_hat, ridge.V, ridge.V_inv, ridge.log_det, alpha)
        answer = follower.respond(commitment, menu, moves)
        seen = FeaturesSeen(answer.phi, ridge.V, ridge.V_inv, ridge.log_det)
        wish = gate.decide(answer.latency, seen, B - spent, T - t, coins)
        queried = _wish(wish, n) & (spent < B)  # the budget is kept here, not by the gate
        spent = spent + queried
        mu = (answer.phi @ theta[:, :, None])[..., 0]
        regret = mu.max(axis=1) - mu[replica, answer.leader]
        y = np.where(queried[:, None], mu + eta, np.nan)
        yield Round(t, commitment, answer, theta, mu, y, queried, spent, regret)
        if queried.any():
            ridge.update(queried, answer.phi, y)
            alpha = radius(ridge.log_det)


def _wish(wish, n: int) -> np.ndarray:
    wish = np.asarray(wish)
    if wish.shape != (n,) or wish.dtype != bool:
        raise InputError(f"gate.decide gave {wish.dtype} {wish.shape}: return one bool per replica, ({n},)")
    return wish


def _has(name: str, thing, method: str) -> None:
    if isinstance(thing, type) or not callable(getattr(thing, method, None)):
        raise InputError(f"{name}={thing!r} has no method {method}: give an instance, with its parentheses")


def _radius(alpha: Radius, n: int) -> Callable[[np.ndarray], np.ndarray]:
    if not callable(alpha):
        fixed = np.full(n, real("alpha", alpha, above=0))
        return lambda log_det: fixed
    first = np.asarray(alpha(np.zeros(n)))
    if first.shape != (n,) or not np.all(np.isfinite(first) & (first > 0)):
        raise InputError(f"alpha(zeros({n})) gave {first!r}: map log det ({n},) to finite radii > 0 ({n},)")
    return alpha
