"""Readers: from the value of DATA to a checked set of labelled texts.

DATA is `pocketdesk` (generated), the name of a known real set (`KNOWN`), a folder with `train` and `test` files, one
file, or a data set of the hub (`hub`: owner/name). Files are JSONL or CSV with `text` and `label`; rows with
`question`, `options`, `answer` (multiple choice) become a text that lists the options and the label of the right one.
Everything is checked here, with file and line.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stackelberg_lib.data import hub, pocketdesk
from stackelberg_lib.errors import InputError

KNOWN = ("banking77", "chemprot", "stackoverflow20", "medmcqa_dev")
SUFFIXES = (".jsonl", ".csv")
TEST_SHARE = 0.2  # of a single file without a test part


@dataclass(frozen=True)
class LabelledSet:
    """A pool of training texts and a test part with labels from one closed set.

    train_labels (N,) and test_labels (n,) index `label_names`; `source` says in words where the rows came from.
    """

    name: str
    train_texts: list[str]
    train_labels: np.ndarray
    test_texts: list[str]
    test_labels: np.ndarray
    label_names: tuple[str, ...]
    source: str


def load(data: str, seed: int = 0) -> LabelledSet:
    """Read and check the set that DATA names; `seed` draws PocketDesk and splits a single file.

    Raises InputError with file and line when a row is unusable, and with the names that exist when nothing is found.
    """
    if data == "pocketdesk":
        return generate(seed)
    if hub.is_id(data):
        train_rows, test_rows, source = hub.read(data)
        if test_rows is None:
            train_rows, test_rows = _split(train_rows, seed)
            source += f"; {1 - TEST_SHARE:.0%} for training, split by seed {seed}"
        return _build(data.partition(":")[0], train_rows, test_rows, source)
    path = find(data)
    if path.is_dir():
        train = next((path / f"train{s}" for s in SUFFIXES if (path / f"train{s}").is_file()), None)
        test = next((path / f"test{s}" for s in SUFFIXES if (path / f"test{s}").is_file()), None)
        if train and test:
            return _build(Path(data).name, _read(train), _read(test), f"{train.name} and {test.name} of {data}")
        single = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES)
        if train or test or len(single) != 1:
            holds = ", ".join(sorted(p.name for p in path.iterdir())) or "nothing"
            raise InputError(f"DATA={data}: a folder needs train and test files (.jsonl or .csv), or exactly one file "
                             f"to split; it holds {holds}")
        path = single[0]
    rows = _read(path)
    train_rows, test_rows = _split(rows, seed)
    source = f"{path.name}, {1 - TEST_SHARE:.0%} for training, split by seed {seed}"
    return _build(Path(data).stem, train_rows, test_rows, source)


def find(data: str) -> Path:
    """Path of DATA: a known set in `data/` or $STACKELBERG_DATA, or an existing file or folder. Raises InputError."""
    if data in KNOWN:
        folders = [Path("data"), Path(__file__).resolve().parents[2] / "data"]
        if os.environ.get("STACKELBERG_DATA"):
            folders.append(Path(os.environ["STACKELBERG_DATA"]))
        for folder in folders:
            if (folder / data).is_dir():
                return folder / data
        raise InputError(f"DATA={data} is not on this machine: `make data SET={data}` downloads it into data/, "
                         "or point STACKELBERG_DATA at a folder that holds it")
    path = Path(data).expanduser()
    if not path.exists():
        raise InputError(f"DATA={data} does not exist; give a .jsonl or .csv file, a folder with train and test files, "
                         f"or one of: pocketdesk, {', '.join(KNOWN)}")
    if path.is_file() and path.suffix not in SUFFIXES:
        raise InputError(f"DATA={data} ends in {path.suffix or 'nothing'}; use .jsonl or .csv")
    return path


def generate(seed: int, train: int = 3000, test: int = 1000) -> LabelledSet:
    """PocketDesk: `train` and `test` generated messages, drawn independently from one seed."""
    rng = np.random.default_rng([seed, 77])
    texts, y, _, _ = pocketdesk.draw(train + test, rng)
    return LabelledSet("pocketdesk", texts[:train], y[:train], texts[train:], y[train:], pocketdesk.LABELS,
                       f"generated, seed {seed}, Bayes accuracy {pocketdesk.bayes_accuracy():.4f}")


def check_budget(budget: object, pool: int) -> int:
    """The budget as an integer in 1..pool. Raises InputError for 0, negative, NaN, fractional or too large values."""
    try:
        value = float(str(budget))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value != int(value) or value < 1:
        raise InputError(f"BUDGET={budget} is not a number of labels; give a whole number from 1 to {pool}")
    if value > pool:
        raise InputError(f"BUDGET={budget} is larger than the pool of {pool} texts; "
                         f"give a whole number from 1 to {pool}")
    return int(value)


def texts(data: str, seed: int = 0) -> list[str]:
    """The texts of one file, labels not needed; of a set or a folder with a test part, the texts of that part."""
    if data == "pocketdesk" or data in KNOWN or Path(data).expanduser().is_dir():
        return load(data, seed).test_texts
    return [_text(record, where) for record, where in _records(find(data))]


def _read(path: Path) -> list[tuple[str, str, str]]:
    """Rows (text, label, where) of a JSONL or CSV file, each checked."""
    return [_row(record, where) for record, where in _records(path)]


def _records(path: Path) -> list[tuple[dict, str]]:
    """Records of a JSONL or CSV file, and where each stands."""
    raw = path.read_bytes()
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[:error.start].count(b"\n") + 1
        raise InputError(f"{path.name}, line {line}: byte {raw[error.start]:#04x} is not UTF-8; "
                         "save the file as UTF-8") from None
    records = _csv(path, content) if path.suffix == ".csv" else _jsonl(path, content)
    if not records:
        raise InputError(f"{path.name} is empty; it needs rows with text and label")
    return [(record, f"{path.name}, line {line}") for line, record in records]


def _csv(path: Path, content: str) -> list[tuple[int, dict]]:
    reader = csv.DictReader(io.StringIO(content, newline=""))
    return [(reader.line_num, record) for record in reader]


def _jsonl(path: Path, content: str) -> list[tuple[int, dict]]:
    records = []
    for line, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path.name}, line {line}: not JSON ({error.msg}); "
                             "one object per line, with text and label") from None
        if not isinstance(record, dict):
            raise InputError(f"{path.name}, line {line}: not an object; write {{\"text\": ..., \"label\": ...}}")
        records.append((line, record))
    return records


def _row(record: dict, where: str) -> tuple[str, str, str]:
    label = record.get("answer") if _asks(record) else record.get("label")
    text = _text(record, where)
    if label is None or isinstance(label, (list, dict, float)) or not str(label).strip():
        raise InputError(f"{where}: no usable `label` ({label!r}); give a name or a whole number")
    return text, str(label).strip(), where


def _asks(record: dict) -> bool:
    return record.get("text") is None and "question" in record


def _text(record: dict, where: str) -> str:
    text = record.get("text")
    if _asks(record):
        options = record.get("options")
        if not isinstance(options, list) or len(options) < 2:
            raise InputError(f"{where}: a question needs `options`, a list of two or more")
        text = f"{record['question']} " + " ".join(f"({chr(65 + i)}) {o}" for i, o in enumerate(options))
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: no `text`; every row needs one (columns: {', '.join(map(str, record))})")
    return text


def _split(rows: list, seed: int) -> tuple[list, list]:
    """Random split by seed in which every label of the test part also stands in the training part."""
    order = np.random.default_rng([seed, 78]).permutation(len(rows))
    wanted = max(1, round(TEST_SHARE * len(rows)))
    train, test, seen = [], [], set()
    for i in order:
        label = rows[i][1]
        if label in seen and len(test) < wanted:
            test.append(rows[i])
        else:
            seen.add(label)
            train.append(rows[i])
    return train, test


def _build(name: str, train: list, test: list, source: str) -> LabelledSet:
    names = tuple(sorted({label for _, label, _ in train}))
    if len(names) < 2:
        raise InputError(f"DATA={name}: all {len(train)} training rows have the label {names[0]!r}; "
                         "two classes are the least")
    if not test:
        raise InputError(f"DATA={name}: {len(train)} rows leave none for a test part; give more rows or a test file")
    index = {label: k for k, label in enumerate(names)}
    for _, label, where in test:
        if label not in index:
            raise InputError(f"{where}: the test label {label!r} is in no training row; known: {', '.join(names[:8])}"
                             f"{' ...' if len(names) > 8 else ''}")
    return LabelledSet(name, [r[0] for r in train], np.array([index[r[1]] for r in train]), [r[0] for r in test],
                       np.array([index[r[1]] for r in test]), names, source)
