"""Data sets of the hub, or of a local folder laid out like one: DATA=owner/name, with columns for text and label.

DATA=owner/name[:text,label] names the repository and, where they are not called text and label, the two columns. Only
files of rows are fetched and read (parquet, csv, json); code that comes with a data set is neither fetched nor run.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from stackelberg_lib.errors import InputError

ID = re.compile(r"[\w.-]+/[\w.-]+(:[^:,]+,[^:,]+)?")
ROWS = ("*.parquet", "*.csv", "*.json", "*.jsonl")
OFFLINE = "pocketdesk, a known set, a .jsonl or .csv file, or a folder with train and test files"
PARTS = ("train", "test", "validation")

Row = tuple[str, str, str]


def is_id(data: str) -> bool:
    """Whether DATA has the form owner/name or owner/name:text,label, and is no file or folder, there or missing."""
    file = data.startswith(".") or data.endswith((".csv", ".jsonl", ".json", ".txt")) or Path(data).exists()
    return bool(ID.fullmatch(data)) and not file


def read(data: str) -> tuple[list[Row], list[Row] | None, str]:
    """Rows (text, label, where) of the parts train and test (else validation, else None) and a line on the source.

    Labels that are class numbers come back as their names. InputError in one line when there is no such data set here
    and no hub, when a column is missing, or when there is no part called train.
    """
    name, _, columns = data.partition(":")
    text, label = columns.split(",") if columns else ("text", "label")
    parts = _parts(name, _folder(name))
    if "train" not in parts:
        raise InputError(f"DATA={data} has no part called train; it has {', '.join(parts) or 'none'}")
    test = next((part for part in PARTS[1:] if part in parts), None)
    train_rows = _rows(parts["train"], text, label, f"{name}, train")
    test_rows = _rows(parts[test], text, label, f"{name}, {test}") if test else None
    return train_rows, test_rows, f"hub id {name}, columns {text} and {label}" + (f", tested on {test}" if test else "")


def _folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*ROWS, *(f"**/{pattern}" for pattern in ROWS), "README.md"]
    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns, etag_timeout=10))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(f"DATA={name} is not on this disk and the hub did not give it ({type(error).__name__}); "
                         f"use {OFFLINE}") from None


def _parts(name: str, folder: Path) -> dict:
    """The parts of a data set's folder; what `datasets` builds of them is not kept."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = datasets.load_dataset(str(folder), cache_dir=scratch, keep_in_memory=True)
        except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
            raise InputError(f"DATA={name} cannot be read ({str(error).splitlines()[0]}); use {OFFLINE}") from None
        return dict(found)


def _rows(part, text: str, label: str, where: str) -> list[Row]:
    for column in (text, label):
        if column not in part.column_names:
            raise InputError(f"{where}: no column {column!r}; name two of {', '.join(part.column_names)} as in "
                             f"owner/name:{part.column_names[0]},{part.column_names[-1]}")
    names = getattr(part.features[label], "names", None)
    rows = []
    for i, (words, kind) in enumerate(zip(part[text], part[label], strict=True)):
        if not isinstance(words, str) or not words.strip() or kind is None or isinstance(kind, float | list | dict):
            raise InputError(f"{where}, row {i}: text {words!r:.40} and label {kind!r:.40} are no text with a label")
        rows.append((words, str(names[kind] if names else kind).strip(), f"{where}, row {i}"))
    return rows
