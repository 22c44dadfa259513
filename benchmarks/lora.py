"""`make bench-lora`: this repository's LoRA loop beside `transformers.Trainer` and `trl.SFTTrainer`, one job for all.

Same model and adapter (one seed), same rows in the same order, same batches, AdamW, schedule, clipping, precision. Each
run is a process of its own (`lora_run.py`, in .venv-trl), the contenders take turns; a run counts real tokens a second
between two forward passes, after a warm-up, and its peak memory. On a CPU one thread, and processor seconds, so that
neighbours on the machine do not count; on a GPU wall-clock seconds and bfloat16 autocast. The loss curves are compared
in float32. Table to stdout, progress to stderr, provenance to benchmarks/results/lora.json; the last line is one JSON
object: lower 95 % bounds of the paired speed ratios (ours / theirs; t interval of the logarithms), memory (ours / the
leanest of theirs), the largest relative gap of the losses, and on a GPU the model FLOPs utilisation.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv-trl/bin/python"
BATCH, RANK, ROWS, SEED, CURVE = 16, 8, 400, 0, 50
PEERS = {"sft": ("trainer", "sfttrainer"), "head": ("trainer",)}
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s from the vendor's data sheets


def start(name: str, case: dict, **change) -> dict:
    """`contend` in a fresh process of the contenders' environment."""
    case = {**case, **change}
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    if not case["gpu"]:
        env.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    command = [PYTHON, "-W", "ignore", HERE / "lora_run.py", name, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{name} failed in .venv-trl:\n{done.stderr}")
    row = json.loads(done.stdout.splitlines()[-1])
    say(f"{case['name']:24} {name:11} {row['tokens'] / row['seconds']:10,.0f} tokens/s  "
        f"{row['memory'] / 2**20:8,.0f} MiB")
    return row


def lower_bound(ratios: list[float]) -> float:
    """Lower end of the 95 % t interval of the geometric mean."""
    from scipy.stats import t
    logs, n = [math.log(r) for r in ratios], len(ratios)
    half = t.ppf(0.975, n - 1) * statistics.stdev(logs) / math.sqrt(n) if n > 1 else math.inf
    return math.exp(statistics.mean(logs) - half)


def compare(case: dict, repeat: int) -> dict:
    """All contenders of a case, taking turns, and the figures of the last line for it."""
    names = ("ours", *PEERS[case["objective"]])
    turns = [names[r % len(names):] + names[:r % len(names)] for r in range(repeat)]
    runs = [{name: start(name, case) for name in turn} for turn in turns]
    speed = {name: [run[name]["tokens"] / run[name]["seconds"] for run in runs] for name in names}
    memory = {name: statistics.median(run[name]["memory"] for run in runs) for name in names}
    curves = {name: start(name, case, steps=CURVE, warm=1, bf16=False)["losses"] for name in names}
    gap = max(abs(a - b) / abs(b) for name in names[1:] for a, b in zip(curves["ours"], curves[name], strict=True))
    first = runs[0]["ours"]
    peak = next((p for key, p in PEAK.items() if key in first["device"]), None)
    mfu = [run["ours"]["flops"] / run["ours"]["seconds"] / peak for run in runs] if peak and "flops" in first else [0]
    told = {key: value for key, value in case.items() if key != "model"}  # a folder of this machine
    return {"case": told, "device": first["device"], "tokens_per_second": speed, "memory": memory, "curves": curves,
            "lower_bound": {name: lower_bound([a / b for a, b in zip(speed["ours"], speed[name], strict=True)])
                            for name in names[1:]},
            "memory_ratio": memory["ours"] / min(memory[name] for name in names[1:]), "loss_gap": gap,
            "mfu": statistics.median(mfu) if any(mfu) else None}


def cases(warm: int, steps: int, only: list[str]) -> list[dict]:
    """Pocket to write answers and MiniLM to classify; on a GPU also the shape of Qwen2.5-0.5B."""
    from stackelberg_lib.errors import InputError
    from stackelberg_lib.lm import registry
    code = "import torch; print(torch.cuda.is_available())"
    gpu = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True).stdout.strip() == "True"
    found = []
    for name, objective, model in [("sft, Pocket", "sft", "pocket"), ("head, MiniLM", "head", "minilm"),
                                   *([("sft, Qwen2.5-0.5B shape", "sft", "qwen")] if gpu else [])]:
        try:
            folder = str(registry.resolve("pocket" if model == "qwen" else model).folder)
        except InputError as error:
            say(f"left out: {name}: {error}")
            continue
        if not only or model in only:
            found.append({"name": name, "objective": objective, "model": folder, "shape": model, "warm": warm,
                          "steps": steps, "gpu": gpu, "bf16": gpu, "batch": BATCH, "rank": RANK, "rows": ROWS,
                          "seed": SEED})
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(results: list[dict]) -> dict:
    """Print the table; returns the last line's object."""
    print(f"{'case':24} {'contender':11} {'tokens/s':>10} {'MiB':>8} {'ours / theirs, 95 % from':>25}")
    for result in results:
        for name, speed in result["tokens_per_second"].items():
            bound = result["lower_bound"].get(name)
            print(f"{result['case']['name']:24} {name:11} {statistics.median(speed):10,.0f} "
                  f"{result['memory'][name] / 2**20:8,.0f} {'' if bound is None else f'{bound:25.3f}'}")
    if not any(result["case"]["gpu"] for result in results):
        print("untested for want of a GPU: the Qwen2.5-0.5B shape, bfloat16, model FLOPs utilisation")
    bounds = [(name, b) for result in results for name, b in result["lower_bound"].items()]
    worst = {name: min((b for n, b in bounds if n == name), default=None) for name in ("trainer", "sfttrainer")}
    last = {"vs_trainer": worst["trainer"], "vs_sft": worst["sfttrainer"],
            "memory_ratio": max(r["memory_ratio"] for r in results), "loss_gap": max(r["loss_gap"] for r in results)}
    used = [r["mfu"] for r in results if r["mfu"]]
    return {key: value if value is None else float(f"{value:.3g}")
            for key, value in {**last, **({"mfu": max(used)} if used else {})}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="timed steps, after 10 of warm-up")
    parser.add_argument("--repeat", type=int, default=7, help="runs of every contender, taking turns")
    parser.add_argument("--only", nargs="*", default=[], help="pocket, minilm, qwen")
    parser.add_argument("--out", type=Path, default=HERE / "results/lora.json")
    args = parser.parse_args()
    results = [compare(case, args.repeat) for case in cases(10, args.steps + 11, args.only)]
    last = report(results)
    where = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
             "cores": os.cpu_count(), "when": time.strftime("%Y-%m-%d", time.gmtime()),
             **{name: version(name) for name in ("torch", "transformers", "peft", "accelerate")}, "trl": "1.16.0"}
    setting = {"batch": BATCH, "rank": RANK, "rows": ROWS, "seed": SEED, "timed_steps": args.steps,
               "repeat": args.repeat, "threads": 1}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"setting": setting, "provenance": where, "results": results, "last": last},
                                   indent=1) + "\n")
    print(json.dumps(last))


if __name__ == "__main__":
    main()
