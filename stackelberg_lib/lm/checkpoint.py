"""Checkpoints of a training run: one safetensors file that holds tensors and, as JSON in its header, everything else.

A checkpoint is written beside its final name, flushed to the disk and renamed: whenever the process or the machine
dies, what lies under the name is a whole checkpoint, the old one or the new one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from stackelberg_lib.errors import InputError

Tensors = dict[str, torch.Tensor]


def write(path: Path, tensors: Tensors, state: dict) -> None:
    """Replace `path` by a checkpoint of `tensors` and the JSON-able `state`, at once or not at all.

    FloatingPointError, and the old file stays, when a tensor holds a value that is not finite.
    """
    from safetensors.torch import save_file

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise FloatingPointError(f"{name} is not finite after training diverged; {path.name} was left as it was; "
                                     "lower the rate")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, beside, {"state": json.dumps(state)})
    _flush(beside)
    os.replace(beside, path)
    _flush(path.parent)


def read(path: Path) -> tuple[Tensors, dict]:
    """Tensors (on the CPU) and state of a checkpoint; InputError when `path` is no whole checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["state"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is no checkpoint of a training run ({type(error).__name__}); delete it to start "
                         "anew") from None


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[Tensors, list[dict]]:
    """The optimiser's moments and step counts as named tensors, and its parameter groups as JSON."""
    state = optimiser.state_dict()
    tensors = {f"optimiser.{i}.{name}": value for i, values in state["state"].items() for name, value in values.items()}
    return tensors, state["param_groups"]


def unpack_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors, groups: list[dict]) -> None:
    """Put back what `pack_optimiser` took out; other tensors are ignored."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        first, _, rest = key.partition(".")
        if first == "optimiser":
            index, name = rest.split(".")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
