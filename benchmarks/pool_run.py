"""One contender of `make bench-pool`, in a process of its own; its last line is one JSON object.

All get the same features, the same labels to start from and, where a rule asks a model, our rules apart from BADGE fit
their own head; every BADGE is told the same probabilities. Timed is the call that selects. The first few rows are
selected from once before, so that imports inside functions and the start of threads do not count.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stackelberg_lib.pool.strategies import RULES, UNLABELLED, propose
from stackelberg_lib.pool.view import fit_head
from stackelberg_lib.report import memory


class Job(NamedTuple):
    """Features h (N, m) float32 of norm 1, labels y (N,) with -1 unknown, probabilities p (N, C), budget, seed."""

    h: np.ndarray
    y: np.ndarray
    p: np.ndarray
    budget: int
    seed: int


def job(case: dict) -> Job:
    """`classes` groups of equal size around random directions, equally many known labels of each, a head on those."""
    rng, C = np.random.default_rng(case["seed"]), case["classes"]
    truth = rng.permutation(np.arange(case["n"]) % C)
    h = rng.normal(size=(C, case["m"]))[truth] + rng.normal(size=(case["n"], case["m"]))
    h = (h / np.linalg.norm(h, axis=1, keepdims=True)).astype(np.float32)
    y = np.full(case["n"], UNLABELLED)
    for c in range(C):
        rows = rng.choice(np.flatnonzero(truth == c), case["labelled"] // C, replace=False)
        y[rows] = c
    rows = np.flatnonzero(y != UNLABELLED)
    return Job(h, y, fit_head(h[rows], y[rows], C)(h), case["budget"], case["seed"])


def ours(strategy: str) -> Callable[[Job], Callable]:
    """A rule of this repository from features and labels, as in the five lines of the README."""
    def prepare(job: Job):
        return lambda: propose(job.h, job.budget, job.y, rng=np.random.default_rng(job.seed), strategy=strategy)
    return prepare


def badge(job: Job):
    """BADGE of this repository with the same probabilities as the peers'."""
    return lambda: propose(job.h, job.budget, job.y, rng=np.random.default_rng(job.seed), strategy="badge",
                           probabilities=job.p)


def skactiveml_badge(job: Job):
    """scikit-activeml's Badge with a classifier that has been fitted: it says what it is told."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge
    told = job.p[job.y == UNLABELLED]

    class Told(SkactivemlClassifier):
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            if len(X) != len(told):
                raise ValueError(f"asked about {len(X)} rows, not the {len(told)} without a label")
            return told

    clf, y = Told(), missing(job)
    return lambda: Badge(random_state=job.seed).query(job.h, y, clf, fit_clf=False, batch_size=job.budget)


def skactiveml_kcenter(job: Job):
    """scikit-activeml's CoreSet."""
    from skactiveml.pool import CoreSet
    y = missing(job)
    return lambda: CoreSet(random_state=job.seed).query(job.h, y, batch_size=job.budget)


def skactiveml_typiclust(job: Job):
    """scikit-activeml's TypiClust, with k-means started once, as ours is."""
    from skactiveml.pool import TypiClust
    y, settings = missing(job), {"n_init": 1}
    return lambda: TypiClust(random_state=job.seed, cluster_algo_dict=settings).query(job.h, y, batch_size=job.budget)


def missing(job: Job) -> np.ndarray:
    """Labels (N,) with nan where unknown."""
    return np.where(job.y == UNLABELLED, np.nan, job.y)


def smalltext_badge(job: Job):
    """small-text's BADGE, part of its torch integration though it needs NumPy only; it cannot be seeded."""
    from small_text.integrations.pytorch.query_strategies.strategies import BADGE
    return small_text(job, BADGE(num_classes=job.p.shape[1]))


def smalltext_kcenter(job: Job):
    """small-text's GreedyCoreset with Euclidean distances, its default."""
    from small_text.query_strategies.coresets import GreedyCoreset
    return small_text(job, GreedyCoreset(normalize=False))


def small_text(job: Job, strategy):
    """small-text takes rows without a label first, and a data set that is handed on to the classifier only."""
    class Told:
        def predict_proba(self, rows):
            return job.p[rows]

    open_, known = np.flatnonzero(job.y == UNLABELLED), np.flatnonzero(job.y != UNLABELLED)
    rows, clf, h = np.arange(len(job.h)), Told(), job.h[np.concatenate([open_, known])]
    return lambda: strategy.query(clf, rows, open_, known, job.y[known], n=job.budget, embeddings=h)


PEERS = {f.__name__: f for f in (skactiveml_badge, skactiveml_kcenter, skactiveml_typiclust, smalltext_badge,
                                 smalltext_kcenter)}
OURS = {rule: badge if rule == "badge" else ours(rule) for rule in RULES} | {"badge_own_head": ours("badge")}


def measure(call: Callable, repeat: int) -> dict:
    """Seconds of each of `repeat` calls, bytes that the first held above what was held before it, its result."""
    memory.forget_peak()
    before, seconds = memory.resident()[0], []
    for turn in range(repeat):
        begin = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - begin)
        if turn == 0:
            extra, first = max(memory.resident()[1] - before, 0), result
    return {"seconds": seconds, "extra": extra, "picks": np.asarray(first)}


def checked(picks: np.ndarray, y: np.ndarray, budget: int) -> np.ndarray:
    """The picks, if they are `budget` distinct rows without a label: else the contender did another job."""
    if picks.shape != (budget,) or len(np.unique(picks)) != budget or (y[picks] != UNLABELLED).any():
        raise ValueError(f"{len(np.unique(picks))} distinct rows, {(y[picks] == UNLABELLED).sum()} of them without a "
                         f"label, instead of {budget}")
    return picks


def radius(h: np.ndarray, y: np.ndarray, picks: np.ndarray) -> float:
    """The largest distance of a row from the nearest row whose label is known or picked."""
    done = np.concatenate([np.flatnonzero(y != UNLABELLED), picks])
    nearest = np.full(len(h), np.inf)
    for i in done:
        np.minimum(nearest, 2.0 - 2.0 * (h @ h[i]), out=nearest)
    return float(np.sqrt(max(nearest.max(), 0.0)))


def contend(name: str, case: dict) -> dict:
    """Seconds, extra bytes, and the covering radius of the picks of one contender."""
    prepare = (OURS | PEERS)[name]
    small = job(case | {"n": 20 * case["classes"], "labelled": 2 * case["classes"], "budget": 5})
    prepare(small)()
    real = job(case)
    got = measure(prepare(real), case["repeat"] if name in OURS else 1)
    picks = checked(got.pop("picks"), real.y, real.budget)
    return got | {"radius": radius(real.h, real.y, picks)}


if __name__ == "__main__":
    print(json.dumps(contend(sys.argv[1], json.loads(sys.argv[2]))))
