"""The follower: sees the leader's commitment, serves a context and names a challenger to the leader's answer.

A follower is any object with `respond(commitment, menu, rng) -> Reply`. `stakes` works out what each
candidate of each context in the pool could win, `reply` packs the choice: a new follower is a few lines, see
`BestResponse`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Scores that agree to this share of the largest are a tie, decided by index and not by rounding noise.
TIE = 1e-10


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
    slack = TIE * np.abs(x).max(axis=-1, keepdims=True)
    return (x >= x.max(axis=-1, keepdims=True) - slack).argmax(axis=-1)


def stakes(commitment: Commitment, menu: np.ndarray) -> Stakes:
    """What each candidate of each context could win over the leader's answer; menu (n, M, K, d)."""
    n, pool = np.arange(menu.shape[0])[:, None], np.arange(menu.shape[1])
    score = (menu @ commitment.theta_hat[:, None, :, None])[..., 0]
    leader = first_argmax(score)
    # Rounding may push a gap or a squared width below zero, never by more than rounding.
    gap = np.maximum(score[n, pool, leader][..., None] - score, 0)
    apart = menu - menu[n, pool, leader][..., None, :]
    width = np.sqrt(np.maximum(((apart @ commitment.V_inv[:, None]) * apart).sum(-1), 0))
    return Stakes(leader, commitment.alpha[:, None, None] * width - gap, width)


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
