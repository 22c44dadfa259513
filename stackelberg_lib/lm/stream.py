"""Budgeted adaptation on a stream: every text is answered as it comes, and a gate decides whether to buy its label.

The features that a gate sees are the base model's, centred on texts seen before the stream, so that no label moves
them. After every `every` labels the adapter learns from all labels bought so far (replay), going on from where it was.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.calibrated import calibrated_level
from stackelberg_lib.lm import finetune
from stackelberg_lib.lm.adapt import Task
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Source

AHEAD = 64       # texts answered in one batch; thrown away when the model changes before they come
LAMBDA = 0.1     # ridge of the widths
SHARE = 0.8      # of the budget, what a replay of the past may spend: the rest is for what the past does not hold
WINDOW = 100     # margins that the margin gate ranks a text among
FEW = 20         # as long as it has seen fewer under the current model, it draws


class Now(NamedTuple):
    """What a gate is told of a text: width |h|_{G^-1}, margin of the model's answer, labels and texts left."""

    width: float
    margin: float
    left: int
    coming: int


class Gate(Protocol):
    """Decides text by text; `learned` is called whenever the model has changed."""

    def __call__(self, now: Now) -> bool: ...

    def learned(self) -> None: ...


@dataclass
class LLF:
    """Buys where the width exceeds `level`: what `level_of` finds without a label."""

    level: float

    def __call__(self, now: Now) -> bool:
        return now.width > self.level

    def learned(self) -> None:
        """The level does not depend on the model."""


@dataclass
class Margin:
    """Buys where the margin ranks among the lowest left / coming of the last WINDOW margins under the same model."""

    rng: np.random.Generator
    seen: list[float] = field(default_factory=list)

    def __call__(self, now: Now) -> bool:
        self.seen = [*self.seen, now.margin][-WINDOW:]
        if len(self.seen) < FEW:
            return self.rng.random() < now.left / now.coming
        return now.margin <= np.quantile(self.seen, min(1, now.left / now.coming))

    def learned(self) -> None:
        self.seen = []


@dataclass
class Random:
    """Buys with probability left / coming: in the end exactly the budget, every set of rounds alike."""

    rng: np.random.Generator

    def __call__(self, now: Now) -> bool:
        return self.rng.random() < now.left / now.coming

    def learned(self) -> None:
        """Nothing to forget."""


class First:
    """Buys until the budget is spent; with a budget of all texts, buys all."""

    def __call__(self, now: Now) -> bool:
        return True

    def learned(self) -> None:
        """Nothing to forget."""


GATES = ("llf", "margin", "random", "first", "all")


@dataclass(frozen=True)
class Plan:
    """One arm: gate, labels it may buy, labels between two updates, recipe of an update (its steps), seed."""

    gate: str
    budget: int
    every: int
    recipe: Recipe
    seed: int

    def __post_init__(self):
        if self.gate not in GATES:
            raise InputError(f"gate={self.gate!r} does not exist; use one of {', '.join(GATES)}")
        if self.budget < 1 or self.every < 1:
            raise InputError(f"budget={self.budget}, every={self.every}: give at least 1 label of each")


@dataclass
class Walk:
    """What happened, round by round: answers (T,), whether the label was bought (T,), rounds after which it learned."""

    answers: np.ndarray
    bought: np.ndarray
    updates: list[int] = field(default_factory=list)
    classifier: finetune.Classifier | None = None


def centred(h: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Features h (n, m) minus the mean of past (R, m), scaled to norm 1 (a feature equal to the mean stays 0)."""
    moved = np.asarray(h, float) - past.mean(0, dtype=float)
    norm = np.linalg.norm(moved, axis=1, keepdims=True)
    return moved / np.where(norm > 0, norm, 1)


def level_of(past: np.ndarray, budget: int, horizon: int, rng: np.random.Generator) -> float:
    """Width level at which a stream of `horizon` texts like `past` (R, m) buys SHARE of the budget; no label needed.

    With candidates h and 0 the widest pair of the game is |h|_{G^-1}, and G takes in h h^T: that of a closed label set.
    """
    contexts = np.stack([past, np.zeros_like(past)], axis=1)[None]
    order = rng.integers(len(past), size=(1, horizon))
    start = np.eye(past.shape[1])[None] / LAMBDA
    return float(calibrated_level(contexts, order, start, np.array([max(1, int(SHARE * budget))]))[0])


def gate_of(plan: Plan, past: np.ndarray, horizon: int) -> Gate:
    """The gate that a plan names, for a stream of `horizon` texts; past (R, m), centred features seen before it."""
    rng = np.random.default_rng([plan.seed, 16])
    if plan.gate == "llf":
        return LLF(level_of(past, plan.budget, horizon, rng))
    return {"margin": Margin, "random": Random}[plan.gate](rng) if plan.gate in ("margin", "random") else First()


def walk(task: Task, past: np.ndarray, plan: Plan, ledger: Ledger, source: Source, folder: Path | None = None) -> Walk:
    """Go through task's pool in its order, once; past (R, m): base features of texts seen before, without labels.

    Killed and started again with the same ledger and folder, it repeats what it did and goes on. Raises InputError.
    """
    h, n = centred(task.features, past), len(task.features)
    gate = gate_of(plan, centred(past, past), n)
    G_inv, done = np.eye(h.shape[1]) / LAMBDA, Walk(np.empty(n, dtype=int), np.zeros(n, dtype=bool))
    done.classifier = finetune.lora_classifier(task.model, len(task.data.label_names), plan.recipe.rank, plan.seed)
    known, labels, left, until, texts = [], [], plan.budget, 0, set()  # a text that was bought is not asked again
    for t in range(n):
        if t >= until:
            answers, margins, first, until = *_answer(task, done.classifier, t), t, min(n, t + AHEAD)
        done.answers[t] = answers[t - first]
        u, text = G_inv @ h[t], task.data.train_texts[t]
        if left and text not in texts and gate(Now(float(np.sqrt(h[t] @ u)), margins[t - first], left, n - t)):
            labels.append(ledger.buy([t], source, round=len(done.updates), strategy=plan.gate, seed=plan.seed)[0])
            known.append(t)
            texts.add(text)
            done.bought[t], left = True, left - 1
            G_inv -= np.outer(u, u) / (1 + h[t] @ u)
            if len(known) % plan.every == 0:
                _update(task, done, plan, np.array(known), np.array(labels), folder)
                done.updates.append(t)
                gate.learned()
                until = t + 1
    return done


def _answer(task: Task, classifier: finetune.Classifier, t: int) -> tuple[np.ndarray, np.ndarray]:
    """The classifier's answers to the texts from t on, and their margins, AHEAD of them at most."""
    rows = np.arange(t, min(t + AHEAD, len(task.features)))
    p = finetune.answer(classifier, task.train, rows)
    top = np.sort(p, axis=1)
    return p.argmax(1), top[:, -1] - top[:, -2]


def _update(task: Task, done: Walk, plan: Plan, rows: np.ndarray, labels: np.ndarray, folder: Path | None) -> None:
    kept = folder / f"after-{len(rows)}.safetensors" if folder else None
    recipe = dataclasses.replace(plan.recipe, batch=min(plan.recipe.batch, len(rows)))
    finetune.fit(done.classifier, task.train, rows, labels, recipe, plan.seed + len(rows), kept)


def regret(wrong: np.ndarray, best: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """Mistakes beyond those of an arm with all labels, up to each round: (3, T), in all, in bought, in other rounds.

    wrong, best (T,): mistakes of this arm and of the one with all labels; bought (T,): where this arm bought the label.
    """
    more = wrong.astype(int) - best.astype(int)
    return np.cumsum([more, more * bought, more * ~bought], axis=1)
