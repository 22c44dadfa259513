"""What the tests of the chains share: plays on which an inequality is tight, and every side worked out anew.

Nothing here calls `potential`, `bounds` or `radii`: formulas are written out a second time, from THEORY's text.
"""

from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import LLF, AllLabels, BestResponse, NoLabels, Reserve, Stationary
from stackelberg_lib.theory import chains
from stackelberg_lib.theory.trajectory import record

GAPS = dict(kappa=0.7, Delta_0=3.0)
SURE = 0.3  # delta' of T2 (iv)


class OneDirection(NamedTuple):
    """d = 1: candidates -length[t] and +length[t], in this order, theta = S: who knows nothing answers wrongly."""

    lengths: tuple
    S: float = 1.0
    d: int = 1
    K: int = 2
    M: int = 1

    @property
    def L(self):
        return max(self.lengths)

    def theta(self, rng, n):
        return np.full((n, 1), self.S)

    def menu(self, rng, t, T, n):
        return np.tile(self.lengths[t] * np.array([-1.0, 1.0])[:, None], (n, 1, 1, 1))


def level(B, alpha, d=1, K=2, L=1.0, lam=1.0):
    """T2's level; a hair above, since on these plays a latency may equal it."""
    return (1 + 1e-12) * alpha * np.sqrt(2 * (np.exp(d / B * np.log(1 + B * K * L**2 / (d * lam))) - 1))


def one_play(gate, lengths, B, lam, alpha, S=1.0, seeds=2):
    return record(OneDirection(tuple(lengths), S), BestResponse(), gate, T=len(lengths), B=B, seeds=seeds, seed=0,
                  sigma=0.0, lam=lam, alpha=alpha)


def tight_plays():
    """name -> Trajectory; together they leave no step more than a tenth of slack."""
    lam = 2e-6  # X = 1e6: the logarithms of 1 + X and 1 + 2 X are close
    alpha, above = np.sqrt(lam), 1.01
    growing, share = growing_lengths()
    reserve = dict(lam=lam, L=1.0, free=NoLabels())
    return {
        "once": one_play(AllLabels(), [1.0], 1, lam, alpha),
        "first of two": one_play(LLF(level(2, alpha, lam=lam)), [1.0] * 2, 2, lam, alpha),
        "first of four": one_play(Reserve(level(2, alpha, lam=lam), alpha=alpha, **reserve), [1.0] * 4, 4, lam, alpha),
        "none of 20": one_play(LLF(level(1, above * alpha, lam=lam)), [1.0] * 20, 1, lam, above * alpha),
        "none of 20, reserve": one_play(Reserve(level(1, above * alpha, lam=lam), alpha=above * alpha, **reserve),
                                        [1.0] * 20, 2, lam, above * alpha),
        "growing": one_play(LLF(level(len(growing), 1.0, lam=share)), growing, len(growing), share, 1.0, S=1e-9),
    }


def growing_lengths(B=200, nats=100):
    """Lengths whose width never falls below the level until the longest is reached: Q is close to B. And lam."""
    X = np.exp(nats) / B
    lam, u = 2 / X, np.log(1 + B * X) / B
    squared = lam * np.exp(np.arange(B) * u) * (np.exp(u) - 1) * (1 + 1e-6) / 2
    return np.sqrt(np.minimum(squared, 1.0)), lam


class Sizes(NamedTuple):
    """Everything THEORY names, from a trajectory."""

    X: float
    C: float
    a: float  # alpha
    q: np.ndarray  # queried
    h: np.ndarray  # threshold queries
    r: np.ndarray
    l: np.ndarray
    w: np.ndarray

    @classmethod
    def of(cls, p):
        X = 2 * p.L**2 / p.lam
        return cls(X, X / np.log(1 + X), p.ceiling, p.queried * 1.0, (p.queried & (p.latency > p.tau)) * 1.0, p.regret,
                   p.latency, p.width)


def d_lambda(p, n):
    return p.d * np.log(1 + n * p.K * p.L**2 / (p.d * p.lam))


def sides_l2(p):
    lead = p.best_error - p.best_gap
    return [p.regret, lead, p.distance * p.best_width - p.best_gap, p.alpha * p.best_width - p.best_gap, p.latency,
            p.alpha * p.width - p.gap, p.alpha * p.width, p.ceiling * p.width]


def sides_l3(p):
    x, Q = Sizes.of(p), p.queried.sum(1)
    logs = [np.log(1 + x.w**2 / 2), np.log(1 + p.pair), np.log(1 + p.trace), p.growth]
    return [(x.w**2 * x.q).sum(1), *[2 * x.C * (v * x.q).sum(1) for v in logs], 2 * x.C * p.end_log_det,
            2 * x.C * p.d * np.log(1 + p.end_trace / p.d / p.lam), 2 * x.C * d_lambda(p, Q)]


def sides_t1(p):
    x, T = Sizes.of(p), p.regret.shape[1]
    return [x.r.sum(1), x.l.sum(1), x.a * x.w.sum(1), x.a * np.sqrt(T * (x.w**2).sum(1)),
            x.a * np.sqrt(2 * x.C * T * p.end_log_det), x.a * np.sqrt(2 * x.C * T * d_lambda(p, T))]


def sides_count(p):
    x, u = Sizes.of(p), d_lambda(p, p.B) / p.B
    Q = x.h.sum(1)
    return [Q * u, (np.log(1 + x.w**2 / 2) * x.h).sum(1), p.level_log_det, d_lambda(p, Q), d_lambda(p, p.B), u * p.B]


def sides_gated(p, mine, log_det, B, bound):
    x, T, Q = Sizes.of(p), p.regret.shape[1], mine.sum(1)
    rest, most = 1 - mine, d_lambda(p, B)
    tau = x.a * np.sqrt(2 * x.C * most / B)
    queries = [(x.r * mine).sum(1), x.a * (x.w * mine).sum(1), x.a * np.sqrt(Q * (x.w**2 * mine).sum(1)),
               x.a * np.sqrt(2 * x.C * Q * log_det), x.a * np.sqrt(2 * x.C * Q * most)]
    rests = [(x.l * rest).sum(1), (T - Q) * p.tau, (T - Q) * tau]
    root = x.a * np.sqrt(2 * x.C * most * B)
    return [x.r.sum(1), *[v + (x.r * rest).sum(1) for v in queries], *[queries[-1] + v for v in rests],
            (np.sqrt(Q / B) + (T - Q) / B) * root, bound * root]


def sides_regret(p):
    return sides_gated(p, p.queried * 1.0, p.end_log_det, p.B, p.regret.shape[1] / p.B + 0.25)


def sides_t4(p):
    return sides_gated(p, Sizes.of(p).h, p.level_log_det, p.B // 2, 2 * p.regret.shape[1] / p.B + 0.25)


def sides_margin(p):
    x, Delta = Sizes.of(p), p.margin.min()
    return [x.r.sum(1), (x.r * x.q).sum(1), (x.r**2 * x.q).sum(1) / Delta, x.a**2 * (x.w**2 * x.q).sum(1) / Delta,
            2 * x.C * x.a**2 * d_lambda(p, x.q.sum(1)) / Delta, 2 * x.C * x.a**2 * d_lambda(p, p.B) / Delta]


def sides_low_noise(p, last, M=1):
    x, small = Sizes.of(p), (p.margin <= p.tau) * 1.0
    chance = M * (p.tau / GAPS["Delta_0"]) ** GAPS["kappa"]
    count = p.regret.shape[1] * chance
    end = count if last == "mean" else 2 * count + 7 / 6 * np.log(1 / SURE)
    return [(x.r * (1 - x.q)).sum(1), (x.r * (1 - x.q) * small).sum(1), p.tau * ((1 - x.q) * small).sum(1),
            p.tau * small.sum(1), p.tau * end]


def sides_t3(p):
    x = Sizes.of(p)
    split = (x.l * x.q).cumsum(1) + (x.l * (1 - x.q)).cumsum(1)
    return [x.r.cumsum(1), x.l.cumsum(1), split, (p.alpha * x.w).cumsum(1)]


def all_chains():
    """(chain, all its sides by hand) for every chain there is; built when called, so that a changed module shows."""
    return [(chains.L2, sides_l2), (chains.L3, sides_l3), (chains.T1, sides_t1), (chains.T2_COUNT, sides_count),
            (chains.T2_REGRET, sides_regret), (chains.T2_MARGIN, sides_margin), (chains.T3, sides_t3),
            (chains.T4, sides_t4), (chains.t2_low_noise(**GAPS), lambda p: sides_low_noise(p, "mean")),
            (chains.t2_low_noise(**GAPS, delta=SURE), lambda p: sides_low_noise(p, "sure")),
            (chains.t2_low_noise(**GAPS, delta=SURE, M=3), lambda p: sides_low_noise(p, "sure", 3))]


def few_plays():
    """A handful of plays on which every chain can be evaluated and no side is zero throughout."""
    lam, alpha = 1e-3, 1.0
    drawn = dict(T=30, seeds=3, seed=5, sigma=0.3, lam=lam, alpha=lambda x: alpha / 2 * (1 + x / 40))
    low = dict(d=2, K=3, lam=lam)
    gates = [AllLabels(), LLF(level(10, drawn["alpha"](2 * np.log(1 + 15 / lam)), **low))]
    return [record(Stationary(2, 3), BestResponse(), gate, B=B, **drawn)
            for gate, B in zip(gates, (30, 10), strict=True)] + list(tight_plays().values())


def check_conditions(plays):
    """A level just below or above the one a theorem speaks of is refused, and the same level is not."""
    two, four = plays[1], tight_plays()["first of four"]
    asked = []
    for chain, at, B in ((chains.T2_COUNT, two, two.B), (chains.T2_REGRET, two, two.B), (chains.T4, four, 2)):
        exact = level(B, at.ceiling, d=at.d, K=at.K, L=at.L, lam=at.lam)
        X = 2 * at.L**2 / at.lam
        most = at.ceiling * np.sqrt(2 * X / np.log(1 + X) * d_lambda(at, B) / B)
        if chain is not chains.T2_REGRET:
            asked += [(chain, at, exact, False), (chain, at, 0.99 * exact, True)]
        if chain is not chains.T2_COUNT:
            asked += [(chain, at, most, False), (chain, at, 1.01 * most, True)]
    for chain, at, tau, refused in asked:
        try:
            chain.evaluate(at._replace(queried=np.ones_like(at.queried), tau=tau))
            raised = False
        except InputError:
            raised = True
        assert raised == refused, (chain.name, tau)
    texts = [chains.t2_low_noise(**GAPS, M=M).latex() for M in (1, 2)]
    assert ["M\\left" in text for text in texts] == [False, True]
