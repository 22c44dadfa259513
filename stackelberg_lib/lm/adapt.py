"""Budgeted adaptation: propose, buy, fine-tune with LoRA, measure; then again with more labels.

The features that `propose` sees are the base model's and stay frozen; every fine-tuning restarts from the base model.
The margin rule is given the margins of the model that was fine-tuned last, as margin sampling means it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from stackelberg_lib.data.sets import LabelledSet
from stackelberg_lib.lm import features, finetune
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.lm.registry import Model
from stackelberg_lib.pool.oracle import LabelOracle
from stackelberg_lib.pool.strategies import STRATEGIES, propose


@dataclass(frozen=True)
class Task:
    """A set tokenised and embedded once, shared by all arms and seeds: features (N, m) of the base model."""

    data: LabelledSet
    model: Model
    train: features.Tokens
    test: features.Tokens
    features: np.ndarray


@dataclass
class Run:
    """One arm's learning curve.

    Per acquisition: labels in hand, test accuracy, classes seen, seconds, loss per step; then what the last one left:
    the bought rows in order, the test probabilities (n, C) and the classifier.
    """

    labels: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    select_seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)
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
    """Labels in hand after each acquisition: halves of the budget upwards, e.g. 154, 4 -> [19, 38, 77, 154]."""
    return sorted({max(1, round(budget / 2**k)) for k in range(rounds)})


def adapt(task: Task, strategy: str, labels_at: list[int], seed: int, recipe: Recipe) -> Run:
    """Spend labels_at[-1] labels in len(labels_at) acquisitions by one strategy and fine-tune after each.

    Initial weights, batches and steps depend on `seed` alone, so that arms differ by their labels only.
    """
    rng = np.random.default_rng([seed, 3])
    oracle = LabelOracle(task.data.train_labels, labels_at[-1])
    run, rows, margins = Run(), np.empty(0, dtype=int), None
    for wanted in labels_at:
        start = time.perf_counter()
        fresh = propose(task.features, wanted - oracle.spent, oracle.labels, rng=rng, strategy=strategy,
                        margins=margins)
        rows = np.concatenate([rows, fresh])
        bought = oracle.buy(rows)
        run.select_seconds.append(time.perf_counter() - start)
        _learn(run, task, rows, bought, seed, recipe)
        if strategy == "margin" and wanted < labels_at[-1]:
            top = np.sort(finetune.predict(run.classifier, task.train), axis=1)
            margins = np.clip(top[:, -1] - top[:, -2], 0, 1)
    run.rows = rows
    return run


def adapt_all(task: Task, seed: int, recipe: Recipe) -> Run:
    """The ceiling: fine-tune on every label of the pool."""
    run = Run()
    run.rows = np.arange(len(task.features))
    _learn(run, task, run.rows, task.data.train_labels, seed, recipe)
    return run


def _learn(run: Run, task: Task, rows: np.ndarray, labels: np.ndarray, seed: int, recipe: Recipe) -> None:
    start = time.perf_counter()
    run.classifier = finetune.lora_classifier(task.model, len(task.data.label_names), recipe.rank, seed)
    run.loss.append(finetune.fit(run.classifier, task.train, rows, labels, recipe, seed))
    run.train_seconds.append(time.perf_counter() - start)
    run.probabilities = finetune.predict(run.classifier, task.test)
    run.labels.append(len(rows))
    run.classes.append(len(np.unique(labels)))
    run.accuracy.append(float(np.mean(run.probabilities.argmax(1) == task.data.test_labels)))


def estimate_minutes(task: Task, labels_at: list[int], seeds: int, recipe: Recipe) -> float:
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
    one_text = (time.perf_counter() - start) / len(rows)
    one_test = one_text * len(task.test.ids)
    margins = one_text * len(task.train.ids) * (len(labels_at) - 1)
    return seeds * (len(STRATEGIES) * len(labels_at) * (step * recipe.steps + one_test) + margins) / 60
