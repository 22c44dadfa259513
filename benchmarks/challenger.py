"""Does the challenger help in training? PocketDesk with Pocket: weights of the pairwise term, same labels, same seeds.

    make challenger, or .venv/bin/python benchmarks/challenger.py [--seeds 5] [--objective head sft] [--steps 100 300]

Every run draws its labels at random from the pool of its seed and differs from its neighbours by the weight only. Each
finished run is one line of results/challenger_pocketdesk_pocket.jsonl; runs that are there are not done again. The last
table gives the paired differences to weight 0 with a 95 % t interval over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "results/challenger_pocketdesk_pocket.jsonl"
LABELS, WEIGHTS = {"head": (50, 200), "sft": (200,)}, {"head": (0.0, 0.3, 1.0), "sft": (0.0, 0.3)}


def cells(objectives: list[str], seeds: int) -> list[tuple[str, int, int, float]]:
    """All runs (objective, seed, labels, weight), one seed after the other."""
    return [(o, seed, n, w) for o in objectives for seed in range(seeds) for n in LABELS[o] for w in WEIGHTS[o]]


def run(objective: str, seed: int, labels: int, weight: float, steps: int) -> float:
    """Test accuracy after one fine-tuning; for sft that of constrained decoding."""
    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import features, finetune, objectives, registry

    data, model = sets.load("pocketdesk", seed), registry.resolve("pocket")
    recipe = finetune.Recipe(steps=steps, challenger_weight=weight)
    rows = np.random.default_rng([seed, 3]).permutation(len(data.train_texts))[:labels]
    texts, bought = [data.train_texts[i] for i in rows], data.train_labels[rows]
    if objective == "head":
        classifier = finetune.lora_classifier(model, len(data.label_names), recipe.rank, seed)
        finetune.fit(classifier, features.Tokens(model, texts), np.arange(labels), bought, recipe, seed)
        predicted = finetune.predict(classifier, features.Tokens(model, data.test_texts)).argmax(1)
    else:
        names = [" " + name.replace("_", " ") for name in data.label_names]
        train, test = (objectives.Answers(model, [t + "\n>" for t in part], names) for part in (texts, data.test_texts))
        generator = finetune.lora_generator(model, recipe.rank, seed)
        challengers = objectives.hardest_wrong(objectives.score(generator, train), bought) if weight else None
        finetune.fit_answers(generator, train, np.arange(labels), bought, recipe, seed, challengers)
        predicted = objectives.decode(generator, test)
    return float(np.mean(predicted == data.test_labels))


def read() -> list[dict]:
    """All finished runs."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def verdict(runs: list[dict]) -> list[str]:
    """One line per objective, number of labels and weight: mean accuracy, paired difference to weight 0, interval."""
    from scipy.stats import t

    accuracy = {(r["objective"], r["labels"], r["weight"], r["seed"]): r["accuracy"] for r in runs}
    lines = []
    for o, n, w in sorted({key[:3] for key in accuracy}):
        seeds = [s for s in range(1000) if (o, n, w, s) in accuracy and (o, n, 0.0, s) in accuracy]
        line = f"{o:5} {n:4} labels  weight {w:3}  {len(seeds)} seeds  "
        if len(seeds) > 1:
            here = np.array([accuracy[o, n, w, s] for s in seeds])
            gain = here - [accuracy[o, n, 0.0, s] for s in seeds]
            half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain)**0.5
            line += f"{here.mean():.3f}" + (f"  {gain.mean():+.3f} ({gain.mean() - half:+.3f} to "
                                            f"{gain.mean() + half:+.3f})" if w else "")
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="*", default=[100, 300])
    parser.add_argument("--objective", choices=list(LABELS), nargs="*", default=list(LABELS))
    args = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    done = {(r["objective"], r["seed"], r["labels"], r["weight"], r["steps"]) for r in read()}
    for steps in args.steps:
        for objective, seed, labels, weight in cells(args.objective, args.seeds):
            if (objective, seed, labels, weight, steps) in done:
                continue
            start = time.perf_counter()
            accuracy = run(objective, seed, labels, weight, steps)
            line = {"objective": objective, "seed": seed, "labels": labels, "weight": weight, "steps": steps,
                    "accuracy": round(accuracy, 4), "seconds": round(time.perf_counter() - start, 1),
                    "date": time.strftime("%Y-%m-%d", time.gmtime())}
            with RESULTS.open("a") as out:
                out.write(json.dumps(line) + "\n")
            print(json.dumps(line), file=sys.stderr, flush=True)
        print(f"{steps} steps")
        print("\n".join(verdict([r for r in read() if r["steps"] == steps])))


if __name__ == "__main__":
    main()
