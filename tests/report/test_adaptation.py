"""`make adapt` and `make predict`, as a person runs them: the folder, the card, the flags, the refusals."""

import csv
import json
import resource
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from peft import PeftModel

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import adapt, card, features, finetune, registry
from stackelberg_lib.report import adaptation, predictions

WORDS = {"late": "where is my parcel", "lost": "the card is gone", "new": "i want a new router"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of `make adapt`, the file it was made from, and the facts."""
    folder = tmp_path_factory.mktemp("adapted")
    rows = [{"text": f"{text} , number {i}", "label": label} for i in range(60) for label, text in WORDS.items()]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = adaptation.run(str(folder / "mine.jsonl"), "pocket", "12", "coverage", 1, 2, 30, folder / "out")
    return folder, facts


def test_the_card_says_what_the_ledger_and_the_test_part_say(made):
    folder, facts = made
    found = sets.load(str(folder / "mine.jsonl"), 1)
    db = sqlite3.connect(folder / "out" / "labels.sqlite")
    bought = db.execute("SELECT item, label, strategy, seed FROM purchases ORDER BY number").fetchall()
    assert len(bought) == facts["labels"]["bought"] == facts["labels"]["spent"] == 12
    assert all(found.label_names[found.train_labels[item]] == label for item, label, _, _ in bought)
    assert facts["labels"]["strategies"] == {"coverage": 12} and {row[2:] for row in bought} == {("coverage", 1)}
    classifier, names = finetune.load_adapter(registry.resolve("pocket"), folder / "out")
    p = finetune.predict(classifier, features.Tokens(registry.resolve("pocket"), found.test_texts))
    right = int(np.sum(p.argmax(1) == found.test_labels))
    assert names == found.label_names and facts["accuracy"]["right"] == right
    assert facts["accuracy"]["low"] < right / 36 <= facts["accuracy"]["high"] and facts["accuracy"]["of"] == 36
    written = (folder / "out" / "README.md").read_text()
    assert written == card.text(facts) and f"{right / 36:.3f}" in written and "no certificate" in written
    assert facts["labels"]["ledger_sha256"] in written and card.read(folder / "out") == json.loads(json.dumps(facts))


def test_plain_peft_opens_the_folder(made):
    model = PeftModel.from_pretrained(features.load_backbone(registry.resolve("pocket")), made[0] / "out")
    assert any("lora_B" in name and weight.abs().max() > 0 for name, weight in model.named_parameters())


def test_the_same_command_again_buys_nothing_and_ends_the_same(made):
    folder, facts = made
    weights = (folder / "out" / "adapter_model.safetensors").read_bytes()
    again = adaptation.run(str(folder / "mine.jsonl"), "pocket", "12", "coverage", 1, 2, 30, folder / "out")
    assert again == facts and (folder / "out" / "adapter_model.safetensors").read_bytes() == weights


def test_predictions_are_the_models_and_flags_follow_the_threshold(made, tmp_path):
    folder, facts = made
    texts = ["the card is gone , number 7", "i want a new router please", "good morning"]
    (tmp_path / "new.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
    found = predictions.run(folder / "out", str(tmp_path / "new.csv"), None, tmp_path / "said.csv")
    with (tmp_path / "said.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    base = registry.resolve("pocket")
    classifier, names = finetune.load_adapter(base, folder / "out")
    p = finetune.predict(classifier, features.Tokens(base, texts))
    assert [row["text"] for row in rows] == texts and [row["label"] for row in rows] == [names[k] for k in p.argmax(1)]
    assert [row["confidence"] for row in rows] == [f"{c:.4f}" for c in p.max(1)]
    threshold = facts["settled"]["threshold"]
    assert [row["flag"] == "settled" for row in rows] == [threshold is not None and c >= threshold for c in p.max(1)]
    assert found["texts"] == 3 and found["sure"] == sum(row["flag"] == "settled" for row in rows)


def test_no_threshold_settles_nothing(made, tmp_path):
    folder, facts = made
    none = facts | {"settled": facts["settled"] | {"threshold": None}}
    for name in ("adapter_config.json", "adapter_model.safetensors", "head.safetensors", "labels.json"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    (tmp_path / card.FACTS).write_text(json.dumps(none))
    found = predictions.run(tmp_path, str(folder / "mine.jsonl"), None, tmp_path / "said.csv")
    assert found["sure"] == 0 and found["texts"] == 180 and "Settled answers:** none" in card.text(none)


def test_a_folder_gives_its_test_texts(made):
    assert sets.texts("pocketdesk", 3) == sets.load("pocketdesk", 3).test_texts


def test_refusals(made, tmp_path, capsys):
    folder, facts = made
    mine, out = str(folder / "mine.jsonl"), folder / "out"
    with pytest.raises(InputError, match="holds no adapted.json; give a folder that `make adapt` has finished"):
        predictions.run(tmp_path, mine, None, tmp_path / "said.csv")
    (tmp_path / card.FACTS).write_text("{")
    with pytest.raises(InputError, match="is not JSON; run `make adapt` again"):
        predictions.run(tmp_path, mine, None, tmp_path / "said.csv")
    moved = facts | {"base": facts["base"] | {"name": "gone"}}
    (tmp_path / card.FACTS).write_text(json.dumps(moved))
    with pytest.raises(InputError, match="the base model is 'gone'.*name its folder with MODEL="):
        predictions.run(tmp_path, mine, None, tmp_path / "said.csv")
    (tmp_path / card.FACTS).write_text(json.dumps(facts | {"base": facts["base"] | {"sha256": "0" * 64}}))
    with pytest.raises(InputError, match="MODEL=pocket is not the model that"):
        predictions.run(tmp_path, mine, None, tmp_path / "said.csv")
    with pytest.raises(InputError, match="cannot be written"):
        predictions.run(out, mine, None, tmp_path / "no" / "said.csv")
    (tmp_path / "bad.csv").write_text("words\nhello\n")
    with pytest.raises(InputError, match=r"bad.csv, line 2: no `text`; every row needs one \(columns: words\)"):
        predictions.run(out, str(tmp_path / "bad.csv"), None, tmp_path / "said.csv")
    for wrong in (["--rounds", "0"], ["--budget", "0"], ["--budget", "many"], ["--data", "nowhere"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["adapt", "--data", mine, "--out", str(tmp_path / "o"), *wrong])
            assert adaptation.main() == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_another_model_is_refused_with_an_old_ledger(made, tmp_path):
    folder, _ = made
    other = tmp_path / "other"
    other.mkdir()
    for file in registry.POCKET.iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    before = (folder / "out" / "labels.sqlite").read_bytes()
    with pytest.raises(InputError, match="was begun with another pool, labels or model: model is"):
        adaptation.run(str(folder / "mine.jsonl"), str(other), "12", "coverage", 1, 2, 30, folder / "out")
    assert (folder / "out" / "labels.sqlite").read_bytes() == before


def test_a_full_disk_is_said_in_one_line_and_what_was_bought_stays(made, tmp_path):
    """No file may grow beyond 400 kB: the ledger fits, the first checkpoint does not."""
    folder, _ = made
    mine, out = str(folder / "mine.jsonl"), tmp_path / "out"
    said = subprocess.run([sys.executable, "-m", "stackelberg_lib.report.adaptation", "--data", mine, "--budget", "3",
                           "--rounds", "1", "--steps", "1", "--out", str(out)], capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)))
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].startswith(f"error: OUT={out}: ") and "Traceback" not in said.stderr
    assert "what was bought is in the ledger" in said.stderr and not (out / card.FACTS).exists()
    task = adapt.prepare(sets.load(mine, 0), registry.resolve("pocket"))
    with adapt.book(task, out / "labels.sqlite", 3) as ledger:
        assert ledger.spent == 3
