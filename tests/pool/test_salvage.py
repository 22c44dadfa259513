"""Damaged ledgers: what was done to them is named, and every intact row is saved."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import ledger_file, salvage
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled

N, SOLD = 180, 140
TEXTS = [f"message {i}" for i in range(N)]
NAMES = ("refund", "lost card", "rate ü")
RNG = np.random.default_rng


def book(path, budget=200):
    return Ledger(path, TEXTS, NAMES, "m" * 64, budget)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A sound ledger of SOLD purchases: the file, and its rows."""
    path = tmp_path_factory.mktemp("sound") / "book.sqlite"
    items = RNG(0).permutation(N)[:SOLD]
    with book(path) as ledger:
        for r, part in enumerate(np.split(items, 4)):
            ledger.buy(part, Labelled(np.arange(N) % 3), round=r, strategy="mass", seed=r, price=1 + (r == 3))
        return path, ledger.rows()


@pytest.fixture
def path(sound, tmp_path):
    return Path(shutil.copy(sound[0], tmp_path / "book.sqlite"))


def edit(path, statement):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()


def saved(path):
    """The rows that are saved, from the number they had to the price; the file that was damaged stays as it was."""
    before = path.read_bytes()
    new = path.with_name("new.sqlite")
    new.unlink(missing_ok=True)
    kept, of = salvage.salvage(path, new)
    assert path.read_bytes() == before
    with book(new, 220) as ledger:
        rows = ledger.rows()
    assert len(rows) == kept <= of and [row.number for row in rows] == list(range(1, kept + 1))
    return [row[1:10] for row in rows], of


EDITS = [
    ("UPDATE purchases SET label = 'refund' WHERE number = 3", "purchase 3 (item {2}) was edited", [3]),
    ("UPDATE purchases SET price = 0 WHERE number = 7", "purchase 7 (item {6}) was edited", [7]),
    ("UPDATE purchases SET time = '' WHERE number = 140", "purchase 140 (item {139}) was edited", [140]),
    ("UPDATE purchases SET item = 179 - item WHERE number = 1", "purchase 1 ", [1]),
    ("UPDATE purchases SET previous = '' WHERE number = 5", "purchase 5 (item {4}) was edited", [5]),
    ("DELETE FROM purchases WHERE number = 1", "purchase 1 is missing", [1]),
    ("DELETE FROM purchases WHERE number = 20", "purchase 20 is missing", [20]),
    ("DELETE FROM purchases WHERE number = 140", "the last purchases were deleted", [140]),
    ("DELETE FROM purchases WHERE number > 130", "the last purchases were deleted", range(131, 141)),
    ("INSERT INTO purchases SELECT 141, 999, 'x', label, annotator, price, round, strategy, seed, time, chain, 'x' "
     "FROM purchases WHERE number = 140", "purchase 141 (item 999) was edited", []),
    ("UPDATE meta SET value = '99 since 2020' WHERE key = 'budget 0'", "the entry 'budget 0' of meta was edited", []),
    ("UPDATE meta SET value = '' WHERE key = 'head'", "the entry 'head' of meta was edited", []),
    ("UPDATE spare SET value = 'x' WHERE key = 'pool'", "the entry 'pool' of spare was edited", []),
    ("DELETE FROM meta WHERE key = 'label 1'", "entries of meta or spare are missing", []),
    ("DELETE FROM meta WHERE key = 'head'", "entries of meta or spare are missing", []),
    ("DELETE FROM meta", "entries of meta or spare are missing", []),
    ("CREATE TABLE more (x)", "its tables are not those of a ledger", []),
    ("CREATE TRIGGER more AFTER INSERT ON purchases BEGIN DELETE FROM purchases; END", "its tables are not those", []),
    ("DROP TABLE meta", "no such table: meta", []),
]


@pytest.mark.parametrize(("statement", "says", "lost"), EDITS)
def test_an_edit_by_hand_is_named_and_the_rest_is_saved(sound, path, statement, says, lost):
    rows = sound[1]
    if "179 - item" in statement:  # the item must be free
        statement = statement.replace("179 - item", str(min(set(range(N)) - {row.item for row in rows})))
    edit(path, statement)
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        book(path)
    line = str(error.value)
    assert f"is damaged: {says.format(*(row.item for row in rows))}" in line and "\n" not in line
    assert f"`python -m stackelberg_lib.pool.salvage {path}`" in line and path.read_bytes() == before
    kept, of = saved(path)
    assert {row[0] for row in kept} >= {row.item for row in rows if row.number not in lost}
    assert set(kept) <= {row[1:10] for row in rows}
    if "UPDATE" in statement:
        assert len(kept) == SOLD - len(lost)


def test_a_row_with_a_right_hash_of_its_own_does_not_pass_for_a_purchase(sound, path):
    """Rows from elsewhere in the book, moved or numbered anew, break the chain."""
    db = ledger_file.connect(path)
    forged = (141, 999, "text", "refund", "ann", 1, 0, "mass", 0, "now", sound[1][3].chain)
    db.execute(f"INSERT INTO purchases VALUES ({', '.join('?' * 12)})", (*forged, ledger_file.sealed(*forged)))
    db.close()
    with pytest.raises(InputError, match=r"purchase 141 \(item 999\) does not follow on the one before it"):
        book(path)


def test_spending_beyond_the_budget_is_noticed(path):
    db = ledger_file.connect(path)
    ledger_file.note(db, "meta", ("budget 0", "174 since then"))
    db.close()
    with pytest.raises(InputError, match="spent more than its budget of 174"):
        book(path)


def test_another_format_is_refused_without_talk_of_damage(path):
    db = ledger_file.connect(path)
    ledger_file.note(db, "meta", ("format", "2"))
    db.close()
    with pytest.raises(InputError, match="has format 2, this version reads 1; use the version that wrote it"):
        book(path)


def test_any_flipped_byte_is_refused_or_harmless_and_costs_one_row_at_most(sound, path):
    rows, data = [row[1:10] for row in sound[1]], path.read_bytes()
    for at in [*range(0, 100, 9), *RNG(1).integers(100, len(data), 60)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ RNG(at).integers(1, 256)]) + data[at + 1:])
        kept, _ = saved(path)
        assert len(kept) >= SOLD - 1 and set(kept) <= set(rows) and kept == [row for row in rows if row in kept]
        try:
            with book(path) as ledger:
                assert ledger.rows() == sound[1] and ledger.budget == 200
        except InputError as error:
            assert "is damaged" in str(error) and "\n" not in str(error), at
        for name in ("book.sqlite-wal", "book.sqlite-shm"):
            path.with_name(name).unlink(missing_ok=True)


@pytest.mark.parametrize("number", [2, 17, 140])
def test_a_flipped_byte_in_a_row_is_noticed_and_costs_that_row(sound, path, number):
    row = sound[1][number - 1]
    hashes = (row.previous + row.chain).encode()
    for at in (0, 63, 64, 127):
        data = sound[0].read_bytes()
        assert hashes in data
        path.write_bytes(data.replace(hashes, hashes[:at] + bytes([hashes[at] ^ 0x81]) + hashes[at + 1:]))
        with pytest.raises(InputError, match=rf"purchase {number} \(item {row.item}\) was edited"):
            book(path)
        assert saved(path) == ([r[1:10] for r in sound[1] if r != row], SOLD)


def test_a_flipped_byte_in_an_index_is_noticed_and_costs_nothing(sound, path):
    row, data = sound[1][50], path.read_bytes()
    text, label = row.text.encode(), row.label.encode()
    parts = data.split(text)  # in the table the label follows
    damaged = b"".join((b"" if i == 0 else text if part.startswith(label) else b"x" + text[1:]) + part
                       for i, part in enumerate(parts))
    assert len(damaged) == len(data) and damaged != data
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="is damaged: .*index"):
        book(path)
    assert saved(path) == ([r[1:10] for r in sound[1]], SOLD)


@pytest.mark.parametrize("byte", [b"\xbf", b"X"])
def test_damage_to_the_description_of_the_tables_costs_nothing(sound, path, byte):
    data = path.read_bytes()
    path.write_bytes(data.replace(b"CREATE TABLE purchases", b"CREATE TABLE" + byte + b"purchases"))
    with pytest.raises(InputError, match="is damaged"):
        book(path)
    assert saved(path) == ([r[1:10] for r in sound[1]], SOLD)


def test_of_two_rows_for_one_text_the_one_in_the_file_is_saved(sound, path, tmp_path):
    """A row of a transaction that did not come to its end may lie in the log, and another one was written since."""
    item, other = min(set(range(N)) - {row.item for row in sound[1]}), tmp_path / "other.sqlite"
    shutil.copy(path, other)
    for file, label in ((path, 0), (other, 1)):
        with book(file) as ledger:
            ledger.buy([item], Labelled({item: label}), round=9, strategy="mass", seed=0)
    path.with_name("book.sqlite-wal").write_bytes(other.read_bytes())
    kept, _ = saved(path)
    assert len(kept) == SOLD + 1 and kept[-1][0] == item and kept[-1][2] == "refund"


def test_without_any_budget_the_new_one_is_what_was_spent(path):
    for table in ("meta", "spare"):
        edit(path, f"UPDATE {table} SET value = '1 since then' WHERE key = 'budget 0'")
    new = path.with_name("new.sqlite")
    salvage.salvage(path, new)
    with pytest.raises(InputError, match="budget=174 is below the 175"):
        book(new, 174)
    db = ledger_file.connect(new)
    assert ledger_file.budgets(ledger_file.notes(db)) == [175]
    db.close()


@pytest.mark.parametrize("share", [0.95, 0.7, 0.4])
def test_what_lies_before_the_cut_of_a_truncated_file_is_saved(sound, path, share):
    data = path.read_bytes()
    data = data[:int(share * len(data))]
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        book(path)
    whole = [row[1:10] for row in sound[1] if (row.previous + row.chain).encode() in data]
    kept, of = saved(path)
    assert kept == whole and len(whole) < SOLD and (of == SOLD or share < 0.5)


def test_rows_that_are_only_in_the_log_are_saved(tmp_path):
    """A writer was killed while others read, so that its rows had not gone into the main file."""
    path, copy = tmp_path / "book.sqlite", tmp_path / "copy/book.sqlite"
    copy.parent.mkdir()
    with book(path) as ledger:
        reader = ledger_file.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM purchases").fetchall()
        ledger.buy(range(5), Labelled([0] * N), round=0, strategy="mass", seed=0)
        for file in (path, path.with_name("book.sqlite-wal")):
            shutil.copy(file, copy.parent)
        reader.close()
        rows = ledger.rows()
    assert all(row.chain.encode() not in copy.read_bytes() for row in rows)
    assert saved(copy) == ([row[1:10] for row in rows], 5)
    with book(copy) as ledger:
        assert ledger.rows() == rows


@pytest.mark.parametrize("content", [b"", b"text,label\nhello,refund\n", bytes(8192)])
def test_what_never_was_a_ledger(tmp_path, content, capsys):
    path = tmp_path / "book.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        book(path)
    assert path.read_bytes() == content
    assert salvage.main([str(path)]) == 2
    assert "0 intact purchases, but nothing intact says which pool" in capsys.readouterr().err
    assert not (tmp_path / "book.salvaged.sqlite").exists()


def test_a_log_without_its_file_is_refused(tmp_path):
    log = tmp_path / "book.sqlite-wal"
    log.write_bytes(b"x")
    with pytest.raises(InputError, match="book.sqlite-wal is there without book.sqlite"):
        book(tmp_path / "book.sqlite")
    assert [p.name for p in tmp_path.iterdir()] == [log.name]


def test_the_command(sound, path, capsys):
    edit(path, "UPDATE purchases SET label = 'refund' WHERE label = 'lost card' AND number < 30")
    wrong = sum(row.label == "lost card" and row.number < 30 for row in sound[1])
    assert salvage.main([str(path)]) == 0
    new = path.with_name("book.salvaged.sqlite")
    said = capsys.readouterr()
    assert f"{SOLD - wrong} of at least {SOLD} purchases are intact; copied to {new}" in said.out
    assert said.out.count("\n") == 1 and said.err == ""
    with book(new, 220) as ledger:
        assert ledger_file.budgets(ledger_file.notes(ledger._db)) == [200, 220]
        bought = ledger.buy(range(N - 20), Labelled(np.arange(N) % 3), round=4, strategy="mass", seed=0)
        assert bought.tolist() == (np.arange(N - 20) % 3).tolist()
    assert salvage.main([str(path)]) == 2 and "exists; move it away first" in capsys.readouterr().err
    assert salvage.main([]) == 2 and "usage" in capsys.readouterr().err
    assert salvage.main([str(path) + "x"]) == 2 and "No such file" in capsys.readouterr().err


def test_a_sound_ledger_salvages_to_the_same_digest(sound, path):
    new = path.with_name("new.sqlite")
    assert salvage.salvage(path, new) == (SOLD, SOLD)
    with book(path) as one, book(new) as two:
        assert one.digest() == two.digest() and one.rows() == two.rows()


def test_the_hashes_can_be_checked_with_other_means(sound):
    """The chain as the documentation describes it, computed here anew."""
    last = ""
    for row in sound[1]:
        fields = list(row[:10]) + [last]
        last = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
        assert row.chain == last
