"""Which labels to buy next: one function, `propose`, for whoever holds features and a budget."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.latency import MassLatency, first_largest

STRATEGIES = ("mass", "margin", "random")
UNLABELLED = -1
LAMBDA = 0.3  # ridge constant, for features scaled to root-mean-square norm 1 (tuned on banking77 with MiniLM)


def propose(features, budget: int, labels=None, *, rng: np.random.Generator, strategy: str = "mass",
            margins=None) -> np.ndarray:
    """Row indices of the texts whose labels to buy next, in the order of buying.

    Args:
        features: (N, m) one row per text of the pool, e.g. a language model's pooled hidden states.
        budget: how many labels may be bought now; exactly so many distinct, unlabelled rows come back.
        labels: (N,) whole numbers, -1 where the label is unknown; None when nothing is labelled yet.
        rng: draws for `random`, and for `margin` before there are labels of two classes.
        strategy: "mass" (largest mass latency first), "margin" (smallest top-two margin first), "random".
        margins: (N,) top-1 minus top-2 probability of your current model; from ridge on `labels` when not given.
    Raises:
        InputError: a bad shape, NaN, an unknown strategy, or a budget that is not in 1..unlabelled rows.
    """
    h, y = _check(features, budget, labels, strategy)
    open_rows = np.flatnonzero(y == UNLABELLED)
    if strategy == "random":
        return rng.choice(open_rows, size=budget, replace=False)
    margins = _margins(h, y) if margins is None else _check_margins(margins, len(h))
    if strategy == "margin":
        if margins is None:
            return rng.choice(open_rows, size=budget, replace=False)
        return open_rows[np.argsort(margins[open_rows], kind="stable")[:budget]]
    return _mass(h, y, budget, np.ones(len(h)) if margins is None else 1.0 - margins)


def _mass(h: np.ndarray, y: np.ndarray, budget: int, weights: np.ndarray) -> np.ndarray:
    state = MassLatency(h, weights, LAMBDA, np.flatnonzero(y != UNLABELLED))
    allowed = y == UNLABELLED
    picks = []
    for _ in range(budget):
        i = first_largest(state.gain, allowed)
        allowed[i] = False
        state.buy(i)
        picks.append(i)
    return np.array(picks)


def _margins(h: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Top-1 minus top-2 ridge score, clipped to [0, 1], (N,); None before two classes have a label."""
    rows = np.flatnonzero(y != UNLABELLED)
    classes, coded = np.unique(y[rows], return_inverse=True)
    if len(classes) < 2:
        return None
    done = h[rows]
    V = LAMBDA * np.eye(h.shape[1]) + done.T @ done
    scores = np.sort(h @ np.linalg.solve(V, done.T @ np.eye(len(classes))[coded]), axis=1)
    return np.clip(scores[:, -1] - scores[:, -2], 0.0, 1.0)


def _check(features, budget, labels, strategy) -> tuple[np.ndarray, np.ndarray]:
    h = np.asarray(features, dtype=float)
    if h.ndim != 2 or 0 in h.shape:
        raise InputError(f"features has shape {h.shape}; give one row of numbers per text, (N, m)")
    if not np.isfinite(h).all():
        row = int(np.flatnonzero(~np.isfinite(h).all(1))[0])
        raise InputError(f"features has NaN or infinity in row {row}; drop or mend it")
    y = np.full(len(h), UNLABELLED) if labels is None else np.asarray(labels)
    if y.shape != (len(h),) or y.dtype.kind not in "iu":
        raise InputError(f"labels has shape {y.shape} and type {y.dtype}; give {len(h)} whole numbers, -1 for unknown")
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r} does not exist; use one of {', '.join(STRATEGIES)}")
    left = int((y == UNLABELLED).sum())
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or not 1 <= budget <= left:
        raise InputError(f"budget={budget!r} must be a whole number from 1 to {left}, the rows without a label")
    scale = np.sqrt(np.mean(np.sum(h**2, axis=1)))
    return (h / scale if scale > 0 else h), y


def _check_margins(margins, n: int) -> np.ndarray:
    margins = np.asarray(margins, dtype=float)
    if margins.shape != (n,) or not ((margins >= 0) & (margins <= 1)).all():
        raise InputError(f"margins has shape {margins.shape}; give {n} numbers between 0 and 1, one per text")
    return margins
