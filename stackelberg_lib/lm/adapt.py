"""Budgeted adaptation: propose, buy, fine-tune with LoRA, measure; then again with more labels.

    with adapt.book(task, folder / "labels.sqlite", budget) as ledger:
        run = adapt.adapt(task, plan, ledger, source, folder)

Every label is in the ledger before it is used. Killed at any moment and started again with the same arguments, a run
makes the same purchases, pays nothing twice and ends with the same adapter: what stands in the ledger is not proposed
again, each proposal has a generator of its own, and what was trained is in `folder`.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stackelberg_lib.data.sets import LabelledSet
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import cache, features, finetune
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.lm.registry import Model
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled, Source
from stackelberg_lib.pool.strategies import propose

CHOOSERS = ("base", "adapted")


@dataclass(frozen=True)
class Task:
    """A set tokenised and embedded once, shared by all arms and seeds: features (N, m) of the base model."""

    data: LabelledSet
    model: Model
    train: features.Tokens
    test: features.Tokens
    features: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How labels are chosen and what is done with them.

    strategy: a rule of `pool.strategies`. labels_at: labels in hand at each fine-tuning, rising; the last is the
    budget. chooser: whose features choose, "base" (frozen) or "adapted" (embedded again after each fine-tuning).
    warm: each fine-tuning goes on from the last adapter instead of from the base model. epochs: passes over the labels
    in hand, instead of recipe.steps.
    """

    strategy: str
    labels_at: list[int]
    seed: int
    recipe: Recipe
    chooser: str = "base"
    warm: bool = False
    epochs: float | None = None

    def __post_init__(self):
        if self.chooser not in CHOOSERS:
            raise InputError(f"chooser={self.chooser!r} does not exist; use one of {', '.join(CHOOSERS)}")
        if not self.labels_at or any(b <= a for a, b in zip([0, *self.labels_at], self.labels_at, strict=False)):
            raise InputError(f"labels_at={self.labels_at} must rise from at least 1; see adapt.schedule")
        if self.epochs is not None and not self.epochs > 0:
            raise InputError(f"epochs={self.epochs} must be above 0, or None for recipe.steps")


@dataclass
class Run:
    """One arm's learning curve.

    Per fine-tuning: labels in hand, test accuracy, classes seen, seconds of choosing and of training, tokens trained
    on, loss per step; then what the last one left: the bought rows in order, the test probabilities (n, C) and the
    classifier.
    """

    labels: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    select_seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    loss: list[list[float]] = field(default_factory=list)
    rows: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    classifier: finetune.Classifier | None = None


def subsample(data: LabelledSet, pool: int, test: int, seed: int) -> LabelledSet:
    """At most `pool` training and `test` test rows of a set, drawn by seed; the source line says so."""
    if len(data.train_texts) <= pool and len(data.test_texts) <= test:
        return data
    rng = np.random.default_rng([seed, 2])
    i = np.sort(rng.permutation(len(data.train_texts))[:pool])
    j = np.sort(rng.permutation(len(data.test_texts))[:test])
    source = (f"{data.source}; a random part: {len(i)} of {len(data.train_texts)} texts in the pool, "
              f"{len(j)} of {len(data.test_texts)} test texts")
    return LabelledSet(data.name, [data.train_texts[k] for k in i], data.train_labels[i],
                       [data.test_texts[k] for k in j], data.test_labels[j], data.label_names, source)


def prepare(data: LabelledSet, model: Model) -> Task:
    """Tokenise both parts and embed the pool with the base model."""
    train, test = features.Tokens(model, data.train_texts), features.Tokens(model, data.test_texts)
    return Task(data, model, train, test, features.embed(features.load_backbone(model), train))


def schedule(budget: int, rounds: int) -> list[int]:
    """Labels in hand at each fine-tuning: halves of the budget upwards, e.g. 154, 4 -> [19, 38, 77, 154]."""
    return sorted({max(1, round(budget / 2**k)) for k in range(rounds)})


def book(task: Task, path: Path, budget: int) -> Ledger:
    """The ledger of a task's pool, opened or begun. Errors as `Ledger`; InputError for more labels than texts."""
    different = len(set(task.data.train_texts))
    if budget > different:
        raise InputError(f"budget={budget} is more than the {different} different texts of the pool; a text is bought "
                         f"once, so give at most {different}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return Ledger(path, task.data.train_texts, task.data.label_names, cache.model_hash(task.model), budget)


def adapt(task: Task, plan: Plan, ledger: Ledger, source: Source, folder: Path | None = None) -> Run:
    """Spend plan.labels_at[-1] labels from `source` and fine-tune at each of plan.labels_at; returns the last state.

    Initial weights, batches and steps depend on plan.seed alone, so that arms differ by their labels only. folder:
    where checkpoints of the fine-tunings are kept, so that a run goes on where it was interrupted; None keeps none.
    Purchases of earlier runs that stand in the ledger come first, whatever chose them. Raises InputError.
    """
    run, acquisition, h, told = Run(), 0, task.features, {}
    for wanted in plan.labels_at:
        rows = run.rows if run.labels else np.empty(0, dtype=int)
        if len(rows) >= wanted:  # the ledger's own steps were larger
            continue
        start = time.perf_counter()
        while len(rows) < wanted:  # once, and again for what copies of bought texts left unspent
            _acquire(ledger, source, plan, acquisition, wanted - len(rows), h, told)
            acquisition += 1
            rows = np.array([row.item for row in ledger.rows() if row.round < acquisition])
        run.select_seconds.append(time.perf_counter() - start)
        run.rows = rows
        _learn(run, task, plan, ledger.labels()[rows], folder)
        if wanted < plan.labels_at[-1]:
            h, told = _look_again(run, task, plan)
    return run


def simulate(task: Task, plan: Plan) -> Run:
    """`adapt` with a ledger that is thrown away and the labels that the set has: for studies and trials."""
    with tempfile.TemporaryDirectory() as name, book(task, Path(name) / "labels.sqlite", plan.labels_at[-1]) as ledger:
        return adapt(task, plan, ledger, Labelled(task.data.train_labels))


def adapt_all(task: Task, seed: int, recipe: Recipe) -> Run:
    """The ceiling: fine-tune on every label of the pool."""
    run = Run(rows=np.arange(len(task.features)))
    _learn(run, task, Plan("all", [len(run.rows)], seed, recipe), task.data.train_labels, None)
    return run


def _acquire(ledger: Ledger, source: Source, plan: Plan, acquisition: int, need: int, h: np.ndarray,
             told: dict) -> None:
    """Make purchase number `acquisition` of `need` labels, or what an interrupted run has left of it."""
    rows = ledger.rows()
    if any(row.round > acquisition for row in rows):
        return
    rng = np.random.default_rng([plan.seed, 3, acquisition])
    fresh = propose(h, need, ledger.labels(before=acquisition), rng=rng, strategy=plan.strategy, **told)
    have = {row.item for row in rows if row.round == acquisition}
    rest = [i for i in fresh if i not in have][:max(0, need - len(have))]
    ledger.buy(rest, source, round=acquisition, strategy=plan.strategy, seed=plan.seed)


def _learn(run: Run, task: Task, plan: Plan, labels: np.ndarray, folder: Path | None) -> None:
    start, n, recipe = time.perf_counter(), len(run.rows), plan.recipe
    classifier = finetune.lora_classifier(task.model, len(task.data.label_names), recipe.rank, plan.seed)
    if plan.warm and run.classifier:
        classifier.load_state_dict(run.classifier.state_dict())
    if plan.epochs:
        recipe = dataclasses.replace(recipe, steps=math.ceil(plan.epochs * n / min(recipe.batch, n)))
    kept = folder / f"after-{n}.safetensors" if folder else None
    run.loss.append(finetune.fit(classifier, task.train, run.rows, labels, recipe, plan.seed, kept))
    run.train_seconds.append(time.perf_counter() - start)
    length = np.mean([len(task.train.ids[i]) for i in run.rows])
    run.tokens.append(round(length * min(recipe.batch, n) * len(run.loss[-1])))
    run.classifier, run.probabilities = classifier, finetune.predict(classifier, task.test)
    run.labels.append(n)
    run.classes.append(len(np.unique(labels)))
    run.accuracy.append(float(np.mean(run.probabilities.argmax(1) == task.data.test_labels)))


def _look_again(run: Run, task: Task, plan: Plan) -> tuple[np.ndarray, dict]:
    """Features for the next choice, and what the rule is told: margin sampling asks the model fine-tuned last."""
    h = task.features if plan.chooser == "base" else features.embed(run.classifier.backbone, task.train)
    return h, {"probabilities": finetune.predict(run.classifier, task.train)} if plan.strategy == "margin" else {}


def estimate_minutes(task: Task, arms: int, labels_at: list[int], seeds: int, recipe: Recipe) -> float:
    """Minutes that all arms and seeds will take here, from the time of a few real steps and one real batch."""
    classifier = finetune.lora_classifier(task.model, len(task.data.label_names), recipe.rank, 0)
    rows = np.arange(min(len(task.features), 4 * recipe.batch))
    probe = Recipe(4, recipe.batch, recipe.rank)
    finetune.fit(classifier, task.train, rows, task.data.train_labels[rows], Recipe(1), 0)  # the first step is slower
    start = time.perf_counter()
    finetune.fit(classifier, task.train, rows, task.data.train_labels[rows], probe, 0)
    step = (time.perf_counter() - start) / probe.steps
    start = time.perf_counter()
    with torch.inference_mode():
        classifier(*task.train.batch(rows))
    one_test = (time.perf_counter() - start) / len(rows) * len(task.test.ids)
    return seeds * arms * len(labels_at) * (step * recipe.steps + one_test) / 60
