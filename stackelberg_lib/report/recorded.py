"""Results that long runs left in results/, with their provenance."""

from __future__ import annotations

import json
from pathlib import Path

from stackelberg_lib.errors import InputError

RESULTS = Path(__file__).resolve().parents[2] / "results"


def recorded(name: str, command: str) -> dict:
    """The JSON object in results/<name>.json, which `command` makes; InputError names the command if it is missing."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise InputError(f"results/{name}.json is missing: make it with `{command}`")
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_lines(name: str, command: str) -> list[dict]:
    """The objects in results/<name>.jsonl, one a run, which `command` makes; InputError as `recorded`."""
    path = RESULTS / f"{name}.jsonl"
    if not path.is_file():
        raise InputError(f"results/{name}.jsonl is missing: make it with `{command}`")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
