"""The ledger's file: one SQLite database on a local disk, in which every row vouches for itself.

Write-ahead log, synchronous=FULL, and each commit goes on into the main file at once, so that the log holds little
that is not there too. A row of `purchases` holds a SHA-256 of itself and of the row before it; `meta` says what the
ledger is about, its budgets and the hash of the last purchase; `spare` repeats what it is about, on another page.
Edited, deleted and inserted rows are noticed at opening. Not noticed is whoever computes all hashes anew or puts back
an older copy of the whole file: the digest in a model card tells. `python -m stackelberg_lib.pool.salvage FILE` saves
what is intact.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from stackelberg_lib.errors import InputError

FORMAT = "1"
WAIT = 60  # seconds for other processes to finish their transactions
_NOTES = "(key TEXT PRIMARY KEY, value TEXT NOT NULL, sha256 TEXT NOT NULL)"
SCHEMA = [f"CREATE TABLE meta {_NOTES}", f"CREATE TABLE spare {_NOTES}", (
    "CREATE TABLE purchases (number INTEGER PRIMARY KEY, item INTEGER NOT NULL UNIQUE, text TEXT NOT NULL UNIQUE, "
    "label TEXT NOT NULL, annotator TEXT NOT NULL, price INTEGER NOT NULL, round INTEGER NOT NULL, "
    "strategy TEXT NOT NULL, seed INTEGER NOT NULL, time TEXT NOT NULL, previous TEXT NOT NULL, chain TEXT NOT NULL)")]
INSERT = {"meta": "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)",
          "spare": "INSERT OR REPLACE INTO spare VALUES (?, ?, ?)"}
SELECT = {"meta": "SELECT key, value, sha256 FROM meta ORDER BY key",
          "spare": "SELECT key, value, sha256 FROM spare ORDER BY key"}


class Purchase(NamedTuple):
    """A row: number from 1, item, SHA-256 of its text, the label's name, annotator, price, round, strategy, seed, UTC.

    `previous` is the chain of the row before it ("" in the first), `chain` the hash of all other fields.
    """

    number: int
    item: int
    text: str
    label: str
    annotator: str
    price: int
    round: int
    strategy: str
    seed: int
    time: str
    previous: str
    chain: str

    def intact(self) -> bool:
        """Whether the row is as it was written."""
        return self.chain == sealed(*self[:-1])


def sealed(*values) -> str:
    """SHA-256 of numbers, texts and lists of them."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@contextmanager
def told(path: Path, before: str = "") -> Iterator[None]:
    """Turns what SQLite or the system complains of into one InputError about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")):
            raise damaged(path, str(error)) from None
        fix = "each thread needs a Ledger of its own, that is still open"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            fix = f"another process has held it for {WAIT} s, end that one"
        elif name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            fix = "make room on the disk, then run again to go on from there"
        elif name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            fix = "give a file on a local disk, in a folder that you may write"
        raise InputError(f"{path}: {before}{error}; {fix}") from None
    except UnicodeDecodeError:  # sqlite3 could not even read what SQLite complained of
        raise damaged(path, "its description of the tables is no text") from None
    except OSError as error:
        raise InputError(f"{path}: {before}{error.strerror}; give a file on a local disk, in a folder that you may "
                         "write and that has room") from None


def damaged(path: Path, what: str) -> InputError:
    """The error that a ledger is not as it was written."""
    return InputError(f"{path} is damaged: {what.splitlines()[0]}; "
                      f"`python -m stackelberg_lib.pool.salvage {path}` copies every intact row to a new file")


def create(path: Path, title: dict[str, str], budget: int, rows: Iterable[tuple] = ()) -> None:
    """Begin a ledger, with `rows` (fields from item to time) in it: made whole in a folder beside it, then given its
    name, unless another process was faster.
    """
    log = path.with_name(path.name + "-wal")
    if log.exists():
        raise InputError(f"{log} is there without {path.name}, to which it belongs; bring that back, or move "
                         f"{log.name} away to begin anew")
    with tempfile.TemporaryDirectory(prefix=path.name + ".", dir=path.parent) as beside:
        new = Path(beside) / path.name
        with closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            with transaction(db):
                for table in SCHEMA:
                    db.execute(table)
                for table in ("meta", "spare"):
                    for entry in [*title.items(), ("format", FORMAT), budget_note(0, budget)]:
                        note(db, table, entry)
                note(db, "meta", ("head", "0 "))
                for row in rows:
                    append(db, *row)
        try:
            os.link(new, path)
        except FileExistsError:
            pass


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a ledger that exists. Bytes that are no UTF-8 are read as marks, so that the hashes tell."""
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=WAIT, isolation_level=None)
    db.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 1")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and nobody else writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def notes(db: sqlite3.Connection, table: str = "meta") -> dict[str, str]:
    """The entries of `meta` or `spare`."""
    return {key: value for key, value, _ in db.execute(SELECT[table])}


def note(db: sqlite3.Connection, table: str, entry: tuple[str, str]) -> None:
    """Write down or overwrite one entry of `meta` or `spare`."""
    db.execute(INSERT[table], (*entry, sealed(*entry)))


def budget_note(number: int, budget: int) -> tuple[str, str]:
    """The entry for the budget that was set after `number` others."""
    return f"budget {number}", f"{budget} since {datetime.now(UTC).isoformat(timespec='seconds')}"


def budgets(entries: dict[str, str]) -> list[int]:
    """All budgets the ledger had, in order."""
    count = sum(key.startswith("budget ") for key in entries)
    return [int(entries[f"budget {i}"].split()[0]) for i in range(count)]


def purchases(db: sqlite3.Connection) -> list[Purchase]:
    """All purchases in order."""
    return [Purchase(*row) for row in db.execute("SELECT * FROM purchases ORDER BY number")]


def spent(db: sqlite3.Connection) -> int:
    """Sum of the prices."""
    return db.execute("SELECT coalesce(sum(price), 0) FROM purchases").fetchone()[0]


def holds(db: sqlite3.Connection, text: str) -> bool:
    """Whether a text, given by its hash, was bought."""
    return db.execute("SELECT 1 FROM purchases WHERE text = ?", (text,)).fetchone() is not None


def append(db: sqlite3.Connection, *fields) -> None:
    """Add a purchase, given its fields from item to time; inside a transaction."""
    last = db.execute("SELECT number, chain FROM purchases ORDER BY number DESC LIMIT 1").fetchone() or (0, "")
    row = (last[0] + 1, *fields, last[1])
    db.execute("INSERT INTO purchases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, sealed(*row)))
    note(db, "meta", ("head", f"{row[0]} {sealed(*row)}"))


def about(entries: dict[str, str]) -> dict[str, str]:
    """The entries that never change: what the ledger is about."""
    return {key: value for key, value in entries.items() if key != "head" and not key.startswith("budget ")}


def digest(db: sqlite3.Connection) -> str:
    """SHA-256 over what the ledger is about and the purchases in order, without their times."""
    return sealed(sorted(about(notes(db)).items()), [row[1:9] for row in purchases(db)])


def check(db: sqlite3.Connection, path: Path) -> None:
    """InputError if the ledger on `db` is of another format or not as it was written."""
    db.execute("BEGIN")  # one state throughout, whatever others write
    try:
        version = notes(db).get("format")
        if version not in (None, FORMAT):
            raise InputError(f"{path} has format {version}, this version reads {FORMAT}; use the version that wrote it")
        wrong = _fault(db)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    if wrong:
        raise damaged(path, wrong)


def _fault(db: sqlite3.Connection) -> str:
    """What is wrong, in words; "" if all is as it was written."""
    sound = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if sound != "ok":
        return sound
    if [sql for sql, in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")] != SCHEMA:
        return "its tables are not those of a ledger"
    return _fault_of_notes(db) or _fault_of_rows(db, notes(db))


def _fault_of_notes(db: sqlite3.Connection) -> str:
    for table in ("meta", "spare"):
        for key, value, sha in db.execute(SELECT[table]):
            if sha != sealed(key, value):
                return f"the entry {key!r} of {table} was edited"
    entries = notes(db)
    if "head" not in entries or "budget 0" not in entries or about(entries) != about(notes(db, "spare")):
        return "entries of meta or spare are missing or were added"
    return ""


def _fault_of_rows(db: sqlite3.Connection, entries: dict[str, str]) -> str:
    last, rows = "", purchases(db)
    for number, row in enumerate(rows, 1):
        if row.number != number:
            return f"purchase {number} is missing"
        if not row.intact():
            return f"purchase {number} (item {row.item}) was edited"
        if row.previous != last:
            return f"purchase {number} (item {row.item}) does not follow on the one before it"
        last = row.chain
    if entries["head"] != f"{len(rows)} {last}":
        return "the last purchases were deleted, or others were added"
    return f"it spent more than its budget of {budgets(entries)[-1]}" if spent(db) > budgets(entries)[-1] else ""
