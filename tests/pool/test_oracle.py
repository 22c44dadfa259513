"""Sources of labels: who answers what, and when nobody does."""

import io
import time

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.pool.ledger import Ledger
from stackelberg_lib.pool.oracle import Labelled, Noisy, Person, Slow, evenly, listed, number_of

NAMES = ("Refund", "lost card", "rate")
TAGS = {"round": 0, "strategy": "mass", "seed": 0}


@pytest.mark.parametrize(("label", "number"), [
    (0, 0), (np.int64(2), 2), (3, None), (-1, None), (1.0, None), (None, None), ("1", None),
    ("Refund", 0), ("refund", 0), ("  REFUND\n", 0), ("lost  card", None), ("", None), ("lost", None),
])
def test_number_of(label, number):
    assert number_of(label, NAMES) == number


def test_a_name_as_it_stands_goes_before_one_that_is_alike():
    names = ("US", "us", "it", " IT ")
    assert [number_of(s, names) for s in ("US", "us", "Us", "it", " IT ", "It")] == [0, 1, None, 2, 3, None]


def test_listed():
    assert listed(["a", "b"]) == "'a', 'b'" and listed(list("abcd"), 2) == "'a', 'b' and 2 more"


def test_labels_at_hand():
    assert [Labelled([4, 5])(1), Labelled(np.array([4, 5]))(0), Labelled({7: "x"}, "csv")(7)] == [5, 4, "x"]
    for source in (Labelled([4, 5], "csv"), Labelled(np.array([4, 5]), "csv"), Labelled({7: "x"}, "csv")):
        with pytest.raises(InputError, match="csv has no label for item 2"):
            source(2)


def test_evenly():
    np.testing.assert_allclose(evenly(0.3, 4), np.full((4, 4), 0.1) + 0.6 * np.eye(4), rtol=1e-12)
    for rate, classes in ((-0.1, 3), (1.1, 3), (float("nan"), 3), (0.1, 1)):
        with pytest.raises(InputError, match="give a rate from 0 to 1"):
            evenly(rate, classes)


def test_noise_has_the_rates_of_its_confusion():
    """Counts over 3,000 items a class against the matrix, within five standard errors, both sides."""
    confusion = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    truth = np.repeat([0, 1, 2], 3000)
    source = Noisy(truth, confusion, 5)
    said = np.array([source(i) for i in range(9000)])
    for j in range(3):
        rate = np.bincount(said[truth == j], minlength=3) / 3000
        assert (np.abs(rate - confusion[j]) <= 5 * np.sqrt(confusion[j] * (1 - confusion[j]) / 3000)).all()
    wrong = (said != truth)[:3000]
    assert abs(np.corrcoef(wrong[1:], wrong[:-1])[0, 1]) < 5 / np.sqrt(3000)


def test_a_noisy_annotator_repeats_itself_in_any_order():
    truth, confusion = np.arange(200) % 4, evenly(0.5, 4)
    source = Noisy(truth, confusion, 1)
    first = [source(i) for i in range(200)]
    assert [source(i) for i in reversed(range(200))][::-1] == first
    assert [Noisy(truth, confusion, 1)(i) for i in range(200)] == first
    assert [Noisy(truth, confusion, 2)(i) for i in range(200)] != first
    assert [Noisy(truth, evenly(0, 4), 1)(i) for i in range(200)] == truth.tolist()


@pytest.mark.parametrize(("truth", "confusion", "message"), [
    ([0, 1], np.full((2, 2), 0.6), "rows sum to 1"),
    ([0, 1], np.array([[1.5, -0.5], [0, 1]]), "rows sum to 1"),
    ([0, 1], np.ones((2, 1)), "give a square"),
    ([0, 1], 0.2, "give a square"),
    ([0, 2], evenly(0.1, 2), "not in 0..1"),
    ([0, -1], evenly(0.1, 2), "not in 0..1"),
])
def test_noise_that_cannot_be(truth, confusion, message):
    with pytest.raises(InputError, match=message):
        Noisy(truth, confusion, 0)


def test_a_slow_source_takes_its_time():
    source, begin = Slow(Labelled([2], "ann"), 0.05), time.perf_counter()
    assert source(0) == 2 and source.name == "ann" and time.perf_counter() - begin >= 0.05


def person(typed, names=NAMES, texts=("my card is gone",)):
    show = io.StringIO()
    return Person(texts, names, io.StringIO(typed), show), show


def test_a_person_is_asked_until_the_answer_is_a_label():
    source, show = person("gift\n\n3\n-1\n1.0\n Lost CARD \n0\n")
    assert (source(0), source(0)) == (1, 0)
    said = show.getvalue()
    assert said.startswith("\nmy card is gone\n[0 Refund, 1 lost card, 2 rate]\nlabel: ")
    assert said.count("label: ") == 7 and said.count("is none of them") == 5 and "'gift' is none of them" in said


def test_names_that_are_numbers_are_not_numbered():
    source, show = person("0\n2\n", ("1", "2", "3"))
    assert source(0) == 1 and "[1, 2, 3]" in show.getvalue() and "'0' is none" in show.getvalue()


def test_a_text_cannot_steer_the_terminal():
    source, show = person("0\n", texts=["a\x1b[2Jb\tc\nd\r"])
    assert source(0) == 0 and show.getvalue().startswith("\na\ufffd[2Jb\tc\nd\ufffd\n[0 Refund")


class Interrupted(io.StringIO):
    """Typed lines, then Ctrl-C."""

    def readline(self):
        line = super().readline()
        if not line:
            raise KeyboardInterrupt
        return line


@pytest.mark.parametrize(("stream", "error"), [(io.StringIO, InputError), (Interrupted, KeyboardInterrupt)])
def test_a_person_who_leaves_loses_nothing(tmp_path, stream, error):
    texts = [f"text {i}" for i in range(5)]
    for typed, known in (("0\nrate\n", [0, 2, -1, -1, -1]), ("1\n", [0, 2, 1, -1, -1])):
        with Ledger(tmp_path / "book.sqlite", texts, NAMES, "m", 5) as ledger:
            with pytest.raises(error) as raised:
                ledger.buy(range(5), Person(texts, NAMES, stream(typed), io.StringIO()), **TAGS)
            if error is InputError:
                assert f"before item {known.index(-1)} was answered" in str(raised.value)
            assert ledger.labels().tolist() == known
            assert {row.annotator for row in ledger.rows()} == {"person"}
