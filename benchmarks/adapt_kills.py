"""`make adapt-kills`: `make adapt` killed with SIGKILL at random moments and started again with the same command.

One run is left alone. Others are killed, each up to AGAIN times at moments drawn over the time that the undisturbed one
took, until there were as many kills as asked for, and then run to their end. Each of them must have the ledger of the
undisturbed run (but for the clock), its adapter bit for bit and its card, and no text twice. Writes
results/adapt_kills.json; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
AGAIN = 3  # kills of one run: a run that goes on has less before it, and late kills alone would show little
SAME = ("adapter_model.safetensors", "head.safetensors", "adapted.json", "labels.json", "README.md")


def command(folder: Path, a: argparse.Namespace) -> list[str]:
    """The command that is killed and repeated."""
    return [sys.executable, "-m", "stackelberg_lib.report.adaptation", "--data", a.data, "--model", a.model, "--budget",
            str(a.budget), "--rounds", "3", "--steps", str(a.steps), "--out", str(folder)]


def state(folder: Path) -> str:
    """What an interrupted run had: rows in the ledger, finished and unfinished fine-tunings."""
    path, rows = folder / "labels.sqlite", 0
    if path.exists():
        db = sqlite3.connect(path, timeout=60)
        try:
            rows = db.execute("SELECT count(*) FROM purchases").fetchone()[0]
        except sqlite3.OperationalError:  # killed before the tables were there
            rows = 0
        finally:
            db.close()
    return f"{rows} rows, {len(list((folder / 'steps').glob('after-*.safetensors')))} checkpoints"


def killed(folder: Path, a: argparse.Namespace, moment: float) -> bool:
    """Start the command and kill it after `moment` seconds; False if it had ended by then."""
    process = subprocess.Popen(command(folder, a), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait() == -signal.SIGKILL
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode} after earlier kills: {command(folder, a)}")
    return False


def prints(folder: Path) -> dict[str, str]:
    """SHA-256 of the ledger's rows without their times, and of the files that must be the same."""
    db = sqlite3.connect(folder / "labels.sqlite")
    rows = db.execute("SELECT number, item, text, label, annotator, price, round, strategy, seed FROM purchases "
                      "ORDER BY number").fetchall()
    db.close()
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SAME}
    return {"ledger": hashlib.sha256(repr(rows).encode()).hexdigest(), "rows": str(len(rows)),
            "texts": str(len({row[2] for row in rows})), **files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="pocketdesk")
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--budget", type=int, default=96)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "results/adapt_kills.json")
    a = parser.parse_args()
    rng, kills, folders = np.random.default_rng(a.seed), [], 0
    with tempfile.TemporaryDirectory() as name:
        whole, begin = Path(name) / "whole", time.perf_counter()
        subprocess.run(command(whole, a), check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        seconds, wanted, same = time.perf_counter() - begin, prints(whole), []
        while len(kills) < a.kills:
            folder, folders, most = Path(name) / str(folders), folders + 1, min(a.kills, len(kills) + AGAIN)
            while len(kills) < most and killed(folder, a, rng.uniform(0.1, 1) * seconds):
                kills.append(state(folder))
                print(f"kill {len(kills)} of {a.kills}: {kills[-1]}", flush=True)
            subprocess.run(command(folder, a), check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            same.append(prints(folder) == wanted)
    found = {"kills": len(kills), "runs": folders, "same": sum(same), "rows": int(wanted["rows"]),
             "texts_twice": int(wanted["rows"]) - int(wanted["texts"]), "seconds_undisturbed": round(seconds, 1),
             "moments": kills}
    holds = all(same) and found["rows"] == a.budget and not found["texts_twice"]
    where = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
             "when": time.strftime("%Y-%m-%d", time.gmtime())}
    a.out.write_text(json.dumps({"data": a.data, "model": a.model, "seed": a.seed, "found": found | {"holds": holds},
                                 "provenance": where}, indent=1) + "\n")
    print(json.dumps(found | {"holds": holds}))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
