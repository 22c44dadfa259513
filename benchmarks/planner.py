"""`make planner`: what the planner says beside the measured peak of real training steps, each in a process of its own.

Pocket and MiniLM (where its package is installed) with their weights, and the shape of SmolLM2-135M with random ones;
further checkpoints with --models. Random ids, one thread, on the CPU. Two figures are measured: the peak of PyTorch's
allocator with the weights (`peak.measure`), and, in another process, without the profiler and after a few steps of
another model have loaded all libraries, how far the resident memory rises (off Linux: its peak). The second holds what
the first cannot see (buffers of libraries, freed memory that was not given back, the mapped files of the weights); the
planner is not held to it. Writes results/planner.json; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import architecture, planner, registry
from stackelberg_lib.lm.planner import Job
from stackelberg_lib.report import memory

ROOT = Path(__file__).resolve().parents[1]
MIDDLE, SMALL = {"batch": 16, "length": 64, "answer": 4}, {"batch": 2, "length": 64, "answer": 8}
ANSWERS = (Job(batch=1, length=16, answer=4), Job(**MIDDLE), Job(**MIDDLE, rank=64, targets=("q_proj", "v_proj")),
           Job(**MIDDLE, recompute=True), Job(**SMALL, method="full"), Job(**MIDDLE, dtype="bfloat16"))
CLASSES = (Job(objective="classes", batch=8, length=64), Job(objective="classes", batch=8, length=64, method="head"))
LARGE = (Job(**SMALL), Job(**SMALL, recompute=True), Job(**SMALL, dtype="bfloat16"), Job(**SMALL, method="full"))


def source(name: str):
    """A shape, or a model with its shape."""
    if name in architecture.SHAPES:
        return architecture.SHAPES[name], architecture.SHAPES[name]
    from transformers import AutoConfig

    model = registry.resolve(name)
    return model, architecture.of_config(AutoConfig.from_pretrained(model.folder), model.name)


def run(name: str, settings: str, what: str) -> dict:
    """One measurement, in this process: of the allocator, with the predicted parts, or of the resident memory."""
    from stackelberg_lib.lm import peak

    given = json.loads(settings)
    job = Job(**{**given, "targets": tuple(t) if isinstance(t := given["targets"], list) else t})
    model, shape = source(name)
    if what == "allocator":
        plan = planner.memory(shape, job)
        return {"model": shape.name, "weights": "random" if model is shape else "trained", "job": asdict(job),
                "parts": plan.by_part(), "planned": plan.total, "measured": peak.measure(model, job)}
    peak.training_steps(registry.resolve("pocket"), Job(batch=1, length=8, answer=2))[1]()
    memory.forget_peak()
    before = memory.resident()[0]
    peak.training_steps(model, job)[1]()
    return {"resident": memory.resident()[1] - before}


def child(name: str, job: Job) -> dict:
    """Both measurements of `run`, each in a fresh process with one thread, without a GPU."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    row: dict = {}
    for what in ("allocator", "resident"):
        command = [sys.executable, "-W", "ignore", __file__, "--run", name, json.dumps(asdict(job)), what]
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            sys.exit(f"{name}, {job} failed:\n{done.stderr}")
        row |= json.loads(done.stdout.splitlines()[-1])
    print(f"{row['model']:14} {row['planned'] / 2**20:9.1f} MiB planned {row['measured'] / 2**20:9.1f} measured "
          f"{row['resident'] / 2**20:9.1f} resident  {job}", file=sys.stderr, flush=True)
    return row


def cases(further: list[str]) -> list[tuple[str, Job]]:
    """All measurements: (model, job)."""
    found = [("pocket", job) for job in ANSWERS + CLASSES]
    try:
        registry.resolve("minilm")
        found += [("minilm", job) for job in CLASSES]
    except InputError as error:
        print(f"left out: {error}", file=sys.stderr)
    found += [(name, job) for name in further for job in (ANSWERS[1], ANSWERS[3])]
    return found + [("SmolLM2-135M", job) for job in LARGE]  # last: they take longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, metavar=("MODEL", "JOB", "WHAT"), help=argparse.SUPPRESS)
    parser.add_argument("--models", nargs="*", default=[], help="further folders in Hugging Face format")
    parser.add_argument("--out", type=Path, default=ROOT / "results/planner.json")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(run(*args.run)))
        return
    rows = [child(name, job) for name, job in cases(args.models)]
    where = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
             "device": "cpu", "threads": 1, "when": time.strftime("%Y-%m-%d", time.gmtime()),
             **{name: version(name) for name in ("torch", "transformers", "peft", "accelerate")}}
    args.out.write_text(json.dumps({"provenance": where, "runs": rows}, indent=1) + "\n")
    off = [abs(row["planned"] / row["measured"] - 1) for row in rows]
    print(json.dumps({"runs": len(rows), "worst": round(max(off), 4), "above_15_percent": sum(x > 0.15 for x in off)}))


if __name__ == "__main__":
    main()
