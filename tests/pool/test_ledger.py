"""The ledger: a row before its use, one price a text, the budget among many, and what is refused."""

import hashlib
import importlib.util
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool import ledger_file, propose
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks/ledger_kills.py"
TEXTS = ["a", "b", "a", "c", "d", "b", "e", "\ud800 'x'; --"]
NAMES = ("Refund", "lost card", "'); DROP TABLE purchases; --")
TRUTH = np.array([0, 1, 0, 2, 0, 1, 1, 2])
TAGS = {"round": 0, "strategy": "mass", "seed": 3}


class Asked:
    """A source that remembers what it was asked, and does `then(item)` before it answers."""

    name = "ann"

    def __init__(self, answers=TRUTH, then=lambda item: None):
        self.answers, self.then, self.items = answers, then, []

    def __call__(self, item):
        self.items.append(item)
        self.then(item)
        return self.answers[item]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my book%20?.sqlite"


def book(path, texts=TEXTS, names=NAMES, model="m" * 64, budget=5):
    return Ledger(path, texts, names, model, budget)


def sql(path, *statements):
    """Edit the file by hand; returns the rows of the last statement."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return [db.execute(statement).fetchall() for statement in statements][-1]
    finally:
        db.close()


def refused(message, *args, **kwargs):
    """The one line with which `book` refuses."""
    with pytest.raises(InputError, match=message) as error:
        book(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_row_holds_all_of_a_purchase(path):
    source = Asked()
    with book(path) as ledger:
        y = ledger.buy([4, 1], source, round=2, strategy="mass", seed=7, price=2)
        rows = ledger.rows()
    assert y.tolist() == [0, 1] and source.items == [4, 1]
    assert [row[:9] for row in rows] == [
        (1, 4, hashlib.sha256(b"d").hexdigest(), "Refund", "ann", 2, 2, "mass", 7),
        (2, 1, hashlib.sha256(b"b").hexdigest(), "lost card", "ann", 2, 2, "mass", 7)]
    for row in rows:
        moment = datetime.fromisoformat(row.time)
        assert moment.utcoffset() == timedelta(0) and abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert sql(path, "SELECT item, label FROM purchases ORDER BY number") == [(4, "Refund"), (1, "lost card")]


def test_every_answer_is_on_disk_before_the_next_question(path):
    seen = []
    with book(path) as ledger:
        ledger.buy([3, 0, 1], Asked(then=lambda _: seen.append(sql(path, "SELECT count(*) FROM purchases")[0][0])),
                   **TAGS)
    assert seen == [0, 1, 2]


def test_nothing_is_asked_or_paid_twice(path):
    source = Asked()
    with book(path) as ledger:
        assert ledger.buy([1, 1, 0, 1], source, **TAGS).tolist() == [1, 1, 0, 1]
    with book(path) as ledger:
        assert ledger.buy([0, 3, 1], source, **TAGS).tolist() == [0, 2, 1]
        assert source.items == [1, 0, 3] and (ledger.spent, ledger.left, ledger.budget) == (3, 2, 5)


def test_equal_texts_share_one_purchase(path):
    source = Asked()
    with book(path) as ledger:
        assert ledger.buy([5, 2, 1, 0, 7], source, **TAGS).tolist() == [1, 0, 1, 0, 2]
        assert source.items == [5, 2, 7] and ledger.spent == 3
        assert ledger.labels().tolist() == [0, 1, 0, -1, -1, 1, -1, 2]
        assert ledger.copies().tolist() == [0, 1]
        assert ledger.buy([], source, **TAGS).tolist() == []


def test_what_a_round_saw(path):
    with book(path) as ledger:
        for r, item in enumerate([0, 3, 4]):
            ledger.buy([item], Asked(), **TAGS | {"round": r})
        assert [np.flatnonzero(ledger.labels(before=r) >= 0).tolist() for r in range(4)] == [
            [], [0, 2], [0, 2, 3], [0, 2, 3, 4]]


def test_too_little_left_asks_nothing(path):
    source = Asked()
    with book(path) as ledger:
        ledger.buy([0], source, **TAGS, price=2)
        with pytest.raises(InputError, match="2 labels at 2 each cost more than the 3 left.*at most 1"):
            ledger.buy([1, 3, 2], source, **TAGS, price=2)
        assert source.items == [0] and ledger.spent == 2
        ledger.buy([1], source, **TAGS, price=3)
        assert ledger.left == 0 and ledger.buy([0, 1, 2, 5], source, **TAGS).tolist() == [0, 1, 0, 1]


def test_a_raised_budget_is_written_down_and_a_lower_one_refused_below_what_is_spent(path):
    with book(path, budget=2) as ledger:
        ledger.buy([0, 1], Asked(), **TAGS)
    with book(path, budget=4) as ledger:
        ledger.buy([3], Asked(), **TAGS)
    assert refused("budget=2 is below the 3", path, budget=2).endswith("give at least 3")
    with book(path, budget=3) as ledger:
        assert ledger.left == 0
    with book(path, budget=3):
        pass
    found = [value.split() for value, in sql(path, "SELECT value FROM meta WHERE key LIKE 'budget%' ORDER BY key")]
    assert [words[:2] for words in found] == [["2", "since"], ["4", "since"], ["3", "since"]]
    assert all(datetime.fromisoformat(words[2]).utcoffset() == timedelta(0) for words in found)


@pytest.mark.parametrize(("other", "says", "differ"), [
    (dict(texts=[*TEXTS[:-1], "new"]), "pool is '8 texts, sha256", 1),
    (dict(texts=[TEXTS[1], TEXTS[0], *TEXTS[2:]]), "pool is '8 texts, sha256", 1),
    (dict(texts=TEXTS[:-1]), "pool is '7 texts, sha256", 1),
    (dict(names=NAMES[:2]), "labels is '2', was '3'", 1),
    (dict(names=(*NAMES, "more")), "labels is '4', was '3'; label 3 is 'more', was None", 2),
    (dict(names=("refund", *NAMES[1:])), "label 0 is 'refund', was 'Refund'", 1),
    (dict(names=(NAMES[1], NAMES[0], NAMES[2])), "label 0 is 'lost card', was 'Refund'; label 1", 2),
    (dict(model="n" * 64), f"model is '{'n' * 64}', was '{'m' * 64}'", 1),
])
def test_a_ledger_of_something_else_is_refused(path, other, says, differ):
    with book(path) as ledger:
        ledger.buy([0], Asked(), **TAGS)
    line = refused("begun with another pool, labels or model", path, **other)
    assert says in line and line.count(", was ") == differ and "or another path to begin a new ledger" in line
    with book(path) as ledger:
        assert ledger.spent == 1


@pytest.mark.parametrize("answer", ["gift", "", 3, -1, None, 1.0, "Refund card"])
def test_an_unknown_label_is_refused_and_nothing_lost(path, answer):
    with book(path) as ledger:
        with pytest.raises(InputError) as error:
            ledger.buy([0, 3, 1], Asked({0: 0, 3: answer, 1: 1}), **TAGS)
        assert f"item 3 {answer!r}" in str(error.value) and all(repr(name) in str(error.value) for name in NAMES)
        assert ledger.labels().tolist() == [0, -1, 0, -1, -1, -1, -1, -1] and ledger.spent == 1


def test_case_and_space_do_not_make_a_new_label(path):
    with book(path) as ledger:
        y = ledger.buy([0, 1, 3, 4], Asked({0: " refund\n", 1: "LOST CARD", 3: np.int64(2), 4: "Refund"}), **TAGS)
        assert y.tolist() == [0, 1, 2, 0]
        assert [row.label for row in ledger.rows()] == [NAMES[0], NAMES[1], NAMES[2], NAMES[0]]


def acquire(path, source):
    """Three rounds of two labels, as a loop of adaptation does it from its start; returns the digest and the rows."""
    features, rng = np.random.default_rng(0).normal(size=(8, 3)), np.random.default_rng(1)
    features[[2, 5]] = features[[0, 1]]
    with book(path, budget=6) as ledger:
        for r in range(3):
            rows = propose(features, 2, ledger.labels(before=r), rng=rng, strategy="kmeans_margin")
            ledger.buy(rows, source, round=r, strategy="kmeans_margin", seed=1)
        return ledger.digest(), [row[:9] for row in ledger.rows()]


@pytest.mark.parametrize("when", range(6))
def test_an_interrupted_run_resumes_to_the_same_purchases(path, tmp_path, when):
    whole = acquire(tmp_path / "whole.sqlite", Asked())
    count = iter(range(100))

    def interrupt(_):
        if next(count) == when:
            raise KeyboardInterrupt

    first, second = Asked(then=interrupt), Asked()
    with pytest.raises(KeyboardInterrupt):
        acquire(path, first)
    assert acquire(path, second) == whole
    assert len(whole[1]) == 6 and first.items[:-1] + second.items == [row[1] for row in whole[1]]


def test_of_two_annotators_the_first_row_stands(path):
    with book(path) as one, book(path) as two:
        slow = Asked([2] * 8, then=lambda item: two.buy([0, 1], Asked(), **TAGS))
        assert one.buy([2, 1], slow, **TAGS).tolist() == [0, 1]
        assert slow.items == [2] and one.spent == two.spent == 2
        assert {row.annotator for row in one.rows()} == {"ann"} and one.copies().tolist() == [2, 5]


def test_others_who_spend_meanwhile_cannot_make_it_overspend(path, monkeypatch):
    monkeypatch.setattr(ledger_file, "WAIT", 0.05)
    with book(path, budget=2) as one, book(path, budget=2) as two:
        with pytest.raises(InputError, match="item 3 costs 1, and 0 is left of the budget of 2"):
            one.buy([3], Asked(then=lambda item: two.buy([0, 1], Asked(), **TAGS)), **TAGS)
        assert [row.item for row in one.rows()] == [0, 1] and one.left == 0
        with book(path, budget=3) as three:  # nothing is locked any more
            assert three.buy([3], Asked(), **TAGS).tolist() == [2] and one.left == 0


def test_a_budget_raised_by_another_process_counts_at_once(path):
    with book(path, budget=1) as one:
        one.buy([0], Asked(), **TAGS)
        book(path, budget=2).close()
        assert one.left == 1 and one.buy([1], Asked(), **TAGS).tolist() == [1]


def test_a_ledger_that_another_holds_is_named(path, monkeypatch):
    monkeypatch.setattr(ledger_file, "WAIT", 0.05)
    with book(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="'Refund' for item 0 was not bought.*another process has held it"):
            ledger.buy([0], Asked(), **TAGS)
        other.execute("ROLLBACK")
        assert ledger.buy([0], Asked(), **TAGS).tolist() == [0]
        other.close()


def test_a_ledger_of_another_thread_or_closed_is_refused(path):
    found = []

    def use():
        try:
            ledger.rows()
        except InputError as error:
            found.append(str(error))

    with book(path) as ledger:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    use()
    assert len(found) == 2 and all("each thread needs a Ledger of its own, that is still open" in f for f in found)


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(texts=[]), "texts is empty"),
    (dict(names=()), "names holds 0 labels"),
    (dict(names=("a", "a", "b")), "names holds 3 labels, 2 of them different"),
    (dict(names=("a", "")), "label or model '' must be printable text"),
    (dict(names=("a", "b\n")), "must be printable text"),
    (dict(names=("a", "é" * 500)), "1 to 999 bytes"),
    (dict(model=None), "label or model 'None'"),
    (dict(budget=0), "budget=0 must be a whole number from 1"),
    (dict(budget=2.5), "budget=2.5 must be"),
])
def test_bad_input_to_open(path, arguments, message):
    refused(message, path, **arguments)
    assert not path.exists() and list(path.parent.iterdir()) == []


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(items=[8]), "items must be whole numbers from 0 to 7"),
    (dict(items=[-1]), "items must be"),
    (dict(items=[0.0]), "items must be"),
    (dict(items=[[0]]), "items must be"),
    (dict(items=[True]), "items must be"),
    (dict(price=0), "price=0 must be"),
    (dict(price=0.5), "price=0.5 must be"),
    (dict(round=-1), "round=-1 must be"),
    (dict(seed=2**63), "seed=9223372036854775808 must be"),
    (dict(strategy=""), "strategy '' must be"),
])
def test_bad_input_to_buy(path, arguments, message):
    source = Asked()
    with book(path) as ledger:
        with pytest.raises(InputError, match=message):
            ledger.buy(**{"items": [0], "source": source, **TAGS, **arguments})
        assert source.items == [] and ledger.rows() == []


@pytest.mark.parametrize("where", ["nowhere/x.sqlite", "."])
def test_a_place_that_cannot_be_written(tmp_path, where):
    refused("give a file on a local disk", tmp_path / where)


def test_a_ledger_that_vanishes_is_not_begun_anew(path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        ledger_file.connect(path)
    assert not path.exists()


FULL = """
import resource, sys
from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled
texts = [f"text {i}" for i in range(500)]
with Ledger(sys.argv[1], texts, ["a", "b"], "m", 500) as ledger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))  # no file may grow beyond this
    try:
        ledger.buy(range(500), Labelled([i % 2 for i in range(500)]), round=0, strategy="first", seed=0)
    except InputError as error:
        print(error)
    print((ledger.labels() >= 0).sum())
"""


def test_a_full_disk_loses_nothing(path):
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    line, count = done.stdout.splitlines()
    n = int(count)
    assert f"'{'ab'[n % 2]}' for item {n} was not bought, all earlier purchases are kept" in line
    assert "make room on the disk" in line and 20 < n < 499 and done.stderr == ""
    with Ledger(path, [f"text {i}" for i in range(500)], ["a", "b"], "m", 500) as ledger:
        assert [(row.item, row.label) for row in ledger.rows()] == [(i, "ab"[i % 2]) for i in range(n)]
        assert ledger.buy([n], Labelled({n: 1}), **TAGS).tolist() == [1]


def test_a_full_database_loses_nothing(path):
    texts = [f"text {i}" for i in range(200)]
    with Ledger(path, texts, NAMES, "m", 200) as ledger:
        ledger._db.execute(f"PRAGMA max_page_count = {ledger._db.execute('PRAGMA page_count').fetchone()[0] + 4}")
        with pytest.raises(InputError, match="database or disk is full; make room"):
            ledger.buy(range(200), Labelled([0] * 200), **TAGS)
        n = ledger.spent
        assert 5 < n < 199 and ledger.labels().tolist() == [0] * n + [-1] * (200 - n)
    with Ledger(path, texts, NAMES, "m", 200) as ledger:
        assert ledger.buy(range(200), Labelled([0] * 200), **TAGS).tolist() == [0] * 200


def test_the_file_alone_holds_all_while_it_is_open(path, tmp_path):
    """So that a log that is lost or damaged takes no purchase with it."""
    with book(path) as ledger:
        for item in (0, 1, 3):
            ledger.buy([item], Asked(), **TAGS)
            shutil.copy(path, tmp_path / "copy.sqlite")
            with book(tmp_path / "copy.sqlite") as copy:
                assert copy.rows() == ledger.rows()
            (tmp_path / "copy.sqlite").unlink()
        mode, sync = (ledger._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
        assert (mode, sync) == ("wal", 2)


def test_the_digest_is_of_the_purchases_and_not_of_their_times(tmp_path):
    def digest(name, items=(0, 1), answers=TRUTH, price=1, **other):
        with book(tmp_path / name, **other) as ledger:
            empty = ledger.digest()
            for item in items:
                ledger.buy([item], Asked(answers), **TAGS, price=price)
            assert ledger.digest() != empty
        with book(tmp_path / name, **other) as ledger:
            return ledger.digest()

    first = digest("1")
    sql(tmp_path / "1", "UPDATE purchases SET time = 'later'")  # unnoticed until it is opened again
    db = ledger_file.connect(tmp_path / "1")
    assert ledger_file.digest(db) == first and len(first) == 64
    db.close()
    assert digest("2") == first and digest("3", budget=4) == first
    others = [digest("4", (1, 0)), digest("5", (0,)), digest("6", (2, 1)), digest("7", answers=[1] * 8),
              digest("8", price=2), digest("9", model="n"), digest("10", names=(*NAMES, "x"))]
    assert len({first, *others}) == 8


class Book:
    """What a ledger must do, in plain Python: texts to labels, a sum, budgets."""

    def __init__(self, budget):
        self.budget, self.spent, self.known, self.items = budget, 0, {}, []

    def buy(self, items, price):
        fresh = list(dict.fromkeys(TEXTS[i] for i in items if TEXTS[i] not in self.known))
        if len(fresh) * price > self.budget - self.spent:
            return None
        for i in items:
            if TEXTS[i] not in self.known:
                self.known[TEXTS[i]], self.spent = int(TRUTH[i]), self.spent + price
                self.items.append((i, price))
        return [self.known[TEXTS[i]] for i in items]

    def labels(self):
        return [self.known.get(text, -1) for text in TEXTS]


STEP = st.one_of(st.tuples(st.just("buy"), st.lists(st.integers(0, 7), max_size=4), st.integers(1, 3)),
                 st.tuples(st.just("open"), st.integers(1, 14)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.lists(STEP, max_size=10))
def test_any_course_of_events_agrees_with_a_plain_book(budget, steps):
    with tempfile.TemporaryDirectory() as folder:
        path, plain = Path(folder) / "book.sqlite", Book(budget)
        ledger = book(path, budget=budget)
        for what, *arguments in steps:
            if what == "buy":
                items, price = arguments
                want = plain.buy(items, price)
                if want is None:
                    with pytest.raises(InputError, match="cost more than"):
                        ledger.buy(items, Asked(), **TAGS, price=price)
                else:
                    assert ledger.buy(items, Asked(), **TAGS, price=price).tolist() == want
            elif arguments[0] < plain.spent:
                ledger.close()
                refused("is below the", path, budget=arguments[0])
                ledger = book(path, budget=plain.budget)
            else:
                ledger.close()
                plain.budget = arguments[0]
                ledger = book(path, budget=plain.budget)
            assert (ledger.budget, ledger.spent, ledger.labels().tolist()) == (
                plain.budget, plain.spent, plain.labels())
            assert [(row.item, row.price) for row in ledger.rows()] == plain.items
        ledger.close()


def test_killed_at_random_the_book_stays_whole(tmp_path):
    """The short form of `make ledger-kills`."""
    spec = importlib.util.spec_from_file_location("benchmark_ledger_kills", BENCHMARK)
    kills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kills)
    found = kills.run(tmp_path, processes=4, budget=200, kills=8, seed=0)
    assert kills.holds(found)
    assert found["rows"] == found["spent"] == 200 and 150 < found["reported"] <= 200 < found["asked"]
    assert [p.name for p in tmp_path.glob("*.sqlite*")] == ["ledger.sqlite"]
    for bad in ("items_twice", "texts_twice", "reported_lost", "wrong", "failed", "rows", "spent"):
        assert not kills.holds(found | {bad: 1})
    texts, _ = kills.pool(200)
    with Ledger(tmp_path / "ledger.sqlite", texts, kills.NAMES, "none", 200) as ledger:
        unsold = int(np.flatnonzero(ledger.labels() < 0)[0])
    (tmp_path / "x.reported").write_text(f"{unsold} 0\n")
    assert kills._found(tmp_path, 200)["reported_lost"] == 1
