"""Long studies, cell by cell: each finished cell is one JSON line, and a cell that stands there is not done again."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.report.provenance import checkout


def read(path: Path) -> list[dict]:
    """All finished cells in a file; an empty list when there is none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def left(wanted: Sequence[tuple], lines: list[dict]) -> list[tuple]:
    """Cells (NamedTuples of one kind) of which no line has the same fields."""
    fields = wanted[0]._fields if wanted else ()
    done = {tuple(line.get(key) for key in fields) for line in lines}
    return [cell for cell in wanted if tuple(cell) not in done]


def do(todo: Sequence[tuple], run: Callable, path_of: Callable, workers: int) -> None:
    """Do `run(cell)` in `workers` processes of one thread each; append each line as it comes, show the time left.

    run: a function of a module, cell -> dict; path_of: line -> file. Each line also gets date, commit and versions.
    """
    from tqdm import tqdm

    said = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": checkout(),
            **{name: version(name) for name in ("numpy", "scikit-learn", "torch", "transformers")}}
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers, which start from nothing
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, cell) for cell in todo]
        try:
            for future in tqdm(as_completed(futures), total=len(futures), unit="cell", smoothing=0.02):
                line = future.result()
                path_of(line).parent.mkdir(exist_ok=True)
                with path_of(line).open("a") as out:
                    out.write(json.dumps({**line, **said}) + "\n")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def exit_code(work: Callable[[], int]) -> int:
    """What `work` returns; 2 for an InputError and 130 for Ctrl-C, each said in one line on stderr."""
    try:
        return work()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is finished stays, the same command goes on from there", file=sys.stderr)
        return 130


def rounded(x: float) -> float | None:
    """A number for JSON, with 4 decimals; None where it is not finite, such as the end of one seed's interval."""
    return round(float(x), 4) if np.isfinite(x) else None
