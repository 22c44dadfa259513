"""`make adapt`: spend a budget of labels on one set and keep the adapter.

    python -m stackelberg_lib.report.adaptation --data my_texts.csv --model pocket --budget 200 --out adapters/mine

The folder holds the ledger, checkpoints in `steps/`, and in the end a PEFT folder with a model card. Interrupted or
killed, the same command goes on: nothing is bought twice and the adapter is the same, on a CPU bit for bit.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.strategies import DEFAULT, RULES


def run(data: str, model: str, budget: str, strategy: str, seed: int, rounds: int, steps: int, out: Path) -> dict:
    """Buy, fine-tune and write the folder `out`; returns the facts of its card. Raises InputError."""
    from safetensors import SafetensorError

    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import adapt, card, features, registry
    from stackelberg_lib.lm.finetune import Recipe
    from stackelberg_lib.pool.oracle import Labelled

    found = sets.load(data, seed)
    amount = sets.check_budget(budget, len(found.train_texts))
    if rounds < 1 or steps < 1:
        raise InputError(f"rounds={rounds}, steps={steps}: give at least 1 of each")
    task = adapt.prepare(found, registry.resolve(model))
    plan = adapt.Plan(strategy, adapt.schedule(amount, rounds), seed, Recipe(steps=steps))
    print(f"data:   {found.name}, {found.source}\nmodel:  {task.model.name}, {task.model.source}; "
          f"{features.device()}\nlabels: at most {plan.labels_at} by {strategy}, into {out / 'labels.sqlite'}")
    try:
        with adapt.book(task, out / "labels.sqlite", amount) as ledger:
            done = adapt.adapt(task, plan, ledger, Labelled(found.train_labels), out / "steps")
            facts = card.facts(task, plan, done, ledger)
        card.write(out, task, done, facts)
    except (OSError, SafetensorError) as error:  # safetensors has its own error for a disk that is full
        raise InputError(f"OUT={out}: {error}; what was bought is in the ledger, make room or give "
                         "another folder") from None
    return facts


def main() -> int:
    """Command line of `make adapt`."""
    parser = argparse.ArgumentParser("adapt", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--data", default="pocketdesk")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--budget", default="200")
    parser.add_argument("--strategy", default=DEFAULT, choices=list(RULES), metavar="RULE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("adapters/new"))
    a = parser.parse_args()
    try:
        facts = run(a.data, a.model, a.budget, a.strategy, a.seed, a.rounds, a.steps, a.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was bought is in the ledger, the same command goes on from there", file=sys.stderr)
        return 130
    right = facts["accuracy"]
    print(f"accuracy {right['right'] / right['of']:.3f} ({right['low']:.3f} to {right['high']:.3f}) with "
          f"{facts['labels']['bought']} labels; written: {a.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
