"""The budgeted loop: exactly the budget, arms that share all but their labels, no look at hidden labels, no loss."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import adapt, features, finetune, registry
from stackelberg_lib.lm.adapt import Plan
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.pool.oracle import Labelled

SHORT = Recipe(steps=4)
ARMS = ("coverage", "mass", "margin", "typiclust", "random")


def plan(strategy="mass", labels_at=(10, 25), seed=3, recipe=SHORT, **more):
    return Plan(strategy, list(labels_at), seed, recipe, **more)


@pytest.fixture(scope="module")
def task():
    return adapt.prepare(adapt.subsample(sets.load("pocketdesk", 0), 300, 60, 0), registry.resolve("pocket"))


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """What a run does that nothing interrupts, and the rounds in its ledger."""
    done, sell = {}, Labelled(task.data.train_labels)
    for arm in ("mass", "margin"):
        with adapt.book(task, tmp_path_factory.mktemp(arm) / "labels.sqlite", 24) as ledger:
            done[arm] = adapt.adapt(task, plan(arm, (8, 16, 24)), ledger, sell), [row.round for row in ledger.rows()]
    return done


def same_weights(one, two):
    one, two = one.state_dict(), two.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


class Dies:
    """A source that stops the program at its n-th question."""

    name = "file"

    def __init__(self, labels, n):
        self.labels, self.left, self.asked = labels, n, []

    def __call__(self, item):
        self.asked.append(item)
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.labels[item]


def test_schedule_ends_at_the_budget():
    assert adapt.schedule(154, 4) == [19, 38, 77, 154]
    assert adapt.schedule(1, 4) == [1] and adapt.schedule(3, 3) == [1, 2, 3]


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_buys_exactly_its_budget_and_repeats(task, arm):
    run, again = (adapt.simulate(task, plan(arm)) for _ in range(2))
    texts = {task.data.train_texts[i] for i in run.rows}
    assert run.labels == [10, 25] and len(set(run.rows.tolist())) == len(texts) == 25
    assert (run.rows == again.rows).all() and run.accuracy == again.accuracy
    assert run.classes[-1] == len(np.unique(task.data.train_labels[run.rows]))


def test_the_bill_counts_the_tokens_of_the_batches(task):
    run = adapt.simulate(task, plan())
    lengths = [len(task.train.ids[i]) for i in run.rows]
    assert run.tokens[-1] == round(np.mean(lengths) * 25 * 4)
    assert len(run.select_seconds) == len(run.train_seconds) == len(run.tokens) == 2


def test_runs_do_not_depend_on_labels_they_did_not_buy(task):
    run = adapt.simulate(task, plan())
    hidden = task.data.train_labels.copy()
    rest = np.setdiff1d(np.arange(300), run.rows)
    hidden[rest] = (hidden[rest] + 1) % 32
    other = dataclasses.replace(task, data=dataclasses.replace(task.data, train_labels=hidden))
    again = adapt.simulate(other, plan())
    assert (again.rows == run.rows).all()
    np.testing.assert_array_equal(again.probabilities, run.probabilities)


def test_picks_do_not_depend_on_test_labels(task):
    scrambled = dataclasses.replace(task, data=dataclasses.replace(task.data, test_labels=task.data.test_labels[::-1]))
    for arm in ARMS:
        first, second = (adapt.simulate(t, plan(arm, (8, 16))).rows for t in (task, scrambled))
        assert (first == second).all()


def test_arms_start_from_the_same_weights(task):
    first, second = (finetune.lora_classifier(task.model, 32, 8, 5) for _ in range(2))
    assert same_weights(first, second) and not same_weights(first, finetune.lora_classifier(task.model, 32, 8, 6))


def test_every_fine_tuning_starts_anew_from_the_runs_seed(task, monkeypatch):
    build, seeds = finetune.lora_classifier, []
    monkeypatch.setattr(finetune, "lora_classifier", lambda *args: seeds.append(args[3]) or build(*args))
    for arm in ("mass", "margin"):
        adapt.simulate(task, plan(arm, (4, 8), 11))
    assert seeds == [11] * 4


def test_global_generators_are_left_alone(task):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    adapt.simulate(task, plan(labels_at=[5]))
    assert torch.equal(torch.rand(1), expected)


def test_all_labels_is_the_ceiling_run(task):
    run = adapt.adapt_all(task, 0, SHORT)
    assert run.labels == [300] and 0 <= run.accuracy[0] <= 1


def test_margin_arm_asks_the_model_that_was_fine_tuned_last(task):
    first, both = adapt.simulate(task, plan("margin", [12])), adapt.simulate(task, plan("margin", [12, 20]))
    top = np.sort(finetune.predict(first.classifier, task.train), axis=1)
    margin = top[:, -1] - top[:, -2]
    bought = {task.data.train_texts[i] for i in first.rows}
    margin[[text in bought for text in task.data.train_texts]] = np.inf
    assert both.rows[:12].tolist() == first.rows.tolist()
    assert both.rows[12:].tolist() == np.argsort(margin, kind="stable")[:8].tolist()


def test_adapted_features_are_those_of_the_model_fine_tuned_last(task, monkeypatch):
    seen, propose = [], adapt.propose
    monkeypatch.setattr(adapt, "propose", lambda h, *args, **more: seen.append(h) or propose(h, *args, **more))
    base, adapted = (adapt.simulate(task, plan(labels_at=(12, 20), chooser=c)) for c in ("base", "adapted"))
    first = adapt.simulate(task, plan(labels_at=[12]))
    assert seen[0] is seen[1] is seen[2] is task.features
    np.testing.assert_array_equal(seen[3], features.embed(first.classifier.backbone, task.train))
    assert (base.rows[:12] == adapted.rows[:12]).all() and np.abs(seen[3] - task.features).max() > 1e-4


def test_a_warm_start_goes_on_from_the_last_adapter(task):
    """Trained with a rate of almost nothing, the second model is the first one, or the base model."""
    still = dataclasses.replace(SHORT, rate=1e-12)
    for warm in (True, False):
        run = adapt.Run(rows=np.arange(12))
        adapt._learn(run, task, plan(recipe=SHORT, warm=warm), task.data.train_labels[:12], None)
        first, run.rows = run.classifier, np.arange(20)
        adapt._learn(run, task, plan(recipe=still, warm=warm), task.data.train_labels[:20], None)
        assert run.classifier is not first
        near = torch.allclose(run.classifier.head.weight, first.head.weight, atol=1e-9)
        assert near == warm and bool(first.head.weight.abs().max() > 1e-4)


def test_epochs_count_the_labels_in_hand(task):
    run = adapt.simulate(task, plan(labels_at=(10, 70), epochs=1.5))
    assert [len(loss) for loss in run.loss] == [2, 4]  # 15 of batches of 10; 105 of batches of 32


@pytest.mark.parametrize("arm", ["mass", "margin"])
@pytest.mark.parametrize("questions", [0, 3, 8, 13, 23])
def test_an_interrupted_run_goes_on_to_the_same_end(task, whole, arm, questions, tmp_path):
    todo, (end, rounds) = plan(arm, (8, 16, 24)), whole[arm]
    dies = Dies(task.data.train_labels, questions)
    with adapt.book(task, tmp_path / "labels.sqlite", 24) as ledger, pytest.raises(KeyboardInterrupt):
        adapt.adapt(task, todo, ledger, dies, tmp_path)
    rest = Dies(task.data.train_labels, 24)
    with adapt.book(task, tmp_path / "labels.sqlite", 24) as ledger:
        run = adapt.adapt(task, todo, ledger, rest, tmp_path)
        assert [row.item for row in ledger.rows()] == end.rows.tolist()
        assert [row.round for row in ledger.rows()] == rounds
    assert run.accuracy == end.accuracy and run.labels == [8, 16, 24]
    assert same_weights(run.classifier, end.classifier)
    assert dies.asked[:questions] + rest.asked == end.rows.tolist()


def test_what_was_trained_is_not_trained_again(task, tmp_path, monkeypatch):
    todo, sell = plan(labels_at=(8, 16)), Labelled(task.data.train_labels)
    with adapt.book(task, tmp_path / "labels.sqlite", 16) as ledger:
        first = adapt.adapt(task, todo, ledger, sell, tmp_path)
        monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: pytest.fail("trained again"))
        second = adapt.adapt(task, todo, ledger, sell, tmp_path)
    assert same_weights(first.classifier, second.classifier) and first.loss == second.loss


def test_copies_of_a_bought_text_cost_nothing_and_the_budget_goes_to_other_texts(task):
    texts = [task.data.train_texts[i // 2] for i in range(60)]
    labels = task.data.train_labels[np.arange(60) // 2]
    data = dataclasses.replace(task.data, train_texts=texts, train_labels=labels)
    twice = adapt.prepare(data, task.model)
    different = len(set(texts))
    run = adapt.simulate(twice, plan("random", (10, different)))
    assert run.labels == [10, different] and {texts[i] for i in run.rows} == set(texts)
    with pytest.raises(InputError, match=f"budget={different + 1} is more than the {different} different texts"):
        adapt.simulate(twice, plan("random", (10, different + 1)))


def test_a_larger_budget_keeps_every_purchase(task, tmp_path):
    sell = Labelled(task.data.train_labels)
    with adapt.book(task, tmp_path / "labels.sqlite", 16) as ledger:
        small = adapt.adapt(task, plan(labels_at=(8, 16)), ledger, sell)
    with adapt.book(task, tmp_path / "labels.sqlite", 30) as ledger:
        large = adapt.adapt(task, plan(labels_at=(15, 30)), ledger, sell)
        assert len(ledger.rows()) == 30
    assert large.labels == [16, 30] and (large.rows[:16] == small.rows).all()
    with pytest.raises(InputError, match="budget=20 is below the 30 that"):
        adapt.book(task, tmp_path / "labels.sqlite", 20)


def test_bad_plans():
    for bad in ([], [0, 3], [3, 3], [5, 2]):
        with pytest.raises(InputError, match="labels_at"):
            plan(labels_at=bad)
    with pytest.raises(InputError, match="chooser='new' does not exist; use one of base, adapted"):
        plan(chooser="new")
    for bad in (0, -1, float("nan")):
        with pytest.raises(InputError, match="epochs="):
            plan(epochs=bad)


def test_estimate_adds_up_the_work(task, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(adapt.time, "perf_counter", lambda: float(next(ticks)))  # every timed stretch takes a second
    minutes = adapt.estimate_minutes(task, 4, [10, 20], 3, Recipe(steps=50))
    step, text = 1 / 4, 1 / 128
    assert minutes == pytest.approx(3 * 4 * 2 * (50 * step + 60 * text) / 60)


def test_a_real_encoder_on_real_labels(real_set):
    real_set("banking77")
    data = adapt.subsample(sets.load("banking77"), 80, 20, 0)
    assert "80 of 10003" in data.source
    task = adapt.prepare(data, registry.resolve("minilm"))
    run = adapt.simulate(task, plan("coverage", (4, 8), 0))
    names = [n for n, p in run.classifier.named_parameters() if p.requires_grad]
    assert len(run.rows) == 8 and not any("pooler" in n for n in names)
    assert task.features.shape == (80, 384)
