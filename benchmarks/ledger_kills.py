"""`make ledger-kills`: processes that hammer one ledger while any of them is killed at random moments.

Each worker opens the ledger and buys texts that nobody has bought, a few at a time and all of them from the same end of
the pool, so that they get into each other's way; after `buy` has returned it reports the labels in a file of its own.
Between random purchases a random worker gets SIGKILL and another one takes its place, until the budget is spent. Then
the book must hold as many rows as the budget, no item and no text twice, every label that was reported, and none that
is wrong. Writes results/ledger_kills.json; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled

NAMES = ("refund", "lost card", "exchange rate")
REACH = 12       # a worker chooses among so many of the first open texts
THINKING = 0.02  # seconds an answer takes at most


def pool(budget: int) -> tuple[list[str], np.ndarray]:
    """Texts, a third more than the budget and every tenth said twice, and the right label of each."""
    numbers = np.arange(budget * 4 // 3)
    numbers = np.concatenate([numbers, numbers[::10]])
    return [f"message {i}" for i in numbers], numbers % len(NAMES)


def work(path: Path, budget: int, seed: int, asked: Path, reported: Path) -> None:
    """Buy until nothing is left; every question and every label that `buy` returned is a line in a file."""
    rng = np.random.default_rng(seed)
    texts, truth = pool(budget)

    class Source(Labelled):
        def __call__(self, item):
            print(item, file=asking, flush=True)
            time.sleep(rng.uniform(0, THINKING))
            return super().__call__(item)

    with Ledger(path, texts, NAMES, "none", budget) as ledger, asked.open("a") as asking, reported.open("a") as out:
        while left := ledger.left:
            free = np.flatnonzero(ledger.labels() < 0)[:REACH]
            items = rng.choice(free, min(left, rng.integers(1, 4), len(free)), replace=False)
            try:
                labels = ledger.buy(items, Source(truth), round=0, strategy="random", seed=seed)
            except InputError:  # others were faster and little is left; nothing of this call was reported
                if ledger.left >= len(items):
                    raise
                continue
            print(*(f"{i} {y}" for i, y in zip(items, labels, strict=True)), sep="\n", file=out, flush=True)


def run(folder: Path, processes: int, budget: int, kills: int, seed: int) -> dict:
    """Hammer and kill in `folder`; returns what was seen."""
    path, rng, begin = folder / "ledger.sqlite", np.random.default_rng(seed), time.perf_counter()
    fork = multiprocessing.get_context("fork")

    def start(number: int):
        files = [folder / f"{number}.{kind}" for kind in ("asked", "reported")]
        worker = fork.Process(target=work, args=(path, budget, seed + number, *files), daemon=True)
        worker.start()
        return worker

    workers, failed = [start(number) for number in range(processes)], 0
    for number, moment in enumerate(np.sort(rng.integers(0, budget - budget // 20, kills)), processes):
        while _rows(path) < moment and any(worker.is_alive() for worker in workers):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, THINKING))
        victim = int(rng.integers(processes))
        failed += workers[victim].exitcode not in (None, 0)
        workers[victim].kill()
        workers[victim].join()
        workers[victim] = start(number)
    for worker in workers:
        worker.join()
        failed += worker.exitcode != 0
    return _found(folder, budget) | {"processes": processes, "budget": budget, "kills": kills, "failed": failed,
                                     "seconds": round(time.perf_counter() - begin, 1)}


def _rows(path: Path) -> int:
    """Rows in the ledger so far, counted without the library."""
    if not path.exists():
        return 0
    db = sqlite3.connect(path, timeout=60)
    try:
        return db.execute("SELECT count(*) FROM purchases").fetchone()[0]
    finally:
        db.close()


def _found(folder: Path, budget: int) -> dict:
    """What the book holds in the end, beside what the workers said."""
    texts, truth = pool(budget)
    with Ledger(folder / "ledger.sqlite", texts, NAMES, "none", budget) as ledger:
        rows, labels, spent = ledger.rows(), ledger.labels(), ledger.spent
    lines = [line.split() for file in folder.glob("*.reported") for line in file.read_text().splitlines()]
    said = {(int(item), int(label)) for item, label in lines}
    asked = sum(len(file.read_text().splitlines()) for file in folder.glob("*.asked"))
    bought = {text: truth[i] for i, text in enumerate(texts) if labels[i] >= 0}
    return {"rows": len(rows), "spent": spent, "items_twice": len(rows) - len({row.item for row in rows}),
            "texts_twice": len(rows) - len({texts[row.item] for row in rows}), "reported": len(said),
            "reported_lost": sum(int(labels[item]) != label for item, label in said),
            "wrong": sum(NAMES[bought[texts[row.item]]] != row.label for row in rows),
            "written_not_reported": len({texts[row.item] for row in rows} - {texts[item] for item, _ in said}),
            "asked": asked}


def holds(found: dict) -> bool:
    """Whether the book is full, nothing in it twice or wrong, and nothing that was reported lost."""
    return found["rows"] == found["spent"] == found["budget"] and not any(
        found[key] for key in ("items_twice", "texts_twice", "reported_lost", "wrong", "failed"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/ledger_kills.json")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), a.processes, a.budget, a.kills, a.seed)
    where = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "machine": platform.machine(),
             "system": platform.system(), "when": time.strftime("%Y-%m-%d", time.gmtime())}
    last = found | {"holds": holds(found)}
    a.out.write_text(json.dumps({"seed": a.seed, "found": last, "provenance": where}, indent=1) + "\n")
    print(json.dumps(last))
    return 0 if last["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
