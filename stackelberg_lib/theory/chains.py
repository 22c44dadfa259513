"""A proof as data: each chain is a list of inequalities that can be read, typeset and evaluated on a trajectory.

A chain starts at the quantity to be bounded; the right side of a step is the left side of the next, so the steps
multiply to the bound. Source of all chains: this project's reconstruction; each step names what it rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory import bounds, potential
from stackelberg_lib.theory.trajectory import ROUNDING, Trajectory, all_labelled, at_level, cap_silent

RELATIONS = {"=": "=", "<=": r"\le"}


class Judged(Protocol):
    """What a proof speaks of: a `trajectory.Trajectory`, or in `pool_chains` a `pools.PoolPlay`."""

    good: np.ndarray  # (n,) bool, L1's event


class Step(NamedTuple):
    """One inequality or equality, left to right."""

    name: str
    latex: str  # as it stands in the lesson, both sides
    source: str  # what it rests on
    sides: Callable[[Judged], tuple[np.ndarray, np.ndarray]]
    relation: str  # "=" or "<="
    on: str  # "path": always; "good": on L1's event; "chance": with probability, or in the mean


class Evaluated(NamedTuple):
    """A step on a trajectory: both sides, (n,) or (n, T)."""

    step: Step
    left: np.ndarray
    right: np.ndarray
    good: np.ndarray  # (n,) bool, L1's event

    @property
    def slack(self) -> np.ndarray:
        """Share of the right side that the step gives away, 1 - left/right: 0 when tight; 0 where the right is 0."""
        return 1 - np.divide(self.left, self.right, out=np.ones_like(self.left), where=self.right != 0)

    @property
    def factor(self) -> float:
        """Right over left, each a mean over its replicas (summed over rounds): >= 1; a chain's factors multiply."""
        left, right = (side.sum() / len(side) for side in (self.left, self.right))
        return float(right / left) if left > 0 else float("inf")

    @property
    def broken(self) -> np.ndarray:
        """Replicas (n,) bool where the step is claimed and fails by more than rounding."""
        room = ROUNDING * np.maximum(np.maximum(np.abs(self.left), np.abs(self.right)), np.abs(self.right).max())
        off = self.left - self.right
        wrong = (np.abs(off) if self.step.relation == "=" else off) > room
        claimed = {"path": np.ones_like(self.good), "good": self.good, "chance": np.zeros_like(self.good)}
        return claimed[self.step.on] & wrong.reshape(len(wrong), -1).any(axis=1)


class Chain(NamedTuple):
    """A lemma or theorem with its proof. `needs` raises InputError on a trajectory it does not speak of."""

    name: str
    statement: str  # the first and the last side
    steps: tuple[Step, ...]
    needs: Callable[[Judged], None]

    def evaluate(self, trajectory: Judged) -> list[Evaluated]:
        """Both sides of every step on a trajectory. InputError where a condition of the statement fails."""
        self.needs(trajectory)
        return [Evaluated(step, *step.sides(trajectory), trajectory.good) for step in self.steps]

    def latex(self) -> str:
        """The whole derivation, an `aligned` block to stand between double dollars."""
        rows = []
        for step in self.steps:
            left, right = step.latex.split(f" {RELATIONS[step.relation]} ", 1)
            rows.append(f"{'' if rows else left} &{RELATIONS[step.relation]} {right} && \\text{{{step.source}}}")
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def chain_of(name: str, needs: Callable, latex: str, value: Callable, *links) -> Chain:
    """A chain from its first side and links (name, relation, latex, value, source, on), one for each next side."""
    steps, first, whole = [], latex, "=" if all(link[1] == "=" for link in links) else "<="
    for title, relation, next_latex, next_value, source, on in links:
        def sides(trajectory, pair=(value, next_value)):
            return pair[0](trajectory), pair[1](trajectory)

        steps.append(Step(title, f"{latex} {RELATIONS[relation]} {next_latex}", source, sides, relation, on))
        latex, value = next_latex, next_value
    return Chain(name, f"{first} {RELATIONS[whole]} {latex}", tuple(steps), needs)


def _sum(values, where) -> np.ndarray:
    return np.where(where, values, 0.0).sum(axis=1)


def _same(p: Trajectory, value: float) -> np.ndarray:
    return np.full(len(p.good), value)


def _each(p: Trajectory, labels: np.ndarray, ceiling: Callable) -> np.ndarray:
    """A function of a number of labels, at each replica's own (n,)."""
    return np.array([ceiling(int(Q), **p.sizes) for Q in labels])


def _anything(p: Trajectory) -> None:
    """No condition."""


def _t2_gate(p: Trajectory) -> None:
    cap_silent(p, _QUERIES.level(p), "T2 (ii)")


def _margin(p: Trajectory) -> None:
    cap_silent(p, float("inf"), "T2 (iii)")
    if not p.margin.min() > p.tau:
        raise InputError(f"Delta={p.margin.min():g} is not above tau={p.tau:g}: T2 (iii) needs Delta > tau")


def _t4_gate(p: Trajectory) -> None:
    bounds.t4_regret(p.T, p.B, alpha=p.ceiling, **p.sizes)
    at_level(p, p.B // 2, "T4")
    cap_silent(p, _THRESHOLD.level(p), "T4")


L2 = chain_of(
    "L2", _anything, r"r_t", lambda p: p.regret,
    ("what the leader saw, and what it could not see", "=",
     r"\langle\theta^*-\hat\theta_t,\,\phi_t(a^*_t)-\phi_t(a_t)\rangle-\mathrm{gap}_t(a^*_t)",
     lambda p: p.best_error - p.best_gap, "definition of the gap", "path"),
    ("Cauchy-Schwarz", "<=",
     r"\|\theta^*-\hat\theta_t\|_{V_t}\,\|\phi_t(a^*_t)-\phi_t(a_t)\|_{V_t^{-1}}-\mathrm{gap}_t(a^*_t)",
     lambda p: p.distance * p.best_width - p.best_gap, "Cauchy-Schwarz", "path"),
    ("the estimate is close", "<=", r"\alpha_t\,\|\phi_t(a^*_t)-\phi_t(a_t)\|_{V_t^{-1}}-\mathrm{gap}_t(a^*_t)",
     lambda p: p.alpha * p.best_width - p.best_gap, "L1", "good"),
    ("the challenger is the best response", "<=", r"\ell_t", lambda p: p.latency, "the follower maximises", "path"),
    ("the latency written out", "=", r"\alpha_t w_t-\mathrm{gap}_t(z_t)", lambda p: p.alpha * p.width - p.gap,
     "definition", "path"),
    ("the gap is not negative", "<=", r"\alpha_t w_t", lambda p: p.alpha * p.width, "the leader maximises", "path"),
    ("the radius has a ceiling", "<=", r"\alpha w_t", lambda p: p.ceiling * p.width, "L3 in L1", "path"))

_LOGS = r"2C_X\sum_{t\in\mathcal{Q}}\log"
L3 = chain_of(
    "L3", _anything, r"\sum_{t\in\mathcal{Q}}w_t^2", lambda p: _sum(p.width**2, p.queried),
    ("y / log(1 + y) grows", "<=", _LOGS + r"\left(1+w_t^2/2\right)",
     lambda p: 2 * p.c_x * _sum(np.log1p(p.width**2 / 2), p.queried), "half a squared width is at most X", "path"),
    ("parallelogram", "<=", _LOGS + r"\Big(1+\sum_{b\in\{a_t,z_t\}}\|\phi_t(b)\|^2_{V_t^{-1}}\Big)",
     lambda p: 2 * p.c_x * _sum(np.log1p(p.pair), p.queried), "parallelogram law", "path"),
    ("all K are labelled", "<=", _LOGS + r"\left(1+\mathrm{tr}\,F_tV_t^{-1}F_t^\top\right)",
     lambda p: 2 * p.c_x * _sum(np.log1p(p.trace), p.queried), "the rest only adds", "path"),
    ("determinant above trace", "<=", _LOGS + r"\det\left(I+F_tV_t^{-1}F_t^\top\right)",
     lambda p: 2 * p.c_x * _sum(p.growth, p.queried), "eigenvalues are not negative", "path"),
    ("the logarithms telescope", "=", r"2C_X\log\frac{\det V_{T+1}}{\det\lambda I}",
     lambda p: 2 * p.c_x * p.end_log_det, "determinant lemma", "path"),
    ("determinant below trace", "<=", r"2C_X\,d\log\frac{\mathrm{tr}\,V_{T+1}}{d\lambda}",
     lambda p: 2 * p.c_x * p.d * np.log1p(p.end_trace / (p.d * p.lam)), "AM-GM on eigenvalues", "path"),
    ("features are bounded", "<=", r"2C_X\,d\Lambda_Q", lambda p: _each(p, p.labels, potential.squared_widths),
     "no feature is longer than L", "path"))

T1 = chain_of(
    "T1", all_labelled, r"R_T", lambda p: p.regret.sum(axis=1),
    ("latency dominates regret", "<=", r"\sum_{t\le T}\ell_t", lambda p: p.latency.sum(axis=1), "L2", "good"),
    ("latency is below width", "<=", r"\alpha\sum_{t\le T}w_t", lambda p: p.ceiling * p.width.sum(axis=1), "L2",
     "path"),
    ("Cauchy-Schwarz over rounds", "<=", r"\alpha\sqrt{T\sum_{t\le T}w_t^2}",
     lambda p: p.ceiling * np.sqrt(p.T * (p.width**2).sum(axis=1)), "Cauchy-Schwarz", "path"),
    ("potential", "<=", r"\alpha\sqrt{2C_X\,T\log\frac{\det V_{T+1}}{\det\lambda I}}",
     lambda p: p.ceiling * np.sqrt(2 * p.c_x * p.T * p.end_log_det), "L3", "path"),
    ("determinant and trace", "<=", r"\alpha\sqrt{2C_X\,d\Lambda_T\,T}",
     lambda p: _same(p, bounds.t1_regret(p.T, alpha=p.ceiling, **p.sizes)), "L3", "path"))

T2_COUNT = chain_of(
    "T2 (i)", lambda p: at_level(p, p.B, "T2 (i)"), r"Q\,u",
    lambda p: p.threshold.sum(axis=1) * bounds.t2_share(p.B, **p.sizes),
    ("each query is wide", "<=", r"\sum_{t\in\mathcal{Q}}\log\left(1+w_t^2/2\right)",
     lambda p: _sum(np.log1p(p.width**2 / 2), p.threshold), "strictly, unless Q is 0", "path"),
    ("potential", "<=", r"\log\frac{\det V_{T+1}}{\det\lambda I}", lambda p: p.level_log_det, "L3", "path"),
    ("determinant and trace", "<=", r"d\Lambda_Q",
     lambda p: _each(p, p.threshold.sum(axis=1), potential.growth_ceiling), "L3", "path"),
    ("the budget, with room to spare", "<=", r"d\Lambda_B",
     lambda p: _same(p, potential.growth_ceiling(p.B, **p.sizes)), "Q is at most B", "path"),
    ("an even share for each label", "=", r"B\,u",
     lambda p: _same(p, p.B * bounds.t2_share(p.B, **p.sizes)), "definition of u", "path"))


class _Bought(NamedTuple):
    """The rounds that a gate's theorem pays by width; every other round has a latency of at most tau."""

    symbols: tuple[str, str, str]  # of these rounds, of their number, of the budget for them
    rounds: Callable[[Trajectory], np.ndarray]  # (n, T) bool
    log_det: Callable[[Trajectory], np.ndarray]  # (n,) of a V of these rounds alone
    budget: Callable[[Trajectory], int]

    def labels(self, p: Trajectory) -> np.ndarray:
        return self.rounds(p).sum(axis=1)

    def inside(self, p: Trajectory, values: np.ndarray) -> np.ndarray:
        return _sum(values, self.rounds(p))

    def rest(self, p: Trajectory, values: np.ndarray) -> np.ndarray:
        return _sum(values, ~self.rounds(p))

    def level(self, p: Trajectory) -> float:
        return bounds.t2_level_ceiling(self.budget(p), alpha=p.ceiling, **p.sizes)

    def paid(self, p: Trajectory) -> np.ndarray:
        return p.ceiling * np.sqrt(potential.squared_widths(self.budget(p), **p.sizes) * self.labels(p))


def _bought_links(b: _Bought) -> tuple:
    """Links from R_T to what the bought rounds can cost at most; the rest is not touched."""
    rounds, Q, B = b.symbols
    inside, rest = rf"\sum_{{t\in{rounds}}}", rf"+\sum_{{t\notin{rounds}}}r_t"
    return (
        ("bought and skipped", "=", rf"{inside}r_t{rest}",
         lambda p: b.inside(p, p.regret) + b.rest(p, p.regret), "every round is one of the two", "path"),
        ("width dominates regret", "<=", rf"\alpha{inside}w_t{rest}",
         lambda p: p.ceiling * b.inside(p, p.width) + b.rest(p, p.regret), "L2", "good"),
        ("Cauchy-Schwarz over rounds", "<=", rf"\alpha\sqrt{{{Q}{inside}w_t^2}}{rest}",
         lambda p: p.ceiling * np.sqrt(b.labels(p) * b.inside(p, p.width**2)) + b.rest(p, p.regret),
         "Cauchy-Schwarz", "path"),
        ("potential", "<=", rf"\alpha\sqrt{{2C_X\,{Q}\log\frac{{\det V_{rounds}}}{{\det\lambda I}}}}{rest}",
         lambda p: p.ceiling * np.sqrt(2 * p.c_x * b.labels(p) * b.log_det(p)) + b.rest(p, p.regret), "L3", "path"),
        ("determinant and trace", "<=", rf"\alpha\sqrt{{2C_X\,d\Lambda_{B}\,{Q}}}{rest}",
         lambda p: b.paid(p) + b.rest(p, p.regret), "L3", "path"))


def _rest_links(b: _Bought, factor: str, bound: Callable) -> tuple:
    """Links from there to the bound, the factor in which is 1 over the budget's share of the rounds."""
    rounds, Q, B = b.symbols
    paid, root = rf"\alpha\sqrt{{2C_X\,d\Lambda_{B}\,{Q}}}", rf"\alpha\sqrt{{2C_X\,d\Lambda_{B}\,{B}}}"
    return (
        ("latency dominates regret", "<=", rf"{paid}+\sum_{{t\notin{rounds}}}\ell_t",
         lambda p: b.paid(p) + b.rest(p, p.latency), "L2", "good"),
        ("the gate", "<=", rf"{paid}+(T-{Q})\,\tau", lambda p: b.paid(p) + (p.T - b.labels(p)) * p.tau,
         "no latency above the level is skipped", "path"),
        ("the level", "<=", rf"{paid}+(T-{Q})\,\alpha\sqrt{{2C_X\,d\Lambda_{B}/{B}}}",
         lambda p: b.paid(p) + (p.T - b.labels(p)) * b.level(p), "convexity of the exponential", "path"),
        ("a common factor", "=", rf"\Big(\sqrt{{{Q}/{B}}}+(T-{Q})/{B}\Big)\,{root}",
         lambda p: (np.sqrt(b.labels(p) * b.budget(p)) + p.T - b.labels(p)) * b.level(p), "algebra", "path"),
        ("the worst share", "<=", rf"\left({factor}+\tfrac{{1}}{{4}}\right){root}",
         lambda p: _same(p, bound(p.T, p.B, alpha=p.ceiling, **p.sizes)), "a root less its square",
         "path"))


def _gated(name: str, needs: Callable, b: _Bought, factor: str, bound: Callable) -> Chain:
    links = (*_bought_links(b), *_rest_links(b, factor, bound))
    return chain_of(name, needs, "R_T", lambda p: p.regret.sum(axis=1), *links)


_QUERIES = _Bought((r"{\mathcal{Q}}", "Q", "B"), lambda p: p.queried, lambda p: p.end_log_det, lambda p: p.B)
_THRESHOLD = _Bought((r"{\mathcal{H}}", "H", "{B'}"), lambda p: p.threshold, lambda p: p.level_log_det,
                     lambda p: p.B // 2)
T2_REGRET = _gated("T2 (ii)", _t2_gate, _QUERIES, r"\tfrac{1}{\beta}", bounds.t2_regret)
T4 = _gated("T4", _t4_gate, _THRESHOLD, r"\tfrac{2}{\beta}", bounds.t4_regret)

T2_MARGIN = chain_of(
    "T2 (iii)", _margin, "R_T", lambda p: p.regret.sum(axis=1),
    ("skipped rounds cost nothing", "=", r"\sum_{t\in\mathcal{Q}}r_t", lambda p: _sum(p.regret, p.queried),
     "L2, and no regret lies between 0 and Delta", "good"),
    ("a regret is at least Delta", "<=", r"\frac{1}{\Delta}\sum_{t\in\mathcal{Q}}r_t^2",
     lambda p: _sum(p.regret**2, p.queried) / p.margin.min(), "or it is 0", "path"),
    ("width dominates regret", "<=", r"\frac{\alpha^2}{\Delta}\sum_{t\in\mathcal{Q}}w_t^2",
     lambda p: p.ceiling**2 * _sum(p.width**2, p.queried) / p.margin.min(), "L2", "good"),
    ("potential", "<=", r"\frac{2C_X\alpha^2}{\Delta}\,d\Lambda_Q",
     lambda p: p.ceiling**2 * _each(p, p.labels, potential.squared_widths) / p.margin.min(), "L3", "path"),
    ("the budget", "<=", r"\frac{2C_X\alpha^2}{\Delta}\,d\Lambda_B",
     lambda p: p.ceiling**2 * _same(p, potential.squared_widths(p.B, **p.sizes)) / p.margin.min(),
     "Q is at most B", "path"))

T3 = chain_of(
    "T3", _anything, r"\sum_{s\le t}r_s", lambda p: p.regret.cumsum(axis=1),
    ("latency dominates regret", "<=", r"\sum_{s\le t}\ell_s", lambda p: p.latency.cumsum(axis=1), "L2, term by term",
     "good"),
    ("bought and skipped", "=", r"\sum_{s\le t,\,s\in\mathcal{Q}}\ell_s+\sum_{s\le t,\,s\notin\mathcal{Q}}\ell_s",
     lambda p: bounds.t3_certificate(p.latency, p.queried).total, "every round is one of the two", "path"),
    ("latency is below width", "<=", r"\sum_{s\le t}\alpha_s w_s", lambda p: (p.alpha * p.width).cumsum(axis=1), "L2",
     "path"))


def t2_low_noise(kappa: float, Delta_0: float, *, delta: float | None = None, M: int = 1) -> Chain:
    """T2 (iv) for a law P(0 < Delta_t <= e) <= M (e / Delta_0)^kappa: in expectation, or with probability 1 - delta."""
    law = dict(kappa=kappa, Delta_0=Delta_0, M=M)

    def bound(p: Trajectory) -> np.ndarray:
        chance = bounds.small_gap(p.tau, **law)
        count = p.T * chance if delta is None else bounds.small_gaps_sure(p.T, chance, delta=delta)
        return _same(p, p.tau * count)

    power = ("" if M == 1 else "M") + r"\left(\tau/\Delta_0\right)^\kappa"
    sure = rf"\tau\left(2T\,{power}+\tfrac{{7}}{{6}}\log\tfrac{{1}}{{\delta'}}\right)"
    end = (rf"T\tau\,{power}", "in expectation") if delta is None else (sure, "Freedman, but for a chance of delta'")
    return chain_of(
        "T2 (iv)", lambda p: cap_silent(p, float("inf"), "T2 (iv)"),
        r"\sum_{t\notin\mathcal{Q}}r_t", lambda p: _sum(p.regret, ~p.queried),
        ("only small gaps leak", "=", r"\sum_{t\notin\mathcal{Q}}r_t\,[\Delta_t\le\tau]",
         lambda p: _sum(p.regret, ~p.queried & (p.margin <= p.tau)), "L2: a regret is 0 or a positive gap", "good"),
        ("the gate", "<=", r"\tau\sum_{t\notin\mathcal{Q}}[\Delta_t\le\tau]",
         lambda p: p.tau * (~p.queried & (p.margin <= p.tau)).sum(axis=1), "L2", "good"),
        ("every round counts", "<=", r"\tau\sum_{t\le T}[\Delta_t\le\tau]",
         lambda p: p.tau * (p.margin <= p.tau).sum(axis=1), "the bought ones only add", "path"),
        ("the law of the gaps", "<=", end[0], bound, end[1], "chance"))
