"""PocketDesk: a generated classification task whose best possible accuracy is known exactly.

32 intents (topics of `world`) with Zipf frequencies, near-duplicate messages, and pairs of intents that share nouns or
clauses. No topic of PocketDesk occurs in the text that Pocket was pretrained on (`pretraining_topics`).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from stackelberg_lib.data import world
from stackelberg_lib.errors import InputError

# (thing, issue), the most frequent first. Neighbouring things and issues are in on purpose: the confusable pairs.
INTENTS = (
    ("parcel", "late"), ("card", "broken"), ("appointment", "change"), ("refund", "late"), ("account", "broken"),
    ("prescription", "new"), ("invoice", "wrong"), ("parcel", "wrong"), ("phone", "cancel"), ("transfer", "late"),
    ("result", "late"), ("router", "broken"), ("card", "lost"), ("ticket", "change"), ("appointment", "cancel"),
    ("invoice", "twice"), ("referral", "new"), ("parcel", "lost"), ("transfer", "wrong"), ("phone", "price"),
    ("prescription", "wrong"), ("note", "copy"), ("room", "cancel"), ("voucher", "broken"), ("loan", "price"),
    ("vaccine", "new"), ("result", "copy"), ("room", "change"), ("ticket", "lost"), ("note", "new"),
    ("vaccine", "proof"), ("referral", "proof"),
)
LABELS = tuple(f"{thing}_{issue}" for thing, issue in INTENTS)
LATE = tuple(range(3, len(INTENTS), 4))  # every fourth intent: those that appear half way through a stream


def prior() -> np.ndarray:
    """Zipf frequencies of the intents, (32,): the r-th has weight 1 / (r + 3)."""
    weight = 1.0 / (np.arange(len(INTENTS)) + 4.0)
    return weight / weight.sum()


def pretraining_topics() -> list[tuple[str, str]]:
    """All topics of the world that are not intents of PocketDesk: what Pocket has seen."""
    return [topic for topic in product(world.THINGS, world.ISSUES) if topic not in INTENTS]


def _likelihood() -> tuple[np.ndarray, list[str], list[str]]:
    """P(noun, clause | intent) as an array (32, nouns, clauses), with the names of the last two axes."""
    nouns = list(world.ALL_NOUNS)
    clauses = sorted({c for cs in world.CLAUSES.values() for c in cs})

    def probabilities(weights: dict[str, float], names: list[str]) -> np.ndarray:
        p = np.array([float(weights.get(name, 0)) for name in names])
        return p / p.sum()

    tables = [np.outer(probabilities(world.NOUNS[thing], nouns), probabilities(world.CLAUSES[issue], clauses))
              for thing, issue in INTENTS]
    return np.stack(tables), nouns, clauses


def bayes_accuracy() -> float:
    """Accuracy of the best possible classifier, exact: sum over (noun, clause) of max_y P(y) P(noun, clause | y).

    Opener, detail, days and closer are drawn independently of the intent and say nothing about it.
    """
    likelihood, _, _ = _likelihood()
    return float((prior()[:, None, None] * likelihood).max(0).sum())


def posterior(nouns: list[str], clauses: list[str]) -> np.ndarray:
    """P(intent | noun, clause), exact, (n, 32), of messages written with these nouns and clauses.

    It is P(intent | message): a message tells its noun and clause, and the rest of it says nothing about the intent.
    Raises InputError for a noun or clause that is not PocketDesk's, or a pair that no intent writes.
    """
    likelihood, noun_names, clause_names = _likelihood()
    rows, columns = ({name: k for k, name in enumerate(names)} for names in (noun_names, clause_names))
    try:
        i, j = [rows[n] for n in nouns], [columns[c] for c in clauses]
    except KeyError as error:
        raise InputError(f"{error.args[0]!r} is no noun or clause of PocketDesk; "
                         "pass those that `draw` returns") from None
    joint = (prior()[:, None, None] * likelihood)[:, i, j].T
    total = joint.sum(1, keepdims=True)
    if not (total > 0).all():
        k = int(np.argmin(total))
        raise InputError(f"no intent writes {nouns[k]!r} with {clauses[k]!r}; pass pairs that `draw` returns")
    return joint / total


def bayes_predict(nouns: list[str], clauses: list[str]) -> np.ndarray:
    """Index of the most probable intent, (n,), given the noun and clause that each message was written with."""
    return posterior(nouns, clauses).argmax(1)


def draw(n: int, rng: np.random.Generator,
         absent: tuple[int, ...] = ()) -> tuple[list[str], np.ndarray, list[str], list[str]]:
    """Draw n messages: texts, intent indices (n,), and the noun and clause of each (for `posterior`).

    absent: intents that nobody writes about; the others keep their frequencies to each other.
    """
    p = prior()
    p[list(absent)] = 0
    y = rng.choice(len(INTENTS), size=n, p=p / p.sum())
    rows = [world.message(rng, *INTENTS[k]) for k in y]
    texts, nouns, clauses = (list(column) for column in zip(*rows, strict=True))
    return texts, y, nouns, clauses
