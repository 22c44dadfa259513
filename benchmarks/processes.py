"""`make processes`: the same fine-tuning on answers by one process and by two that share every batch.

Both through `torchrun` and `stackelberg_lib.lm.sft`, Pocket on PocketDesk, on the CPU (gloo), one thread a process.
Compares the loss of every step and the trained weights, writes results/processes.json; the last line is one JSON
object. Seconds are wall-clock seconds of the whole command and say nothing on a machine with other work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]


def train(processes: int, folder: Path, settings: dict[str, int]) -> dict:
    """Run the command with so many processes; what it wrote, and its seconds."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    given = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
                           str(processes), "-m", "stackelberg_lib.lm.sft", *given, "--out", str(folder)],
                          env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{processes} processes failed:\n{done.stderr}")
    return {**json.loads((folder / "run.json").read_text()), "seconds": round(time.perf_counter() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=ROOT / "results/processes.json")
    args = parser.parse_args()
    settings = {"labels": 100, "steps": args.steps, "batch": 16, "rank": 8, "seed": 0}
    with tempfile.TemporaryDirectory() as name:
        runs = [train(n, Path(name) / str(n), settings) for n in (1, 2)]
        one, two = (load_file(Path(name) / str(n) / "adapter_model.safetensors") for n in (1, 2))
    gap = max(abs(a - b) / abs(a) for a, b in zip(runs[0]["losses"], runs[1]["losses"], strict=True))
    apart = max(float(np.abs(one[k] - two[k]).max()) for k in one)
    where = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
             "device": "cpu", "backend": "gloo", "cores": os.cpu_count(),
             "when": time.strftime("%Y-%m-%d", time.gmtime()),
             **{package: version(package) for package in ("torch", "transformers", "peft", "accelerate")}}
    args.out.write_text(json.dumps({"provenance": where, "setting": settings, "runs": runs, "largest_loss_gap": gap,
                                    "largest_weight_gap": apart}, indent=1) + "\n")
    print(json.dumps({"processes": [run["processes"] for run in runs], "loss_gap": float(f"{gap:.2g}"),
                      "weight_gap": float(f"{apart:.2g}")}))


if __name__ == "__main__":
    main()
