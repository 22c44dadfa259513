"""What an adapted model is, beside its weights: a model card for people and the same facts as JSON for `predict`."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import cache, confidence, finetune
from stackelberg_lib.lm.adapt import Plan, Run, Task
from stackelberg_lib.pool.ledger import Ledger

FACTS = "adapted.json"


def facts(task: Task, plan: Plan, run: Run, ledger: Ledger) -> dict:
    """All that the card says, as a dict for JSON; accuracy and settled answers are of the test part."""
    rows, n = ledger.rows(), len(task.data.test_labels)
    right = round(run.accuracy[-1] * n)
    low, high = confidence.interval(right, n)
    settled = asdict(confidence.settle(run.probabilities, task.data.test_labels, seed=plan.seed))
    settled["threshold"] = settled["threshold"] if math.isfinite(settled["threshold"]) else None
    return {"base": {"name": task.model.name, "kind": task.model.kind, "source": task.model.source,
                     "sha256": cache.model_hash(task.model)},
            "data": {"name": task.data.name, "source": task.data.source, "classes": len(task.data.label_names),
                     "pool": len(task.data.train_texts), "test": n},
            "labels": {"bought": len(rows), "spent": sum(row.price for row in rows), "copies": len(ledger.copies()),
                       "strategies": dict(Counter(row.strategy for row in rows)),
                       "annotators": dict(Counter(row.annotator for row in rows)), "ledger_sha256": ledger.digest()},
            "seed": plan.seed, "recipe": asdict(plan.recipe) | {"steps": len(run.loss[-1])},
            "curve": {"labels": run.labels, "accuracy": [round(a, 4) for a in run.accuracy]},
            "accuracy": {"right": right, "of": n, "low": round(low, 4), "high": round(high, 4)},
            "ece": round(confidence.ece(run.probabilities, task.data.test_labels), 4), "settled": settled,
            "versions": {name: version(name) for name in ("torch", "transformers", "peft")}}


def write(folder: Path, task: Task, run: Run, found: dict) -> None:
    """Write the PEFT folder with head, label names, card and facts; the facts come last and mark it as complete."""
    finetune.save_adapter(run.classifier, folder, task.data.label_names)
    (folder / "README.md").write_text(text(found), encoding="utf-8")
    beside = folder / (FACTS + ".tmp")
    beside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, folder / FACTS)


def read(folder: Path) -> dict:
    """The facts of a folder that `write` completed. Raises InputError."""
    try:
        return json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"ADAPTER={folder} holds no {FACTS}; give a folder that `make adapt` has finished") from None
    except ValueError:
        raise InputError(f"{folder / FACTS} is not JSON; run `make adapt` again, nothing is bought twice") from None


def text(found: dict) -> str:
    """The model card, in Markdown with the front matter that model hubs read."""
    base, data, labels, right = found["base"], found["data"], found["labels"], found["accuracy"]
    strategies = ", ".join(f"{name} ({n})" for name, n in labels["strategies"].items())
    curve = "\n".join(f"| {n} | {a:.3f} |" for n, a in zip(*found["curve"].values(), strict=True))
    return f"""---
base_model: {base["name"]}
library_name: peft
tags: [lora, text-classification]
---

# {data["name"]}: {base["name"]} adapted with {labels["bought"]} labels

- **Base model:** {base["name"]} ({base["kind"]}, {base["source"]}), SHA-256 of its files `{base["sha256"]}`
- **Data:** {data["name"]}, {data["source"]}; {data["pool"]} texts in the pool, {data["test"]} test texts,
  {data["classes"]} classes
- **Labels bought:** {labels["bought"]} at a price of {labels["spent"]} in all, chosen by {strategies}, answered by
  {", ".join(labels["annotators"])}; {labels["copies"]} more texts of the pool equal a bought one and share its label
- **Ledger:** SHA-256 `{labels["ledger_sha256"]}`
- **Training:** LoRA of rank {found["recipe"]["rank"]} on all linear layers and a linear head on the mean state,
  {found["recipe"]["steps"]} steps of {found["recipe"]["batch"]} texts, seed {found["seed"]}
- **Versions:** {", ".join(f"{name} {v}" for name, v in found["versions"].items())}

## Measured on the test part

- **Accuracy** {right["right"] / right["of"]:.3f}, 95 % interval {right["low"]:.3f} to {right["high"]:.3f}
  ({right["of"]} texts, exact binomial)
- **Expected calibration error** {found["ece"]:.3f} (10 bins)
- **Settled answers:** {_settled(found["settled"])}

| labels | accuracy |
| --- | --- |
{curve}

These are counts on texts like those it was tested on. They are no certificate: the model was trained on the labels that
a certificate would have to rest on, and nothing is promised for texts of another kind.

## Use

`make predict ADAPTER=this-folder DATA=texts.csv`, or plain `peft`: `PeftModel.from_pretrained(base, folder)`, then the
head in `head.safetensors` on the mean of the last states, scaled to length sqrt(m).
"""


def _settled(s: dict) -> str:
    if s["threshold"] is None:
        return f"none; on one half of the test part no confidence kept wrong answers to {s['target']:.0%}"
    return (f"confidence from {s['threshold']:.3f}, chosen on one half of the test part for at most {s['target']:.0%} "
            f"wrong. On the other half {s['settled']} of {s['n']} answers are settled and {s['wrong']} of those wrong, "
            f"95 % interval of the share {s['low']:.3f} to {s['high']:.3f}")
