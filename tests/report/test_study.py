"""The study: it resumes where it stopped, and its curves and intervals are what they say."""

import json

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import study


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    rows = [{"text": f"{w} {i}", "label": w} for i in range(30) for w in ("late", "lost", "new")]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(tmp_path / "mine.jsonl")


def test_a_stopped_study_goes_on_where_it_was(small):
    path = study.run(small, "pocket", budget=6, rounds=2, seeds=1, steps=2)
    lines = path.read_text().splitlines()
    assert [json.loads(line)["strategy"] for line in lines] == ["mass", "margin", "random", "all"]
    path.write_text("\n".join(lines[:2]) + "\n")
    again = study.run(small, "pocket", budget=6, rounds=2, seeds=1, steps=2).read_text().splitlines()
    assert again[:2] == lines[:2] and len(again) == 4
    for old, new in zip(lines, again, strict=True):
        old, new = json.loads(old), json.loads(new)
        assert old["accuracy"] == new["accuracy"] and old["labels"] == new["labels"]
    record = json.loads(again[0])
    assert record["labels"] == [3, 6] and record["steps"] == 2 and {"date", "commit", "torch", "device"} <= set(record)
    assert study.draw(small, "pocket").stat().st_size > 5000


def test_curves_line_up_by_seed():
    runs = [{"strategy": "mass", "seed": s, "labels": [1, 2], "accuracy": [s / 10, s / 5]} for s in (2, 0, 1)]
    labels, accuracy = study.curves(runs, "mass")
    assert labels.tolist() == [1, 2] and accuracy[:, 0].tolist() == [0.0, 0.1, 0.2]
    with pytest.raises(InputError, match="strategy='margin' has no run"):
        study.curves(runs, "margin")


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        low, high = study.interval(rng.normal(size=(40, 1)), draws=400)
        covered.append(low[0] <= 0 <= high[0])
    assert 0.90 < np.mean(covered) < 0.98  # the percentile bootstrap runs a little short at 40 seeds
