"""The training loop of both objectives: AdamW, warm-up, clipping, early stop, exact resume, one process or several.

An objective is what `objectives.ClassObjective` and `objectives.AnswerObjective` are: `len()` rows, `digest()` of its
data, and `part(module, mine, whole)`, the share of the loss of the batch `whole` that falls on its rows `mine`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import checkpoint

LOOK = 10  # steps between looks at the loss: each look makes a GPU wait for its queue


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune: optimiser steps of `batch` texts, LoRA rank, peak learning rate of adapter and head.

    `batch` counts the texts of all processes together. `challenger_weight` adds the pairwise term gold against
    challenger. `validation` is the share of the rows given to `fit` that is kept for early stopping; their labels were
    bought like the others. Every `every` steps the validation loss is taken and a checkpoint written; training stops
    after `patience` looks without a better one and returns to the best weights. `bf16` switches autocast (None: on a
    GPU); `recompute` trades time for memory (gradient checkpointing).
    """

    steps: int = 100
    batch: int = 32
    rank: int = 8
    rate: float = 3e-3
    challenger_weight: float = 0.0
    validation: float = 0.0
    patience: int = 3
    every: int = 10
    bf16: bool | None = None
    recompute: bool = False


def train(module: nn.Module, objective: Any, recipe: Recipe, seed: int, save_to: Path | None = None,
          accelerator: Any = None) -> list[float]:
    """Train the parameters of `module` that require gradients; returns the loss of every step.

    AdamW, 10 % linear warm-up then linear decay, gradient norm clipped at 1. Rows are visited in freshly shuffled
    order, epoch after epoch. With `save_to`, a file, the run is saved there and an interrupted one goes on from it, to
    the same weights bit for bit. `accelerator` is an `accelerate.Accelerator` when several processes share a batch.

    InputError for a recipe that fits no row and for a checkpoint of another run; FloatingPointError at a loss that is
    not finite, and the last good checkpoint stays.
    """
    learn, held = split(len(objective), recipe.validation, seed)
    _check(recipe, len(learn), accelerator)
    run = _Run(module, objective, recipe, seed, accelerator)
    with torch.random.fork_rng():
        torch.manual_seed(seed + run.rank)  # dropout of the base model
        if save_to and Path(save_to).is_file():
            _load(run, Path(save_to))
        module.train()
        for rows in islice(order(len(learn), recipe.batch, np.random.default_rng([seed, 1])), run.step, recipe.steps):
            if run.waited >= recipe.patience:
                break
            _step(run, learn[rows])
            due = run.step % recipe.every == 0 or run.step == recipe.steps
            if due or run.step % LOOK == 0:
                _look(run)
            if due and len(held):
                _validate(run, held)
            if due and save_to:
                _save(run, Path(save_to))
    if run.best:
        _put(run.trained, run.best)
    return run.losses


def split(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to validate on, both drawn from the n that were bought; share 0 keeps none back."""
    held = np.sort(np.random.default_rng([seed, 4]).permutation(n)[:round(share * n)])
    return np.setdiff1d(np.arange(n), held), held


def order(n: int, batch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of indices below n, every index once per shuffled epoch."""
    queue = np.empty(0, dtype=int)
    while True:
        while len(queue) < min(batch, n):
            queue = np.concatenate([queue, rng.permutation(n)])
        yield queue[:batch]
        queue = queue[batch:]


@dataclass
class _Run:
    """A training run on its way: what moves, and what was seen so far."""

    module: nn.Module
    objective: Any
    recipe: Recipe
    seed: int
    accelerator: Any
    losses: list[float] = field(default_factory=list)
    pending: list[torch.Tensor] = field(default_factory=list)  # this process's parts of losses not yet looked at
    lowest: float = math.inf  # validation loss
    waited: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from transformers import PreTrainedModel, get_linear_schedule_with_warmup

        self.trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        self.device = next(iter(self.trained.values())).device
        self.rank, self.world = ((self.accelerator.process_index, self.accelerator.num_processes)
                                 if self.accelerator else (0, 1))
        if self.recipe.recompute:
            model = next(m for m in self.module.modules() if isinstance(m, PreTrainedModel))
            model.activation_checkpointing_enable({"use_reentrant": False})
        self.wrapped = self.accelerator.prepare(self.module) if self.accelerator else self.module
        self.optimiser = torch.optim.AdamW(self.trained.values(), lr=self.recipe.rate, weight_decay=0.01,
                                           fused=self.device.type == "cuda")
        self.schedule = get_linear_schedule_with_warmup(self.optimiser, max(1, self.recipe.steps // 10),
                                                        self.recipe.steps)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses) + len(self.pending)

    @cached_property
    def identity(self) -> str:
        """What must agree for a run to go on from a checkpoint: recipe, seed, data, processes, trained parameters."""
        shapes = {name: list(p.shape) for name, p in self.trained.items()}
        said = json.dumps([asdict(self.recipe), self.seed, self.world, self.objective.digest(), shapes])
        return hashlib.sha256(said.encode()).hexdigest()

    def autocast(self) -> torch.autocast:
        """bfloat16 for matrix products where the recipe, or else the device, wants it."""
        kind, wanted = self.device.type, self.recipe.bf16
        return torch.autocast(kind, torch.bfloat16, kind == "cuda" if wanted is None else wanted)


def _check(recipe: Recipe, learn: int, accelerator: Any) -> None:
    if learn < 1:
        raise InputError(f"validation={recipe.validation} leaves {learn} rows to learn from; buy more labels")
    if recipe.validation < 0 or recipe.patience < 1 or recipe.every < 1 or recipe.steps < 1 or recipe.batch < 1:
        raise InputError(f"{recipe}: steps, batch, patience and every must be at least 1, validation at least 0")
    if accelerator and min(recipe.batch, learn) < accelerator.num_processes:
        raise InputError(f"a batch of {min(recipe.batch, learn)} rows does not reach {accelerator.num_processes} "
                         "processes; start fewer")


def _step(run: _Run, rows: np.ndarray) -> None:
    with run.autocast():
        loss = run.objective.part(run.wrapped, rows[run.rank::run.world], rows)
    (loss * run.world).backward()  # processes average their gradients, and the parts are to be added
    nn.utils.clip_grad_norm_(run.trained.values(), 1.0)
    run.optimiser.step()
    run.schedule.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.pending.append(loss.detach())
    if run.device.type == "cpu" and run.world == 1:
        _look(run)  # costs nothing here


def _look(run: _Run) -> None:
    """Read the losses that are waiting, and stop at one that is not finite."""
    if not run.pending:
        return
    parts = torch.stack(run.pending)
    run.pending.clear()
    for loss in (run.accelerator.reduce(parts, "sum") if run.accelerator else parts).tolist():
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {len(run.losses)}; lower the rate ({run.recipe.rate}); "
                                     "a checkpoint written before it stays")
        run.losses.append(loss)


def _validate(run: _Run, held: np.ndarray) -> None:
    run.module.eval()
    with torch.no_grad(), run.autocast():
        parts = [run.objective.part(run.module, held[i:i + run.recipe.batch], held)
                 for i in range(0, len(held), run.recipe.batch)]
    run.module.train()
    loss = float(sum(parts))
    if loss < run.lowest:
        run.lowest, run.waited = loss, 0
        run.best = {name: p.detach().clone() for name, p in run.trained.items()}
    else:
        run.waited += 1


def _generators(run: _Run) -> dict[str, torch.Tensor]:
    """States (processes, bytes) of torch's generators."""
    states = {"rng.cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        states["rng.cuda"] = torch.cuda.get_rng_state(run.device)
    gather = run.accelerator.gather if run.accelerator else torch.Tensor.cpu
    return {name: gather(state.to(run.device)).view(run.world, -1) for name, state in states.items()}


def _save(run: _Run, path: Path) -> None:
    moments, groups = checkpoint.pack_optimiser(run.optimiser)
    tensors = {**moments, **_generators(run), **{f"weight.{name}": p for name, p in run.trained.items()},
               **{f"best.{name}": p for name, p in run.best.items()}}
    state = {"identity": run.identity, "losses": run.losses, "waited": run.waited, "groups": groups,
             "lowest": run.lowest if run.best else None, "schedule": run.schedule.state_dict()}
    if run.rank == 0:
        checkpoint.write(path, tensors, state)
    if run.accelerator:
        run.accelerator.wait_for_everyone()


def _load(run: _Run, path: Path) -> None:
    tensors, state = checkpoint.read(path)
    if state.get("identity") != run.identity:
        raise InputError(f"{path} was written by another run (recipe, seed, data, adapter or number of processes "
                         "differ); name another file or delete it")
    _put(run.trained, _under("weight.", tensors))
    run.best = {name: t.to(run.device) for name, t in _under("best.", tensors).items()}
    checkpoint.unpack_optimiser(run.optimiser, tensors, state["groups"])
    run.schedule.load_state_dict(state["schedule"])
    run.losses, run.waited = state["losses"], state["waited"]
    run.lowest = state["lowest"] if run.best else math.inf
    torch.set_rng_state(tensors["rng.cpu"][run.rank].clone())
    if run.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["rng.cuda"][run.rank].clone(), run.device)


def _under(prefix: str, tensors: checkpoint.Tensors) -> checkpoint.Tensors:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _put(trained: dict[str, nn.Parameter], values: checkpoint.Tensors) -> None:
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(values[name])
