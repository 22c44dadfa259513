"""The claims of a report's lessons, held against what this run measured."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stackelberg_lib.report import claims
from stackelberg_lib.report.claims import Measurement


class Verdict(NamedTuple):
    """A claim of claims.yaml, and what this run says of it.

    statement: without its TeX; measured: this run's line, "" if it printed none; word: meets, misses (its expected
    range) or unmeasured.
    """

    id: str
    statement: str
    origin: str
    status: str
    lesson: str
    measured: str
    word: str


def verdicts(lessons: set[str], measured: dict[str, Measurement], root: Path = claims.ROOT) -> list[Verdict]:
    """One for each claim whose lesson is in `lessons` (names), in the ledger's order. Raises InputError.

    measured: claim -> what the lessons of the run printed of it.
    """
    found = []
    for entry in claims.load(root / "claims.yaml"):
        if entry["lesson"] not in lessons:
            continue
        line = measured.get(entry["id"])
        word = "unmeasured"
        if line and entry.get("expected"):
            word = "meets" if claims.meets(entry["expected"], line) else "misses"
        found.append(Verdict(entry["id"], claims.plain(entry["statement"]), entry["origin"], entry["status"],
                             entry["lesson"], line.text if line else "", word))
    return found
