"""What can be saved of a damaged ledger: every row whose own hash fits, wherever it lies in the file.

    python -m stackelberg_lib.pool.salvage labels.sqlite      # writes labels.salvaged.sqlite

The file and its write-ahead log are read as plain bytes, not as a database, so that damage elsewhere does not matter: a
row is stored in one piece as the lengths of its fields followed by the fields (https://www.sqlite.org/fileformat2.html,
section 2.1), and its hash says whether it is whole. The damaged file is left as it is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import ledger_file as file
from stackelberg_lib.pool.ledger_file import Purchase

HASH = rb"\x81\x0d"  # the code of a text of 64 bytes
# Where a header may begin, at its length: then codes of a null (the number is kept before the header), item, hash ...
PURCHASE = re.compile(rb"(?=[\x0c-\x18]\x00[\x01-\x06\x08\x09]" + HASH + rb")")
NOTE = re.compile(rb"(?=[\x05\x06].{2,3}" + HASH + rb")", re.DOTALL)  # key, value, hash
WIDTH = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}  # bytes of a number, by its code


def salvage(path: Path, new: Path) -> tuple[int, int]:
    """Copy every intact purchase of the ledger `path` into a new ledger `new`, in order.

    Returns how many, out of how many at least. InputError if `new` exists, or if nothing intact says which pool, labels
    and model the purchases belong to.
    """
    if new.exists():
        raise InputError(f"{new} exists; move it away first")
    with file.told(path):
        log = path.with_name(path.name + "-wal")
        data = path.read_bytes() + (log.read_bytes() if log.exists() else b"")
    rows, entries = _purchases(data), _notes(data)
    title = {key: values[-1] for key, values in entries.items() if key in ("pool", "model") or key.startswith("label")}
    wanted = {"pool", "model", "labels", *(f"label {i}" for i in range(int(title.get("labels", 0))))}
    if not wanted <= set(title):
        raise InputError(f"{path}: {len(rows)} intact purchases, but nothing intact says which pool, labels and model "
                         "they belong to; no file was written")
    budgets = {int(key[7:]): int(values[0].split()[0]) for key, values in entries.items() if key.startswith("budget ")}
    last = budgets[max(budgets)] if budgets else 1
    with file.told(new):
        file.create(new, title, max(last, sum(row.price for row in rows)), [row[1:10] for row in rows])
    counts = [int(value.split()[0]) for value in entries.get("head", [])] + [row.number for row in rows]
    return len(rows), max(counts, default=0)


def _purchases(data: bytes) -> list[Purchase]:
    """The intact purchases in `data` by their numbers, one for each text and item: the first that was found."""
    found: dict[str, Purchase] = {}
    items = set()
    for match in PURCHASE.finditer(data):
        values = _record(data, match.start())
        if values and len(values) == len(Purchase._fields):
            row = Purchase(_before(data, match.start()), *values[1:])
            if row.intact() and row.text not in found and row.item not in items:
                found[row.text] = row
                items.add(row.item)
    return sorted(found.values())


def _notes(data: bytes) -> dict[str, list[str]]:
    """The intact entries of meta and spare in `data`: all values of each key, older ones of the log included."""
    found: dict[str, list[str]] = {}
    for match in NOTE.finditer(data):
        values = _record(data, match.start())
        if values and len(values) == 3 and values[2] == file.sealed(*values[:2]):
            found.setdefault(values[0], []).append(values[1])
    return found


def _record(data: bytes, start: int) -> list | None:
    """The numbers and texts of the record whose header starts at `start`; None if there is none."""
    end, at, codes = start + data[start], start + 1, []
    while at < end:
        code, at = _varint(data, at)
        codes.append(code)
    values = []
    for code in codes:
        width = (code - 13) // 2 if code >= 13 and code % 2 else WIDTH.get(code)
        if width is None or at + width > len(data):
            return None
        raw, at = data[at:at + width], at + width
        if code >= 13:
            values.append(raw.decode(errors="replace"))
        else:
            values.append(code - 8 if code in (8, 9) else int.from_bytes(raw, signed=True))
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number of variable length at `at`, seven bits a byte, and where it ends."""
    value, more = 0, True
    while more and at < len(data):
        value, more, at = value << 7 | data[at] & 0x7F, data[at] >= 0x80, at + 1
    return value, at


def _before(data: bytes, end: int) -> int:
    """The number of variable length that ends before `end`."""
    start = end - 1
    while start > 0 and data[start - 1] >= 0x80:
        start -= 1
    return _varint(data, start)[0]


def main(argv: list[str] | None = None) -> int:
    """Command line: salvage FILE into FILE's name with .salvaged before the ending."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m stackelberg_lib.pool.salvage FILE", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    new = path.with_name(f"{path.stem}.salvaged{path.suffix}")
    try:
        kept, of = salvage(path, new)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{kept} of at least {of} purchases are intact; copied to {new}, which can be opened in place of {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
