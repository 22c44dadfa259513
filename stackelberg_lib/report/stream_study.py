"""`make study`, third part: budgeted LoRA on a stream of PocketDesk messages, every gate, seed by seed, resumable.

    python -m stackelberg_lib.report.stream_study --model pocket --seeds 5

Every seed draws ROUNDS messages that come once, and PAST messages seen before without labels. start "same": the stream
is like the past; "late": every fourth intent first appears half way. Gates may buy BUDGET labels, "all" buys every one;
all arms learn equally often. Each finished cell is one JSON line in results/stream_<model>.jsonl, with the rounds of
mistakes and of purchases.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm.stream import GATES as ARMS
from stackelberg_lib.lm.stream import regret
from stackelberg_lib.plots.intervals import t_interval
from stackelberg_lib.report import cells as finished
from stackelberg_lib.report.recorded import RESULTS

STARTS = ("same", "late")
ROUNDS, PAST, BUDGET, EVERY, STEPS = 1500, 1000, 150, 25, 30


class Cell(NamedTuple):
    """One run of the study."""

    model: str
    start: str
    strategy: str
    seed: int


def drawn(start: str, seed: int, rounds: int = 0, past: int = 0):
    """The stream as the pool of a set, and the past as its test part, whose labels nobody reads.

    rounds, past: how many messages of each; 0 for ROUNDS and PAST.
    """
    from stackelberg_lib.data import pocketdesk
    from stackelberg_lib.data.sets import LabelledSet

    rng, absent = np.random.default_rng([seed, 18]), pocketdesk.LATE if start == "late" else ()
    rounds, past = rounds or ROUNDS, past or PAST
    half = rounds // 2
    parts = [pocketdesk.draw(n, rng, gone)[:2] for n, gone in ((past, absent), (half, absent), (rounds - half, ()))]
    (before, old), (early, y), (late, z) = parts
    return LabelledSet("pocketdesk", early + late, np.concatenate([y, z]), before, old, pocketdesk.LABELS,
                       f"a stream of {rounds}, seed {seed}, {len(absent)} intents from round {half + 1} on only")


def run(cell: Cell) -> dict:
    """Do one cell; returns its line."""
    from stackelberg_lib.lm import adapt, features, registry, stream
    from stackelberg_lib.lm.finetune import Recipe
    from stackelberg_lib.pool.oracle import Labelled

    task = adapt.prepare(drawn(cell.start, cell.seed), registry.resolve(cell.model))
    past = features.embed(features.load_backbone(task.model), task.test)
    different = len(set(task.data.train_texts))
    budget = different if cell.strategy == "all" else BUDGET
    plan = stream.Plan(cell.strategy, budget, math.ceil(EVERY * budget / BUDGET), Recipe(steps=STEPS), cell.seed)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, adapt.book(task, Path(name) / "labels.sqlite", budget) as ledger:
        done = stream.walk(task, past, plan, ledger, Labelled(task.data.train_labels))
    wrong = done.answers != task.data.train_labels
    return {**cell._asdict(), "rounds": len(wrong), "budget": budget, "wrong": np.flatnonzero(wrong).tolist(),
            "bought": np.flatnonzero(done.bought).tolist(), "updates": done.updates,
            "seconds": round(time.perf_counter() - begin, 1), "device": str(features.device())}


def path_of(model: str) -> Path:
    """File with the cells of one model; of a path only the last part names it."""
    return RESULTS / f"stream_{Path(model).name}.jsonl"


def read(model: str) -> list[dict]:
    """All finished cells of one model; an empty list when there are none."""
    return finished.read(path_of(model))


def regrets(lines: list[dict], start: str) -> dict[str, np.ndarray]:
    """Gate -> mistakes beyond those of the arm with all labels, up to each round: (seeds, 3, T).

    The middle axis: in all rounds, in rounds whose label was bought, in the others. Seeds that all gates share.
    """
    by = {(line["strategy"], line["seed"]): line for line in lines if line["start"] == start}
    seeds = [s for s in sorted({seed for _, seed in by}) if all((arm, s) in by for arm in ARMS)]
    if not seeds:
        raise InputError(f"no seed of start={start!r} is finished by every gate; run `make study`")
    return {arm: np.stack([_regret(by[arm, s], by["all", s]) for s in seeds]) for arm in ARMS if arm != "all"}


def _regret(line: dict, best: dict) -> np.ndarray:
    n = line["rounds"]
    return regret(_marks(line["wrong"], n), _marks(best["wrong"], n), _marks(line["bought"], n))


def _marks(rounds: list[int], n: int) -> np.ndarray:
    return np.isin(np.arange(n), rounds)


def summary(model: str) -> dict:
    """Print regret and labels of every gate and stream; returns the same for JSON."""
    out, lines = {}, read(model)
    for start in STARTS:
        try:
            found = regrets(lines, start)
        except InputError as error:
            print(f"left out: {start}: {error}", file=sys.stderr)
            continue
        print(f"\nstream {start}, {model}, {len(found['llf'])} seeds: mistakes beyond those of all labels")
        for arm, r in found.items():
            bought = np.mean([len(x["bought"]) for x in lines if (x["start"], x["strategy"]) == (start, arm)])
            total, low, high = t_interval(r[:, 0, -1].astype(float))
            print(f"{arm:8s} {total:7.1f} ({low:.1f} to {high:.1f}), on bought {r[:, 1, -1].mean():6.1f}, "
                  f"on skipped {r[:, 2, -1].mean():6.1f}; {bought:.0f} labels")
            out[f"{start}/{arm}"] = {"regret": finished.rounded(total), "low": finished.rounded(low),
                                     "high": finished.rounded(high), "labels": float(bought), "seeds": len(r)}
    return out


def main() -> int:
    """Command line of the third part of `make study`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--summary", action="store_true", help="print what was found, do nothing")
    return finished.exit_code(lambda: _work(parser.parse_args()))


def _work(a: argparse.Namespace) -> int:
    wanted = [Cell(a.model, start, arm, seed) for seed in range(a.seeds) for start in STARTS for arm in ARMS]
    if not a.summary:
        finished.do(finished.left(wanted, read(a.model)), run, lambda line: path_of(line["model"]), a.workers)
    found = summary(a.model)
    print(json.dumps(found))
    return 0 if found else 2


if __name__ == "__main__":
    raise SystemExit(main())
