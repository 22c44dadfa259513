"""Parallel links: the game in which Largest Latency First (LLF) was first proposed.

A flow of total size `flow` (any unit; 1 by default) is split over m links. A link is slower the more it carries. A
leader routes a share beta of the flow, knowing that the rest, the followers, then moves selfishly to the fastest links.
Source: Roughgarden, Stackelberg Scheduling Strategies, STOC 2001 and SIAM Journal on Computing 33(2), 2004. Theorem
there: LLF costs at most 1 / beta times the optimum, and at most 4 / (3 + beta) times if all latencies are affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real


@dataclass(frozen=True)
class Link:
    """Latency free + (x / capacity)^power of one link at flow x >= 0 (time units).

    free >= 0, latency when empty (time units); capacity > 0, the flow at which latency is one above `free` (flow
    units), infinite for a constant latency; power > 0, one for an affine latency. So a + b x^p with b > 0 is
    Link(a, b**(-1 / p), p). Raises InputError for values out of range.
    """

    free: float = 0.0
    capacity: float = inf
    power: float = 1.0

    def __post_init__(self) -> None:
        real("free", self.free, at_least=0)
        real("power", self.power, above=0)
        if self.capacity != inf:
            real("capacity", self.capacity, above=0)

    def latency(self, x):
        """Time units (same shape as x) at flow x >= 0; infinite where it overflows."""
        with np.errstate(over="ignore"):
            return self.free + (np.asarray(x, dtype=float) / self.capacity) ** self.power

    def inverse(self, level: float) -> float:
        """The largest flow with latency at most `level`; 0 if the empty link is slower than that."""
        if level <= self.free:
            return 0.0
        with np.errstate(over="ignore"):  # a flow beyond all floats is as good as infinite
            return float(self.capacity * np.float64(level - self.free) ** (1 / self.power))

    def marginal(self) -> Link:
        """The link whose latency is this one's marginal cost, the derivative of x latency(x)."""
        return replace(self, capacity=self.capacity * (self.power + 1) ** (-1 / self.power))


def pigou(power: float = 1.0, capacity: float = 1.0) -> tuple[Link, Link]:
    """Pigou's two links, for flow 1: one always takes time 1, the other (x / capacity)^power.

    With capacity 1 - beta no leader of share beta can do better than cost 1: link 2 fills up until it takes time 1.
    The optimum is then (3 + beta) / 4 for power 1 and falls to beta as power grows, so both of LLF's factors are tight.
    """
    return Link(free=1.0), Link(capacity=capacity, power=power)


def nash(links: Sequence[Link], flow: float = 1.0, already: np.ndarray | None = None) -> np.ndarray:
    """Selfish (Wardrop) equilibrium (m,) of `flow` over m links that carry `already` (m,): used links are the fastest.

    flow >= 0, already >= 0 (flow units, default 0); returns the added flow alone. Equally fast constant links share
    alike. Raises InputError for no links, negative or non-finite flows, and latencies that overflow.
    """
    already = _checked(links, np.zeros(len(links)) if already is None else already, "already")
    flow = real("flow", flow, at_least=0)
    if flow == 0:
        return np.zeros(len(links))
    enough = float(min(link.latency(x + flow) for link, x in zip(links, already, strict=True)))
    if not np.isfinite(2 * enough):
        raise InputError(f"flow={flow!r} makes every latency overflow: give less flow, or links of more capacity")

    def room(level: float) -> np.ndarray:  # nobody needs more than `flow`, however much a constant link could take
        return np.clip([link.inverse(level) - x for link, x in zip(links, already, strict=True)], 0, flow)

    low, high = 0.0, 2 * enough + np.finfo(float).tiny  # room(low) is 0, room(high) is at least `flow`
    while low < (level := (low + high) / 2) < high:
        low, high = (level, high) if room(level).sum() < flow else (low, level)
    # Levels next to each other: a rising link takes the same at both, a constant link takes what the others leave.
    below, above = room(low), room(high)
    return below + (above - below) * (flow - below.sum()) / (above.sum() - below.sum())


def optimum(links: Sequence[Link], flow: float = 1.0) -> np.ndarray:
    """Assignment (m,) of `flow` with the least cost: the equilibrium for marginal costs. Errors as in `nash`."""
    return nash([link.marginal() for link in links], flow)


def cost(links: Sequence[Link], x: np.ndarray) -> float:
    """Total time sum of x_i latency_i(x_i) (flow times time units) for flows x (m,). InputError if x does not fit."""
    x = _checked(links, x, "x")
    return float(sum(amount * link.latency(amount) for link, amount in zip(links, x, strict=True)))


def llf(links: Sequence[Link], beta: float, flow: float = 1.0) -> np.ndarray:
    """What a leader with share beta of `flow` puts on each of m links (m,): Largest Latency First.

    Fill the links up to their optimal flow, those with the largest latency at the optimum first (lowest index on ties),
    until beta * flow is used up. 0 <= beta <= 1, else InputError. Source: Roughgarden 2004, strategy LLF.
    """
    if real("beta", beta, at_least=0) > 1:
        raise InputError(f"beta={beta!r} is out of range: give the leader's share, from 0 to 1")
    best = optimum(links, flow)
    slow_first = np.argsort([-link.latency(x) for link, x in zip(links, best, strict=True)], kind="stable")
    leader, left = np.zeros(len(links)), beta * flow
    for i in slow_first:
        leader[i] = min(best[i], left)
        left -= leader[i]
    return leader


def induced(links: Sequence[Link], leader: np.ndarray, flow: float = 1.0) -> np.ndarray:
    """Total flow (m,) on each link after the followers answered the leader's flows `leader` (m,).

    The followers bring flow - leader.sum(). Raises InputError if the leader routes more than `flow`.
    """
    leader = _checked(links, leader, "leader")
    left = real("flow", flow, at_least=0) - leader.sum()
    if left < -1e-9 * flow:
        raise InputError(f"leader={leader.tolist()} routes more than flow={flow!r}: give at most the whole flow")
    return leader + nash(links, max(left, 0.0), leader)


def _checked(links: Sequence[Link], x, name: str) -> np.ndarray:
    """Flows x as floats (m,), one for each link, finite and not negative; else InputError."""
    if len(links) == 0:
        raise InputError("links is empty: give at least one Link")
    x = np.asarray(x, dtype=float)
    if x.shape != (len(links),):
        raise InputError(f"{name} has shape {x.shape}: give one flow for each of the {len(links)} links")
    if not (np.isfinite(x) & (x >= 0)).all():
        raise InputError(f"{name}={x.tolist()} holds a negative or non-finite flow: give flows of at least 0")
    return x
