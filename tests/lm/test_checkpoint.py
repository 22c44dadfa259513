"""Checkpoints: killed at any moment, resumed to the same weights; never half written, never poisoned."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from stackelberg_lib.data import sets
from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import checkpoint, features, finetune, objectives, registry, training
from stackelberg_lib.lm.finetune import Recipe

STEPS = 11
RECIPE = Recipe(steps=STEPS, batch=6, every=3, challenger_weight=0.2)
STOPPING = replace(RECIPE, validation=0.2)
# The process kills itself in the middle of an update: the gradients are there, the weights are still the old ones.
KILLED = """
import os, signal, sys, torch
sys.path.insert(0, sys.argv[1])
import test_checkpoint
real, count = torch.optim.AdamW.step, 0
def step(*args, **more):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **more)
torch.optim.AdamW.step = step
getattr(test_checkpoint, sys.argv[4])(sys.argv[2])
"""


def run(save_to=None, recipe=RECIPE, seed=5, n=30):
    """A short training of Pocket with dropout in its attention: losses, the classifier."""
    data, model = sets.load("pocketdesk", 0), registry.resolve("pocket")
    classifier = forgetful(finetune.lora_classifier(model, 32, 4, 0))
    tokens = features.Tokens(model, data.train_texts[:n])
    losses = finetune.fit(classifier, tokens, np.arange(n), data.train_labels[:n], recipe, seed, save_to)
    return losses, classifier


def run_answers(save_to=None, recipe=RECIPE, seed=5, n=30):
    """The same for a model that says the answer, with challengers: losses, the generator."""
    data, model = sets.load("pocketdesk", 0), registry.resolve("pocket")
    generator, labels = forgetful(finetune.lora_generator(model, 4, 0)), data.train_labels[:n]
    answers = objectives.Answers(model, [t + "\n>" for t in data.train_texts[:n]], [" " + x for x in data.label_names])
    losses = finetune.fit_answers(generator, answers, np.arange(n), labels, recipe, seed, (labels + 1) % 32, save_to)
    return losses, generator


def forgetful(module):
    for part in module.modules():
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = 0.2
    return module


def equal(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("train", [run, run_answers], ids=["classes", "answers"])
def test_a_killed_run_resumes_to_the_same_weights(train, tmp_path, one_thread):
    path, n = tmp_path / "run.safetensors", random.SystemRandom().randint(4, STEPS)
    command = [sys.executable, "-c", KILLED, os.path.dirname(__file__), path, str(n), train.__name__]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    expected, whole = train()
    assert child.wait(timeout=600) == -signal.SIGKILL
    assert checkpoint.read(path)[1]["losses"] == expected[:3 * ((n - 1) // 3)]
    losses, resumed = train(path)
    assert losses == expected and equal(resumed, whole), n


def test_dying_before_the_new_checkpoint_has_its_name_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    checkpoint.write(path, {"a": torch.ones(2)}, {"step": 1})

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(path, {"a": torch.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    assert checkpoint.read(path)[1] == {"step": 1}
    checkpoint.write(path, {"a": torch.zeros(2)}, {"step": 3})  # what was left behind is in nobody's way
    assert checkpoint.read(path)[1] == {"step": 3} and [p.name for p in tmp_path.iterdir()] == [path.name]


def interrupted(path, recipe):
    """The tensors and state of a run that was broken off after seven steps, saved after six."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_step", stop_after(7, training._step))
        with pytest.raises(KeyboardInterrupt):
            run(path, recipe)
    tensors, state = checkpoint.read(path)
    assert len(state["losses"]) == 6 and not list(path.parent.glob("*.tmp"))
    return tensors, state


def test_every_part_of_the_state_matters(tmp_path, one_thread):
    """Resuming from the middle goes wrong when any one part is missing: none is stored for nothing."""
    path, (_, whole) = tmp_path / "run.safetensors", run()
    tensors, state = interrupted(path, RECIPE)
    fresh = torch.get_rng_state()
    spoiled = {
        "nothing": (tensors, state),
        "weights": ({k: t * 0 if k.startswith("weight.") else t for k, t in tensors.items()}, state),
        "moments": ({k: t * 0 if "exp_avg_sq" in k else t for k, t in tensors.items()}, state),
        "counts": ({k: t * 0 + 1 if k.endswith(".step") else t for k, t in tensors.items()}, state),
        "generator": ({k: fresh[None] if k == "rng.cpu" else t for k, t in tensors.items()}, state),
        "schedule": (tensors, {**state, "schedule": {**state["schedule"], "last_epoch": 0}}),
        "order": (tensors, {**state, "losses": state["losses"][:-1]}),
    }
    for name, content in spoiled.items():
        checkpoint.write(path, *content)
        assert equal(run(path)[1], whole) == (name == "nothing"), name


def test_early_stopping_goes_on_where_it_was(tmp_path, one_thread):
    path, (losses, whole) = tmp_path / "run.safetensors", run(recipe=STOPPING)
    tensors, state = interrupted(path, STOPPING)
    again, resumed = run(path, STOPPING)
    assert again == losses and equal(resumed, whole)
    checkpoint.write(path, tensors, {**state, "waited": STOPPING.patience})
    assert len(run(path, STOPPING)[0]) == 6
    ones = {k: t * 0 + 1 if k.startswith("best.") else t for k, t in tensors.items()}
    checkpoint.write(path, ones, {**state, "lowest": -1.0})
    assert all((p == 1).all() for p in run(path, STOPPING)[1].parameters() if p.requires_grad)


def stop_after(n, real):
    calls = iter(range(n))

    def step(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(*args)

    return step


def test_a_finished_run_is_not_done_again(tmp_path, monkeypatch):
    losses, classifier = run(tmp_path / "run.safetensors")
    monkeypatch.setattr(training, "_step", stop_after(0, training._step))
    again, same = run(tmp_path / "run.safetensors")
    assert again == losses and equal(same, classifier)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    run(path, Recipe(steps=1))
    for change in (dict(seed=6), dict(n=29), dict(recipe=Recipe(steps=1, batch=7))):
        with pytest.raises(InputError, match="was written by another run .* delete it"):
            run(path, **{"recipe": Recipe(steps=1), **change})


@pytest.mark.parametrize("train", [run, run_answers], ids=["classes", "answers"])
def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(train, tmp_path, monkeypatch, one_thread):
    path, real, calls = tmp_path / "run.safetensors", finetune.objectives.cross_entropy, []

    def breaks(*args, **more):
        calls.append(1)
        return real(*args, **more) * (float("nan") if len(calls) == 7 else 1.0)

    monkeypatch.setattr(finetune.objectives, "cross_entropy", breaks)
    with pytest.raises(FloatingPointError, match="loss is nan at step 6; lower the rate .* stays") as caught:
        train(path)
    assert "\n" not in str(caught.value)
    tensors, state = checkpoint.read(path)
    assert len(state["losses"]) == 6 and np.isfinite(state["losses"]).all()
    assert all(torch.isfinite(t).all() for name, t in tensors.items() if t.is_floating_point())
    monkeypatch.undo()
    (losses, resumed), (expected, whole) = train(path), train()  # what stayed is good to go on from
    assert losses == expected and equal(resumed, whole)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    path = tmp_path / "run.safetensors"
    checkpoint.write(path, {"weight.a": torch.ones(2)}, {"step": 1})
    with pytest.raises(FloatingPointError, match="weight.a is not finite"):
        checkpoint.write(path, {"weight.a": torch.tensor([1.0, float("inf")])}, {"step": 2})
    tensors, state = checkpoint.read(path)
    assert state == {"step": 1} and tensors["weight.a"].tolist() == [1, 1]


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "run.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="run.safetensors is no checkpoint of a training run .* delete it to start"):
        checkpoint.read(path)


def test_an_adapter_is_no_checkpoint(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "adapter.safetensors")
    with pytest.raises(InputError, match="is no checkpoint of a training run"):
        checkpoint.read(tmp_path / "adapter.safetensors")
