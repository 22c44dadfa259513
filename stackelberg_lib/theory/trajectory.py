"""A play as the proofs see it: everything that stands on either side of an inequality, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.followers import scores
from stackelberg_lib.game.play import Radius, Round, rounds
from stackelberg_lib.theory import bounds, potential
from stackelberg_lib.theory.radii import log_growth

ROUNDING = 1e-9  # what rounding may take, a share; mean rewards that differ by less of S |phi| are equal


class Trajectory(NamedTuple):
    """n replicas of a play over T rounds; rewards, radii and gaps in reward units, norms in that of V^-1.

    Everything per round is as it was when the round was played, before its label changed V and theta_hat.
    """

    regret: np.ndarray  # (n, T) r_t, 0 below rounding
    latency: np.ndarray  # (n, T) l_t
    width: np.ndarray  # (n, T) w_t, at the challenger
    queried: np.ndarray  # (n, T) bool, a label was bought
    alpha: np.ndarray  # (n, T) the radius of the round
    log_det: np.ndarray  # (n, T) log(det V_t / det(lam I)), in nats
    distance: np.ndarray  # (n, T) |theta_hat - theta| in the norm of V
    gap: np.ndarray  # (n, T) gap_t(z_t) >= 0, by how much the scores put the challenger behind the answer
    best_gap: np.ndarray  # (n, T) gap_t(a*) >= 0, the same for the truly best candidate a*
    best_width: np.ndarray  # (n, T) |phi(a*) - phi(a_t)|
    best_error: np.ndarray  # (n, T) <theta - theta_hat, phi(a*) - phi(a_t)>
    margin: np.ndarray  # (n, T) Delta_t, the smallest positive mu* - mu(a); inf where all rewards are equal
    pair: np.ndarray  # (n, T) sum of |phi(b)|^2 over b in {a_t, z_t}
    trace: np.ndarray  # (n, T) tr(F V^-1 F^T), the sum of |phi(b)|^2 over all candidates
    growth: np.ndarray  # (n, T) log det(I + F V^-1 F^T), what a label adds to log det V
    end_log_det: np.ndarray  # (n,) log(det V / det(lam I)) after the last round, from V itself
    end_trace: np.ndarray  # (n,) tr(V - lam I) after the last round
    level_log_det: np.ndarray  # (n,) as end_log_det, of a V that holds only queries with latency above tau
    good: np.ndarray  # (n,) bool, the event of L1: distance <= alpha in all rounds
    tau: float  # level of the gate, 0 for a gate without one
    ceiling: float  # the deterministic alpha of T1-T4: no radius of the play with at most B labels is above it
    B: int
    d: int
    K: int
    L: float
    S: float
    lam: float
    sigma: float

    @property
    def T(self) -> int:
        """Rounds."""
        return self.regret.shape[1]

    @property
    def sizes(self) -> dict:
        """d, K, L and lam, the arguments that potential and bounds share."""
        return dict(d=self.d, K=self.K, L=self.L, lam=self.lam)

    @property
    def c_x(self) -> float:
        """C_X of L3."""
        return potential.c_x(L=self.L, lam=self.lam)

    @property
    def labels(self) -> np.ndarray:
        """Labels bought (n,), Q in the theorems."""
        return self.queried.sum(axis=1)

    @property
    def threshold(self) -> np.ndarray:
        """Queries (n, T) whose latency is above the level: all of them for LLF, not for T4's reserve gate."""
        return self.queried & (self.latency > self.tau)


def record(stream, follower, gate, *, T: int, B: int, seeds: int, seed: int, sigma: float, lam: float,
           alpha: Radius) -> Trajectory:
    """Play as `game.play` does with all labels shown and a greedy leader, and keep what the chains need.

    stream needs S and L, the bounds on |theta| and |phi|. tau is the gate's, 0 for a gate without; the ceiling is
    `alpha` itself, or alpha(d Lambda_B) where alpha is a function (`radii.alpha_log_det` gives `radii.alpha_adp`).
    Memory O(seeds T). Raises InputError as `game.play`, and for a stream without S or L.
    """
    for name in ("S", "L"):
        if not hasattr(stream, name):
            raise InputError(f"stream={stream!r} has no {name}: give a stream that bounds |theta| and |phi|")
    tau = float(getattr(gate, "tau", 0.0))
    rows, level_V = [], np.tile(lam * np.eye(stream.d), (seeds, 1, 1))
    for now in rounds(stream, follower, gate, T=T, B=B, seeds=seeds, seed=seed, sigma=sigma, lam=lam, alpha=alpha):
        rows.append(_row(now, stream.S))
        outer = now.reply.phi.swapaxes(1, 2) @ now.reply.phi
        level_V = level_V + (now.queried & (now.reply.latency > tau))[:, None, None] * outer
    V = now.commitment.V + now.queried[:, None, None] * outer
    fields = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    ends = dict(end_log_det=_log_det(V, lam), end_trace=np.trace(V - lam * np.eye(stream.d), axis1=1, axis2=2),
                level_log_det=_log_det(level_V, lam), good=(fields["distance"] <= fields["alpha"]).all(axis=1))
    return Trajectory(**fields, **ends, tau=tau, ceiling=_ceiling(alpha, stream, B, lam), B=B, d=stream.d, K=stream.K,
                      L=stream.L, S=stream.S, lam=lam, sigma=sigma)


def all_labelled(trajectory: Trajectory) -> None:
    """InputError unless every round bought a label: T1's condition."""
    skipped = np.count_nonzero(~trajectory.queried)
    if skipped:
        raise InputError(f"queried: {skipped} rounds went without a label, T1 needs none: give B = T and AllLabels")


def at_level(trajectory: Trajectory, B: int, word: str) -> None:
    """InputError if the gate's level is below `t2_level` for B labels, where `word`, a theorem, does not count."""
    level = bounds.t2_level(B, alpha=trajectory.ceiling, **trajectory.sizes)
    if trajectory.tau < level * (1 - ROUNDING):
        raise InputError(f"tau={trajectory.tau:g} is below {level:g}, from which {word} counts: give t2_level or more")


def cap_silent(trajectory: Trajectory, most: float, word: str) -> None:
    """InputError if a latency above the level got no label, or the level is above `most`, all that `word` pays for."""
    tau = trajectory.tau
    if not (trajectory.queried | (trajectory.latency <= tau)).all():
        raise InputError(f"B={trajectory.B}: a latency above tau={tau:g} got no label, {word} needs all of them to: "
                         "give a level at which the cap does not act")
    if tau > most * (1 + ROUNDING):
        raise InputError(f"tau={tau:g} is above {most:g}, the level that {word} pays for: give t2_level or less")


def _row(now: Round, S: float) -> dict[str, np.ndarray]:
    """Everything of one round, each entry (n,)."""
    theta_hat, V, V_inv, log_det, alpha = now.commitment
    phi, a, z, n = now.reply.phi, now.reply.leader, now.reply.challenger, np.arange(len(now.mu))
    best = now.mu.argmax(axis=1)
    score = scores(theta_hat, phi[:, None])[:, 0]
    behind = np.maximum(score[n, a][:, None] - score, 0)
    off, apart = now.theta - theta_hat, phi[n, best] - phi[n, a]
    gaps = now.mu.max(axis=1, keepdims=True) - now.mu
    rounding = ROUNDING * S * np.linalg.norm(phi, axis=2).max(axis=1, keepdims=True)
    gaps = np.where(gaps > rounding, gaps, 0.0)
    inner = phi @ V_inv @ phi.swapaxes(1, 2)
    own = np.diagonal(inner, axis1=1, axis2=2)
    return dict(
        regret=gaps[n, a], latency=now.reply.latency, width=now.reply.width, queried=now.queried, alpha=alpha,
        log_det=log_det, distance=_norm(off, V), gap=behind[n, z], best_gap=behind[n, best],
        best_width=_norm(apart, V_inv), best_error=(off * apart).sum(axis=1),
        margin=np.where(gaps > 0, gaps, np.inf).min(axis=1),
        pair=own[n, a] + np.where(z == a, 0.0, own[n, z]), trace=own.sum(axis=1),
        growth=np.linalg.slogdet(np.eye(phi.shape[1]) + inner)[1])


def _norm(x: np.ndarray, A: np.ndarray) -> np.ndarray:
    """sqrt(x^T A x) for x (n, d), A (n, d, d): (n,)."""
    return np.sqrt(np.maximum(((A @ x[..., None])[..., 0] * x).sum(axis=1), 0))


def _log_det(V: np.ndarray, lam: float) -> np.ndarray:
    return np.linalg.slogdet(V / lam)[1]


def _ceiling(alpha: float | Callable, stream, B: int, lam: float) -> float:
    if not callable(alpha):
        return float(alpha)
    return float(alpha(np.array([stream.d * log_growth(B, d=stream.d, K=stream.K, L=stream.L, lam=lam)]))[0])
