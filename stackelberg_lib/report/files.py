"""Writing a report: each file is there whole or not at all, one run at a time, a full disk is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackelberg_lib.errors import InputError

LOCK = ".lock"


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the system refuses inside the block into an InputError that names the folder `out` and the reason."""
    try:
        yield
    except OSError as error:
        raise InputError(f"OUT={out} cannot be written ({error.strerror}); make room there or give another folder, "
                         "then RESUME=1 keeps the lessons that are finished") from None


def write(path: Path, content: str | bytes) -> None:
    """Write the file under another name and rename it, so that a run that is killed leaves no half file.

    Raises InputError if the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    data = content.encode("utf-8") if isinstance(content, str) else content
    with writing(path.parent):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder during the block; the lock dies with the process, however it ends.

    Raises InputError if another run holds it.
    """
    import fcntl  # not on Windows, where this package is imported but no report is made

    with writing(out):
        file = (out / LOCK).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"OUT={out} is being written by another run; wait for it or give another folder") from None
        yield
