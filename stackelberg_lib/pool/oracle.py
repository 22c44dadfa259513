"""Where labels come from and what they cost: sources that answer, and the book in memory that studies use.

A source is called with an item, the row number of a text in the pool, and returns its label: a name, or its number.
`name` says who answers. A `ledger.Ledger` buys from any source and keeps the labels on disk; a `LabelOracle` sells the
labels of a study, where thousands of runs spend the same known labels and none of them has to survive.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol, TextIO

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.view import UNLABELLED


class Source(Protocol):
    """Whoever answers: `name` goes into the ledger, a call answers one item by a label's name or number."""

    name: str

    def __call__(self, item: int) -> int | str: ...


def number_of(label: object, names: Sequence[str]) -> int | None:
    """Number of a label among `names`: a whole number is itself, a name its place; None if it is not among them.

    A name that is not there as it stands is matched without regard to case and to space around it, if one name fits.
    """
    if isinstance(label, Integral):
        return int(label) if 0 <= label < len(names) else None
    if not isinstance(label, str):
        return None
    if label in names:
        return list(names).index(label)
    alike = [i for i, name in enumerate(names) if name.strip().casefold() == label.strip().casefold()]
    return alike[0] if len(alike) == 1 else None


def listed(names: Sequence[str], most: int = 20) -> str:
    """The names for people, `most` of them spelt out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


@dataclass(frozen=True)
class Labelled:
    """Answers at hand: `labels[item]`, such as the `train_labels` (N,) of `data.sets.load(file)`, a list, or a dict.

    An item that is not there: InputError.
    """

    labels: Mapping[int, int | str] | Sequence[int | str] | np.ndarray
    name: str = "file"

    def __call__(self, item: int) -> int | str:
        try:
            return self.labels[item]
        except LookupError:
            raise InputError(f"{self.name} has no label for item {item}; add it, or do not ask for it") from None


class Noisy:
    """An annotator who errs: item of true class j is called k with probability confusion[j, k].

    truth (N,) numbers of classes; confusion (C, C), rows sum to 1, see `evenly`. The answer depends on seed and item
    alone, so that who is asked again, in whatever order, says the same. Anything else: InputError.
    """

    def __init__(self, truth: np.ndarray, confusion: np.ndarray, seed: int, name: str = "noisy"):
        self._truth, self._confusion, self._seed, self.name = np.asarray(truth), np.asarray(confusion), seed, name
        shape = self._confusion.shape
        if len(shape) != 2 or shape[0] != shape[1] or (self._confusion < 0).any() or \
                not np.allclose(self._confusion.sum(1), 1, rtol=0, atol=1e-9):
            raise InputError(f"confusion of shape {shape}: give a square of probabilities whose rows sum to 1")
        if not np.isin(self._truth, np.arange(shape[0])).all():
            raise InputError(f"truth holds labels that are not in 0..{shape[0] - 1}, the rows of confusion")

    def __call__(self, item: int) -> int:
        p = self._confusion[self._truth[item]]
        return int(np.random.default_rng([self._seed, 14, item]).choice(len(p), p=p))


def evenly(rate: float, classes: int) -> np.ndarray:
    """Confusion (C, C) of an annotator who errs at `rate` in [0, 1], towards all other classes alike."""
    if not 0 <= rate <= 1 or classes < 2:
        raise InputError(f"rate={rate}, classes={classes}: give a rate from 0 to 1 and at least two classes")
    return np.where(np.eye(classes, dtype=bool), 1 - rate, rate / (classes - 1))


@dataclass(frozen=True)
class Slow:
    """Another source that takes `seconds` to answer, to see what an interruption leaves."""

    source: Source
    seconds: float

    @property
    def name(self) -> str:
        """Name of the source behind."""
        return self.source.name

    def __call__(self, item: int) -> int | str:
        time.sleep(self.seconds)
        return self.source(item)


@dataclass(frozen=True)
class Person:
    """Somebody who reads `texts` from the stream `show` and types a name, or its number, into the stream `typed`.

    Other answers are asked for again. Ctrl-C passes through, the end of `typed` is an InputError: a ledger has written
    every earlier answer by then. Numbers are offered unless a name is itself a number. Control characters of a text are
    shown as a replacement mark, so that it cannot steer the terminal.
    """

    texts: Sequence[str]
    names: Sequence[str]
    typed: TextIO
    show: TextIO
    name: str = "person"

    def __call__(self, item: int) -> int:
        numbered = not any(name.strip().isdecimal() for name in self.names)
        text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in self.texts[item])
        choices = [f"{i} {name}" if numbered else name for i, name in enumerate(self.names)]
        print(f"\n{text}\n[{', '.join(choices)}]", file=self.show)
        while True:
            print("label: ", end="", file=self.show, flush=True)
            line = self.typed.readline()
            if not line:
                raise InputError(f"the input ended before item {item} was answered; run again to go on from there")
            said = line.strip()
            number = number_of(int(said) if numbered and said.isdecimal() else said, self.names)
            if number is not None:
                return number
            print(f"{said!r} is none of them", file=self.show)


class LabelOracle:
    """Sells the labels of a pool one by one, never more than `budget` of them and none twice; all in memory.

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
