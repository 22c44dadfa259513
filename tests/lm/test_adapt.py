"""The budgeted loop: exactly the budget, arms that share all but their labels, and no look at hidden labels."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.lm import adapt, finetune, registry
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.pool.strategies import STRATEGIES

SHORT = Recipe(steps=4)


@pytest.fixture(scope="module")
def task():
    return adapt.prepare(adapt.subsample(sets.load("pocketdesk", 0), 300, 60, 0), registry.resolve("pocket"))


def test_schedule_ends_at_the_budget():
    assert adapt.schedule(154, 4) == [19, 38, 77, 154]
    assert adapt.schedule(1, 4) == [1] and adapt.schedule(3, 3) == [1, 2, 3]


@pytest.mark.parametrize("arm", STRATEGIES)
def test_a_run_buys_exactly_its_budget_and_repeats(task, arm):
    run, again = (adapt.adapt(task, arm, [10, 25], 3, SHORT) for _ in range(2))
    assert run.labels == [10, 25] and len(set(run.rows.tolist())) == 25
    assert (run.rows == again.rows).all() and run.accuracy == again.accuracy
    assert run.classes[-1] == len(np.unique(task.data.train_labels[run.rows]))


def test_runs_do_not_depend_on_labels_they_did_not_buy(task):
    run = adapt.adapt(task, "mass", [10, 25], 3, SHORT)
    hidden = task.data.train_labels.copy()
    rest = np.setdiff1d(np.arange(300), run.rows)
    hidden[rest] = (hidden[rest] + 1) % 32
    other = dataclasses.replace(task, data=dataclasses.replace(task.data, train_labels=hidden))
    again = adapt.adapt(other, "mass", [10, 25], 3, SHORT)
    assert (again.rows == run.rows).all()
    np.testing.assert_array_equal(again.probabilities, run.probabilities)


def test_picks_do_not_depend_on_test_labels(task):
    scrambled = dataclasses.replace(task, data=dataclasses.replace(task.data, test_labels=task.data.test_labels[::-1]))
    for arm in STRATEGIES:
        first, second = (adapt.adapt(t, arm, [8, 16], 0, SHORT).rows for t in (task, scrambled))
        assert (first == second).all()


def test_arms_start_from_the_same_weights(task):
    first, second = (finetune.lora_classifier(task.model, 32, 8, 5).state_dict() for _ in range(2))
    other = finetune.lora_classifier(task.model, 32, 8, 6).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_every_fine_tuning_starts_anew_from_the_runs_seed(task, monkeypatch):
    build, seeds = finetune.lora_classifier, []
    monkeypatch.setattr(finetune, "lora_classifier", lambda *args: seeds.append(args[3]) or build(*args))
    for arm in STRATEGIES:
        adapt.adapt(task, arm, [4, 8], 11, SHORT)
    assert seeds == [11] * 6


def test_global_generators_are_left_alone(task):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    adapt.adapt(task, "mass", [5], 0, SHORT)
    assert torch.equal(torch.rand(1), expected)


def test_all_labels_is_the_ceiling_run(task):
    run = adapt.adapt_all(task, 0, SHORT)
    assert run.labels == [300] and 0 <= run.accuracy[0] <= 1


def test_estimate_adds_up_the_work(task, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(adapt.time, "perf_counter", lambda: float(next(ticks)))  # every timed stretch takes a second
    minutes = adapt.estimate_minutes(task, [10, 20], 3, Recipe(steps=50))
    step, text = 1 / 4, 1 / 128
    assert minutes == pytest.approx(3 * (3 * 2 * (50 * step + 60 * text) + 300 * text) / 60)


def test_margin_arm_asks_the_model_that_was_fine_tuned_last(task):
    first = adapt.adapt(task, "margin", [12], 3, SHORT)
    both = adapt.adapt(task, "margin", [12, 20], 3, SHORT)
    top = np.sort(finetune.predict(first.classifier, task.train), axis=1)
    margin = top[:, -1] - top[:, -2]
    margin[first.rows] = np.inf
    assert both.rows[:12].tolist() == first.rows.tolist()
    assert both.rows[12:].tolist() == np.argsort(margin, kind="stable")[:8].tolist()


def test_a_real_encoder_on_real_labels(real_set):
    real_set("banking77")
    data = adapt.subsample(sets.load("banking77"), 80, 20, 0)
    assert "80 of 10003" in data.source
    task = adapt.prepare(data, registry.resolve("minilm"))
    run = adapt.adapt(task, "mass", [4, 8], 0, SHORT)
    names = [n for n, p in run.classifier.named_parameters() if p.requires_grad]
    assert len(run.rows) == 8 and not any("pooler" in n for n in names)
    assert task.features.shape == (80, 384)
