"""Readers: what they accept, and one clear line for everything they refuse."""

import json

import numpy as np
import pytest

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def rows(n, classes=("a", "b")):
    return [{"text": f"text {i}", "label": classes[i % len(classes)]} for i in range(n)]


def test_pocketdesk_is_drawn_by_seed():
    a, b, c = sets.load("pocketdesk", 0), sets.load("pocketdesk", 0), sets.load("pocketdesk", 1)
    assert a.train_texts == b.train_texts and (a.test_labels == b.test_labels).all()
    assert a.train_texts != c.train_texts
    assert (len(a.train_texts), len(a.test_texts), len(a.label_names)) == (3000, 1000, 32)


def test_folder_with_train_and_test(tmp_path):
    jsonl(tmp_path / "train.jsonl", rows(10))
    (tmp_path / "test.csv").write_text('text,label\r\n"one, with comma\nand line",b\r\ntwo,a\r\n', encoding="utf-8")
    data = sets.load(str(tmp_path))
    assert data.label_names == ("a", "b")
    assert data.test_texts == ["one, with comma\nand line", "two"] and data.test_labels.tolist() == [1, 0]
    assert data.train_labels.tolist() == [0, 1] * 5


def test_single_file_is_split_by_seed_and_keeps_every_label_in_training(tmp_path):
    path = jsonl(tmp_path / "mine.jsonl", rows(40) + [{"text": "rare", "label": "c"}])
    first, again, other = (sets.load(str(path), s) for s in (0, 0, 1))
    assert first.train_texts == again.train_texts and first.train_texts != other.train_texts
    assert len(first.test_texts) == 8 and len(first.train_texts) == 33
    assert not set(first.train_texts) & set(first.test_texts)
    assert "rare" in first.train_texts and first.label_names == ("a", "b", "c")


def test_multiple_choice_rows_become_texts_with_their_options(tmp_path):
    path = jsonl(tmp_path / "q.jsonl",
                 [{"question": f"q{i}?", "options": ["x", "y"], "answer": "AB"[i % 2]} for i in range(10)])
    data = sets.load(str(path))
    assert data.label_names == ("A", "B") and data.train_texts[0].endswith("(A) x (B) y")


@pytest.mark.parametrize(("name", "content", "message"), [
    ("empty.jsonl", b"", "empty.jsonl is empty"),
    ("blank.csv", b"text,label\n", "blank.csv is empty"),
    ("a.jsonl", b'{"text": "x", "label": "a"}\n{"label": "b"}\n', "a.jsonl, line 2: no `text`"),
    ("a.jsonl", b'{"text": "  ", "label": "a"}\n', "a.jsonl, line 1: no `text`"),
    ("a.csv", b"text,label\nx,a\n,b\n", "a.csv, line 3: no `text`"),
    ("a.csv", b"sentence,label\nx,a\n", "a.csv, line 2: no `text`"),
    ("a.jsonl", b'{"text": "x"}\n', "a.jsonl, line 1: no usable `label` (None)"),
    ("a.jsonl", b'{"text": "x", "label": 1.5}\n', "a.jsonl, line 1: no usable `label` (1.5)"),
    ("a.jsonl", b'{"text": "x", "label": "a"}\n{"text": "caf\xe9", "label": "b"}\n',
     "a.jsonl, line 2: byte 0xe9 is not UTF-8"),
    ("a.jsonl", b'{"text": "x", "label": "a"\n', "a.jsonl, line 1: not JSON"),
    ("a.jsonl", b'["x", "a"]\n', "a.jsonl, line 1: not an object"),
    ("a.jsonl", b'{"question": "x", "answer": "A"}\n', "a.jsonl, line 1: a question needs `options`"),
    ("a.jsonl", b'{"text": "x", "label": "a"}\n{"text": "y", "label": "a"}\n',
     "training rows have the label 'a'; two classes are the least"),
    ("a.txt", b"x", "ends in .txt"),
])
def test_bad_files_get_one_line_with_the_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        sets.load(str(tmp_path / name))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_label_in_test_names_file_and_line(tmp_path):
    jsonl(tmp_path / "train.jsonl", rows(6))
    jsonl(tmp_path / "test.jsonl", [{"text": "x", "label": "a"}, {"text": "y", "label": "zebra"}])
    message = "test.jsonl, line 2: the test label 'zebra' is in no training row; known: a, b"
    with pytest.raises(InputError, match=message):
        sets.load(str(tmp_path))


def test_missing_paths_name_what_exists(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist.*pocketdesk, banking77"):
        sets.load(str(tmp_path / "nothing.jsonl"))
    monkeypatch.setenv("STACKELBERG_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sets, "__file__", str(tmp_path / "a" / "b" / "sets.py"))
    with pytest.raises(InputError, match="make data SET=banking77"):
        sets.load("banking77")
    (tmp_path / "banking77").mkdir()
    with pytest.raises(InputError, match="needs train and test files.*it holds nothing"):
        sets.load("banking77")


@pytest.mark.parametrize("bad", [0, -3, float("nan"), "nan", "many", 2.5, 101, "1e9", None, float("inf")])
def test_bad_budgets(bad):
    with pytest.raises(InputError, match="BUDGET=.*whole number from 1 to 100"):
        sets.check_budget(bad, 100)


@pytest.mark.parametrize(("good", "value"), [(1, 1), ("100", 100), (7.0, 7)])
def test_good_budgets(good, value):
    assert sets.check_budget(good, 100) == value


@pytest.mark.parametrize(("name", "train", "test", "classes"), [
    ("banking77", 10003, 3080, 77), ("chemprot", 4169, 3469, 13), ("stackoverflow20", 12000, 6000, 20),
    ("medmcqa_dev", 3346, 837, 4)])
def test_known_real_sets(name, train, test, classes, real_set):
    real_set(name)
    data = sets.load(name)
    assert (len(data.train_texts), len(data.test_texts), len(data.label_names)) == (train, test, classes)
    assert np.unique(data.train_labels).tolist() == list(range(classes)) and data.test_labels.max() < classes
