"""The study of streams: what is drawn, what a line holds, and what the summary makes of it."""

import json

import numpy as np
import pytest

from stackelberg_lib.data import pocketdesk
from stackelberg_lib.errors import InputError
from stackelberg_lib.report import stream_study
from stackelberg_lib.report.stream_study import Cell


def line(arm, seed, wrong, bought=(), start="same"):
    return {"model": "m", "start": start, "strategy": arm, "seed": seed, "rounds": 6, "wrong": wrong,
            "bought": list(bought)}


def test_late_intents_come_in_the_second_half_only():
    same, late = (stream_study.drawn(start, 0) for start in stream_study.STARTS)
    half = stream_study.ROUNDS // 2
    rare = np.isin(late.train_labels, pocketdesk.LATE)
    assert not rare[:half].any() and not np.isin(late.test_labels, pocketdesk.LATE).any()
    expected = pocketdesk.prior()[list(pocketdesk.LATE)].sum()
    assert rare[half:].mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / half))
    assert np.isin(same.train_labels[:half], pocketdesk.LATE).mean() == pytest.approx(expected, abs=0.06)
    assert len(same.train_texts) == len(late.train_texts) == 2 * half and len(late.test_texts) == stream_study.PAST
    shares = np.bincount(late.train_labels[:half], minlength=32) / half
    left = pocketdesk.prior() * ~np.isin(np.arange(32), pocketdesk.LATE)
    assert np.abs(shares - left / left.sum()).max() < 0.06


def test_a_cell_is_the_walk_it_names(tmp_path, monkeypatch):
    for name, value in {"ROUNDS": 60, "PAST": 40, "BUDGET": 8, "EVERY": 4, "STEPS": 2}.items():
        monkeypatch.setattr(stream_study, name, value)
    found = {arm: stream_study.run(Cell("pocket", "same", arm, 1)) for arm in ("first", "all")}
    texts = stream_study.drawn("same", 1).train_texts
    new = [t for t in range(60) if texts[t] not in texts[:t]]
    assert found["first"]["bought"] == new[:8] and found["all"]["bought"] == new
    assert found["first"]["updates"] == [new[3], new[7]] and len(found["all"]["updates"]) == 2
    assert set(found["first"]["wrong"]) <= set(range(60)) and json.dumps(found)


def test_regret_is_against_all_labels_seed_by_seed(monkeypatch, capsys):
    lines = [line("all", s, [0]) for s in (0, 1, 2)]
    for arm in ("margin", "random", "first"):
        lines += [line(arm, s, [0, 1], [0, 1]) for s in (0, 1)]
    lines += [line("llf", 0, [0, 2, 3], [2]), line("llf", 1, [4], [0]), line("llf", 2, [1, 2, 3, 4])]
    found = stream_study.regrets(lines, "same")
    assert found.keys() == {"llf", "margin", "random", "first"} and found["llf"].shape == (2, 3, 6)
    assert found["llf"][0].tolist() == [[0, 0, 1, 2, 2, 2], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert found["llf"][1, :, -1].tolist() == [0, -1, 1]
    monkeypatch.setattr(stream_study, "read", lambda model: lines)
    said = stream_study.summary("m")
    assert said["same/llf"]["regret"] == 1.0 and said["same/llf"]["seeds"] == 2
    assert "left out: late: no seed of start='late' is finished by every gate" in capsys.readouterr().err
    with pytest.raises(InputError, match="run `make study`"):
        stream_study.regrets(lines[:5], "same")
