"""Data sets by hub id, from a local mirror and offline; and the one line where there is neither."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stackelberg_lib.data import hub

ROOT = Path(__file__).resolve().parents[2]
# In processes of their own: the hub library reads its environment when it is imported.
LOAD = """
import json, sys
from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
assert not {"datasets", "huggingface_hub", "pandas", "torch"} & set(sys.modules)
for data in sys.argv[1:]:
    try:
        got = sets.load(data, 0)
        print(json.dumps([got.name, got.train_texts, got.train_labels.tolist(), got.test_texts,
                          got.test_labels.tolist(), got.label_names, got.source]))
    except InputError as error:
        print("error:", error)
"""
README = """---
dataset_info:
  features:
  - name: utterance
    dtype: string
  - name: intent
    dtype:
      class_label:
        names:
          '0': refund
          '1': lost card
---
"""


def mirror(folder, name, files):
    """A data set in the layout of the hub's cache."""
    repo = folder / f"datasets--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    for path, content in files.items():
        target = repo / "snapshots" / "abc123" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def lines(rows, text="text", label="label"):
    return "".join(json.dumps({text: t, label: y}) + "\n" for t, y in rows)


def load(folder, *data, **env):
    """What `sets.load` says of each id, one line each."""
    env = {"HF_HUB_CACHE": str(folder), "HF_HOME": str(folder / "home"), "PATH": "", "NO_PROXY": "127.0.0.1",
           "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run([sys.executable, "-c", LOAD, *data], env=env, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_hub_id_is_read_from_a_local_mirror_without_a_hub(tmp_path):
    rows = [("my card is gone", 1), ("money back", 0), ("where is it", 1)]
    mirror(tmp_path, "owner/plain", {"train.jsonl": lines([("a b", "x"), ("c", "y")]),
                                     "test.jsonl": lines([("d", "y")]),
                                     "plain.py": "raise SystemExit('code of a data set was run')"})
    mirror(tmp_path, "owner/named", {"README.md": README, "data/train.jsonl": lines(rows, "utterance", "intent"),
                                     "data/validation.jsonl": lines(rows[:1], "utterance", "intent")})
    ten = "".join(f"t{i},{'pq'[i % 2]}\n" for i in range(10))
    mirror(tmp_path, "owner/single", {"train.csv": "text,label\n" + ten})
    mirror(tmp_path, "owner/untrained", {"test.jsonl": lines([("a", "x")])})
    got = load(tmp_path, "owner/plain", "owner/named:utterance,intent", "owner/single", "owner/named",
               "owner/untrained", "owner/absent", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    plain, named, single = map(json.loads, got[:3])
    assert plain == ["owner/plain", ["a b", "c"], [0, 1], ["d"], [1], ["x", "y"],
                     "hub id owner/plain, columns text and label, tested on test"]
    assert named[1:6] == [[t for t, _ in rows], [0, 1, 0], ["my card is gone"], [0], ["lost card", "refund"]]
    assert named[6].endswith("tested on validation")
    assert len(single[1]) == 8 and len(single[3]) == 2 and sorted(single[1] + single[3]) == [f"t{i}" for i in range(10)]
    assert got[3].startswith("error: owner/named, train: no column 'text'; name two of utterance, intent as in ")
    assert got[4] == "error: DATA=owner/untrained has no part called train; it has test"
    assert got[5].startswith("error: DATA=owner/absent is not on this disk and the hub did not give it (")
    assert got[5].endswith("use pocketdesk, a known set, a .jsonl or .csv file, or a folder with train and test files")
    assert len(got) == 6


def test_a_hub_that_does_not_answer_is_one_line(tmp_path):
    line, = load(tmp_path, "owner/absent", HF_ENDPOINT="http://127.0.0.1:9")
    assert line.startswith("error: DATA=owner/absent is not on this disk and the hub did not give it (")


@pytest.mark.parametrize(("data", "wanted"), [
    ("owner/name", True), ("owner/name:text,label", True), ("owner/na.me-2", True), ("pocketdesk", False),
    ("./owner/name", False), ("a/b/c", False), ("owner/name:text", False), ("~/name", False), ("/name", False),
    ("folder/missing.csv", False), ("folder/missing.jsonl", False),
])
def test_what_an_id_looks_like(data, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.is_id(data) is wanted


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not hub.is_id("owner/name")
