"""`make bench-pool`: this repository's rules of selection beside scikit-activeml's and small-text's, one job for all.

A pool in classes, unit-norm features, a few labels known, B labels to choose. Each contender is a process of its own
(`pool_run.py`, in .venv-pool), one after the other, on all cores that the machine gives (--threads); seconds are
wall-clock of the selection alone, the median of a few runs for ours, one run for the peers; extra memory is the most
that the process held during the first selection above what it held before, in MB of 10^6 bytes. Inputs, imports and a
selection from a tiny pool come before. Table to stdout, progress to stderr, provenance to benchmarks/results/pool.json;
the last line is one JSON object. What a large pool needs:

    .venv/bin/python benchmarks/pool.py --n 200000 --m 1024 --budget 20 --repeat 1 --only mass kernel_mass coverage \
        --out benchmarks/results/pool_large.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv-pool/bin/python"
CLASSES, LABELLED, SEED = 20, 100, 0
LIBRARIES = {"skactiveml": "scikit-activeml", "smalltext": "small-text"}
PEERS = ("skactiveml_badge", "skactiveml_kcenter", "skactiveml_typiclust", "smalltext_badge", "smalltext_kcenter")
KEYS = {"k_center": "kcenter"}  # what the last line calls a rule


def contenders(only: list[str]) -> list[str]:
    """Names in the order of running, ours first; those of `only` if it names some."""
    from stackelberg_lib.pool.strategies import RULES
    names = [*RULES, "badge_own_head", *PEERS]
    unknown = set(only) - set(names)
    if unknown:
        sys.exit(f"--only: {', '.join(sorted(unknown))} does not exist; use some of {', '.join(names)}")
    return [name for name in names if not only or name in only]


def start(name: str, case: dict) -> dict:
    """`pool_run.contend` in a fresh process of the contenders' environment, as a row of the table."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(case["threads"]))
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), "TQDM_DISABLE": "1", **threads}
    command = [PYTHON, "-W", "ignore", HERE / "pool_run.py", name, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{name} failed in .venv-pool (status {done.returncode}):\n{done.stderr}")
    run = json.loads(done.stdout.splitlines()[-1])
    row = {"name": name, "library": LIBRARIES.get(name.partition("_")[0], "ours") if name in PEERS else "ours",
           "seconds": statistics.median(run["seconds"]), "extra_mb": run["extra"] / 1e6, "radius": run["radius"],
           "runs": run["seconds"]}
    say(f"{name:22} {row['seconds']:9.2f} s {row['extra_mb']:8,.0f} MB")
    return row


def summary(table: list[dict]) -> dict[str, float]:
    """The last line: seconds of every contender, and the extra memory of every BADGE."""
    last = {}
    for row in table:
        key = KEYS.get(row["name"], row["name"])
        last[f"{key}_s"] = float(f"{row['seconds']:.3g}")
        if "badge" in key:
            last[f"{key}_extra_mb"] = round(row["extra_mb"], 1)
    return last


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pins() -> dict[str, str]:
    """Versions in the contenders' environment."""
    names = ["numpy", "scipy", "scikit-learn", *LIBRARIES.values()]
    code = f"import json; from importlib.metadata import version; print(json.dumps({{n: version(n) for n in {names}}}))"
    return json.loads(subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(table: list[dict], versions: dict[str, str]) -> None:
    """Print the table."""
    print(f"{'contender':22} {'library':22} {'seconds':>9} {'extra MB':>9} {'radius':>7}")
    for row in table:
        library = " ".join(filter(None, (row["library"], versions.get(row["library"]))))
        print(f"{row['name']:22} {library:22} {row['seconds']:9.2f} {row['extra_mb']:9,.0f} {row['radius']:7.3f}")


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="rows of the pool")
    parser.add_argument("--m", type=int, default=384, help="features of a row")
    parser.add_argument("--budget", type=int, default=200, help="labels to choose")
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of every contender")
    parser.add_argument("--only", nargs="*", default=[], help="names of contenders, such as mass skactiveml_badge")
    parser.add_argument("--out", type=Path, default=HERE / "results/pool.json")
    args = parser.parse_args(words)
    if args.n < 10 * CLASSES or not 1 <= args.budget <= args.n - LABELLED or min(args.repeat, args.threads, args.m) < 1:
        parser.error(f"--n must be {10 * CLASSES} or more, --budget from 1 to n - {LABELLED}, the others 1 or more")
    return args


def main(words: list[str] | None = None) -> None:
    args, load = arguments(words), os.getloadavg()[0]
    case = {"n": args.n, "m": args.m, "classes": CLASSES, "labelled": LABELLED, "budget": args.budget, "seed": SEED,
            "repeat": args.repeat, "threads": args.threads}
    names = contenders(args.only)
    say(f"{len(names)} contenders, one after the other, {args.threads} threads")
    table, versions = [start(name, case) for name in names], pins()
    report(table, versions)
    where = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system(),
             "cores": cores(), "load_at_start": round(load, 2), "when": time.strftime("%Y-%m-%d", time.gmtime()),
             **versions, "stackelberg-lib": version("stackelberg-lib")}
    last = summary(table)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"setting": case, "provenance": where, "table": table, "last": last}, indent=1)
                        + "\n")
    print(json.dumps(last))


if __name__ == "__main__":
    main()
