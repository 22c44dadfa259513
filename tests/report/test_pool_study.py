"""The study on frozen features: what a cell may see, what it spends, resuming, and what the summary makes of it."""

import json
import sys

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import pool_study, pool_summary
from stackelberg_lib.report.pool_study import Cell, Frozen

RNG = np.random.default_rng


def blobs(n=150, classes=4, m=6):
    """A pool and a test part of `classes` overlapping groups."""
    rng = RNG(0)
    centres, y, z = 2 * rng.normal(size=(classes, m)), rng.integers(classes, size=n), rng.integers(classes, size=60)
    return Frozen(centres[y] + rng.normal(size=(n, m)), y, centres[z] + rng.normal(size=(60, m)), z, classes)


@pytest.fixture
def world(monkeypatch):
    made = blobs()
    monkeypatch.setattr(pool_study, "frozen", lambda data, model: made)
    return made


class Sealed:
    """Test labels that nobody may look at before they are opened."""

    def __init__(self, labels):
        self.labels, self.open = labels, False

    def _look(self, *_, **__):
        assert self.open, "a test label was read before the run had bought all its labels"
        return self.labels

    __array__ = _look

    def __eq__(self, other):
        return self._look() == other

    __hash__ = None


def test_no_test_label_is_read_before_the_last_purchase(world, monkeypatch):
    sealed, real = Sealed(world.test_labels), pool_study.buy
    monkeypatch.setattr(pool_study, "frozen", lambda data, model: world._replace(test_labels=sealed))

    def buy(*args):
        bought = real(*args)
        sealed.open = True
        return bought

    monkeypatch.setattr(pool_study, "buy", buy)
    for strategy in ("coverage", "badge"):
        sealed.open = False
        line = pool_study.run(Cell("x", "y", "own", strategy, 0))
        assert len(line["accuracy"]) == 10


@pytest.mark.parametrize("start", ["own", "shared"])
def test_a_cell_is_what_a_plain_loop_makes_of_it(world, start):
    line = pool_study.run(Cell("x", "y", start, "random", 3))
    mine = np.sort(RNG([3, 10]).permutation(150)[:120])
    rng, rows = RNG([3, 11]), []
    for r in range(10):
        left = np.setdiff1d(np.arange(120), rows)
        draw = RNG([3, 12]) if start == "shared" and r == 0 else rng
        rows += list(draw.choice(left, 4, replace=False))
        head = pool_study.fit_head(world.pool[mine[rows]], world.labels[mine[rows]], 4)
        assert line["accuracy"][r] == round(np.mean(head(world.test).argmax(1) == world.test_labels), 4)
        assert line["classes"][r] == len(set(world.labels[mine[rows]]))
    assert line["labels"] == list(range(4, 44, 4)) and line["seed"] == 3
    share = np.bincount(world.labels[mine[rows]]) / 40
    assert line["balance"] == pytest.approx(-sum(share * np.log(share)) / np.log(4), abs=1e-4)


def test_all_rules_share_the_random_first_batch(world):
    first = {pool_study.run(Cell("x", "y", "shared", rule, 1))["accuracy"][0] for rule in ("margin", "mass", "first")}
    assert len(first) == 1
    assert len({pool_study.run(Cell("x", "y", "own", rule, 1))["accuracy"][0] for rule in ("mass", "first")}) == 2


def test_the_ceiling_has_all_labels_of_the_pool(world):
    line = pool_study.run(Cell("x", "y", "own", "all", 0))
    assert line["labels"] == [120] and len(line["accuracy"]) == 1 and line["classes"] == [4]


def test_noisy_labels_are_wrong_at_the_stated_rate_and_in_all_directions():
    truth = RNG(0).integers(5, size=40_000)
    sold = pool_study.mislabelled(truth, 5, 3)
    wrong = sold != truth
    assert abs(wrong.mean() - 0.2) < 4 * np.sqrt(0.16 / len(truth))
    table = np.zeros((5, 5))
    np.add.at(table, (truth[wrong], sold[wrong]), 1)
    share = table / table.sum(1, keepdims=True)
    assert np.allclose(share[~np.eye(5, dtype=bool)], 0.25, atol=0.05) and sold.min() == 0 and sold.max() == 4
    assert (sold == pool_study.mislabelled(truth, 5, 3)).all() and (sold != pool_study.mislabelled(truth, 5, 4)).any()


def test_the_noisy_arm_learns_from_what_was_sold_and_is_tested_on_the_truth(world):
    line = pool_study.run(Cell("x", "y", "noisy", "random", 3))
    clean = pool_study.run(Cell("x", "y", "own", "random", 3))
    mine = pool_study.rows_of(3, 150)
    sold = pool_study.mislabelled(world.labels[mine], 4, 3)
    rng, rows = RNG([3, 11]), []
    for r in range(10):
        rows += list(rng.choice(np.setdiff1d(np.arange(120), rows), 4, replace=False))
        head = pool_study.fit_head(world.pool[mine[rows]], sold[rows], 4)
        assert line["accuracy"][r] == round(np.mean(head(world.test).argmax(1) == world.test_labels), 4)
    assert line["classes"] == clean["classes"] and line["accuracy"] != clean["accuracy"]


def test_a_successor_learns_from_what_another_model_chose(world, monkeypatch):
    other = world._replace(pool=world.pool[:, ::-1] ** 3)
    monkeypatch.setattr(pool_study, "frozen", lambda data, model: other if model == "pocket" else world)
    line = pool_study.run(Cell("x", "y", "successor", "mass", 3))
    mine = pool_study.rows_of(3, 150)
    oracle = pool_study.LabelOracle(world.labels[mine], 40)
    bought = pool_study.buy(other.pool[mine], oracle, 4, "mass", "successor", 3)
    for r, n in enumerate(line["labels"]):
        rows = mine[bought.rows[:n]]
        head = pool_study.fit_head(world.pool[rows], world.labels[rows], 4)
        assert line["accuracy"][r] == round(np.mean(head(world.test).argmax(1) == world.test_labels), 4)
    assert line["accuracy"] != pool_study.run(Cell("x", "y", "own", "mass", 3))["accuracy"]


def test_which_cells_there_are():
    cells = list(pool_study.cells(["a"], "m", ["mass", "badge"], list(pool_study.STARTS), 50))
    count = {(start, s): sum(c.start == start and c.strategy == s for c in cells)
             for start in pool_study.STARTS for s in ("mass", "badge", "all")}
    assert count == {("own", "mass"): 50, ("own", "badge"): 50, ("own", "all"): 5, ("shared", "mass"): 50,
                     ("shared", "badge"): 50, ("shared", "all"): 0, ("noisy", "mass"): 20, ("noisy", "badge"): 0,
                     ("noisy", "all"): 0, ("successor", "mass"): 20, ("successor", "badge"): 0, ("successor", "all"): 0}
    assert set(pool_study.FEW) < set(pool_study.RULES)


def test_a_stopped_study_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pool_study, "RESULTS", tmp_path / "results")
    rows = [{"text": f"{w} {i}", "label": w} for i in range(30) for w in ("late", "lost", "new")]
    data = tmp_path / "mine.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = ["x", "--data", str(data), "--model", "pocket", "--seeds", "1", "--starts", "own", "--workers", "1",
             "--strategies", "random", "coverage"]
    monkeypatch.setattr(sys, "argv", words)
    assert pool_study.main() == 0
    path = pool_study.path_of(str(data), "pocket")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["strategy"] for line in lines] == ["all", "random", "coverage"]
    path.write_text(lines[1] + "\n")
    assert pool_study.main() == 0
    again = path.read_text().splitlines()
    assert again[0] == lines[1] and len(again) == 3
    timeless = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (*lines, *again)]
    assert timeless[0] in timeless[3:] and timeless[2] in timeless[3:]
    assert {"date", "commit", "numpy", "scikit-learn"} <= timeless[0].keys()
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(data), "--model", "pocket"])
    assert pool_summary.main() == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])[f"{data}/pocket"]
    assert said["all"] == timeless[0]["accuracy"][0] and {"coverage", "random"} <= said.keys()


def test_area_is_the_mean_over_log_labels():
    labels = np.array([10, 20, 40])
    assert pool_summary.area(labels, np.array([0.2, 0.4, 0.8])) == pytest.approx((0.3 + 0.6) / 2)
    fine = np.geomspace(1, 1000, 5001)
    assert pool_summary.area(fine, np.log(fine)) == pytest.approx(np.log(1000) / 2, rel=1e-9)
    assert pool_summary.area(labels, np.full((2, 3), 0.7)) == pytest.approx([0.7, 0.7])


def test_labels_to_reach_a_target():
    labels, accuracy = np.array([10, 20, 40]), np.array([0.2, 0.4, 0.8])
    assert pool_summary.labels_to(labels, accuracy, 0.3) == pytest.approx(10 * 2**0.5)
    assert pool_summary.labels_to(labels, accuracy, 0.8) == pytest.approx(40)
    assert pool_summary.labels_to(labels, accuracy, 0.1) == 10
    assert pool_summary.labels_to(labels, accuracy, 0.81) == np.inf


def test_holm():
    assert pool_summary.holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert pool_summary.holm(np.array([0.4, 0.6, 0.9])) == pytest.approx([1, 1, 1])


def lines(gaps, seeds=20):
    """Cells of random at 0.2 to 0.6 and of rules that lie `gap` above or below it, with noise per seed."""
    rng = RNG(1)
    base = np.array([0.2, 0.4, 0.6]) + 0.02 * rng.normal(size=(seeds, 1))
    return [{"start": "own", "strategy": rule, "seed": s, "labels": [10, 20, 40], "seconds": [0.5, 1.0, 1.5],
             "balance": 0.9 if rule == "random" else 0.5,
             "accuracy": list(base[s] + gap + 0.01 * rng.normal(size=3))}
            for s in range(seeds) for rule, gap in {"random": 0.0, **gaps}.items()]


def test_the_table_tells_what_was_planted():
    rows = {r.strategy: r for r in pool_summary.table(lines({"coverage": 0.1, "twin": 0.1, "worse": 0.05}))}
    assert list(rows)[-1] == "random" and set(rows) == {"random", "coverage", "twin", "worse"}
    assert rows["random"].difference == pytest.approx(-0.1, abs=0.01) and rows["random"].p < 1e-4
    assert rows["random"].low < rows["random"].difference < rows["random"].high < -0.09
    assert rows["coverage"].p is None and rows["coverage"].difference == 0
    assert rows["twin"].p > 0.05 and rows["twin"].low < 0 < rows["twin"].high
    assert rows["coverage"].reach == pytest.approx(20 * 2**0.5 / 40, rel=0.1)
    assert rows["random"].reach == pytest.approx(1)
    assert rows["worse"].seconds == 3.0 and rows["worse"].seeds == 20
    assert [rows[r].balance for r in ("random", "worse")] == pytest.approx([0.9, 0.5])
    assert rows["random"].near == [None] * 3


def test_labels_that_bring_a_share_of_the_ceiling():
    ceilings = [{"start": "own", "strategy": "all", "seed": s, "accuracy": [a]} for s, a in enumerate((0.6, 0.7))]
    row = next(r for r in pool_summary.table(lines({"coverage": 0.05}) + ceilings) if r.strategy == "coverage")
    top, curve = 0.65, np.mean([c["accuracy"] for c in lines({"coverage": 0.05}) if c["strategy"] == "coverage"], 0)
    for share, needed in zip((0.9, 0.95, 0.99), row.near, strict=True):
        expected = np.exp(np.interp(share * top, curve, np.log([10, 20, 40]))) / 40
        assert needed == (None if share * top > curve[-1] else pytest.approx(expected))
    assert row.near[0] is not None and row.near[0] < row.near[1]


def test_only_seeds_that_both_have_are_compared():
    some = [line for line in lines({"coverage": 0.1, "late": 0.1}) if line["strategy"] != "late" or line["seed"] < 6]
    assert {r.strategy: r.seeds for r in pool_summary.table(some)} == {"random": 20, "coverage": 20, "late": 6}
    few = [line for line in some if line["strategy"] != "coverage" or line["seed"] < 7]
    rows = {r.strategy: r for r in pool_summary.table(few)}
    assert (rows["random"].seeds, rows["random"].reach) == (7, pytest.approx(1))  # its goal is on the same seeds


def test_a_study_without_our_rule_has_no_table():
    with pytest.raises(InputError, match="finished cells of coverage and random; run `make study`"):
        pool_summary.table(lines({}))
    with pytest.raises(InputError, match="no finished cell with start='shared'"):
        pool_summary.table(lines({}), "shared")
