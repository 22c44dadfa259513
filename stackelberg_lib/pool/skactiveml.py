"""Our rules as pool strategies of scikit-activeml (1.0.1): `PoolRule` stands wherever its own strategies stand.

Importing this module imports scikit-activeml; nothing else of the library does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.strategies import DEFAULT, RULES, UNLABELLED, _check, _check_probabilities
from stackelberg_lib.pool.view import Pool

try:
    from skactiveml.base import SingleAnnotatorPoolQueryStrategy
    from skactiveml.utils import MISSING_LABEL, check_equal_missing_label, is_labeled
except ModuleNotFoundError as error:
    raise InputError(f"{error.name} is not installed; run: pip install scikit-activeml==1.0.1") from None


@dataclass(frozen=True, kw_only=True)
class _Offered(Pool):
    """A pool of which only some unlabelled rows are for sale; the others still count as rows that a label helps."""

    offered: np.ndarray  # mask (N,)

    @property
    def open(self) -> np.ndarray:
        """Mask (N,) of the rows whose label can be bought, a fresh array."""
        return super().open & self.offered


class PoolRule(SingleAnnotatorPoolQueryStrategy):
    """A rule of `stackelberg_lib.pool` as a query strategy of scikit-activeml, with its interface and its conventions.

    Args:
        strategy: a name in `strategies.RULES`.
        missing_label: what stands in `y` for a label that is not known: nan, None, a number or a string.
        random_state: None, int or RandomState, for rules that draw. As everywhere in scikit-activeml, one int gives
            the same picks in every call with equally many unlabelled rows.
    """

    def __init__(self, strategy=DEFAULT, missing_label=MISSING_LABEL, random_state=None):
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.strategy = strategy

    def query(self, X, y, clf=None, fit_clf=True, candidates=None, batch_size=1, return_utilities=False):
        """Rows whose labels to buy next, in the order of buying; equal to `propose`'s for the same features and labels.

        Args:
            X: (N, m) features of the labelled and unlabelled samples; all of them count as the pool.
            y: (N,) labels, `missing_label` where unknown.
            clf: None, or a classifier of scikit-activeml whose probabilities the rule uses instead of its own head's.
            fit_clf: whether a copy of clf is fitted on X and y first.
            candidates: None for all unlabelled rows, (n,) row numbers of unlabelled rows, or (n, m) features of
                samples outside X, which then form the pool with the labelled rows of X.
            batch_size: how many; cut to the number of candidates with a warning, as scikit-activeml does it.
            return_utilities: whether also to return (batch_size, N or n): 1 for the pick of each step and 0 for what
                else could be picked, nan for the rest. Rules name picks; they have no scores on one scale.
        Raises:
            InputError, ValueError, TypeError: a bad shape, NaN, an unknown strategy, candidates that have a label.
        Source: interface of scikit-activeml (Kottke et al. 2021); the rules cite their papers.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True)
        if self.strategy not in RULES:
            raise InputError(f"strategy={self.strategy!r} does not exist; use one of {', '.join(RULES)}")
        offer, rows = self._transform_candidates(candidates, X, y, allow_only_unlabeled=True)
        known, size = is_labeled(y, self.missing_label_), len(X)
        if clf is not None:
            check_equal_missing_label(clf.missing_label, self.missing_label_)
            clf = clone(clf).fit(X, y) if fit_clf else clf
        codes = _codes(y, known, None if clf is None else clf.classes_)
        if rows is None:  # the pool becomes: candidates, then labelled rows
            X, rows, size = np.concatenate([offer, X[known]]), np.arange(len(offer)), len(offer)
            codes = np.concatenate([np.full(size, UNLABELLED), codes[known]])
        p = None if clf is None else clf.predict_proba(X)
        picks = self._picks(X, codes, rows, batch_size, p)
        return (picks, _utilities(picks, rows, size)) if return_utilities else picks

    def _picks(self, X, codes, rows, batch_size: int, p) -> np.ndarray:
        h, codes = _check(X, batch_size, codes, self.strategy)
        p = None if p is None else _check_probabilities(p, len(h))
        rng = np.random.default_rng(self.random_state_.randint(2**31))
        offered = np.zeros(len(h), dtype=bool)
        offered[rows] = True
        return RULES[self.strategy](_Offered(h, codes, rng, None, p, offered=offered), batch_size)


def _codes(y, known, classes) -> np.ndarray:
    """Labels (N,) of any kind as places among `classes` (sorted; None: those that occur), UNLABELLED where unknown."""
    codes = np.full(len(y), UNLABELLED)
    if known.any():
        codes[known] = np.searchsorted(np.unique(y[known]) if classes is None else classes, y[known])
    return codes


def _utilities(picks, rows, size: int) -> np.ndarray:
    """(B, size): 1 for the pick of each step, 0 for the rows on offer and not yet picked, nan for all others."""
    utilities = np.full((len(picks), size), np.nan)
    utilities[:, rows] = 0.0
    for step, pick in enumerate(picks):
        utilities[step, pick] = 1.0
        utilities[step + 1:, pick] = np.nan
    return utilities
