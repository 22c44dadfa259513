"""When a label is no longer worth its price: what b more labels can take from a certified bound, per label, as chains.

A is bought, R is any set of b other rows, chosen as the labels come in if one likes; what has no argument is at A.
U = alpha sqrt(2 P Phi) is the certified regret, W = 2 alpha^2 Phi what gaps make of it, C what coverage makes of it.
M_b is the sum of the b largest masses m_i outside A, E_b that of the b largest rises f_i of F. The radius alpha of A
and R is at least that of A. `pool.stopping` computes the sides with M_b and E_b. Source: this project's reconstruction.
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory.chains import chain_of
from stackelberg_lib.theory.pool_chains import bound, bounded_kernel, cover_bound, one, something_left
from stackelberg_lib.theory.pools import PoolPlay
from stackelberg_lib.theory.trajectory import ROUNDING


def _not_all_covered(p: PoolPlay) -> None:
    bounded_kernel(p)
    something_left(p)
    if p.covered(p.picks) >= p.p.sum() * (1 - ROUNDING):
        raise InputError(f"F={p.covered(p.picks):g} is all there is to cover: no label can add to it, stop")


def _largest(p: PoolPlay, values: np.ndarray) -> float:
    """Sum of the b largest values outside A."""
    return float(np.sort(values[p.open(p.picks)])[-len(p.fresh):].sum())


def _most(p: PoolPlay, values: np.ndarray) -> float:
    return float(values[p.open(p.picks)].max())


def _after(p: PoolPlay) -> PoolPlay:
    """The same pool with R bought too."""
    return p._replace(picks=p.joined(p.picks))


def _less(p: PoolPlay, fall: float) -> float:
    """Phi less a fall, never below 0."""
    return max(p.potential(p.picks) - fall, 0.0)


def _per_label(p: PoolPlay, left: float) -> np.ndarray:
    """What U loses per label when Phi falls to `left` and alpha stays."""
    return one((bound(p, p.potential(p.picks)) - bound(p, left)) / len(p.fresh))


def _slope(p: PoolPlay) -> float:
    return bound(p, p.potential(p.picks)) / p.potential(p.picks)


_ROOTS = r"\frac{\alpha\sqrt{2P}}{b}\left(\sqrt{\Phi}-\sqrt{%s}\right)"
STOP = chain_of(
    "when to stop", something_left, r"\frac{1}{b}\left(U(A)-U(A\cup R)\right)",
    lambda p: one((bound(p, p.potential(p.picks)) - bound(_after(p), p.potential(p.joined(p.picks)))) / len(p.fresh)),
    ("the radius does not shrink", "<=", _ROOTS % r"\Phi(A\cup R)",
     lambda p: _per_label(p, p.potential(p.joined(p.picks))), "its determinant only grows", "path"),
    ("many labels", "<=", _ROOTS % r"\left(\Phi-\sum_{i\in R}m_i\right)_+",
     lambda p: _per_label(p, _less(p, p.mass(p.picks)[p.fresh].sum())), "labels that know of each other bring less",
     "path"),
    ("the b largest", "<=", _ROOTS % r"\left(\Phi-M_b\right)_+",
     lambda p: _per_label(p, _less(p, _largest(p, p.mass(p.picks)))), "R has b rows", "path"),
    ("a root below its chord", "<=", r"\alpha\sqrt{\frac{2P}{\Phi}}\,\frac{M_b}{b}",
     lambda p: one(_slope(p) * _largest(p, p.mass(p.picks)) / len(p.fresh)), "the fall of a root is convex", "path"),
    ("a mean below the largest", "<=", r"\alpha\sqrt{\frac{2P}{\Phi}}\,\max_{i\notin A}m_i",
     lambda p: one(_slope(p) * _most(p, p.mass(p.picks))), "b labels", "path"),
    ("what one label would bring", "<=",
     r"\frac{2}{\gamma}\,\alpha\sqrt{2P}\left(\sqrt{\Phi}-\sqrt{\Phi-\max_{i\notin A}g_i}\right)",
     lambda p: one(2 / p.ratio(p.picks) * (bound(p, p.potential(p.picks))
                                          - bound(p, _less(p, _most(p, p.gain(p.picks)))))),
     "a root below its tangent, and the ratio", "path"))


def _gap_bound(p: PoolPlay, potential: float) -> float:
    return 2 * p.radius(p.picks) ** 2 * potential


STOP_GAPS = chain_of(
    "when to stop, with gaps", something_left, r"\frac{1}{b}\left(W(A)-W(A\cup R)\right)",
    lambda p: one((_gap_bound(p, p.potential(p.picks)) - _gap_bound(_after(p), p.potential(p.joined(p.picks))))
                  / len(p.fresh)),
    ("the radius does not shrink", "<=", r"\frac{2\alpha^2}{b}\left(\Phi-\Phi(A\cup R)\right)",
     lambda p: one(_gap_bound(p, p.potential(p.picks) - p.potential(p.joined(p.picks))) / len(p.fresh)),
     "its determinant only grows", "path"),
    ("many labels", "<=", r"\frac{2\alpha^2}{b}\sum_{i\in R}m_i",
     lambda p: one(_gap_bound(p, p.mass(p.picks)[p.fresh].sum()) / len(p.fresh)),
     "labels that know of each other bring less", "path"),
    ("a mean below the largest", "<=", r"2\alpha^2\max_{i\notin A}m_i",
     lambda p: one(_gap_bound(p, _most(p, p.mass(p.picks)))), "b labels", "path"),
    ("what one label would bring", "<=", r"\frac{2\alpha^2}{\gamma}\max_{i\notin A}g_i",
     lambda p: one(_gap_bound(p, _most(p, p.gain(p.picks))) / p.ratio(p.picks)), "definition of gamma", "path"))


def _cover_per_label(p: PoolPlay, rise: float) -> np.ndarray:
    """What C loses per label when F rises by so much, but to no more than P, and alpha stays."""
    before, total = p.covered(p.picks), p.p.sum()
    return one((cover_bound(p, before) - cover_bound(p, min(before + rise, total))) / len(p.fresh))


def _chord(p: PoolPlay) -> float:
    before, total = p.covered(p.picks), p.p.sum()
    return (cover_bound(p, before) - cover_bound(p, total)) / (total - before)


STOP_COVER = chain_of(
    "when to stop, by coverage", _not_all_covered, r"\frac{1}{b}\left(C(A)-C(A\cup R)\right)",
    lambda p: one((cover_bound(p, p.covered(p.picks)) - cover_bound(_after(p), p.covered(p.joined(p.picks))))
                  / len(p.fresh)),
    ("the radius does not shrink", "<=", r"\frac{1}{b}\left(C(F)-C(F(A\cup R))\right)",
     lambda p: _cover_per_label(p, p.covered(p.joined(p.picks)) - p.covered(p.picks)), "its determinant only grows",
     "path"),
    ("F is submodular", "<=", r"\frac{1}{b}\left(C(F)-C\left(\min\left(P,\,F+\sum_{i\in R}f_i\right)\right)\right)",
     lambda p: _cover_per_label(p, p.covers(p.picks)[p.fresh].sum()), "a rise of a maximum shrinks", "path"),
    ("the b largest", "<=", r"\frac{1}{b}\left(C(F)-C\left(\min\left(P,\,F+E_b\right)\right)\right)",
     lambda p: _cover_per_label(p, _largest(p, p.covers(p.picks))), "R has b rows", "path"),
    ("a concave curve above its chord", "<=", r"\frac{C(F)-C(P)}{P-F}\,\frac{E_b}{b}",
     lambda p: one(_chord(p) * _largest(p, p.covers(p.picks)) / len(p.fresh)), "C is concave in F", "path"),
    ("a mean below the largest", "<=", r"\frac{C(F)-C(P)}{P-F}\,\max_{i\notin A}f_i",
     lambda p: one(_chord(p) * _most(p, p.covers(p.picks))), "b labels", "path"))
