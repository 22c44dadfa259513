"""Rules that look at one text at a time: what the current model says of it, or nothing at all."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.view import Pool, lowest


def random(pool: Pool, budget: int) -> np.ndarray:
    """Uniform without replacement: the baseline that every rule must beat."""
    return pool.draw(budget)


def first(pool: Pool, budget: int) -> np.ndarray:
    """The first open rows as they lie: what happens when nobody selects."""
    return np.flatnonzero(pool.open)[:budget]


def margin(pool: Pool, budget: int) -> np.ndarray:
    """Smallest top-1 minus top-2 first (Scheffer, Decomain and Wrobel 2001); random before there is a model."""
    margins = pool.margins()
    return pool.draw(budget) if margins is None else lowest(margins, pool.open, budget)


def least_confidence(pool: Pool, budget: int) -> np.ndarray:
    """Smallest top probability first (Lewis and Gale 1994); random before there is a model."""
    p = pool.probabilities()
    return pool.draw(budget) if p is None else lowest(p.max(1), pool.open, budget)


def entropy(pool: Pool, budget: int) -> np.ndarray:
    """Largest entropy of the predicted class first (Settles 2009, section 3.1); random before there is a model."""
    p = pool.probabilities()
    if p is None:
        return pool.draw(budget)
    return lowest(np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1), pool.open, budget)
