"""What is proved of mass latency and of coverage, as chains that can be evaluated on a pool (`pools.PoolPlay`).

Notation: A the B bought rows, A_t the first t of them, R any other set of b rows (where A is fixed: of b rows outside
A), P the sum of the weights, D what labels take from the potential Phi. At A: m_i the mass, g_i the gain, |h_i|^2 the
leverage of row i, gamma = 1 / (1 + the largest leverage outside A). Phi_K = lam Phi is the posterior variance of the
pool, F the weighted facility location. In the chains of regret, weights may depend on the labels; elsewhere they are
fixed. Source: this project's reconstruction; the greedy argument is Nemhauser, Wolsey and Fisher 1978, with the
submodularity ratio of Das and Kempe 2011.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory.chains import chain_of
from stackelberg_lib.theory.pools import NOTHING, PoolPlay
from stackelberg_lib.theory.trajectory import ROUNDING


def one(value) -> np.ndarray:
    """What is the same in every replica: (1,), or (1, T) for T numbers."""
    return np.array([value], dtype=float)


def _steps(p: PoolPlay, value: Callable) -> np.ndarray:
    """value(A_t) for t = 0 .. B - 1, (1, B)."""
    return one([value(p.picks[:t]) for t in range(len(p.picks))])


def _anything(p: PoolPlay) -> None:
    """No condition."""


def something_left(p: PoolPlay) -> None:
    """InputError unless R holds a row that is not bought."""
    if not len(p.fresh):
        raise InputError("rival has no row that is not among the picks: give what may still be bought")


def bounded_kernel(p: PoolPlay) -> None:
    """InputError unless k(x, x) is at most 1."""
    largest = np.diagonal(p.kernel).max()
    if largest > 1 + ROUNDING:
        raise InputError(f"k(x, x) = {largest:g}: coverage certifies widths for k(x, x) <= 1 only; scale the features")


def _greedy(p: PoolPlay, score: Callable, word: str) -> None:
    """InputError unless every pick has the largest score among the rows not bought before it."""
    if not len(p.picks) or not len(p.rival) or len(np.unique(p.picks)) < len(p.picks):
        raise InputError(f"picks={p.picks}, rival={p.rival}: give one or more of each, and none of the picks twice")
    for t, i in enumerate(p.picks):
        scores = score(p.picks[:t])
        best = scores[p.open(p.picks[:t])].max()
        if scores[i] < best - ROUNDING * abs(best):
            raise InputError(f"pick {t} is row {i} with {word} {scores[i]:g}, the largest is {best:g}: buy greedily")


def _greedy_mass(p: PoolPlay) -> None:
    _greedy(p, p.gain, "gain")


def _greedy_cover(p: PoolPlay) -> None:
    _greedy(p, p.covers, "coverage")


def bound(p: PoolPlay, potential: float) -> float:
    """The certified regret alpha sqrt(2 P Phi), alpha after the picks."""
    return p.radius(p.picks) * np.sqrt(2 * p.p.sum() * potential)


def cover_bound(p: PoolPlay, covered: float) -> float:
    """The same as coverage F alone certifies it."""
    return p.radius(p.picks) * np.sqrt(2 / p.lam * (p.p.sum() ** 2 - covered**2 / (1 + p.lam)))


REGRET = chain_of(
    "regret through the potential", _anything, r"\sum_j p_j r_j", lambda p: p.regret @ p.p,
    ("what the leader saw, and what it could not see", "=",
     r"\sum_j p_j\left(\langle e_j,\,h_j\rangle-\mathrm{gap}_j(a^*_j)\right)",
     lambda p: (p.best_error - p.best_gap) @ p.p, "definition of the gap, e the error of the best less the answer",
     "path"),
    ("the gap is not negative", "<=", r"\sum_j p_j\,\langle e_j,\,h_j\rangle", lambda p: p.best_error @ p.p,
     "the leader maximises", "path"),
    ("Cauchy-Schwarz", "<=", r"\sum_j p_j\,\|e_j\|_G\,\|h_j\|_{G^{-1}}",
     lambda p: p.best_distance * np.sqrt(p.leverage(p.picks)) @ p.p, "Cauchy-Schwarz", "path"),
    ("the estimate is close", "<=", r"\sqrt{2}\,\alpha\sum_j p_j\,\|h_j\|_{G^{-1}}",
     lambda p: one(np.sqrt(2) * p.radius(p.picks) * (p.p @ np.sqrt(p.leverage(p.picks)))), "L1 for pairs of classes",
     "good"),
    ("Cauchy-Schwarz over prompts", "<=", r"\alpha\sqrt{2P\sum_j p_j\,\|h_j\|^2_{G^{-1}}}",
     lambda p: one(p.radius(p.picks) * np.sqrt(2 * p.p.sum() * (p.p @ p.leverage(p.picks)))), "Cauchy-Schwarz", "path"),
    ("the potential", "=", r"\alpha\sqrt{2P\,\Phi(A)}", lambda p: one(bound(p, p.potential(p.picks))),
     "a trace", "path"))

GAPS = chain_of(
    "regret with gaps", _anything, r"\sum_j p_j\Delta_j r_j",
    lambda p: (p.regret * np.where(np.isfinite(p.margin), p.margin, 0.0)) @ p.p,
    ("a regret is 0 or at least Delta", "<=", r"\sum_j p_j r_j^2", lambda p: p.regret**2 @ p.p, "gaps", "path"),
    ("width dominates regret", "<=", r"2\alpha^2\sum_j p_j\,\|h_j\|^2_{G^{-1}}",
     lambda p: one(2 * p.radius(p.picks) ** 2 * (p.p @ p.leverage(p.picks))), "the chain above, prompt by prompt",
     "good"),
    ("the potential", "=", r"2\alpha^2\,\Phi(A)", lambda p: one(2 * p.radius(p.picks) ** 2 * p.potential(p.picks)),
     "a trace", "path"))


def _rank_one(p: PoolPlay) -> np.ndarray:
    """What Sherman-Morrison takes from G^-1 for each row, traced against S_p, (1, N)."""
    G_inv = p.inverse(p.picks)
    parts = [G_inv @ np.outer(x, x) @ G_inv / (1 + x @ G_inv @ x) for x in p.h]
    return one([np.trace(p.S_p @ part) for part in parts])


DROP = chain_of(
    "one label", _anything, r"\Phi(A)-\Phi(A+i)",
    lambda p: one([p.potential(p.picks) - p.potential(np.append(p.picks, i)) for i in range(len(p.h))]),
    ("Sherman-Morrison", "=", r"\mathrm{tr}\left(S_p\,\frac{G^{-1}h_i h_i^\top G^{-1}}{1+\|h_i\|^2_{G^{-1}}}\right)",
     _rank_one, "Sherman-Morrison", "path"),
    ("the gain", "=", r"\frac{h_i^\top G^{-1}S_p G^{-1}h_i}{1+\|h_i\|^2_{G^{-1}}}", lambda p: one(p.gain(p.picks)),
     "a trace turned round", "path"))


def _woodbury(p: PoolPlay) -> np.ndarray:
    H, G_inv = p.h[p.fresh], p.inverse(p.picks)
    inside = np.linalg.inv(np.eye(len(H)) + H @ G_inv @ H.T)
    return one(np.trace(p.S_p @ G_inv @ H.T @ inside @ H @ G_inv))


RATIO = chain_of(
    "many labels", something_left, r"\Phi(A)-\Phi(A\cup R)",
    lambda p: one(p.potential(p.picks) - p.potential(p.joined(p.picks))),
    ("Woodbury", "=", r"\mathrm{tr}\left(S_p\,G^{-1}H^\top(I+HG^{-1}H^\top)^{-1}HG^{-1}\right)", _woodbury,
     "Woodbury, H the rows of R", "path"),
    ("labels that know of each other bring less", "<=", r"\sum_{i\in R}m_i",
     lambda p: one(p.mass(p.picks)[p.fresh].sum()), "an inverse of I and more is below I", "path"),
    ("mass and gain", "=", r"\sum_{i\in R}\left(1+\|h_i\|^2_{G^{-1}}\right)g_i",
     lambda p: one(((1 + p.leverage(p.picks)) * p.gain(p.picks))[p.fresh].sum()), "definition", "path"),
    ("the submodularity ratio", "<=", r"\frac{1}{\gamma}\sum_{i\in R}g_i",
     lambda p: one(p.gain(p.picks)[p.fresh].sum() / p.ratio(p.picks)), "definition of gamma", "path"),
    ("no gain is above the largest", "<=", r"\frac{b}{\gamma}\,\max_{i\notin A}g_i",
     lambda p: one(len(p.fresh) / p.ratio(p.picks) * p.gain(p.picks)[p.open(p.picks)].max()), "b labels", "path"),
    ("leverage has a ceiling", "<=", r"\frac{b\,(\lambda+L^2)}{\lambda}\,\max_{i\notin A}g_i",
     lambda p: one(len(p.fresh) / p.least_ratio * p.gain(p.picks)[p.open(p.picks)].max()), "G is at least lambda I",
     "path"))


def _next_fall(p: PoolPlay) -> np.ndarray:
    falls = [p.potential(p.picks[:t]) - p.potential(p.picks[:t + 1]) for t in range(len(p.picks))]
    return one(falls) * len(p.rival) / _steps(p, p.ratio)


GREEDY_STEP = chain_of(
    "greedy, one step", _greedy_mass, r"D(R)-D(A_t)",
    lambda p: _steps(p, lambda rows: p.fall(p.rival) - p.fall(rows)),
    ("more labels never hurt", "<=", r"D(A_t\cup R)-D(A_t)",
     lambda p: _steps(p, lambda rows: p.potential(rows) - p.potential(p.joined(rows))), "G only grows", "path"),
    ("many labels", "<=", r"\frac{b}{\gamma_t}\,\max_{i\notin A_t}g_i",
     lambda p: _steps(p, lambda rows: len(p.rival) / p.ratio(rows) * p.gain(rows)[p.open(rows)].max()),
     "the chain above, R has b rows at most", "path"),
    ("one label, and greed", "=", r"\frac{b}{\gamma_t}\left(D(A_{t+1})-D(A_t)\right)", _next_fall,
     "the pick has the largest gain", "path"))


def _shares(p: PoolPlay) -> np.ndarray:
    return _steps(p, p.ratio) / len(p.rival)


GREEDY = chain_of(
    "greedy", _greedy_mass, r"\left(1-\exp\left(-\frac{B}{b}\,\frac{\lambda}{\lambda+L^2}\right)\right)D(R)",
    lambda p: one(-np.expm1(-len(p.picks) / len(p.rival) * p.least_ratio) * p.fall(p.rival)),
    ("below the exponential", "<=", r"\left(1-\left(1-\frac{\lambda}{b\,(\lambda+L^2)}\right)^B\right)D(R)",
     lambda p: one((1 - (1 - p.least_ratio / len(p.rival)) ** len(p.picks)) * p.fall(p.rival)), "convexity",
     "path"),
    ("leverage has a ceiling", "<=", r"\left(1-\prod_{t=0}^{B-1}\left(1-\frac{\gamma_t}{b}\right)\right)D(R)",
     lambda p: (1 - np.prod(1 - _shares(p), axis=1)) * p.fall(p.rival), "G is at least lambda I", "path"),
    ("the steps multiply", "<=", r"D(A)", lambda p: one(p.fall(p.picks)), "the chain above, B times", "path"))


def _one_row(p: PoolPlay) -> np.ndarray:
    """Per prompt, by how much the best single bought row alone lowers its variance, (N,)."""
    alone = [p.variance(NOTHING) - p.variance(np.array([i])) for i in p.picks]
    return np.max([np.zeros(len(p.h)), *alone], axis=0)


def _variance_fall(p: PoolPlay) -> np.ndarray:
    return one(p.p @ (p.variance(NOTHING) - p.variance(p.picks)))


COVER = chain_of(
    "coverage certifies widths", bounded_kernel, r"\frac{F(A)^2}{(1+\lambda)\,P}",
    lambda p: one(p.covered(p.picks) ** 2 / ((1 + p.lam) * p.p.sum())),
    ("Cauchy-Schwarz over prompts", "<=", r"\frac{1}{1+\lambda}\sum_j p_j\,\max_{i\in A}k(i,j)^2",
     lambda p: one(p.p @ (p.kernel[p.picks] ** 2).max(axis=0, initial=0.0) / (1 + p.lam)), "Cauchy-Schwarz", "path"),
    ("one label in closed form", "<=", r"\sum_j p_j\,\max_{i\in A}\left(k(j,j)-k_{\{i\}}(j,j)\right)",
     lambda p: one(p.p @ _one_row(p)), "k(i,i) is at most 1", "path"),
    ("more labels never hurt", "<=", r"\Phi_K(\emptyset)-\Phi_K(A)", _variance_fall,
     "the posterior variance only falls", "path"),
    ("two names of one thing", "=", r"\lambda\left(\Phi(\emptyset)-\Phi(A)\right)",
     lambda p: one(p.lam * p.fall(p.picks)), "push-through identity", "path"))


COVER_REGRET = chain_of(
    "regret through coverage", bounded_kernel, r"\sum_j p_j r_j", lambda p: p.regret @ p.p,
    ("regret through the potential", "<=", r"\alpha\sqrt{2P\,\Phi(A)}",
     lambda p: one(bound(p, p.potential(p.picks))), "the first chain", "good"),
    ("two names of one thing", "=", r"\alpha\sqrt{\frac{2P}{\lambda}\,\Phi_K(A)}",
     lambda p: one(bound(p, p.p @ p.variance(p.picks) / p.lam)),
     "push-through identity", "path"),
    ("coverage certifies widths", "<=", r"\alpha\sqrt{\frac{2}{\lambda}\left(P^2-\frac{F(A)^2}{1+\lambda}\right)}",
     lambda p: one(cover_bound(p, p.covered(p.picks))), "the chain above, k(j,j) is at most 1",
     "path"))

COVER_STEP = chain_of(
    "greedy coverage, one step", _greedy_cover, r"F(R)-F(A_t)",
    lambda p: _steps(p, lambda rows: p.covered(p.rival) - p.covered(rows)),
    ("more rows never hurt", "<=", r"F(A_t\cup R)-F(A_t)",
     lambda p: _steps(p, lambda rows: p.covered(p.joined(rows)) - p.covered(rows)), "a maximum only grows", "path"),
    ("F is submodular", "<=", r"\sum_{i\in R}\left(F(A_t+i)-F(A_t)\right)",
     lambda p: _steps(p, lambda rows: p.covers(rows)[p.rival].sum()), "a rise of a maximum shrinks", "path"),
    ("no rise is above the largest", "<=", r"b\,\max_{i\notin A_t}\left(F(A_t+i)-F(A_t)\right)",
     lambda p: _steps(p, lambda rows: len(p.rival) * p.covers(rows)[p.open(rows)].max()), "b rows", "path"),
    ("greed", "=", r"b\left(F(A_{t+1})-F(A_t)\right)",
     lambda p: one([len(p.rival) * (p.covered(p.picks[:t + 1]) - p.covered(p.picks[:t]))
                     for t in range(len(p.picks))]), "the pick covers most", "path"))

COVER_GREEDY = chain_of(
    "greedy coverage", _greedy_cover, r"\left(1-e^{-B/b}\right)F(R)",
    lambda p: one(-np.expm1(-len(p.picks) / len(p.rival)) * p.covered(p.rival)),
    ("below the exponential", "<=", r"\left(1-\left(1-\frac{1}{b}\right)^B\right)F(R)",
     lambda p: one((1 - (1 - 1 / len(p.rival)) ** len(p.picks)) * p.covered(p.rival)), "convexity", "path"),
    ("the steps multiply", "<=", r"F(A)", lambda p: one(p.covered(p.picks)), "the chain above, B times", "path"))
