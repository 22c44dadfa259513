"""`make study`, second part: budgeted LoRA, every arm, seed by seed, resumable; `--summary` prints what was found.

    python -m stackelberg_lib.report.study --data banking77 --model minilm --seeds 5

Every seed draws 80 % of the training pool and at most TEST test texts, shared by all arms. An arm buys 10 C labels
(C classes) with a fine-tuning at 10 C / 16, / 8, / 4, / 2 and at the end. start "own": as lesson 09 does it; the
ablations change one thing each: "warm" goes on from the last adapter, "adapted" chooses with features embedded again,
"epochs" trains EPOCHS passes over the labels in hand instead of a fixed number of steps. Each finished cell is one
JSON line in results/lora_<data>_<model>.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.plots.intervals import t_interval
from stackelberg_lib.pool.strategies import DEFAULT
from stackelberg_lib.report import cells as finished
from stackelberg_lib.report import pool_summary
from stackelberg_lib.report.pool_study import Cell, evenness
from stackelberg_lib.report.recorded import RESULTS

ARMS = (DEFAULT, "mass", "margin", "typiclust", "random")
ABLATED = (DEFAULT, "random")  # the arms of the ablations
STARTS = ("own", "warm", "adapted", "epochs")
SETS = (("pocketdesk", "pocket"), ("banking77", "minilm"))
STEPS = {"pocket": 100}        # of each fine-tuning; other models:
MORE_STEPS = 120               # results/lora_300steps_banking77_minilm.jsonl: on seed 0, 300 change none by 0.02
FEWEST = 5                     # seeds of an arm that the lesson shows
ROUNDS, PER_CLASS, SHARE, TEST, EPOCHS = 5, 10, 0.8, 1000, 20


@cache
def whole(data: str, model: str):
    """The set, the model and the pool's features, once per process."""
    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import cache as kept
    from stackelberg_lib.lm import registry

    found, llm = sets.load(data), registry.resolve(model)
    return found, llm, kept.embedded(llm, found.train_texts)


def task_of(cell: Cell):
    """The cell's part of the set, tokenised, with its features."""
    from stackelberg_lib.data.sets import LabelledSet
    from stackelberg_lib.lm import adapt, features

    found, llm, h = whole(cell.data, cell.model)
    rng = np.random.default_rng([cell.seed, 17])
    i = np.sort(rng.permutation(len(h))[:round(SHARE * len(h))])
    j = np.sort(rng.permutation(len(found.test_texts))[:TEST])
    part = LabelledSet(found.name, [found.train_texts[k] for k in i], found.train_labels[i],
                       [found.test_texts[k] for k in j], found.test_labels[j], found.label_names, found.source)
    return adapt.Task(part, llm, features.Tokens(llm, part.train_texts), features.Tokens(llm, part.test_texts), h[i])


def plan_of(cell: Cell, classes: int, pool: int):
    """What the cell does: its arm and its one change."""
    from stackelberg_lib.lm import adapt
    from stackelberg_lib.lm.finetune import Recipe

    recipe = Recipe(steps=STEPS.get(cell.model, MORE_STEPS))
    labels_at = adapt.schedule(min(PER_CLASS * classes, pool), ROUNDS)
    return adapt.Plan(cell.strategy, labels_at, cell.seed, recipe, warm=cell.start == "warm",
                      chooser="adapted" if cell.start == "adapted" else "base",
                      epochs=EPOCHS if cell.start == "epochs" else None)


def run(cell: Cell) -> dict:
    """Do one cell; returns its line. Strategy "all" learns from every label, in three times the steps."""
    import dataclasses

    from stackelberg_lib.lm import adapt, confidence, features

    task = task_of(cell)
    plan = plan_of(cell, len(task.data.label_names), len(task.features))
    if cell.strategy == "all":
        done = adapt.adapt_all(task, cell.seed, dataclasses.replace(plan.recipe, steps=3 * plan.recipe.steps))
    else:
        done = adapt.simulate(task, plan)
    balance = evenness(task.data.train_labels[done.rows], len(task.data.label_names))
    return {**cell._asdict(), "labels": done.labels, "accuracy": [round(a, 4) for a in done.accuracy],
            "classes": done.classes, "balance": round(balance, 4),
            "ece": round(confidence.ece(done.probabilities, task.data.test_labels), 4),
            "seconds": [round(s, 2) for s in done.select_seconds],
            "train_seconds": [round(s, 1) for s in done.train_seconds], "tokens": done.tokens,
            "steps": [len(loss) for loss in done.loss], "device": str(features.device())}


def cells(pairs: list[tuple[str, str]], starts: list[str], seeds: int) -> Iterator[Cell]:
    """All cells, seed after seed; the ceilings and the ablations come last."""
    for start in starts:
        for seed in range(seeds):
            for data, model in pairs:
                yield from (Cell(data, model, start, arm, seed) for arm in (ARMS if start == "own" else ABLATED)
                            if (start, arm) != ("adapted", "random"))  # random looks at no features
    for seed in range(seeds):
        yield from (Cell(data, model, "own", "all", seed) for data, model in pairs)


def path_of(data: str, model: str) -> Path:
    """File with the cells of one data set and model; of a path only the last part names it."""
    return RESULTS / f"lora_{Path(data).stem}_{Path(model).name}.jsonl"


def read(data: str, model: str) -> list[dict]:
    """All finished cells of one data set and model; an empty list when there are none."""
    return finished.read(path_of(data, model))


def shown(data: str, model: str) -> list[dict]:
    """The cells of the arms that at least FEWEST seeds have finished: a study that goes on is read as far as it is."""
    lines = read(data, model)
    done = Counter((line["strategy"], line["start"]) for line in lines)
    return [line for line in lines if done[line["strategy"], line["start"]] >= FEWEST]


def curves(lines: list[dict], start: str = "own") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Arm -> labels (P,) and accuracy (seeds, P), over the seeds that all arms of this start have finished."""
    labels, found = pool_summary.curves(lines, start)
    shared = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    if not shared:
        raise InputError(f"no seed of start={start!r} is finished by every arm; run `make study`")
    return {arm: (labels, np.array([by_seed[s] for s in shared])) for arm, by_seed in found.items()}


def reach(labels: np.ndarray, ours: np.ndarray, random: np.ndarray, draws: int = 4000) -> tuple[float, float, float]:
    """Share of the budget at which our mean curve has random's last accuracy, with its 95 % bootstrap interval.

    ours, random (seeds, P) of the same seeds, drawn together. Infinite where the curve never gets there.
    """
    def share(rows: np.ndarray) -> float:
        goal = random[rows, -1].mean() - 1e-12
        return pool_summary.labels_to(labels, ours[rows].mean(0), goal) / labels[-1]

    n, rng = len(ours), np.random.default_rng(0)
    drawn = [share(rng.integers(n, size=n)) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return share(np.arange(n)), float(low), float(high)


def difference(lines: list[dict], these: tuple[str, str], those: tuple[str, str]) -> tuple[float, float, float, int]:
    """Area of one (start, arm) minus another's: mean difference, its 95 % interval, seeds that have both."""
    areas: dict[tuple[str, str], dict[int, float]] = {these: {}, those: {}}
    for line in lines:
        if (kind := (line["start"], line["strategy"])) in areas:
            areas[kind][line["seed"]] = float(pool_summary.area(np.array(line["labels"]), np.array(line["accuracy"])))
    shared = sorted(areas[these].keys() & areas[those].keys())
    if not shared:
        raise InputError(f"no seed has finished both {' '.join(these)} and {' '.join(those)}; run `make study`")
    mean, low, high = t_interval(np.array([areas[these][s] - areas[those][s] for s in shared]))
    return float(mean), float(low), float(high), len(shared)


def ablations(lines: list[dict]) -> tuple[dict[str, dict], dict[str, tuple[float, float, float, int]]]:
    """What one change does, see `difference`: to each arm's area, by arm and start; to ours minus random's, by start.

    Random does not look at features: with start "adapted" it is what it is with "own".
    """
    done = {(line["start"], line["strategy"]) for line in lines}
    others = {start: start if (start, "random") in done else "own" for start in STARTS if (start, DEFAULT) in done}
    changed = {arm: {start: difference(lines, (start, arm), ("own", arm)) for start in others
                     if start != "own" and (start, arm) in done} for arm in ABLATED}
    return changed, {start: difference(lines, (start, DEFAULT), (other, "random")) for start, other in others.items()}


def summary(pairs: list[tuple[str, str]]) -> dict:
    """Print the table and the ablations of every pair that has finished cells; returns the same for JSON."""
    out = {}
    for data, model in pairs:
        lines = read(data, model)
        try:
            rows, found = pool_summary.table(lines), curves(lines)
        except InputError as error:
            print(f"left out: {data}, {model}: {error}", file=sys.stderr)
            continue
        pool_summary.show(f"{data}, {model} with LoRA", rows, pool_summary.ceiling(lines))
        share = reach(*found[DEFAULT], found["random"][1])
        at = "never within the budget" if np.isinf(share[0]) else f"with {share[0]:.0%} of its labels"
        print(f"{DEFAULT} has random's last accuracy {at} "
              f"(bootstrap interval {share[1]:.0%} to {share[2]:.0%}, {len(found['random'][1])} seeds)")
        areas = {r.strategy: {"seeds": r.seeds, **{key: finished.rounded(getattr(r, key))
                                                   for key in ("area", "difference", "low", "high")}} for r in rows}
        reached = [finished.rounded(s) for s in share]
        out[f"{data}/{model}"] = {"reach": reached, "ablations": _show_ablations(lines), **areas}
    return out


def _show_ablations(lines: list[dict]) -> dict:
    changed, gaps = ablations(lines)
    named = {**{f"{arm}, {start} minus own": d for arm, by in changed.items() for start, d in by.items()},
             **{f"{DEFAULT} minus random, {start}": d for start, d in gaps.items()}}
    for name, (mean, low, high, n) in named.items():
        print(f"area, {name:32s} {mean:+.4f} ({low:+.4f} to {high:+.4f}, {n} seeds)")
    return {name: [finished.rounded(x) for x in d[:3]] for name, d in named.items()}


def draw(data: str, model: str) -> Path:
    """Draw the recorded curves of start "own" with their intervals beside the results; returns the picture's path."""
    import matplotlib.pyplot as plt

    from stackelberg_lib.data import pocketdesk
    from stackelberg_lib.plots import lesson09, style

    lines = read(data, model)
    found = curves(lines)
    first = style.ARMS[max(found, key=lambda arm: pool_summary.area(*found[arm]).mean())]["label"]
    title = (f"{data}, {model} with LoRA: {first} has the largest area\n"
             f"(mean and 95 % interval, {len(found['random'][1])} seeds)")
    style.use()
    fig, ax = plt.subplots()
    lesson09.learning_curves(ax, found, pool_summary.ceiling(lines),
                             pocketdesk.bayes_accuracy() if data == "pocketdesk" else None, title,
                             {arm: t_interval(accuracy)[1:] for arm, (_, accuracy) in found.items()})
    path = path_of(data, model).with_suffix(".png")
    fig.savefig(path)
    plt.close(fig)
    return path


def main() -> int:
    """Command line of the second part of `make study`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", nargs="+", default=[data for data, _ in SETS])
    parser.add_argument("--model", help="default: pocket for pocketdesk, minilm for other sets")
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--summary", action="store_true", help="print what was found, do nothing")
    return finished.exit_code(lambda: _work(parser.parse_args()))


def _work(a: argparse.Namespace) -> int:
    pairs = [(data, a.model or dict(SETS).get(data, "minilm")) for data in a.data]
    if not a.summary:
        todo = finished.left(list(cells(pairs, a.starts, a.seeds)), [x for pair in pairs for x in read(*pair)])
        for pair in {cell[:2] for cell in todo}:
            whole(*pair)  # embedded once, before the workers ask for it
        finished.do(todo, run, lambda line: path_of(line["data"], line["model"]), a.workers)
    found = summary(pairs)
    for pair in pairs:
        if "/".join(pair) in found and not a.summary:
            print(f"written: {draw(*pair).name}")
    print(json.dumps(found))
    return 0 if found else 2


if __name__ == "__main__":
    raise SystemExit(main())
