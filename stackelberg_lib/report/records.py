"""What a report keeps of each finished lesson, in NAME.json: enough for the index and to continue a broken run.

A lesson is finished once its record is there, which is written last. It counts for a later run only if its key is the
same: lesson, parameters, commit, and everything that a lesson reads from the repository.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stackelberg_lib.report import files, provenance
from stackelberg_lib.report.claims import Measurement
from stackelberg_lib.report.lessons import Lesson

READ = ("stackelberg_lib", "results", "models", "claims.yaml", "requirements.lock")  # by the lessons
SUFFIXES = (".json", ".html", ".ipynb")  # of what a lesson leaves; the record goes first


@dataclass(frozen=True)
class Outcome:
    """A lesson after its run; `trace` is empty if it passed, `figure` is its first picture, `alt` what that shows.

    measured: claim -> what the lesson printed of it. kept: it is taken over from an earlier run.
    """

    lesson: Lesson
    parameters: dict[str, object]
    minutes: float
    trace: str
    figure: str
    alt: str
    measured: dict[str, Measurement]
    kept: bool = False


def source_key(root: Path = provenance.ROOT) -> str:
    """Commit and contents of everything in the repository that lessons read."""
    digest = hashlib.sha256(provenance.checkout(root).encode())
    for name in READ:
        _add(digest, root / name)
    return digest.hexdigest()


def key(lesson: Lesson, given: dict[str, object], sources: str) -> str:
    """What the outcome of `lesson` with the parameters `given` depends on; files named by a parameter are read too."""
    digest = hashlib.sha256(sources.encode())
    digest.update(repr(sorted(given.items())).encode())
    _add(digest, lesson.path)
    for value in given.values():
        if isinstance(value, str) and Path(value).is_absolute():
            _add(digest, Path(value))
    return digest.hexdigest()


def _add(digest, path: Path) -> None:
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in found:
        if "__pycache__" not in file.parts:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(path.parent)} {content}\n".encode())


def write(outcome: Outcome, out: Path, key: str) -> None:
    """Write the record of a lesson whose notebook and page are written. Raises InputError as `files.write`."""
    content = asdict(replace(outcome, lesson=outcome.lesson.name))
    files.write(out / f"{outcome.lesson.name}.json", json.dumps({"key": key, **content}, default=str, indent=1))


def finished(lesson: Lesson, out: Path, key: str) -> Outcome | None:
    """The outcome of an earlier run into `out` if it passed, is whole and has this key; else None."""
    if not all((out / f"{lesson.name}{suffix}").is_file() for suffix in SUFFIXES):
        return None
    try:
        content = json.loads((out / f"{lesson.name}.json").read_text(encoding="utf-8"))
        same = content.pop("key") == key and not content["trace"]
        measured = {name: Measurement(*line) for name, line in content["measured"].items()}
        return Outcome(**content | {"lesson": lesson, "measured": measured, "kept": True}) if same else None
    except (ValueError, KeyError, TypeError, AttributeError):  # another version's, or no record at all
        return None


def remove(lesson: Lesson, out: Path) -> None:
    """Pages of an earlier run must not look like results of this one."""
    with files.writing(out):
        for suffix in SUFFIXES:
            (out / f"{lesson.name}{suffix}").unlink(missing_ok=True)
