"""What a rule of selection sees of a pool, and the small heads it fits on the labels in hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

UNLABELLED = -1
LAMBDA = 0.3  # ridge constant, for features scaled to root-mean-square norm 1 (tuned on banking77 with MiniLM)
HEAD = 30.0    # inverse ridge constant of logistic heads (random labels of banking77 and PocketDesk, MiniLM)
BLOCK = 8192  # rows that are worked on at a time in a large pool


@dataclass(frozen=True)
class Pool:
    """A pool at one acquisition.

    h (N, m) features of root-mean-square norm 1; y (N,) labels, -1 unknown; rng for rules that draw; then what the
    caller's model says, None where unknown: given_margins (N,) and given_probabilities (N, C).
    """

    h: np.ndarray
    y: np.ndarray
    rng: np.random.Generator
    given_margins: np.ndarray | None = None
    given_probabilities: np.ndarray | None = None

    @property
    def open(self) -> np.ndarray:
        """Mask (N,) of the rows whose label can be bought, a fresh array."""
        return self.y == UNLABELLED

    @property
    def bought(self) -> np.ndarray:
        """Rows whose label is known."""
        return np.flatnonzero(self.y != UNLABELLED)

    def margins(self) -> np.ndarray | None:
        """Top-1 minus top-2 in [0, 1], (N,): the caller's, else from the caller's probabilities, else from ridge."""
        if self.given_margins is not None:
            return self.given_margins
        if self.given_probabilities is not None:
            return _top_two_gap(self.given_probabilities)
        return _ridge_margins(self.h, self.y)

    def weights(self) -> np.ndarray:
        """What each row can still lose, (N,): 1 - margin, and 1 before there is a model."""
        margins = self.margins()
        return np.ones(len(self.h)) if margins is None else 1.0 - margins

    def probabilities(self) -> np.ndarray | None:
        """Class probabilities (N, C): the caller's, else a logistic head's; None before two classes have a label."""
        if self.given_probabilities is not None:
            return self.given_probabilities
        return _logistic(self.h, self.y)

    def draw(self, budget: int) -> np.ndarray:
        """`budget` distinct open rows at random."""
        return self.rng.choice(np.flatnonzero(self.open), size=budget, replace=False)


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover n rows in order, at most `size` rows each."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def rounding(dtype) -> float:
    """Relative difference below which two scores computed in `dtype` count as equal."""
    return 1e-9 if dtype == np.float64 else 1e-5


def lowest(score: np.ndarray, allowed: np.ndarray, budget: int) -> np.ndarray:
    """The `budget` allowed rows of least score in ascending order; scores equal to 12 decimals go by row number."""
    rows = np.flatnonzero(allowed)
    return rows[np.argsort(np.round(score[rows], 12), kind="stable")[:budget]]


def _top_two_gap(scores: np.ndarray) -> np.ndarray:
    top = np.partition(scores, -2, axis=1)
    return np.clip(top[:, -1] - top[:, -2], 0.0, 1.0)


def _ridge_margins(h: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    rows = np.flatnonzero(y != UNLABELLED)
    classes, coded = np.unique(y[rows], return_inverse=True)
    if len(classes) < 2:
        return None
    done = h[rows]
    V = LAMBDA * np.eye(h.shape[1]) + done.T @ done
    theta = np.linalg.solve(V, done.T @ np.eye(len(classes))[coded])
    return np.concatenate([_top_two_gap(h[part] @ theta) for part in blocks(len(h))])


def _logistic(h: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    rows = np.flatnonzero(y != UNLABELLED)
    if len(np.unique(y[rows])) < 2:
        return None
    return fit_head(h[rows], y[rows], int(y.max()) + 1)(h)


class Head(NamedTuple):
    """A linear head on features: weights (s, m) and offsets (s,) of the s classes `seen`, out of `classes`."""

    weights: np.ndarray
    offsets: np.ndarray
    seen: np.ndarray
    classes: int

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """Class probabilities (N, classes) of features (N, m); 0 for classes never seen."""
        out = np.zeros((len(h), self.classes))
        for part in blocks(len(h)):
            scores = h[part] @ self.weights.T + self.offsets
            grown = np.exp(scores - scores.max(1, keepdims=True))
            out[part, self.seen] = grown / grown.sum(1, keepdims=True)
        return out


def fit_head(h: np.ndarray, y: np.ndarray, classes: int) -> Head:
    """Logistic regression of y (n,) in 0..classes-1 on features h (n, m), ridge constant 1 / HEAD.

    With one class only the head is sure of it.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    seen = np.unique(y)
    if len(seen) < 2:
        return Head(np.zeros((1, h.shape[1])), np.zeros(1), seen, classes)
    with threadpool_limits(1), warnings.catch_warnings():  # the products are small: threads would wait for each other
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few labels: no surprise here
        fitted = LogisticRegression(C=HEAD, max_iter=1000).fit(h, y)
    if len(seen) == 2:  # scikit-learn keeps the difference of the two scores
        zero = np.zeros_like(fitted.coef_)
        return Head(np.vstack([zero, fitted.coef_]), np.append(0.0, fitted.intercept_), seen, classes)
    return Head(fitted.coef_, fitted.intercept_, seen, classes)
