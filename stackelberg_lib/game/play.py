"""The game: leader commits, follower responds, gate decides, labels come, the leader learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.game.followers import TIES, Commitment, Reply
from stackelberg_lib.game.gates import FeaturesSeen
from stackelberg_lib.game.ridge import ArmRidge, Ridge

Radius = float | Callable[[np.ndarray], np.ndarray]
# So many noise numbers are drawn at a time: one call per round would cost more than the numbers.
NOISE = 4096


class Round(NamedTuple):
    """One round of n replicas."""

    t: int  # 0..T-1
    commitment: Commitment  # before this round's label
    reply: Reply
    theta: np.ndarray  # (n, d) the unknown parameter, for the audience only
    mu: np.ndarray  # (n, K) mean rewards of the served candidates, for the audience only
    y: np.ndarray  # (n, K) labels; NaN where none was bought or seen
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


def rounds(stream, follower, gate, *, T: int, B: int, seeds: int, seed: int, sigma: float, lam: float, alpha: Radius,
           feedback: str = "all", answer: str = "greedy", dtype=np.float64) -> Iterator[Round]:
    """Play round by round in memory O(seeds d^2), whatever T; arguments and errors as in `play`.

    With disjoint arms the commitment is the leader's own and changes when the next round begins: copy what is to be
    kept. It shows no V, only V_inv (seeds, K, d, d).
    """
    whole("T", T, 1)
    whole("B", B, 0, T)
    whole("seeds", seeds, 1)
    whole("seed", seed, 0)
    real("sigma", sigma, at_least=0)
    real("lam", lam, above=0)
    _has("stream", stream, "menu")
    _has("gate", gate, "decide")
    _one_of("feedback", feedback, ("all", "chosen"))
    _one_of("answer", answer, ("greedy", "optimistic"))
    disjoint = getattr(stream, "disjoint", False)
    if disjoint and (feedback, answer, follower) != ("chosen", "optimistic", None):
        raise InputError(f"feedback={feedback!r}, answer={answer!r}, follower={follower!r} do not go with disjoint "
                         f"arms: give 'chosen', 'optimistic' and None")
    if disjoint and (getattr(gate, "reads_features", False) or hasattr(gate, "watch")):
        raise InputError(f"gate={type(gate).__name__} reads the features of all candidates, which disjoint arms never "
                         "write out: give a gate that goes by latency, coin or count")
    if follower is not None or answer == "greedy":
        _has("follower", follower, "respond")
    ridge = ArmRidge(seeds, stream.K, stream.d, lam, dtype) if disjoint else Ridge(seeds, stream.d, lam, dtype)
    steps = _on_arms(ridge) if disjoint else _on_candidates(ridge, answer == "greedy", feedback == "chosen")
    return _rounds(stream, follower, gate, T, B, seeds, seed, sigma, _radius(alpha, seeds), ridge, *steps)


def play(stream, follower, gate, *, T: int, B: int, seeds: int, seed: int, sigma: float, lam: float, alpha: Radius,
         feedback: str = "all", answer: str = "greedy", dtype=np.float64, progress: bool = False) -> Play:
    """Play T rounds with at most B labels on every path, batched over `seeds` independent replicas.

    stream, follower, gate: see `contexts`, `followers`, `gates`. sigma: noise, reward units. lam: ridge,
    squared feature units. alpha: radius, a number or a function of log(det V / det(lam I)) (seeds,), e.g. of
    `stackelberg_lib.theory.radii`. progress: a bar on stderr. Equal `seed`, `seeds`, T and stream give equal
    theta, pools and noise whatever gate and follower do. Raises InputError.

    feedback: what a label shows, "all" candidates or only the "chosen" one, the leader's answer (bandit feedback:
    only its features enter V). answer: "greedy", the largest score, or "optimistic", the largest upper bound score +
    alpha |phi|_{V^-1} (LinUCB: Li et al. 2010; Abbasi-Yadkori, Pal, Szepesvari 2011). An optimistic leader's latency is
    2 alpha |phi(a_t)|_{V^-1}, its upper bound less its lower one, also a bound on its regret; its challenger is a_t.
    The follower then chooses the context only; None serves the pool's first. dtype: of the ridge, float64 or float32.
    """
    source = rounds(stream, follower, gate, T=T, B=B, seeds=seeds, seed=seed, sigma=sigma, lam=lam, alpha=alpha,
                    feedback=feedback, answer=answer, dtype=dtype)
    if progress:
        from tqdm.auto import tqdm
        source = tqdm(source, total=T, unit="round")
    regret, latency, width = (np.empty((seeds, T)) for _ in range(3))
    queried = np.empty((seeds, T), bool)
    for now in source:
        regret[:, now.t], queried[:, now.t] = now.regret, now.queried
        latency[:, now.t], width[:, now.t] = now.reply.latency, now.reply.width
    return Play(regret, queried, latency, width, latency.cumsum(axis=1))


def _rounds(stream, follower, gate, T, B, n, seed, sigma, radius, ridge, answers, reveal, learn) -> Iterator[Round]:
    # One generator per purpose, and noise drawn even when no label is bought: arms share contexts and noise.
    nature, noise, moves, coins = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    theta, shape = stream.theta(nature, n), (n, stream.M, 1 if isinstance(ridge, ArmRidge) else stream.K, stream.d)
    _finite("stream.theta", theta, ridge.theta_hat.shape, 0)
    spent, alpha, dtype = np.zeros(n, int), radius(ridge.log_det), ridge.V_inv.dtype
    watch = getattr(gate, "watch", None)
    for t, eta in enumerate(_noise(noise, sigma, T, n, stream.K)):
        menu = _finite("stream.menu", stream.menu(nature, t, T, n), shape, t).astype(dtype, copy=False)
        commitment = Commitment(ridge.theta_hat, ridge.V, ridge.V_inv, ridge.log_det, alpha)
        answer = answers(follower, commitment, menu, moves)
        if watch is not None:
            watch(commitment, answer)
        seen = FeaturesSeen(answer.phi, ridge.V, ridge.V_inv, ridge.log_det)
        wish = gate.decide(answer.latency, seen, B - spent, T - t, coins)
        queried = _wish(wish, n) & (spent < B)  # the budget is kept here, not by the gate
        spent = spent + queried
        mu, y, regret = reveal(theta, answer, queried, eta)
        yield Round(t, commitment, answer, theta, mu, y, queried, spent, regret)
        if np.count_nonzero(queried):
            learn(queried, answer, y)
            alpha = radius(ridge.log_det)


def _noise(rng: np.random.Generator, sigma: float, T: int, n: int, K: int) -> Iterator[np.ndarray]:
    """The noise (n, K) of each of T rounds, the same numbers as from one draw per round."""
    block = max(1, NOISE // (n * K))
    for t in range(0, T, block):
        yield from sigma * rng.standard_normal((min(block, T - t), n, K))


def _on_arms(ridge: ArmRidge) -> tuple[Callable, Callable, Callable]:
    """What `_rounds` does with disjoint arms: leader's answer, labels and regret, learning."""
    from stackelberg_lib.game.compiled import reveal  # numba takes a second to import
    replica = np.arange(len(ridge.V_inv))
    served = np.zeros_like(replica)

    def answers(follower, commitment, menu, moves) -> Reply:
        phi = np.ascontiguousarray(menu[:, 0])
        leader, width, _ = ridge.optimistic(commitment.alpha, phi[:, 0])
        width *= 2
        return Reply(served, phi, leader, leader, commitment.alpha * width, width)

    def reveals(theta, answer, queried, eta):
        mu, y, regret = np.empty(eta.shape), np.empty(eta.shape), np.empty(len(eta))
        reveal(theta, answer.phi[:, 0], answer.leader, queried, eta, mu, y, regret)
        return mu, y, regret

    def learns(queried, answer, y):
        ridge.update(queried, answer.leader, answer.phi[:, 0], y[replica, answer.leader])

    return answers, reveals, learns


def _on_candidates(ridge: Ridge, greedy: bool, chosen: bool) -> tuple[Callable, Callable, Callable]:
    """What `_rounds` does with candidates that share a parameter: as `_on_arms`."""
    replica = np.arange(len(ridge.V))

    def reveals(theta, answer, queried, eta):
        mu, shown = rewards(theta, answer.phi), queried[:, None]
        if chosen:
            shown = shown & (np.arange(mu.shape[1]) == answer.leader[:, None])
        return mu, np.where(shown, mu + eta, np.nan), mu.max(axis=1) - mu[replica, answer.leader]

    def learns(queried, answer, y):
        phi = answer.phi
        if chosen:
            phi, y = phi[replica, answer.leader][:, None], y[replica, answer.leader][:, None]
        ridge.update(queried, phi, y)

    return _greedy if greedy else _optimistic, reveals, learns


def rewards(theta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Rewards (n, K): phi (n, K, d) under theta (n, d)."""
    return (phi @ theta[:, :, None])[..., 0]


def _greedy(follower, commitment: Commitment, menu: np.ndarray, moves: np.random.Generator) -> Reply:
    return follower.respond(commitment, menu, moves)


def _optimistic(follower, commitment: Commitment, menu: np.ndarray, moves: np.random.Generator) -> Reply:
    """The follower serves a context, the leader answers with the largest upper bound."""
    n = np.arange(len(menu))
    if follower is None:
        served, phi = np.zeros(len(menu), int), menu[:, 0]
    else:
        served = follower.respond(commitment, menu, moves).served
        phi = menu[n, served]
    width = np.sqrt(np.maximum(((phi @ commitment.V_inv) * phi).sum(axis=-1), 0))
    upper = rewards(commitment.theta_hat, phi) + commitment.alpha[:, None] * width
    top = upper.max(axis=1, keepdims=True)
    leader = (upper >= top - TIES[phi.dtype] * abs(top)).argmax(axis=1)
    both_ways = 2 * width[n, leader]
    return Reply(served, phi, leader, leader, commitment.alpha * both_ways, both_ways)


def _finite(name: str, got, shape: tuple[int, ...], t: int) -> np.ndarray:
    """What a stream gave, if it has this shape and its squares can be summed; else InputError."""
    got = np.asarray(got)
    if got.shape != shape:
        raise InputError(f"{name} gave an array of shape {got.shape} in round {t}: give {shape}")
    if not math.isfinite(np.vdot(got, got)):
        raise InputError(f"{name} gave NaN, infinite or overflowing features in round {t}: give finite numbers")
    return got


def _wish(wish, n: int) -> np.ndarray:
    wish = np.asarray(wish)
    if wish.shape != (n,) or wish.dtype != bool:
        raise InputError(f"gate.decide gave {wish.dtype} {wish.shape}: return one bool per replica, ({n},)")
    return wish


def _has(name: str, thing, method: str) -> None:
    if isinstance(thing, type) or not callable(getattr(thing, method, None)):
        raise InputError(f"{name}={thing!r} has no method {method}: give an instance, with its parentheses")


def _one_of(name: str, value, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name}={value!r} is not known: give {' or '.join(map(repr, known))}")


def _radius(alpha: Radius, n: int) -> Callable[[np.ndarray], np.ndarray]:
    if not callable(alpha):
        fixed = np.full(n, real("alpha", alpha, above=0))
        return lambda log_det: fixed
    first = np.asarray(alpha(np.zeros(n)))
    if first.shape != (n,) or not np.all(np.isfinite(first) & (first > 0)):
        raise InputError(f"alpha(zeros({n})) gave {first!r}: map log det ({n},) to finite radii > 0 ({n},)")
    return alpha
