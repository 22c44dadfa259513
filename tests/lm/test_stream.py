"""The stream: budgets kept, levels found without labels, the same walk again after an interruption, regret by parts."""

import dataclasses

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import adapt, features, finetune, registry, stream
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.lm.stream import Now, Plan
from stackelberg_lib.pool.oracle import Labelled

RNG = np.random.default_rng
SHORT = Recipe(steps=3, batch=8)


@pytest.fixture(scope="module")
def task():
    return adapt.prepare(adapt.subsample(sets.load("pocketdesk", 0), 150, 120, 0), registry.resolve("pocket"))


@pytest.fixture(scope="module")
def past(task):
    return features.embed(features.load_backbone(task.model), task.test)


def walk(task, past, gate, folder, budget=24, every=8, source=None, labels=None):
    with adapt.book(task, folder / "labels.sqlite", budget) as ledger:
        source = source or Labelled(task.data.train_labels if labels is None else labels)
        done = stream.walk(task, past, Plan(gate, budget, every, SHORT, 3), ledger, source, folder)
        return done, [row.item for row in ledger.rows()]


@pytest.mark.parametrize("gate", stream.GATES)
def test_a_walk_keeps_its_budget_and_learns_as_often_as_it_should(task, past, gate, tmp_path):
    done, rows = walk(task, past, gate, tmp_path)
    assert rows == np.flatnonzero(done.bought).tolist() and len(rows) <= 24
    assert done.updates == rows[7::8]
    assert len({task.data.train_texts[i] for i in rows}) == len(rows)
    if gate != "llf":
        assert len(rows) == 24


def test_answers_are_those_of_the_model_that_had_learned_by_then(task, past, tmp_path):
    done, rows = walk(task, past, "first", tmp_path)
    model = finetune.lora_classifier(task.model, 32, SHORT.rank, 3)
    begin = 0
    for n, end in zip((8, 16, 24), [*done.updates[:2], None], strict=True):
        end = len(task.features) if end is None else end + 1
        if n == 24:  # after the last update the model stays as it is
            end = done.updates[2] + 1
        expected = [finetune.answer(model, task.train, [t]).argmax() for t in range(begin, end)]
        assert done.answers[begin:end].tolist() == expected
        recipe = dataclasses.replace(SHORT, batch=min(8, n))
        finetune.fit(model, task.train, np.array(rows[:n]), task.data.train_labels[rows[:n]], recipe, 3 + n)
        begin = end
    for one, two in zip(model.state_dict().values(), done.classifier.state_dict().values(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("questions", [0, 5, 8, 17])
@pytest.mark.parametrize("gate", ["llf", "margin"])
def test_an_interrupted_walk_goes_on_to_the_same_end(task, past, gate, questions, tmp_path):
    class Dies(Labelled):
        def __call__(self, item):
            asked.append(item)
            if len(asked) > questions:
                raise KeyboardInterrupt
            return super().__call__(item)

    asked = []
    whole, rows = walk(task, past, gate, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        walk(task, past, gate, tmp_path / "cut", source=Dies(task.data.train_labels))
    again, bought = walk(task, past, gate, tmp_path / "cut")
    assert bought == rows and (again.answers == whole.answers).all() and again.updates == whole.updates
    for one, two in zip(again.classifier.state_dict().values(), whole.classifier.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_width_ignores_every_label(task, past, tmp_path):
    other = (task.data.train_labels + 1) % 32
    assert walk(task, past, "llf", tmp_path / "a")[1] == walk(task, past, "llf", tmp_path / "b", labels=other)[1]


def test_the_level_spends_its_share_on_streams_like_the_past():
    """Replays drawn from the past itself: at the level, close to SHARE of the budget; at a tenth lower, more."""
    past = RNG(0).normal(size=(400, 6)) * np.array([3, 2, 1, 1, 0.5, 0.2])
    past = stream.centred(past, past)
    level = stream.level_of(past, 50, 600, RNG(1))

    def bought(level, seed):
        G_inv, n = np.eye(6) / stream.LAMBDA, 0
        for h in past[RNG(seed).integers(400, size=600)]:
            u = G_inv @ h
            if np.sqrt(h @ u) > level:
                G_inv, n = G_inv - np.outer(u, u) / (1 + h @ u), n + 1
        return n

    spent = np.mean([bought(level, seed) for seed in range(10, 20)])
    assert 0.85 * 40 < spent < 1.1 * 40
    assert np.mean([bought(0.9 * level, seed) for seed in range(10, 20)]) > spent + 4


def test_random_buys_its_budget_at_places_all_alike():
    where = np.zeros(40)
    for seed in range(600):
        gate, left = stream.Random(RNG(seed)), 10
        for t in range(40):
            if left and gate(Now(0, 0, left, 40 - t)):
                where[t], left = where[t] + 1, left - 1
        assert left == 0
    assert np.abs(where / 600 - 0.25).max() < 0.075  # 4.2 standard errors


def test_margin_buys_the_lowest_of_what_it_saw_under_one_model():
    gate = stream.Margin(RNG(0))
    margins = RNG(1).random(400)
    asked = [gate(Now(0, m, 20, 100)) for m in margins]
    for t in range(stream.FEW, 400):
        window = margins[max(0, t + 1 - stream.WINDOW):t + 1]
        assert asked[t] == (np.mean(window < margins[t]) * len(window) <= 0.2 * (len(window) - 1))
    gate.learned()
    assert gate.seen == []


def test_centred_features():
    past = RNG(0).normal(size=(50, 4)) + 5
    h = stream.centred(past[:10], past)
    np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1)
    np.testing.assert_allclose(np.cross(h[:, :3], (past[:10] - past.mean(0))[:, :3]), 0, atol=1e-12)
    assert (stream.centred(past.mean(0)[None], past) == 0).all()


def test_regret_by_parts():
    wrong, best = np.array([1, 0, 1, 1], dtype=bool), np.array([0, 1, 1, 0], dtype=bool)
    got = stream.regret(wrong, best, np.array([True, False, False, True]))
    assert got.tolist() == [[1, 0, 0, 1], [1, 1, 1, 2], [0, -1, -1, -1]]


def test_bad_plans():
    with pytest.raises(InputError, match="gate='x' does not exist; use one of llf, margin"):
        Plan("x", 1, 1, SHORT, 0)
    for budget, every in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match="give at least 1 label of each"):
            Plan("llf", budget, every, SHORT, 0)
