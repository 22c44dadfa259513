"""`make llf-trials`: what was tried before the default rule of selection got its form; see docs/llf-lab-book.md.

Only sets that may be tuned on: banking77 and PocketDesk under MiniLM, and the same texts with their classes merged into
few wide ones, which stand in for sets that nobody has tuned on. The loop is that of `make study`, on 2,000 texts of
each pool (the study works with other draws of it). Every finished cell (set, variant, seed) is one line of
results/llf_trials.jsonl; a cell that stands there is not done again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from stackelberg_lib.pool import coverage, kernel, latency
from stackelberg_lib.pool.oracle import LabelOracle
from stackelberg_lib.pool.strategies import RULES
from stackelberg_lib.pool.view import Pool
from stackelberg_lib.report import pool_study, pool_summary
from stackelberg_lib.report.pool_study import Frozen
from stackelberg_lib.report.provenance import checkout

RESULTS = Path(__file__).resolve().parents[1] / "results/llf_trials.jsonl"
ROWS, LARGE = 2000, 8000  # of the pool, drawn by each seed; "large": of banking77 as it is
SINGLE = (0.25, 1.0, 4.0)
TRIED = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # scales that leave-one-out may choose
TOPICS = ("top", "transfer", "cash", "virtual", "pin", "passcode", "exchange", "verify", "payment", "refund", "card")
KINDS = {"trouble": ("fail", "declin", "not_", "pending", "revert", "block", "swallow", "wrong", "twice", "unable",
                     "compromised", "lost", "forgotten"), "costs": ("charge", "fee", "rate")}


def topic(name: str) -> str:
    """Of a banking77 class: the first of TOPICS in its name, else the rest."""
    return next((t for t in TOPICS if t in name), "rest")


def kind(name: str) -> str:
    """Of a banking77 class: trouble, costs, or how something is done."""
    return next((k for k, words in KINDS.items() if any(w in name for w in words)), "how")


MERGED = {"banking77": {"large": str, "topics": topic, "kinds": kind},
          "pocketdesk": {"issues": lambda name: name.split("_", 1)[1]}}
PEERS = ("facility_location", "bait", "typiclust", "kmeans_margin", "badge", "margin", "random")
SETS = [s for data, by in MERGED.items() for s in (data, *(f"{data} {way}" for way in by))]


@cache
def world(name: str) -> Frozen:
    """A set, its classes merged if the name says how, in whole."""
    from stackelberg_lib.data import sets

    data, _, way = name.partition(" ")
    whole = pool_study.frozen(data, "minilm")
    if not way:
        return whole
    merged = [MERGED[data][way](label) for label in sets.load(data).label_names]
    wide, code = np.unique(merged, return_inverse=True)
    return whole._replace(labels=code[whole.labels], test_labels=code[whole.test_labels], classes=len(wide))


def one_scale(gamma: float):
    """A Gaussian kernel of one scale."""
    return partial(kernel.gaussian, gamma=gamma)


def squared(a, b):
    """The square of the kernel of many scales: the coverage that certifies widths (THEORY 6)."""
    return kernel.multiscale(a, b, coverage.WIDE) ** 2


def scales(*gammas: float):
    """The mean of Gaussian kernels of these scales, each twice the one before."""
    return partial(kernel.multiscale, scales=gammas)


ALL_SCALES = scales(*coverage.WIDE)


def covering(k=ALL_SCALES, power: float = 2.0):
    """Coverage with another kernel, and rows weighing (1 - margin)^power."""
    return lambda pool, budget: coverage._facility(pool, pool.weights() ** power, budget, k)


def per_gap(pool: Pool, budget: int):
    """Coverage in which a row weighs 1 / margin, the weight with which the potential bounds regret (THEORY 6)."""
    return coverage._facility(pool, 1.0 / np.maximum(1.0 - pool.weights(), 0.1), budget, kernel.multiscale)


def kernel_mass(k, lam: float = kernel.RIDGE, power: float = 1.0):
    """Kernel mass latency with another kernel or ridge constant, rows weighing (1 - margin)^power; exact."""
    return lambda pool, budget: latency.greedy(
        kernel.KernelMass(pool.h, pool.weights() ** power, lam, k, pool.bought), pool.open, budget)


def by_landmarks(count: int):
    """Kernel mass latency by so many landmarks, drawn at random."""
    def rule(pool: Pool, budget: int):
        rows = np.sort(pool.rng.choice(len(pool.h), count, replace=False))
        z = kernel.landmark_features(pool.h, rows, kernel.multiscale)
        missed = np.maximum(1.0 - np.einsum("nm,nm->n", z, z), 0.0)
        state = latency.MassLatency(z, pool.weights(), kernel.RIDGE, pool.bought, missed / kernel.RIDGE)
        return latency.greedy(state, pool.open, budget)
    return rule


def linear_mass(lam: float):
    """Linear mass latency with another ridge constant."""
    return lambda pool, budget: latency.greedy(
        latency.MassLatency(pool.h, pool.weights(), lam, pool.bought), pool.open, budget)


def evidence(pool: Pool) -> float:
    """The scale with the least leave-one-out error of kernel ridge on the bought labels; 0.25 before there are any."""
    rows = pool.bought
    if len(np.unique(pool.y[rows])) < 2:
        return 0.25
    target = np.eye(pool.y[rows].max() + 1)[pool.y[rows]]

    def error(gamma: float) -> float:
        inverse = np.linalg.inv(kernel.gaussian(pool.h[rows], pool.h[rows], gamma) + 0.1 * np.eye(len(rows)))
        return float(np.sum((inverse @ target / inverse.diagonal()[:, None]) ** 2))

    return min(TRIED, key=error)


def chosen_scale(rule):
    """`rule(k)` with the kernel of the scale that the labels in hand speak for."""
    return lambda pool, budget: rule(one_scale(evidence(pool)))(pool, budget)


def then_margin(start: int):
    """Coverage for the first `start` batches, then smallest margin."""
    def rule(pool: Pool, budget: int):
        return RULES["coverage" if len(pool.bought) < start * budget else "margin"](pool, budget)
    return rule


VARIANTS = {
    "coverage": RULES["coverage"],
    "coverage, plain weights": covering(power=1.0),
    "coverage, all rows weigh 1": covering(power=0.0),
    "coverage, scales from 1/4": covering(kernel.multiscale),
    "coverage, scales from 1/4, plain weights": covering(kernel.multiscale, 1.0),
    "coverage, scales from 1/4, weights to the fourth": covering(kernel.multiscale, 4.0),
    "coverage, scales from 1/4, weights 1 / margin": per_gap,
    **{f"coverage, scale {g} alone": covering(one_scale(g)) for g in SINGLE},
    "coverage, scale by leave-one-out": chosen_scale(covering),
    "coverage, k squared": covering(squared),
    "coverage, half of the batches, then margin": then_margin(5),
    "kernel mass": kernel_mass(kernel.multiscale),
    **{f"kernel mass, scale {g} alone": kernel_mass(one_scale(g)) for g in SINGLE},
    "kernel mass, scale by leave-one-out": chosen_scale(kernel_mass),
    "kernel mass, lambda 0.3": kernel_mass(kernel.multiscale, 0.3),
    "kernel mass, weights squared": kernel_mass(kernel.multiscale, power=2.0),
    "kernel mass, scales from 1/16": kernel_mass(ALL_SCALES),
    "kernel mass, 1,000 landmarks": by_landmarks(1000),
    "linear mass": RULES["mass"],
    "linear mass, lambda 3": linear_mass(3.0),
    "point latency": RULES["point"],
    **{f"({name})": RULES[name] for name in PEERS},
}


def run(name: str, variant: str, seed: int) -> dict:
    """One cell: ROUNDS batches of as many labels as there are classes."""
    whole, rows = world(name), LARGE if name.endswith("large") else ROWS
    mine = np.sort(np.random.default_rng([seed, 20]).permutation(len(whole.labels))[:rows])
    features, truth = whole.pool[mine], whole.labels[mine]
    RULES["trial"] = VARIANTS[variant]  # the study's loop buys by name
    began = time.perf_counter()
    bought = pool_study.buy(features, LabelOracle(truth, pool_study.ROUNDS * whole.classes), whole.classes, "trial",
                            "own", seed)
    right = [float(np.mean(head(whole.test).argmax(1) == whole.test_labels)) for head in bought.heads]
    return {"set": name, "variant": variant, "seed": seed, "classes": whole.classes,
            "accuracy": [round(a, 4) for a in right], "seconds": round(time.perf_counter() - began, 1)}


def read() -> list[dict]:
    """All finished cells."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def areas(lines: list[dict]) -> dict[str, dict[str, dict[int, float]]]:
    """Set -> variant -> seed -> normalised area under accuracy against log(labels)."""
    found: dict = {}
    for line in lines:
        labels = line["classes"] * np.arange(1, pool_study.ROUNDS + 1)
        area = pool_summary.area(labels, np.array(line["accuracy"]))
        found.setdefault(line["set"], {}).setdefault(line["variant"], {})[line["seed"]] = float(area)
    return found


def table(found: dict) -> dict[str, dict[str, float]]:
    """Variant -> set -> mean area over the seeds."""
    return {variant: {name: round(float(np.mean(list(found[name][variant].values()))), 4)
                      for name in SETS if variant in found.get(name, {})} for variant in VARIANTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, metavar="SET")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    a = parser.parse_args()
    done = {(line["set"], line["variant"], line["seed"]) for line in read()}
    todo = [(s, v, seed) for seed in range(a.seeds) for s in a.sets for v in a.variants if (s, v, seed) not in done]
    said = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": checkout()}
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers, which start from nothing
    with ProcessPoolExecutor(a.workers, mp_context=get_context("spawn")) as workers:
        futures = [workers.submit(run, *cell) for cell in todo]
        try:
            for k, future in enumerate(as_completed(futures), start=1):
                line = future.result()
                with RESULTS.open("a") as out:
                    out.write(json.dumps({**line, **said}) + "\n")
                print(f"{k} of {len(futures)}: {line['set']}, {line['variant']}, seed {line['seed']}", file=sys.stderr)
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
    found = table(areas(read()))
    print(f"{'':44}" + "".join(f"{name[-9:]:>12}" for name in SETS))
    for variant, row in found.items():
        print(f"{variant:44}" + "".join(f"{row.get(name, float('nan')):12.4f}" for name in SETS))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
