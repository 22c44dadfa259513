"""PocketDesk: a generated classification task whose best possible accuracy is known exactly.

32 intents (topics of `world`) with Zipf frequencies, near-duplicate messages, and pairs of intents that share nouns or
clauses. No topic of PocketDesk occurs in the text that Pocket was pretrained on (`pretraining_topics`).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from stackelberg_lib.data import world

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


def bayes_predict(nouns: list[str], clauses: list[str]) -> np.ndarray:
    """Index of the most probable intent, (n,), given the noun and clause that each message was written with."""
    likelihood, noun_names, clause_names = _likelihood()
    joint = prior()[:, None, None] * likelihood
    i = [noun_names.index(n) for n in nouns]
    j = [clause_names.index(c) for c in clauses]
    return joint[:, i, j].argmax(0)


def draw(n: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray, list[str], list[str]]:
    """Draw n messages: texts, intent indices (n,), and the noun and clause of each (for `bayes_predict`)."""
    y = rng.choice(len(INTENTS), size=n, p=prior())
    rows = [world.message(rng, *INTENTS[k]) for k in y]
    texts, nouns, clauses = (list(column) for column in zip(*rows, strict=True))
    return texts, y, nouns, clauses
