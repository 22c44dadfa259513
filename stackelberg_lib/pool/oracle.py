"""Where labels come from, and what they cost: the only door to the training labels."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.strategies import UNLABELLED


class LabelOracle:
    """Sells the labels of a pool one by one, never more than `budget` of them and none twice.

    `labels` (N,) is what the learner may see: the bought labels, -1 elsewhere.
    """

    def __init__(self, truth: np.ndarray, budget: int):
        self._truth = np.asarray(truth)
        self.budget = budget
        self.labels = np.full(len(self._truth), UNLABELLED)

    @property
    def spent(self) -> int:
        """Labels bought so far."""
        return int((self.labels != UNLABELLED).sum())

    def buy(self, rows: np.ndarray) -> np.ndarray:
        """Labels of `rows`; a row bought before is free. Above the budget: InputError, and nothing is sold."""
        rows = np.asarray(rows)
        fresh = np.unique(rows[self.labels[rows] == UNLABELLED])
        if self.spent + len(fresh) > self.budget:
            raise InputError(f"buying {len(fresh)} labels after {self.spent} exceeds the budget of {self.budget}; "
                             f"ask for at most {self.budget - self.spent}")
        self.labels[fresh] = self._truth[fresh]
        return self.labels[rows]
