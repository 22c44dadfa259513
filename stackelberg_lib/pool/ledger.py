"""The ledger: every label bought is a row on disk before it is used.

    with Ledger("labels.sqlite", texts, names, model_hash, budget=200) as ledger:
        known = ledger.labels(before=r)                                        # what round r may know
        y = ledger.buy(rows, source, round=r, strategy="mass", seed=0)         # asks only what is not in the book

An answer counts as bought when its row is committed: from then on it outlives a kill and a power cut, is never asked
for again, and is shared by all equal texts. A run that is started again from its first round makes the same purchases,
if each round is given what earlier ones bought. Any number of processes may buy at once, each with a Ledger of its own.
While an annotator thinks nothing is locked: when two answer the same text, the first row stands and the other answer is
not charged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import ledger_file as file
from stackelberg_lib.pool.ledger_file import Purchase
from stackelberg_lib.pool.oracle import Source, listed, number_of
from stackelberg_lib.pool.view import UNLABELLED

LONGEST = 999  # bytes of a name: a row stays within one page of the file, where it can be salvaged
LARGEST = 2**63 - 1


class Ledger:
    """Opens the ledger at `path`, or begins it; close it, or use `with`.

    texts: the pool, in order; names: the labels', in the order of their numbers; model: a hash of the model whose
    features choose. A ledger begun with others, damaged, or edited by hand is refused.
    budget: what the prices may sum to, a whole number. Another one than before is written down beside it; one below
    what is spent is refused. Errors are InputError, one line that says what to do.
    """

    def __init__(self, path: Path | str, texts: Sequence[str], names: Sequence[str], model: str, budget: int):
        self.path, self.names = Path(path), tuple(names)
        self._text = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        title = _title(self._text, self.names, model)
        _whole(budget, "budget", 1)
        with file.told(self.path):
            if not self.path.exists():
                file.create(self.path, title, budget)
            self._db = file.connect(self.path)
        try:
            with file.told(self.path):
                file.check(self._db, self.path)
                self._compare(title)
                self._set_budget(budget)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def budget(self) -> int:
        """What the prices may sum to."""
        with file.told(self.path):
            return file.budgets(file.notes(self._db))[-1]

    @property
    def spent(self) -> int:
        """Sum of the prices paid."""
        with file.told(self.path):
            return file.spent(self._db)

    @property
    def left(self) -> int:
        """What can still be spent."""
        return self.budget - self.spent

    def rows(self) -> list[Purchase]:
        """All purchases in order."""
        with file.told(self.path):
            return file.purchases(self._db)

    def labels(self, before: int | None = None) -> np.ndarray:
        """Numbers of the labels of the pool (N,), -1 unknown, copies of bought texts included.

        before: count only what was bought in rounds below this one.
        """
        number = {row.text: self.names.index(row.label) for row in self.rows() if before is None or row.round < before}
        return np.array([number.get(text, UNLABELLED) for text in self._text])

    def copies(self) -> np.ndarray:
        """Items whose label came free, because an equal text was bought; rising."""
        return np.setdiff1d(np.flatnonzero(self.labels() != UNLABELLED), [row.item for row in self.rows()])

    def digest(self) -> str:
        """SHA-256 over pool, label names, model and the purchases in order, without their times: for the model card."""
        with file.told(self.path):
            return file.digest(self._db)

    def buy(self, items: Sequence[int] | np.ndarray, source: Source, *, round: int, strategy: str, seed: int,
            price: int = 1) -> np.ndarray:
        """Numbers of the labels of `items` (n,), in their order; what is not in the book yet is asked and written.

        Each answer is written before the next question: whatever happens, its row stays. A text equal to a bought one
        is free. Names that differ from a known one only by case or by space around them are taken as that one; any
        other label is refused. If what is left of the budget cannot pay for all, nothing is asked.
        price: of one label, a whole number from 1 in the unit of the budget.
        Raises InputError: an item not in the pool, too little left, an unknown label, a disk that is full.
        """
        items = self._checked(items)
        for value, what, least in ((price, "price", 1), (round, "round", 0), (seed, "seed", 0)):
            _whole(value, what, least)
        for value, what in ((strategy, "strategy"), (source.name, "name of the source")):
            _name(value, what)
        known, fresh = self.labels() != UNLABELLED, {}
        for item in items:
            if not known[item]:
                fresh.setdefault(self._text[item], item)
        if len(fresh) * price > self.left:
            raise InputError(f"{self.path}: {len(fresh)} labels at {price} each cost more than the {self.left} left of "
                             f"the budget of {self.budget}; ask for at most {self.left // price}, or raise the budget")
        for item in fresh.values():
            self._buy_one(item, source, price, round, strategy, seed)
        return self.labels()[items]

    def _buy_one(self, item: int, source: Source, price: int, *tags) -> None:
        with file.told(self.path):
            if not self._wanted(item, price):
                return
        answer = source(item)
        number = number_of(answer, self.names)
        if number is None:
            raise InputError(f"{source.name} calls item {item} {answer!r}, which is none of {listed(self.names)}; "
                             "it was not bought: correct it, or begin a ledger that has this label")
        label = self.names[number]
        with file.told(self.path, f"{label!r} for item {item} was not bought, all earlier purchases are kept: "):
            with file.transaction(self._db):
                if self._wanted(item, price):
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    file.append(self._db, item, self._text[item], label, source.name, price, *tags, now)

    def _wanted(self, item: int, price: int) -> bool:
        """Whether nobody has bought the item's text yet; InputError if it can no longer be paid."""
        if file.holds(self._db, self._text[item]):
            return False
        if price > self.left:
            raise InputError(f"{self.path}: item {item} costs {price}, and {self.left} is left of the budget of "
                             f"{self.budget} after what others bought meanwhile; raise the budget to go on")
        return True

    def _checked(self, items) -> list[int]:
        found = np.asarray(items)
        if found.ndim != 1 or found.size and (found.dtype.kind not in "iu" or found.min() < 0
                                              or found.max() >= len(self._text)):
            raise InputError(f"items must be whole numbers from 0 to {len(self._text) - 1}, in one row; got {items!r}")
        return [int(item) for item in found]

    def _compare(self, title: dict[str, str]) -> None:
        """InputError if the ledger was begun with another title."""
        was = file.notes(self._db)
        other = [key for key in title if was.get(key) != title[key]]
        if other:
            said = "; ".join(f"{key} is {title[key]!r}, was {was.get(key)!r}" for key in other[:3])
            raise InputError(f"{self.path} was begun with another pool, labels or model: {said}; give the same "
                             "as then, or another path to begin a new ledger")

    def _set_budget(self, budget: int) -> None:
        with file.transaction(self._db):
            before, paid = file.budgets(file.notes(self._db)), file.spent(self._db)
            if budget < paid:
                raise InputError(f"budget={budget} is below the {paid} that {self.path} has spent; "
                                 f"give at least {paid}")
            if budget != before[-1]:
                file.note(self._db, "meta", file.budget_note(len(before), budget))


def _title(texts: list[str], names: tuple[str, ...], model: str) -> dict[str, str]:
    """What a ledger is about, each entry short: pool, model, number of labels and the name of each."""
    if not texts:
        raise InputError("texts is empty; give the texts of the pool")
    for name in (*names, model):
        _name(name, "label or model")
    if not names or len(set(names)) < len(names):
        raise InputError(f"names holds {len(names)} labels, {len(set(names))} of them different; give each label once")
    pool = hashlib.sha256("".join(texts).encode()).hexdigest()
    return {"pool": f"{len(texts)} texts, sha256 {pool}", "model": model, "labels": str(len(names)),
            **{f"label {i}": name for i, name in enumerate(names)}}


def _whole(value: object, what: str, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or not least <= value <= LARGEST:
        raise InputError(f"{what}={value!r} must be a whole number from {least}")


def _name(value: object, what: str) -> None:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.encode()) <= LONGEST:
        raise InputError(f"{what} {str(value)[:50]!r} must be printable text of 1 to {LONGEST} bytes")
