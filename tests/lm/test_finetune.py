"""Features, LoRA training, and the adapter folder, on Pocket."""

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import adapt, features, finetune, registry
from stackelberg_lib.lm.finetune import Recipe


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
    order = finetune._order(10, 4, np.random.default_rng(0))
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


def test_rank_zero_is_refused(task):
    with pytest.raises(InputError, match="rank=0 must be at least 1"):
        finetune.lora_classifier(task.model, 32, 0, 0)


def test_fit_equals_the_loop_written_out(task):
    rows, labels, recipe = np.arange(40), task.data.train_labels[:40], Recipe(steps=8, batch=16)
    ours, plain = (finetune.lora_classifier(task.model, 32, 8, 0) for _ in range(2))
    losses = finetune.fit(ours, task.train, rows, labels, recipe, 5)
    order = finetune._order(40, 16, np.random.default_rng([5, 1]))
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
