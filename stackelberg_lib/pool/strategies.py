"""Which labels to buy next: one function, `propose`, for whoever holds features and a budget."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.badge import badge
from stackelberg_lib.pool.bait import bait
from stackelberg_lib.pool.clusters import kmeans_margin, stratified, typiclust
from stackelberg_lib.pool.coverage import coverage, facility_location, k_center, probcover
from stackelberg_lib.pool.kernel import kernel_mass
from stackelberg_lib.pool.latency import mass, point
from stackelberg_lib.pool.uncertainty import entropy, first, least_confidence, margin, random
from stackelberg_lib.pool.view import LAMBDA, UNLABELLED, Pool, blocks

__all__ = ["DEFAULT", "LAMBDA", "RULES", "UNLABELLED", "propose"]

RULES = {rule.__name__: rule for rule in (
    mass, margin, random, kernel_mass, point, coverage, facility_location, stratified, first, entropy,
    least_confidence, k_center, badge, bait, typiclust, probcover, kmeans_margin)}
DEFAULT = "coverage"  # frozen on banking77 and PocketDesk, before any other set was looked at (docs/llf-lab-book.md)
SINGLE = 2**26  # pools of more numbers than this (half a gigabyte) are held in float32


def propose(features, budget: int, labels=None, *, rng: np.random.Generator, strategy: str = DEFAULT,
            margins=None, probabilities=None) -> np.ndarray:
    """Row indices of the texts whose labels to buy next, in the order of buying.

    Equal rows are bought in the order of their numbers, except by rules that draw; picks depend on the arguments and
    on rng alone. Rules that need a model fit a small head on `labels` when told neither margins nor probabilities;
    with fewer than two classes labelled, `margin`, `entropy`, `least_confidence` and `badge` draw at random.

    Args:
        features: (N, m) one row per text of the pool, e.g. a language model's pooled hidden states.
        budget: how many labels may be bought now; exactly so many distinct, unlabelled rows come back.
        labels: (N,) whole numbers, -1 where the label is unknown; None when nothing is labelled yet.
        rng: for the rules that draw, cluster or, in large pools, sample.
        strategy: a name in RULES, whose functions cite their papers.
        margins: (N,) top-1 minus top-2 probability of your current model, for rules that use margins.
        probabilities: (N, C) your current model's, for every rule that asks a model; `margins` goes first.
    Raises:
        InputError: a bad shape, NaN, an unknown strategy, or a budget that is not in 1..unlabelled rows.
    """
    h, y = _check(features, budget, labels, strategy)
    margins = None if margins is None else _check_margins(margins, len(h))
    probabilities = None if probabilities is None else _check_probabilities(probabilities, len(h))
    return RULES[strategy](Pool(h, y, rng, margins, probabilities), budget)


def _check(features, budget, labels, strategy) -> tuple[np.ndarray, np.ndarray]:
    h = np.asarray(features)
    h = h.astype(np.float32 if h.size > SINGLE else float, copy=False)
    if h.ndim != 2 or 0 in h.shape:
        raise InputError(f"features has shape {h.shape}; give one row of numbers per text, (N, m)")
    square = 0.0
    for part in blocks(len(h)):
        finite = np.isfinite(h[part]).all(1)
        if not finite.all():
            row = part.start + int(np.argmin(finite))
            raise InputError(f"features has NaN or infinity in row {row}; drop or mend it")
        square += np.sum(np.sum(h[part] ** 2, axis=1), dtype=float)
    y = np.full(len(h), UNLABELLED) if labels is None else np.asarray(labels)
    if y.shape != (len(h),) or y.dtype.kind not in "iu":
        raise InputError(f"labels has shape {y.shape} and type {y.dtype}; give {len(h)} whole numbers, -1 for unknown")
    if strategy not in RULES:
        raise InputError(f"strategy={strategy!r} does not exist; use one of {', '.join(RULES)}")
    left = int((y == UNLABELLED).sum())
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or not 1 <= budget <= left:
        raise InputError(f"budget={budget!r} must be a whole number from 1 to {left}, the rows without a label")
    scale = np.sqrt(square / len(h))
    return (h / h.dtype.type(scale) if scale > 0 else h), y


def _check_margins(margins, n: int) -> np.ndarray:
    margins = np.asarray(margins, dtype=float)
    if margins.shape != (n,) or not ((margins >= 0) & (margins <= 1)).all():
        raise InputError(f"margins has shape {margins.shape}; give {n} numbers between 0 and 1, one per text")
    return margins


def _check_probabilities(p, n: int) -> np.ndarray:
    p = np.asarray(p, dtype=float)
    if p.ndim != 2 or len(p) != n or p.shape[1] < 2 or not (p >= 0).all() or not (np.abs(p.sum(1) - 1) < 1e-3).all():
        raise InputError(f"probabilities has shape {p.shape}; give {n} rows of two or more classes, each summing to 1")
    return p
