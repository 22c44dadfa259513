"""The real peak memory of training steps: what PyTorch's allocator handed out, added up event by event.

On a CPU this is what `torch.cuda.max_memory_allocated` is on a GPU: every tensor, kept or temporary, and nothing of
the interpreter, of libraries, or of memory that was freed and not given back to the system.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import finetune, objectives, training
from stackelberg_lib.lm.architecture import Architecture, to_config
from stackelberg_lib.lm.features import load_backbone
from stackelberg_lib.lm.planner import Job
from stackelberg_lib.lm.registry import Model


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most bytes that tensors made on the CPU during `work` held at once, beyond what was there before."""
    from torch.profiler import ProfilerActivity, profile

    with _no_native_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return int(np.cumsum(changes).max(initial=0))


@contextlib.contextmanager
def _no_native_stderr():
    """The profiler's C++ part announces its start and stop on file descriptor 2, whatever its log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Drawn:
    """An objective on random ids of exactly the job's shape: every text full, or with `padded` all but the first."""

    def __init__(self, vocabulary: int, job: Job):
        self.job, self.classes = job, job.objective == "classes"
        draw = torch.Generator().manual_seed(0)
        self.ids = torch.randint(3, vocabulary, (job.batch, job.length), generator=draw)
        self.mask = torch.ones_like(self.ids)
        if job.padded:
            self.mask[1:, :1] = 0
        self.labels = self.ids[:, -job.answer:]

    def __len__(self) -> int:
        return self.job.batch

    def digest(self) -> str:
        """Never asked for: nothing of a measurement is saved."""
        raise NotImplementedError

    def part(self, module: nn.Module, mine: np.ndarray, whole: np.ndarray) -> torch.Tensor:
        """The batch's loss, a scalar, as the objectives of the same name compute it."""
        if self.classes:
            target = torch.zeros(len(mine), dtype=torch.long)
            return nn.functional.cross_entropy(module(self.ids[mine], self.mask[mine]).float(), target)
        return -objectives.log_likelihood(module, self.ids[mine], self.mask[mine], self.labels[mine]).mean()


def build(source: Model | Architecture, job: Job) -> nn.Module:
    """The module that the job trains, on the CPU; a shape gets random weights, drawn from seed 0."""
    return _build(source, job).cpu()


def _build(source: Model | Architecture, job: Job) -> nn.Module:
    if isinstance(source, Architecture):
        from transformers import AutoModelForCausalLM

        with torch.random.fork_rng():
            torch.manual_seed(0)
            base = AutoModelForCausalLM.from_config(to_config(source), dtype=getattr(torch, job.dtype))
        if job.objective == "classes":
            raise InputError("a shape is measured with objective='answers'")
        return base if job.method == "full" else finetune.adapt_base(base, job.rank, 0, _targets(job),
                                                                     task_type="CAUSAL_LM")
    if job.objective == "answers":
        if job.method == "full":
            return finetune.load_causal(source)
        return finetune.lora_generator(source, job.rank, 0, _targets(job), job.dtype)
    if job.method == "lora":
        return finetune.lora_classifier(source, job.classes, job.rank, 0, _targets(job))
    backbone = load_backbone(source).requires_grad_(job.method == "full")
    return finetune.Classifier(backbone, nn.Linear(backbone.config.hidden_size, job.classes))


def _targets(job: Job) -> str | list[str]:
    return job.targets if isinstance(job.targets, str) else list(job.targets)


def training_steps(source: Model | Architecture, job: Job, steps: int = 2) -> tuple[int, Callable[[], list[float]]]:
    """Bytes of a job's model, and a function that takes `steps` real steps of `training.train` with it on the CPU."""
    module = build(source, job)
    held = sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))
    model = module.backbone if isinstance(module, finetune.Classifier) else module
    recipe = training.Recipe(steps=steps, batch=job.batch, rank=job.rank, bf16=job.dtype == "bfloat16",
                             recompute=job.recompute)
    objective = Drawn(model.config.vocab_size, job)
    return held, lambda: training.train(module, objective, recipe, 0)


def measure(source: Model | Architecture, job: Job) -> int:
    """Peak bytes of two real training steps on the CPU, model included; the second has the optimiser's state."""
    held, work = training_steps(source, job)
    return held + peak_bytes(work)
