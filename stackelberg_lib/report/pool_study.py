"""`make study`, first part: which labels to buy, on frozen features; every rule, seed by seed, resumable.

    python -m stackelberg_lib.report.pool_study --data banking77 pocketdesk --model minilm --seeds 50

Every seed draws 80 % of the training pool. A cell (data, model, start, rule, seed) buys ROUNDS batches of as many
labels as there are classes and fits one logistic head after each; the test labels are looked at when all is bought.
start "own": no label is given, a rule that needs a model takes its own first batch; "shared": all rules go on from one
random batch, which counts in the budget; "noisy": as own, but NOISE of the labels sold are wrong; "successor": as own,
but what is bought is chosen with the features of CHOOSER and then used by `model`. Every finished cell is one JSON line
in results/pool_<data>_<model>.jsonl; a cell that stands there is not done again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.oracle import LabelOracle
from stackelberg_lib.pool.strategies import RULES, propose
from stackelberg_lib.pool.view import Head, fit_head
from stackelberg_lib.report import cells as finished
from stackelberg_lib.report.recorded import RESULTS

ROUNDS = 10
SHARE = 0.8       # of the training pool, drawn by each seed
SETS = ("banking77", "pocketdesk", "chemprot", "stackoverflow20")  # the first two were tuned on
STARTS = ("own", "shared", "noisy", "successor")
NOISE, CHOOSER = 0.2, "pocket"
FEW = ("coverage", "kernel_mass", "mass", "facility_location", "bait", "typiclust", "margin", "random")
FEW_SEEDS = 20    # noisy and successor: so many seeds, and of the rules only FEW
CEILINGS = 5      # seeds that are also given all labels of their pool


class Frozen(NamedTuple):
    """A set under a frozen model: features (N, m) and labels (N,) of the pool, the same of the test part, classes."""

    pool: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int


class Bought(NamedTuple):
    """What one rule did: rows in the order of buying, the head after every batch, seconds of choosing per batch."""

    rows: np.ndarray
    heads: list[Head]
    seconds: list[float]


class Cell(NamedTuple):
    """One run of the study."""

    data: str
    model: str
    start: str
    strategy: str
    seed: int


@cache
def frozen(data: str, model: str) -> Frozen:
    """The set's features under the model, from the cache on disk if they are there."""
    from stackelberg_lib.lm import cache as kept
    from stackelberg_lib.lm import registry

    found, llm = sets.load(data), registry.resolve(model)
    return Frozen(kept.embedded(llm, found.train_texts), found.train_labels, kept.embedded(llm, found.test_texts),
                  found.test_labels, len(found.label_names))


def rows_of(seed: int, n: int) -> np.ndarray:
    """The rows of a training pool of n that a seed works with, in rising order."""
    return np.sort(np.random.default_rng([seed, 10]).permutation(n)[:round(SHARE * n)])


def buy(features: np.ndarray, oracle: LabelOracle, classes: int, strategy: str, start: str, seed: int) -> Bought:
    """Spend the oracle's budget in ROUNDS batches; sees features (N, m) and bought labels, nothing else."""
    rng, step = np.random.default_rng([seed, 11]), oracle.budget // ROUNDS
    rows, heads, seconds, probabilities = np.empty(0, dtype=int), [], [], None
    for r in range(ROUNDS):
        began = time.perf_counter()
        if r == 0 and start == "shared":
            fresh = np.random.default_rng([seed, 12]).choice(len(features), step, replace=False)
        else:
            fresh = propose(features, step, oracle.labels, rng=rng, strategy=strategy, probabilities=probabilities)
        seconds.append(time.perf_counter() - began)
        rows = np.concatenate([rows, fresh])
        heads.append(fit_head(features[rows], oracle.buy(rows), classes))
        seen = len(np.unique(oracle.labels[rows])) > 1
        probabilities = heads[-1](features) if seen and r + 1 < ROUNDS else None
    return Bought(rows, heads, seconds)


def mislabelled(truth: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Labels (N,) of which each is wrong with probability NOISE, then any other class alike."""
    rng = np.random.default_rng([seed, 13])
    wrong = (truth + rng.integers(1, classes, len(truth))) % classes
    return np.where(rng.random(len(truth)) < NOISE, wrong, truth)


def evenness(labels: np.ndarray, classes: int) -> float:
    """Entropy of the classes among labels (n,) over its largest value: 1 when all classes have the same number."""
    share = np.bincount(labels, minlength=classes) / len(labels)
    return float(-np.sum(share * np.log(np.maximum(share, 1e-300))) / np.log(classes))


def run(cell: Cell) -> dict:
    """Do one cell; returns its line. Strategy "all" buys every label at once."""
    whole = frozen(cell.data, cell.model)
    mine = rows_of(cell.seed, len(whole.labels))
    features, truth = whole.pool[mine], whole.labels[mine]
    sold = mislabelled(truth, whole.classes, cell.seed) if cell.start == "noisy" else truth
    if cell.strategy == "all":
        bought = Bought(np.arange(len(mine)), [fit_head(features, sold, whole.classes)], [0.0])
    else:
        oracle = LabelOracle(sold, min(ROUNDS * whole.classes, len(mine)))
        seen = frozen(cell.data, CHOOSER).pool[mine] if cell.start == "successor" else features
        bought = buy(seen, oracle, whole.classes, cell.strategy, cell.start, cell.seed)
    sizes = np.linspace(0, len(bought.rows), len(bought.heads) + 1).astype(int)[1:]
    if cell.start == "successor":
        bought = bought._replace(heads=[fit_head(features[bought.rows[:n]], sold[bought.rows[:n]], whole.classes)
                                        for n in sizes])
    right = [float(np.mean(head(whole.test).argmax(1) == whole.test_labels)) for head in bought.heads]
    return {**cell._asdict(), "labels": sizes.tolist(), "accuracy": [round(a, 4) for a in right],
            "classes": [len(np.unique(truth[bought.rows[:n]])) for n in sizes],
            "balance": round(evenness(truth[bought.rows], whole.classes), 4),
            "seconds": [round(s, 3) for s in bought.seconds]}


def cells(data: list[str], model: str, strategies: list[str], starts: list[str], seeds: int) -> Iterator[Cell]:
    """All cells, seed after seed, so that an unfinished study holds the same seeds of every rule."""
    for start in starts:
        whole = start in ("own", "shared")
        for seed in range(seeds if whole else min(seeds, FEW_SEEDS)):
            for name in data:
                if start == "own" and seed < CEILINGS:
                    yield Cell(name, model, "own", "all", seed)
                yield from (Cell(name, model, start, s, seed) for s in strategies if whole or s in FEW)


def path_of(data: str, model: str) -> Path:
    """File with the cells of one data set and model; of a path only the last part names it."""
    return RESULTS / f"pool_{Path(data).stem}_{Path(model).name}.jsonl"


def read(data: str, model: str) -> list[dict]:
    """All finished cells of one data set and model; an empty list when there are none."""
    return finished.read(path_of(data, model))


def present(data: list[str]) -> list[str]:
    """The sets that are on this machine; says on stderr which are not."""
    here = []
    for name in data:
        try:
            if name != "pocketdesk":
                sets.find(name)
            here.append(name)
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
    return here


def main() -> int:
    """Command line of the first part of `make study`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", nargs="+", default=list(SETS))
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--strategies", nargs="+", default=list(RULES), choices=list(RULES), metavar="RULE")
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    return finished.exit_code(lambda: _work(parser.parse_args()))


def _work(a: argparse.Namespace) -> int:
    data = present(a.data)
    lines = [line for name in data for line in read(name, a.model)]
    todo = finished.left(list(cells(data, a.model, a.strategies, a.starts, a.seeds)), lines)
    for name in data:
        for model in {a.model, CHOOSER} if "successor" in a.starts else {a.model}:
            frozen(name, model)  # embedded once, before the workers ask for it
    finished.do(todo, run, lambda line: path_of(line["data"], line["model"]), a.workers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
