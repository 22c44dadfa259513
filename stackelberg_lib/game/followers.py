"""The follower: sees the leader's commitment, serves a context and names a challenger to the leader's answer.

A follower is any object with `respond(commitment, menu, rng) -> Reply`. `stakes` works out what each
candidate of each context in the pool could win, `reply` packs the choice: a new follower is a few lines, see
`BestResponse`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stackelberg_lib.game.checks import whole

# Scores that agree to this share of the largest are a tie, decided by index and not by rounding noise.
TIES = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-6}


class Commitment(NamedTuple):
    """What the leader shows before the follower moves, for n replicas."""

    theta_hat: np.ndarray  # (n, d) estimate
    V: np.ndarray  # (n, d, d) Gram matrix
    V_inv: np.ndarray  # (n, d, d) its inverse
    log_det: np.ndarray  # (n,) log(det V / det(lam I))
    alpha: np.ndarray  # (n,) radius of the confidence ellipsoid |theta - theta_hat|_V <= alpha


class Stakes(NamedTuple):
    """What could be won in each context of the pool."""

    leader: np.ndarray  # (n, M) the leader's answer, an index into the K candidates
    value: np.ndarray  # (n, M, K) -gap + alpha width: what a candidate could win, reward units
    width: np.ndarray  # (n, M, K) |phi(z) - phi(a)| in the norm of V^-1


class Reply(NamedTuple):
    """The follower's move in one round."""

    served: np.ndarray  # (n,) index of the served context in the pool
    phi: np.ndarray  # (n, K, d) its features
    leader: np.ndarray  # (n,) the leader's answer a_t
    challenger: np.ndarray  # (n,) the challenger z_t
    latency: np.ndarray  # (n,) value of the follower's problem at its choice, >= 0, reward units
    width: np.ndarray  # (n,) width at the challenger


def first_argmax(x: np.ndarray) -> np.ndarray:
    """Index of the largest entry along the last axis; the lowest index among those equal within rounding."""
    slack = TIES[x.dtype] * np.abs(x).max(axis=-1, keepdims=True)
    return (x >= x.max(axis=-1, keepdims=True) - slack).argmax(axis=-1)


def scores(theta_hat: np.ndarray, menu: np.ndarray) -> np.ndarray:
    """Estimated rewards (n, M, K) of menu (n, M, K, d) under theta_hat (n, d)."""
    return (menu @ theta_hat[:, None, :, None])[..., 0]


def over(commitment: Commitment, menu: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lead in estimated reward and width, both (n, M, K), of each candidate over `answer` (n, M)."""
    score = scores(commitment.theta_hat, menu)
    n, pool = np.arange(menu.shape[0])[:, None], np.arange(menu.shape[1])
    apart = menu - menu[n, pool, answer][..., None, :]
    # Rounding may push a squared width below zero, never by more than rounding.
    width = np.sqrt(np.maximum(((apart @ commitment.V_inv[:, None]) * apart).sum(-1), 0))
    return score - score[n, pool, answer][..., None], width


def stakes(commitment: Commitment, menu: np.ndarray) -> Stakes:
    """What each candidate of each context could win over the leader's answer; menu (n, M, K, d)."""
    leader = first_argmax(scores(commitment.theta_hat, menu))
    lead, width = over(commitment, menu, leader)
    # Nobody leads the leader's answer but by rounding: a lead is minus a gap.
    return Stakes(leader, commitment.alpha[:, None, None] * width + np.minimum(lead, 0), width)


def reply(menu: np.ndarray, at_stake: Stakes, served: np.ndarray, challenger: np.ndarray) -> Reply:
    """Pack a choice: the context `served` (n,) of menu (n, M, K, d) and the `challenger` (n,) within it.

    A challenger that promises less than nothing gives way to the leader's own answer, which promises 0.
    """
    n = np.arange(len(menu))
    leader = at_stake.leader[n, served]
    challenger = np.where(at_stake.value[n, served, challenger] >= 0, challenger, leader)
    return Reply(served, menu[n, served], leader, challenger,
                 np.maximum(at_stake.value[n, served, challenger], 0), at_stake.width[n, served, challenger])


@dataclass(frozen=True)
class BestResponse:
    """Nature draws the context (the pool's first); the challenger is the candidate that could win most."""

    def respond(self, commitment: Commitment, menu: np.ndarray, rng: np.random.Generator) -> Reply:
        """Move of one round; menu (n, M, K, d)."""
        at_stake = stakes(commitment, menu[:, :1])
        return reply(menu, at_stake, np.zeros(len(menu), int), first_argmax(at_stake.value[:, 0]))


@dataclass(frozen=True)
class RandomChallenger:
    """Nature draws the context (the pool's first); the challenger is drawn uniformly from its candidates.

    Its latency is what this one candidate could win: no bound on the round's regret, unlike `BestResponse`'s.
    """

    def respond(self, commitment: Commitment, menu: np.ndarray, rng: np.random.Generator) -> Reply:
        """Move of one round; menu (n, M, K, d)."""
        n, _, K, _ = menu.shape
        return reply(menu, stakes(commitment, menu[:, :1]), np.zeros(n, int), rng.integers(K, size=n))


@dataclass(frozen=True)
class ContextSelecting:
    """Serves the context of the pool with the largest latency; the challenger is its best response.

    Equal latencies go to the lowest index. The choice depends on theta_hat: use a radius that allows adaptive
    contexts (`alpha_log_det`, `alpha_adp`; not `alpha_fix`).
    """

    def respond(self, commitment: Commitment, menu: np.ndarray, rng: np.random.Generator) -> Reply:
        """Move of one round; menu (n, M, K, d)."""
        at_stake = stakes(commitment, menu)
        return _challenged(menu, at_stake, first_argmax(at_stake.value.max(axis=-1)))


class Replaying:
    """Serves the context of the pool that the leader's commitment of `lag` rounds ago answered worst.

    Worst is judged by what is known now, never by the truth: with a the answer that the old estimate gives in
    a context, the follower maximises max_z s(z) - s(a) + alpha |phi(z) - phi(a)|_{V^-1}, the largest regret of
    the old answer that today's commitment (scores s, V, alpha) allows; equal ones go to the lowest index. The
    challenger is the best response to today's answer. lag = 0 is `ContextSelecting`; in the first `lag` rounds
    the first estimate is used. As there, the radius must allow adaptive contexts.

    It remembers lag + 1 estimates, O(lag n d). They are forgotten as long as no replica holds information
    (log det all 0, all estimates 0), so one object may play again from the start, but not two plays in turns.
    Raises InputError unless lag is an integer >= 0.
    """

    def __init__(self, lag: int) -> None:
        self.lag = whole("lag", lag, 0)
        self._estimates: deque[np.ndarray] = deque(maxlen=self.lag + 1)

    def __repr__(self) -> str:
        return f"Replaying(lag={self.lag})"

    def respond(self, commitment: Commitment, menu: np.ndarray, rng: np.random.Generator) -> Reply:
        """Move of one round; menu (n, M, K, d)."""
        if not commitment.log_det.any():
            self._estimates.clear()
        self._estimates.append(commitment.theta_hat)
        answer = first_argmax(scores(self._estimates[0], menu))
        lead, width = over(commitment, menu, answer)
        worst = (lead + commitment.alpha[:, None, None] * width).max(axis=-1)
        return _challenged(menu, stakes(commitment, menu), first_argmax(worst))


def _challenged(menu: np.ndarray, at_stake: Stakes, served: np.ndarray) -> Reply:
    """The best response within the context `served` (n,)."""
    return reply(menu, at_stake, served, first_argmax(at_stake.value[np.arange(len(menu)), served]))
