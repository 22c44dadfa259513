"""LoRA from scratch: a frozen linear layer plus a trained update of low rank (Hu et al. 2021, arXiv 2106.09685).

    y = W x + b + (alpha / r) B A x,    A (r, n_in) random, B (n_out, r) zero at the start

It computes what `peft` computes, weights can be copied both ways, and the whole idea fits on one page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from stackelberg_lib.errors import InputError


class LoRALinear(nn.Module):
    """A frozen `nn.Linear` (n_in -> n_out) with a trained update of rank at most r, scaled by alpha / r."""

    def __init__(self, base: nn.Linear, r: int, alpha: float, generator: torch.Generator):
        """A is uniform on +-1/sqrt(n_in), as in peft and Microsoft's loralib (the paper says Gaussian); B is zero."""
        super().__init__()
        if r < 1:
            raise InputError(f"r={r}: the rank must be at least 1")
        self.base, self.scaling, self.merged = base.requires_grad_(False), alpha / r, False
        bound = 1 / math.sqrt(base.in_features)
        # Drawn on the CPU in float32, so that one seed gives one A, whatever the device and the precision.
        A = torch.empty(r, base.in_features).uniform_(-bound, bound, generator=generator)
        self.A = nn.Parameter(A.to(base.weight))
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, r))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., n_in) -> (..., n_out): two thin products instead of one with the full B A."""
        y = self.base(x)
        return y if self.merged else y + F.linear(F.linear(x, self.A), self.B) * self.scaling

    def update(self) -> torch.Tensor:
        """What LoRA adds to the weight matrix: (alpha / r) B A, (n_out, n_in)."""
        return self.scaling * self.B @ self.A

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update into the frozen weight: no extra work at inference. Merging twice changes nothing."""
        if not self.merged:
            self.base.weight += self.update()
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Take the update out again, exact up to rounding of the weight."""
        if self.merged:
            self.base.weight -= self.update()
            self.merged = False


def linear_names(model: nn.Module) -> list[str]:
    """The last parts of the names of all linear layers, e.g. "q_proj", in the order in which they first occur."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear)))


def wrap(model: nn.Module, targets: Sequence[str], r: int, alpha: float, generator: torch.Generator) -> nn.Module:
    """Freeze `model` and put LoRA on every linear layer whose name ends in one of `targets`, in place.

    targets: last parts of module names, as `linear_names` lists them. Layers draw their A from the generator (on the
    CPU) in the model's order. Returns the model. Raises InputError for a rank below 1 and for a target that no linear
    layer has, naming those that exist, and for a model that is wrapped already; the model is then unchanged.
    """
    names, chosen = linear_names(model), set([targets] if isinstance(targets, str) else targets)
    if r < 1:
        raise InputError(f"r={r}: the rank must be at least 1")
    if not chosen or not chosen <= set(names):
        wrong = ", ".join(sorted(chosen - set(names))) or "nothing"
        raise InputError(f"targets: no linear layer is called {wrong}; the model has {', '.join(names) or 'none'}")
    if layers(model):
        raise InputError("LoRA is on this model already; merge_and_unload it, or load the base model anew")
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if isinstance(module, nn.Linear) and leaf in chosen:
            setattr(model.get_submodule(parent), leaf, LoRALinear(module, r, alpha, generator))
    return model


def layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The wrapped layers of a model by their full names."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def merge_and_unload(model: nn.Module) -> nn.Module:
    """Merge every update and put the plain linear layers back, in place; no trace of LoRA is left but the weights."""
    for name, layer in layers(model).items():
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer.base)
    return model


def parameter_count(shapes: Iterable[tuple[int, int]], r: int) -> int:
    """Trained numbers of LoRA on layers of these shapes (n_out, n_in): the sum of r (n_in + n_out)."""
    return sum(r * (n_in + n_out) for n_out, n_in in shapes)


def copy_from_peft(model: nn.Module, peft_model: nn.Module) -> None:
    """Copy A and B of a `peft` model (adapter "default") into a model wrapped here. Errors as `_pairs`."""
    for layer, theirs in _pairs(model, peft_model):
        _copy(theirs.lora_A["default"].weight, layer.A)
        _copy(theirs.lora_B["default"].weight, layer.B)


def copy_to_peft(model: nn.Module, peft_model: nn.Module) -> None:
    """Copy A and B of a model wrapped here into a `peft` model (adapter "default"). Errors as `_pairs`."""
    for layer, theirs in _pairs(model, peft_model):
        _copy(layer.A, theirs.lora_A["default"].weight)
        _copy(layer.B, theirs.lora_B["default"].weight)


@torch.no_grad()
def _copy(source: torch.Tensor, into: torch.Tensor) -> None:
    into.copy_(source)


def _pairs(model: nn.Module, peft_model: nn.Module) -> list[tuple[LoRALinear, nn.Module]]:
    """Layers of the same name; InputError where names, ranks or scalings differ, before anything is copied."""
    ours = layers(model)
    theirs = {name: m for name, m in peft_model.get_base_model().named_modules() if hasattr(m, "lora_A")}
    if ours.keys() != theirs.keys():
        apart = sorted(ours.keys() ^ theirs.keys())
        raise InputError(f"LoRA on different layers: {', '.join(apart[:3])} and {max(0, len(apart) - 3)} more are in "
                         "one of the two models only; wrap both with the same targets")
    for name, layer in ours.items():
        mine, other = ((len(layer.A), layer.scaling), (theirs[name].r["default"], theirs[name].scaling["default"]))
        if mine != other:
            raise InputError(f"{name}: rank and scaling are {mine} here and {other} in peft; use the same r and alpha")
    return [(layer, theirs[name]) for name, layer in ours.items()]
