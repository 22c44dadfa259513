"""Features, LoRA training, and the adapter folder, on Pocket."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import adapt, features, finetune, objectives, registry, training
from stackelberg_lib.lm.finetune import Recipe
from stackelberg_lib.pool.oracle import LabelOracle


@pytest.fixture(scope="module")
def task():
    data = adapt.subsample(sets.load("pocketdesk", 0), 240, 120, 0)
    return adapt.prepare(data, registry.resolve("pocket"))


def test_padding_and_batching_leave_features_unchanged(task):
    backbone = features.load_backbone(task.model)
    one_by_one = features.embed(backbone, task.train, size=1)
    np.testing.assert_allclose(task.features, one_by_one, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(task.features, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        ids = torch.tensor([task.train.ids[7]])
        mean = backbone(input_ids=ids).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(task.features[7], (mean / mean.norm()).numpy(), atol=2e-5)


def test_only_adapter_and_head_learn(task):
    classifier = finetune.lora_classifier(task.model, 32, 8, 0)
    trained = {n for n, p in classifier.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in n or n.startswith("head.") for n in trained)
    before = {n: p.detach().clone() for n, p in classifier.named_parameters()}
    rows = np.arange(64)
    losses = finetune.fit(classifier, task.train, rows, task.data.train_labels[rows], Recipe(steps=3), 0)
    assert losses[0] == pytest.approx(np.log(32), rel=1e-4)  # a zero head is uniform
    moved = {n for n, p in classifier.named_parameters() if not torch.equal(p, before[n])}
    assert moved == trained


def test_training_fits_its_rows_and_repeats(task):
    rows, labels = np.arange(48), task.data.train_labels[:48]
    runs = []
    for _ in range(2):
        classifier = finetune.lora_classifier(task.model, 32, 8, 0)
        runs.append(finetune.fit(classifier, task.train, rows, labels, Recipe(steps=60), 0))
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-6)
    assert runs[0][-1] < 0.25 * runs[0][0]
    predicted = finetune.predict(classifier, task.train)
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-5)
    assert np.mean(predicted[:48].argmax(1) == labels) > 0.9
    batch = classifier(*task.train.batch(np.arange(5))).softmax(1).detach().numpy()
    np.testing.assert_allclose(predicted[:5], batch, atol=1e-5)  # rows come back in their own order


def test_every_row_is_visited_once_per_epoch():
    order = training.order(10, 4, np.random.default_rng(0))
    seen = np.concatenate([next(order) for _ in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:20]) == list(range(10))


def test_adapter_opens_in_plain_peft_and_comes_back(task, tmp_path):
    from peft import PeftModel

    classifier = finetune.lora_classifier(task.model, 32, 4, 0)
    rows = np.arange(32)
    finetune.fit(classifier, task.train, rows, task.data.train_labels[rows], Recipe(steps=4, rank=4), 0)
    finetune.save_adapter(classifier, tmp_path, task.data.label_names)
    again, names = finetune.load_adapter(task.model, tmp_path)
    np.testing.assert_array_equal(finetune.predict(again, task.test), finetune.predict(classifier, task.test))
    assert names == task.data.label_names
    plain = PeftModel.from_pretrained(features.load_backbone(task.model), tmp_path).eval()
    ids, mask = task.test.batch([0])
    classifier.eval()
    with torch.no_grad():
        ours, theirs = (m(input_ids=ids, attention_mask=mask).last_hidden_state for m in (classifier.backbone, plain))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert not [p.name for p in tmp_path.iterdir() if p.suffix in (".bin", ".pt", ".pkl")]


def test_loss_that_is_not_finite_stops_training(task):
    classifier = finetune.lora_classifier(task.model, 32, 8, 0)
    with torch.no_grad():
        classifier.head.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="loss is nan at step 0"):
        finetune.fit(classifier, task.train, np.arange(8), task.data.train_labels[:8], Recipe(steps=2), 0)


@pytest.mark.parametrize(("rank", "targets", "message"), [
    (0, "all-linear", "rank=0 must be at least 1"),
    (4, "query", "no linear layer is called 'query'; this model has down_proj, gate_proj, k_proj"),
    (4, ["q_proj", "value"], "no linear layer is called 'value'"),
])
def test_adapters_that_cannot_be(task, rank, targets, message):
    for build in (lambda: finetune.lora_classifier(task.model, 32, rank, 0, targets),
                  lambda: finetune.lora_generator(task.model, rank, 0, targets)):
        with pytest.raises(InputError, match=message) as caught:
            build()
        assert "\n" not in str(caught.value)


def test_named_targets_are_the_only_ones_adapted(task):
    names = [n for n, p in finetune.lora_generator(task.model, 4, 0, "q_proj").named_parameters() if p.requires_grad]
    assert len(names) == 10 and all(".q_proj.lora_" in n for n in names)


def test_fit_equals_the_loop_written_out(task):
    rows, labels, recipe = np.arange(40), task.data.train_labels[:40], Recipe(steps=8, batch=16)
    ours, plain = (finetune.lora_classifier(task.model, 32, 8, 0) for _ in range(2))
    losses = finetune.fit(ours, task.train, rows, labels, recipe, 5)
    order = training.order(40, 16, np.random.default_rng([5, 1]))
    weights = [w for w in plain.parameters() if w.requires_grad]
    optimiser, expected = torch.optim.AdamW(weights, weight_decay=0.01), []
    plain.train()
    for step in range(8):
        chosen = next(order)
        logits = plain(*task.train.batch(rows[chosen]))
        loss = -logits.log_softmax(1)[range(16), labels[chosen]].mean()
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        for w, g in zip(weights, gradients, strict=True):
            w.grad = g * min(1.0, 1.0 / (float(norm) + 1e-6))
        optimiser.param_groups[0]["lr"] = 3e-3 * (0.0 if step == 0 else (8 - step) / 7)  # one step of warm-up
        optimiser.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for a, b in zip((w for w in ours.parameters() if w.requires_grad), weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_hardest_wrong_class_enters_the_loss(task):
    rows, labels, recipe = np.arange(6), task.data.train_labels[:6], Recipe(steps=1, batch=6, challenger_weight=0.5)
    classifier = finetune.lora_classifier(task.model, 32, 8, 0)
    with torch.no_grad():
        classifier.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        classifier.head.bias[labels[0]] = 60.0  # here gold has the highest logit, elsewhere a wrong class has
    logits = classifier(*task.train.batch(rows)).detach().numpy().astype(float)
    gold = logits[rows, labels]
    entropy = np.log(np.exp(logits).sum(1)) - gold
    logits[rows, labels] = -np.inf
    expected = np.mean(entropy + 0.5 * np.log1p(np.exp(logits.max(1) - gold)))
    assert finetune.fit(classifier, task.train, rows, labels, recipe, 0)[0] == pytest.approx(expected, rel=1e-5)


def test_challenger_needs_a_wrong_class(task):
    with pytest.raises(InputError, match="needs at least 2 classes"):
        finetune.fit(finetune.lora_classifier(task.model, 1, 2, 0), task.train, np.arange(4), np.zeros(4, int),
                     Recipe(steps=1, challenger_weight=1), 0)


class Pull:
    """An objective that pulls one weight to the rows' targets (n,); it writes down for which rows it was asked."""

    def __init__(self, targets):
        self.targets, self.learned, self.looked = torch.as_tensor(targets, dtype=torch.float32), set(), set()

    def __len__(self):
        return len(self.targets)

    def digest(self):
        return str(self.targets.tolist())

    def part(self, module, mine, whole):
        (self.learned if torch.is_grad_enabled() else self.looked).update(mine.tolist())
        return ((module.weight[0, 0] - self.targets[mine]) ** 2).sum() / len(whole)


def one_weight():
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    return module


def test_early_stop_on_bought_labels_returns_to_the_best_weights():
    oracle = LabelOracle(np.zeros(100, dtype=int), 40)
    oracle.buy(np.arange(40))
    learn, held = training.split(oracle.spent, 0.25, 3)
    assert len(held) == 10 and sorted([*learn, *held]) == list(range(40))  # the validation part is of the bought ones
    targets = np.ones(40)
    targets[held] = 0.3  # what is learned helps here up to 0.3 and then harms
    recipe = Recipe(steps=200, batch=8, rate=0.02, validation=0.25, every=4, patience=3)
    module, objective = one_weight(), Pull(targets)
    losses = training.train(module, objective, recipe, 3)
    assert objective.learned == set(learn) and objective.looked == set(held)
    assert module.weight.item() == pytest.approx(0.3, abs=0.05)
    assert len(losses) < 60 and losses[-1] < (1 - 0.35) ** 2  # three looks beyond the best one
    module, objective = one_weight(), Pull(targets)
    training.train(module, objective, Recipe(steps=200, batch=8, rate=0.02), 3)
    assert objective.learned == set(range(40)) and module.weight.item() > 0.7


@pytest.mark.parametrize(("change", "message"), [
    (dict(validation=1.0), "validation=1.0 leaves 0 rows"), (dict(validation=-0.1), "validation at least 0"),
    (dict(patience=0), "must be at least 1"), (dict(batch=0), "must be at least 1"),
])
def test_recipes_that_fit_no_row(change, message):
    with pytest.raises(InputError, match=message):
        training.train(one_weight(), Pull(np.ones(8)), Recipe(**change), 0)


def test_gradient_checkpointing_computes_the_same(task):
    plain, again = (finetune.lora_classifier(task.model, 32, 8, 0) for _ in range(2))
    rows, labels, calls = np.arange(16), task.data.train_labels[:16], []
    layer = again.backbone.get_base_model().layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    expected = finetune.fit(plain, task.train, rows, labels, Recipe(steps=3, batch=16), 0)
    got = finetune.fit(again, task.train, rows, labels, Recipe(steps=3, batch=16, recompute=True), 0)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert len(calls) == 6  # forward, and once more on the way back


def test_bfloat16_autocast_is_near_float32(task):
    losses = []
    for bf16 in (False, True):
        classifier = finetune.lora_classifier(task.model, 32, 8, 0)
        losses.append(finetune.fit(classifier, task.train, np.arange(16), task.data.train_labels[:16],
                                   Recipe(steps=4, batch=16, bf16=bf16), 0))
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def both_objectives(accelerator=None):
    """Loss curves, and the norm of every gradient before clipping, of a short training with either objective."""
    data, model = sets.load("pocketdesk", 0), registry.resolve("pocket")
    texts, labels, recipe = data.train_texts[:40], data.train_labels[:40], Recipe(5, 7, challenger_weight=0.3)
    names, rows, norms = [" " + name for name in data.label_names], np.arange(40), []
    clip = torch.nn.utils.clip_grad_norm_
    with pytest.MonkeyPatch.context() as patch:  # AdamW and clipping would hide a wrong scale
        patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: norms.append(float(clip(*args))))
        classifier, generator = finetune.lora_classifier(model, 32, 8, 0), finetune.lora_generator(model, 8, 0)
        losses = [finetune.fit(classifier, features.Tokens(model, texts), rows, labels, recipe, 1,
                               accelerator=accelerator),
                  finetune.fit_answers(generator, objectives.Answers(model, texts, names), rows, labels, recipe, 1,
                                       (labels + 1) % 32, accelerator=accelerator)]
    return losses, norms


TWO = """
import json, sys
sys.path.insert(0, sys.argv[1])
from accelerate import Accelerator
from test_finetune import both_objectives
accelerator = Accelerator(cpu=True)
result = both_objectives(accelerator)
if accelerator.is_main_process:
    print(json.dumps([accelerator.num_processes, *result]))
"""


def test_two_processes_train_as_one(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "two.py",
               os.path.dirname(__file__)]
    child = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
                             stdout=subprocess.PIPE)
    losses, norms = both_objectives()
    processes, *theirs = json.loads(child.communicate(timeout=600)[0].splitlines()[-1])
    assert processes == 2
    np.testing.assert_allclose(theirs[0], losses, rtol=1e-4)
    np.testing.assert_allclose(theirs[1], norms, rtol=1e-3)
    assert len(norms) == 10
