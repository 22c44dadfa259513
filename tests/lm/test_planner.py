"""What the planner says, against models that were built, steps that were measured, and operations that were counted."""

import json
import os
from pathlib import Path

import pytest
import torch

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import architecture, finetune, peak, planner, registry
from stackelberg_lib.lm.architecture import SHAPES
from stackelberg_lib.lm.planner import Job

POCKET = registry.resolve("pocket")
RECORDED = Path(__file__).resolve().parents[2] / "results/planner.json"
SMALL = Job(batch=4, length=32, answer=4)


def shape_of(model):
    from transformers import AutoConfig

    return architecture.of_config(AutoConfig.from_pretrained(model.folder), model.name)


def on_meta(shape):
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(architecture.to_config(shape))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda s: s.name)
def test_shapes_count_what_transformers_builds(shape):
    built = on_meta(shape)
    assert shape.parameters == sum(p.numel() for p in built.parameters())
    assert architecture.of_config(built.config, shape.name) == shape
    said = float(shape.name.rpartition("-")[2].rstrip("MB")) * (1e6 if shape.name.endswith("M") else 1e9)
    assert said == pytest.approx(shape.parameters, rel=0.08)
    linear = {name.rpartition(".")[2]: tuple(m.weight.shape) for name, m in built.named_modules()
              if isinstance(m, torch.nn.Linear) and ".layers.0." in name}
    assert linear == shape.linear


def test_pocket_and_its_adapter_are_counted_exactly():
    shape = shape_of(POCKET)
    assert shape.parameters == sum(p.numel() for p in finetune.load_causal(POCKET).parameters())
    for targets in ("all-linear", ("q_proj", "v_proj")):
        wanted = targets if targets == "all-linear" else list(targets)
        real = finetune.lora_generator(POCKET, 4, 0, wanted)
        job = Job(rank=4, targets=targets)
        assert planner.trained_size(shape, job) == sum(p.numel() for p in real.parameters() if p.requires_grad)
    head = finetune.lora_classifier(POCKET, 32, 4, 0)
    assert planner.trained_size(shape, Job(objective="classes", rank=4)) == sum(
        p.numel() for p in head.parameters() if p.requires_grad)


@pytest.mark.parametrize("change", [{}, {"recompute": True}],
                         ids=lambda c: "-".join(map(str, c)) or "lora")
def test_the_planned_peak_is_the_measured_one(change):
    """The memory of real steps, measured here and now, is within 15 % of what was planned, and so without weights."""
    job = Job(**{**SMALL.__dict__, **change})
    planned, measured = planner.memory(shape_of(POCKET), job), peak.measure(POCKET, job)
    assert planned.total == pytest.approx(measured, rel=0.15)
    assert planned.total - planned.weights == pytest.approx(measured - planned.weights, rel=0.15)


def test_the_probe_sees_what_is_allocated():
    def work():
        kept = [torch.zeros(1000, 256) for _ in range(3)]
        del kept[0]
        return torch.zeros(500, 256)

    assert peak.peak_bytes(work) == pytest.approx(3 * 1024 * 1000, rel=0.01)
    assert peak.peak_bytes(lambda: None) == 0


def test_the_probe_is_silent_and_leaves_stderr_open(capfd):
    peak.peak_bytes(lambda: torch.zeros(10))
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_recorded_measurements_hold():
    recorded = json.loads(RECORDED.read_text())
    assert {"SmolLM2-135M", "pocket"} <= {row["model"] for row in recorded["runs"]}
    assert recorded["provenance"]["device"] == "cpu"
    for row in recorded["runs"]:
        assert row["planned"] == pytest.approx(row["measured"], rel=0.15), row["job"]
        given = {**row["job"], "targets": tuple(t) if isinstance(t := row["job"]["targets"], list) else t}
        if row["model"] in SHAPES:  # the file is of this planner and of no other
            assert planner.memory(SHAPES[row["model"]], Job(**given)).total == row["planned"]


def test_parts_move_as_they_must():
    shape = SHAPES["Llama-3.1-8B"]
    plain, low, again = (planner.memory(shape, Job(**c)) for c in ({}, {"dtype": "bfloat16"}, {"recompute": True}))
    assert plain.weights == 4 * shape.parameters == 2 * low.weights
    assert plain.adapter == low.adapter == plain.gradients and plain.optimiser == 2 * plain.gradients
    assert again.activations < plain.activations / 10 and again.weights == plain.weights
    twice = planner.memory(shape, Job(batch=16))
    assert twice.activations == pytest.approx(2 * plain.activations, rel=1e-9)
    full = planner.memory(shape, Job(method="full"))
    assert full.adapter == 0 and full.gradients == full.weights and full.optimiser == 2 * full.weights
    assert planner.memory(shape, Job(padded=False)).activations < plain.activations
    doubled = planner.memory(shape, Job(rank=16))
    assert doubled.adapter == 2 * plain.adapter and doubled.activations > plain.activations


@pytest.mark.parametrize("change", [{}, {"method": "full"}, {"recompute": True}],
                         ids=lambda c: "-".join(map(str, c)) or "lora")
def test_operations_are_those_that_are_counted(change):
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import PreTrainedModel

    job = Job(**{**SMALL.__dict__, "padded": False, **change})
    module, objective = peak.build(POCKET, job).train(), peak.Drawn(905, job)
    model = next(m for m in module.modules() if isinstance(m, PreTrainedModel))
    model.set_attn_implementation("eager")  # the counter knows no attention kernel of a CPU
    if job.recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})
    rows = torch.arange(job.batch).numpy()
    with FlopCounterMode(display=False) as forward:
        loss = objective.part(module, rows, rows)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    planned = planner.flops(shape_of(POCKET), job)
    tokens = job.batch * job.length
    assert tokens * planned["forward"] == pytest.approx(forward.get_total_flops(), rel=0.03)
    assert tokens * planned["backward"] == pytest.approx(backward.get_total_flops(), rel=0.06)


def test_hours_by_hand():
    shape = SHAPES["Qwen2.5-0.5B"]
    job = Job(length=100, answer=10)
    each = sum(planner.flops(shape, job).values())
    assert planner.hours(shape, job, 3600, 2, 1e12, 0.5) == pytest.approx(2 * 100 * each / 0.5e12)
    assert 4 * shape.matrices < each < 4.6 * shape.matrices + 12 * 24 * 896 * 100 + 0.11 * 4 * 896 * 151936


@pytest.mark.parametrize(("change", "message"), [
    ({"method": "prompt"}, "method='prompt'; use one of lora, head, full"),
    ({"batch": 0}, "batch=0 must be at least 1"),
    ({"method": "full", "dtype": "bfloat16"}, "rounds the updates away"),
    ({"method": "head"}, "use objective='classes'"),
    ({"targets": ("query",)}, "pocket has q_proj, k_proj"),
    ({"objective": "classes", "dtype": "bfloat16"}, "with a head on classes is not planned"),
])
def test_jobs_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message) as caught:
        planner.memory(shape_of(POCKET), Job(**change))
    assert "\n" not in str(caught.value)


def test_families_that_are_not_planned():
    from transformers import GPT2Config

    with pytest.raises(InputError, match="model_type='gpt2' is not planned here; use one of llama, mistral"):
        architecture.of_config(GPT2Config())
    with pytest.raises(InputError, match="mfu=1.5"):
        planner.hours(SHAPES["Qwen2.5-0.5B"], Job(), 10, 1, 1e12, 1.5)
