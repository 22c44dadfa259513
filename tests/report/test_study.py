"""The studies' common parts and the study of LoRA: resuming, shared seeds, what an arm may differ in, the summary."""

import json
import sys
from operator import methodcaller

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.plots.intervals import t_interval
from stackelberg_lib.report import cells, study
from stackelberg_lib.report.study import Cell


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A set of three classes, four labels a class, two steps a fine-tuning; cells are done in this process."""
    rows = [{"text": f"{w} {i}", "label": w} for i in range(40) for w in ("late", "lost", "new")]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for name, value in {"RESULTS": tmp_path, "STEPS": {"pocket": 2}, "PER_CLASS": 4, "ROUNDS": 2, "EPOCHS": 1}.items():
        monkeypatch.setattr(study, name, value)

    def do(todo, run, path_of, workers):
        for cell in todo:
            line = run(cell)
            with path_of(line).open("a") as out:
                out.write(json.dumps(line) + "\n")

    monkeypatch.setattr(cells, "do", do)
    return str(tmp_path / "mine.jsonl")


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["study", *words])
    return study.main()


def test_a_stopped_study_goes_on_where_it_was(small, monkeypatch, capsys):
    words = ("--data", small, "--model", "pocket", "--seeds", "1", "--starts", "own")
    assert command(monkeypatch, *words) == 0
    path = study.path_of(small, "pocket")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["strategy"] for line in lines] == [*study.ARMS, "all"]
    path.write_text("\n".join(lines[:2]) + "\n")
    assert command(monkeypatch, *words) == 0
    again = path.read_text().splitlines()
    assert again[:2] == lines[:2] and len(again) == len(lines)
    for old, new in zip(map(json.loads, lines), map(json.loads, again), strict=True):
        assert (old["accuracy"], old["labels"], old["ece"]) == (new["accuracy"], new["labels"], new["ece"])
    first, ceiling = json.loads(lines[0]), json.loads(lines[-1])
    assert first["labels"] == [6, 12] and first["steps"] == [2, 2] and ceiling["steps"] == [6]
    assert ceiling["labels"] == [77]  # 80 % of the 96 texts that the file gives to the pool
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = last[f"{small}/pocket"]
    assert found["random"]["seeds"] == 1 and len(found["reach"]) == 3
    assert path.with_suffix(".png").stat().st_size > 5000


def test_arms_of_a_seed_share_pool_and_test_part(small):
    one, two, other = (study.task_of(Cell(small, "pocket", "own", *rest))
                       for rest in (("random", 3), ("mass", 3), ("random", 4)))
    assert one.data.train_texts == two.data.train_texts != other.data.train_texts
    assert one.data.test_texts == two.data.test_texts and len(set(one.data.train_texts)) == 77
    assert not set(one.data.train_texts) & set(one.data.test_texts)
    for i in (0, 40):
        row = study.whole(small, "pocket")[0].train_texts.index(one.data.train_texts[i])
        np.testing.assert_array_equal(one.features[i], study.whole(small, "pocket")[2][row])


def test_each_ablation_changes_one_thing():
    plans = {start: study.plan_of(Cell("x", "pocket", start, "random", 3), 32, 2000) for start in study.STARTS}
    own = plans["own"]
    assert (own.warm, own.chooser, own.epochs, own.recipe.steps) == (False, "base", None, 100)
    assert own.labels_at == [20, 40, 80, 160, 320] and study.plan_of(Cell("x", "m", "own", "random", 3), 9, 50) \
        .labels_at[-1] == 50
    for start, name, value in (("warm", "warm", True), ("adapted", "chooser", "adapted"), ("epochs", "epochs", 20)):
        differs = [key for key in vars(own) if getattr(own, key) != getattr(plans[start], key)]
        assert differs == [name] and getattr(plans[start], name) == value


def test_curves_keep_to_the_seeds_that_every_arm_has():
    lines = [{"start": "own", "strategy": arm, "seed": s, "labels": [1, 2], "accuracy": [s / 10, s / 5]}
             for arm, seeds in (("mass", (2, 0, 1)), ("random", (1, 2, 5))) for s in seeds]
    found = study.curves(lines)
    assert found["mass"][0].tolist() == [1, 2] and found["random"][1].tolist() == [[0.1, 0.2], [0.2, 0.4]]
    with pytest.raises(InputError, match="no seed of start='own' is finished by every arm"):
        study.curves([line for line in lines if line["seed"] == 0 or line["strategy"] == "random"])


def test_an_arm_is_shown_when_enough_seeds_have_finished_it(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "RESULTS", tmp_path)
    lines = [{"strategy": arm, "start": start, "seed": s} for arm, start, seeds in
             (("mass", "own", 5), ("margin", "own", 4), ("random", "own", 6), ("mass", "warm", 4))
             for s in range(seeds)]
    study.path_of("x", "m").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert study.shown("x", "m") == [line for line in lines
                                     if line["strategy"] != "margin" and line["start"] == "own"]
    assert study.shown("y", "m") == []


def test_more_steps_on_the_larger_model_change_little():
    more = {line["strategy"]: line for line in study.read("300steps_banking77", "minilm")}
    used = {line["strategy"]: line for line in study.read("banking77", "minilm") if line["seed"] == 0}
    assert set(more) == {"coverage", "random"}
    for arm, line in more.items():
        assert line["seed"] == 0 and line["steps"] == [300] * 5 and used[arm]["steps"] == [study.MORE_STEPS] * 5
        np.testing.assert_allclose(used[arm]["accuracy"], line["accuracy"], atol=0.02)


def kind(start, strategy, level, seeds):
    """Cells whose area is level / 2 + seed / 10 and a constant."""
    return [{"start": start, "strategy": strategy, "seed": s, "labels": [1, 2, 4], "accuracy": [0, level + s / 5, 0.4]}
            for s in seeds]


def test_areas_are_compared_seed_by_seed():
    lines = kind("own", "random", 0.2, (0, 1, 2)) + kind("warm", "random", 0.3, (1, 2, 3))
    mean, low, high, n = study.difference(lines, ("warm", "random"), ("own", "random"))
    assert n == 2 and mean == pytest.approx(0.05) and low == pytest.approx(0.05) and high == pytest.approx(0.05)
    with pytest.raises(InputError, match="no seed has finished both epochs random and own random"):
        study.difference(lines, ("epochs", "random"), ("own", "random"))


def test_ablations_compare_each_arm_with_itself_and_ours_with_random():
    levels = {("own", "coverage"): 0.2, ("own", "random"): 0.1, ("warm", "coverage"): 0.3, ("warm", "random"): 0.5,
              ("adapted", "coverage"): 0.6}
    lines = [line for (start, arm), level in levels.items() for line in kind(start, arm, level, range(5))]
    changed, gaps = study.ablations(lines)
    assert {arm: {start: round(d[0], 9) for start, d in by.items()} for arm, by in changed.items()} == {
        "coverage": {"warm": 0.05, "adapted": 0.2}, "random": {"warm": 0.2}}
    assert {start: round(d[0], 9) for start, d in gaps.items()} == {"own": 0.05, "warm": -0.1, "adapted": 0.25}


def test_random_is_not_run_again_where_only_features_change():
    wanted = list(study.cells([("x", "m")], list(study.STARTS), 2))
    assert Cell("x", "m", "adapted", "random", 0) not in wanted and len(wanted) == len(set(wanted))
    assert Cell("x", "m", "adapted", "coverage", 1) in wanted and Cell("x", "m", "warm", "random", 1) in wanted


def test_the_share_of_the_labels_and_its_interval():
    labels = np.array([10, 20, 40, 80])
    rng = np.random.default_rng(3)
    ours = np.log2(labels / 10) / 4 + 0.3 + 0.01 * rng.normal(size=(20, 1))
    random = np.tile([0.1, 0.2, 0.3, 0.6], (20, 1))
    share, low, high = study.reach(labels, ours, random)
    wanted = 10 * 2 ** (4 * (0.6 - ours[:, 0].mean())) / 80
    assert share == pytest.approx(wanted) and low < share < high
    spread = np.log(2) * 4 * 0.01 * np.std(rng.normal(size=20_000)) / np.sqrt(20)  # of the log of the share
    assert np.log(high / low) == pytest.approx(2 * 1.96 * spread, rel=0.35)
    assert study.reach(labels, ours - 1, random)[0] == np.inf


def test_the_study_refuses_what_it_cannot_read(monkeypatch, capsys):
    assert command(monkeypatch, "--data", "nowhere", "--model", "pocket", "--seeds", "1") == 2
    assert capsys.readouterr().err.startswith("error: DATA=nowhere does not exist")


@pytest.mark.parametrize("seeds", [5, 40])
def test_interval_covers_the_mean_as_often_as_it_says(seeds):
    rng = np.random.default_rng(0)
    _, low, high = t_interval(rng.normal(size=(seeds, 4000)))
    assert 0.94 < np.mean((low <= 0) & (0 <= high)) < 0.96  # standard error 0.0034; a bootstrap of 5 covers 0.84


def test_one_seed_has_no_interval():
    mean, low, high = t_interval(np.array([0.3]))
    assert mean == 0.3 and (low, high) == (-np.inf, np.inf)
    assert cells.rounded(low) is None and cells.rounded(1 / 3) == 0.3333


def test_cells_that_stand_in_a_file_are_left_out(tmp_path):
    wanted = [Cell("a", "m", "own", "mass", s) for s in range(3)]
    (tmp_path / "x.jsonl").write_text(json.dumps({**wanted[1]._asdict(), "accuracy": []}) + "\n")
    assert cells.left(wanted, cells.read(tmp_path / "x.jsonl")) == [wanted[0], wanted[2]]
    assert cells.read(tmp_path / "none.jsonl") == [] and cells.left([], []) == []


def test_workers_do_what_is_to_be_done(tmp_path):
    todo = [Cell("pocketdesk", "pocket", "own", "mass", s) for s in range(2)]
    cells.do(todo, methodcaller("_asdict"), lambda line: tmp_path / "out.jsonl", 1)
    lines = cells.read(tmp_path / "out.jsonl")
    assert sorted(line["seed"] for line in lines) == [0, 1] and {"date", "commit", "torch"} <= lines[0].keys()
    assert cells.left(todo, lines) == []
