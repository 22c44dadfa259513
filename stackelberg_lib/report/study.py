"""`make study`: the multi-seed learning curves of lesson 09, run by run, resumable.

    python -m stackelberg_lib.report.study --data pocketdesk --model pocket --budget 400 --seeds 6

Every finished run is one JSON line in results/lora_<data>_<model>.jsonl; a run that stands there is not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.strategies import STRATEGIES
from stackelberg_lib.report.recorded import RESULTS


def path_of(data: str, model: str) -> Path:
    """File with the runs of one data set and model; of a path only the last part names it."""
    return RESULTS / f"lora_{Path(data).stem}_{Path(model).name}.jsonl"


def read(data: str, model: str) -> list[dict]:
    """All finished runs of one data set and model; an empty list when there are none."""
    path = path_of(data, model)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def curves(runs: list[dict], strategy: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels (P,) and test accuracy (seeds, P) of one strategy, seeds in rising order."""
    chosen = sorted((r for r in runs if r["strategy"] == strategy), key=lambda r: r["seed"])
    if not chosen:
        raise InputError(f"strategy={strategy!r} has no run in these results; run `make study`")
    return np.array(chosen[0]["labels"]), np.array([r["accuracy"] for r in chosen])


def interval(samples: np.ndarray, seed: int = 0, draws: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile bootstrap interval of the mean over axis 0 of samples (seeds, P)."""
    rng = np.random.default_rng(seed)
    means = samples[rng.integers(len(samples), size=(draws, len(samples)))].mean(1)
    return np.quantile(means, 0.025, axis=0), np.quantile(means, 0.975, axis=0)


def run(data: str, model: str, budget: int, rounds: int, seeds: int, steps: int) -> Path:
    """Do every missing run (arm x seed) and append it to the results; returns their file."""
    from tqdm import tqdm

    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import adapt, registry
    from stackelberg_lib.lm.finetune import Recipe

    path, recipe = path_of(data, model), Recipe(steps=steps)
    labels_at = adapt.schedule(budget, rounds)
    done = {(r["strategy"], r["seed"]) for r in read(data, model)}
    cells = [(s, a) for s in range(seeds) for a in (*STRATEGIES, "all") if (a, s) not in done]
    path.parent.mkdir(exist_ok=True)
    task = task_seed = None
    for seed, arm in tqdm(cells, desc=f"{data}, {model}"):
        if task_seed != seed and (task is None or data == "pocketdesk"):
            task, task_seed = adapt.prepare(sets.load(data, seed), registry.resolve(model)), seed
        result = (adapt.adapt_all(task, seed, Recipe(steps=3 * steps)) if arm == "all"
                  else adapt.adapt(task, arm, labels_at, seed, recipe))
        line = {"data": data, "model": model, "strategy": arm, "seed": seed, "labels": result.labels,
                "accuracy": [round(a, 4) for a in result.accuracy], "classes": result.classes,
                "select_seconds": [round(s, 2) for s in result.select_seconds],
                "train_seconds": [round(s, 1) for s in result.train_seconds],
                "steps": 3 * steps if arm == "all" else steps, **_provenance()}
        with path.open("a") as out:
            out.write(json.dumps(line) + "\n")
    return path


def _provenance() -> dict:
    import torch

    asked = subprocess.run(["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"], capture_output=True,
                           text=True)
    commit = asked.stdout.strip()
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit or "unknown", "torch": torch.__version__,
            "device": "cuda" if torch.cuda.is_available() else "cpu", "threads": torch.get_num_threads()}


def main() -> int:
    """Command line of `make study`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", default="pocketdesk")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--budget", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=100)
    a = parser.parse_args()
    try:
        path = run(a.data, a.model, a.budget, a.rounds, a.seeds, a.steps)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for arm in (*STRATEGIES, "all"):
        labels, accuracy = curves(read(a.data, a.model), arm)
        print(f"{arm:8s} " + "  ".join(f"{n}: {m:.3f}" for n, m in zip(labels, accuracy.mean(0), strict=True)))
    print(f"written: {path.name}, {draw(a.data, a.model).name}")
    return 0


def draw(data: str, model: str) -> Path:
    """Draw the recorded curves with their intervals beside the results; returns the picture's path."""
    import matplotlib.pyplot as plt

    from stackelberg_lib.data import pocketdesk
    from stackelberg_lib.plots import lesson09, style

    runs = read(data, model)
    recorded = {arm: curves(runs, arm) for arm in STRATEGIES}
    intervals = {arm: interval(accuracy) for arm, (_, accuracy) in recorded.items()}
    _, ceiling = curves(runs, "all")
    style.use()
    fig, ax = plt.subplots()
    best = pocketdesk.bayes_accuracy() if data == "pocketdesk" else None
    first = max(recorded, key=lambda arm: recorded[arm][1].mean())
    title = (f"{data}, {model} with LoRA: {style.ARMS[first]['label']} has the highest mean curve\n"
             f"(mean and 95 % interval, {len(ceiling)} seeds)")
    lesson09.learning_curves(ax, recorded, float(ceiling.mean()), best, title, intervals)
    fig.savefig(path_of(data, model).with_suffix(".png"))
    plt.close(fig)
    return path_of(data, model).with_suffix(".png")


if __name__ == "__main__":
    raise SystemExit(main())
