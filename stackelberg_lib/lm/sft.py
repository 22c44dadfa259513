"""Supervised fine-tuning on answers, as a command: one process, or several that share every batch.

    python -m stackelberg_lib.lm.sft --out FOLDER
    torchrun --standalone --nproc_per_node 2 -m stackelberg_lib.lm.sft --out FOLDER

Every process reads the same rows and takes its share of each batch; gradients are averaged (DDP: gloo on a CPU, NCCL on
GPUs, one process a GPU). The first process alone writes: the adapter as a PEFT folder and run.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from stackelberg_lib.data import sets
from stackelberg_lib.data.sets import LabelledSet
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import finetune, objectives, registry
from stackelberg_lib.lm.registry import Model

END = "\n>"  # closes a prompt, as Pocket has read it


def words(name: str) -> str:
    """A label's name as an answer: `card_arrival` is said " card arrival"."""
    return " " + " ".join(name.replace("_", " ").split())


def tokenise(model: Model, texts: list[str], data: LabelledSet) -> objectives.Answers:
    """Texts as prompts and the set's label names as their answers."""
    return objectives.Answers(model, [text + END for text in texts], [words(name) for name in data.label_names])


def run(model: Model, data: LabelledSet, rows: np.ndarray, recipe: finetune.Recipe, seed: int, out: Path | None = None,
        accelerator: Any = None) -> tuple[Any, list[float]]:
    """Train on the labels of `rows`; the generator and the loss of every step. With `out` the first process writes."""
    answers = tokenise(model, [data.train_texts[i] for i in rows], data)
    generator = finetune.lora_generator(model, recipe.rank, seed, dtype="bfloat16" if recipe.bf16 else "float32")
    losses = finetune.fit_answers(generator, answers, np.arange(len(rows)), data.train_labels[rows], recipe, seed,
                                  accelerator=accelerator)
    if out is not None and (accelerator is None or accelerator.is_main_process):
        out.mkdir(parents=True, exist_ok=True)
        generator.save_pretrained(out)
        told = {"model": model.name, "data": data.name, "labels": len(rows), "seed": seed, "losses": losses,
                "processes": accelerator.num_processes if accelerator else 1,
                "device": str(next(generator.parameters()).device)}
        (out / "run.json").write_text(json.dumps(told, indent=1) + "\n")
    return generator, losses


def main() -> int:
    """The command line; the rows are drawn at random by seed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", default="pocketdesk")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--out", type=Path, required=True)
    for name, default in {"labels": 200, "steps": 100, "batch": 32, "rank": 8, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    try:
        data, model = sets.load(args.data, args.seed), registry.resolve(args.model)
        labels = sets.check_budget(args.labels, len(data.train_texts))
        rows = np.random.default_rng([args.seed, 5]).permutation(len(data.train_texts))[:labels]
        recipe = finetune.Recipe(steps=args.steps, batch=args.batch, rank=args.rank)
        run(model, data, rows, recipe, args.seed, args.out, accelerator)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        accelerator.end_training()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
