"""A game small enough to be solved exactly: one feature, two candidates, two truths, two labels.

theta is -1 or +1, a fair coin. A context is a stake x in (0, 1): its candidates have the features +x and -x, hence the
mean rewards +theta x and -theta x. A label is y = +1 or -1 with mean theta x, P(y = theta) = (1 + x) / 2. The leader
commits to an answer (+1 or -1, the candidate's sign) and, for each context of the pool, to a probability of buying the
label; the follower sees that and all past labels, neither theta nor coins, and serves one context. A wrong answer
costs 2 x. Both players know the same, so the follower's reply to a commitment is the largest of finitely many numbers,
and backward induction over (rounds left, budget left, labels seen) is exact.
Source: the game of this project's reconstruction, made finite.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from stackelberg_lib.game.checks import real, whole

TIE = 1e-12  # 3 * 0.3 - 0.9 is no reason to answer -1
Counts = tuple[tuple[int, int], ...]  # for each context: labels +1 seen there, labels -1 seen there


class Commitment(NamedTuple):
    """What the leader announces in one round."""

    answer: int  # +1 or -1
    gate: tuple[float, ...]  # for each context of the pool, the probability of buying its label


class Move(NamedTuple):
    """What happens in one state under best play."""

    value: float  # expected regret from here to the end
    commitment: Commitment
    served: int  # the follower's context


class State(NamedTuple):
    """All that both players know before a round."""

    rounds: int  # left, this one included
    budget: int  # labels left
    seen: Counts


Policy = Callable[[State], list[Commitment]]  # what the leader may commit to; a single entry where it has no choice


def start(pool: tuple[float, ...], T: int, B: int) -> State:
    """The state before the first of T rounds with at most B labels. Raises InputError."""
    for x in pool:
        real("pool", x, above=0, below=1)
    return State(whole("T", T, 1), whole("B", B, 0), ((0, 0),) * len(pool))


def probability_plus(pool: tuple[float, ...], seen: Counts) -> float:
    """P(theta = +1 | labels seen). Bayes: a label of stake x moves the log odds by log((1 + x) / (1 - x))."""
    log_odds = sum((plus - minus) * np.log((1 + x) / (1 - x)) for x, (plus, minus) in zip(pool, seen, strict=True))
    return float(1 / (1 + np.exp(-log_odds)))


def with_label(state: State, context: int, y: int) -> State:
    """The next state after a label y (+1 or -1) of a context."""
    plus, minus = state.seen[context]
    new = (plus + (y > 0), minus + (y < 0))
    return State(state.rounds - 1, state.budget - 1, (*state.seen[:context], new, *state.seen[context + 1:]))


def without_label(state: State) -> State:
    """The next state after a round that bought nothing."""
    return state._replace(rounds=state.rounds - 1)


def everything(M: int, levels: tuple[float, ...] = (0.0, 1.0), blind: bool = False) -> Policy:
    """Any answer, any gate with probabilities from `levels`: one for each of M contexts, or one for all if blind."""
    gates = [(q,) * M for q in levels] if blind else list(product(levels, repeat=M))
    options = [Commitment(answer, gate) for answer in (1, -1) for gate in gates]
    return lambda state: options


def ridge(pool: tuple[float, ...], *, lam: float = 1.0, alpha: float = 1.0, tau: float | None = None) -> Policy:
    """The learner of the lessons: answers by the sign of its ridge estimate (+1 at zero); buys where latency > tau.

    tau None: it always asks. In a context of stake x, the latency is 2 x max(0, alpha / sqrt(V) - |theta_hat|).
    """
    def commit(state: State) -> list[Commitment]:
        V = lam + sum(x**2 * sum(counts) for x, counts in zip(pool, state.seen, strict=True))
        theta_hat = sum(x * (plus - minus) for x, (plus, minus) in zip(pool, state.seen, strict=True)) / V
        reach = max(0.0, alpha / np.sqrt(V) - abs(theta_hat))
        gate = tuple(1.0 if tau is None or 2 * x * reach > tau else 0.0 for x in pool)
        return [Commitment(1 if theta_hat >= -TIE else -1, gate)]
    return commit


def solve(pool: tuple[float, ...], T: int, B: int, policy: Policy) -> dict[State, Move]:
    """Backward induction: in each state the commitment that is best for the leader against the follower's best reply.

    Returns the move of every state that can be reached; `solve(...)[start(pool, T, B)].value` is the game's value.
    """
    moves: dict[State, Move] = {}

    def value(state: State) -> float:
        if state.rounds == 0:
            return 0.0
        if state not in moves:
            p = probability_plus(pool, state.seen)
            ahead = [(value(without_label(state)), _after_label(pool, state, c, p, value)) for c in range(len(pool))]
            best = None
            for commitment in policy(state):
                wrong = 1 - p if commitment.answer > 0 else p
                cost = [2 * x * wrong + (1 - q) * skipped + q * bought
                        for x, q, (skipped, bought) in zip(pool, commitment.gate, ahead, strict=True)]
                served = int(np.argmax(cost))
                if best is None or cost[served] < best.value:
                    best = Move(cost[served], commitment, served)
            moves[state] = best
        return moves[state].value

    value(start(pool, T, B))
    return moves


def _after_label(pool: tuple[float, ...], state: State, context: int, p: float, value) -> float:
    """Expected value after asking in a context; a request without budget is refused."""
    if state.budget == 0:
        return value(without_label(state))
    plus = (1 + (2 * p - 1) * pool[context]) / 2  # P(y = +1 | labels seen)
    return plus * value(with_label(state, context, 1)) + (1 - plus) * value(with_label(state, context, -1))


def expected_regret(pool: tuple[float, ...], T: int, B: int, moves: dict[State, Move]) -> float:
    """Expected regret of play by `moves`, summed over both truths and every sequence of coins and labels.

    No posterior and no induction: an independent way to the value of `solve`, exponential in T.
    """
    def walk(theta: int, state: State) -> float:
        if state.rounds == 0:
            return 0.0
        _, (answer, gate), c = moves[state]
        q = gate[c] if state.budget else 0.0
        regret = 2 * pool[c] * (answer != theta) + (1 - q) * (walk(theta, without_label(state)) if q < 1 else 0.0)
        for y in (1, -1) if q else ():
            regret += q * (1 + theta * y * pool[c]) / 2 * walk(theta, with_label(state, c, y))
        return regret

    return (walk(1, start(pool, T, B)) + walk(-1, start(pool, T, B))) / 2
