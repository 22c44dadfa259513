"""LoRA fine-tuning of a text classifier: `peft` adapters on every linear layer, a linear head, a plain torch loop."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm.features import Tokens, device, load_backbone, pool
from stackelberg_lib.lm.registry import Model


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune: optimiser steps of `batch` texts, LoRA rank, peak learning rate of adapter and head."""

    steps: int = 100
    batch: int = 32
    rank: int = 8
    rate: float = 3e-3


class Classifier(nn.Module):
    """Backbone with LoRA, mean pooling, and a linear head: ids, mask (n, length) -> logits (n, C)."""

    def __init__(self, backbone: nn.Module, head: nn.Linear):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        h = pool(self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
        return self.head(nn.functional.normalize(h, dim=1) * math.sqrt(h.shape[1]))


def lora_classifier(model: Model, classes: int, rank: int, seed: int) -> Classifier:
    """The base model with fresh LoRA adapters (B = 0) and a zero head; one seed gives every arm the same weights."""
    from peft import LoraConfig, get_peft_model

    if rank < 1:
        raise InputError(f"rank={rank} must be at least 1")
    backbone = load_backbone(model)
    # An encoder's pooler is not on the way to the mean-pooled features: adapting it would train nothing.
    beside = [name for name, _ in backbone.named_modules() if name.startswith("pooler.")]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear",
                        exclude_modules=beside or None)
    with torch.random.fork_rng(), _one_warning_less():
        torch.manual_seed(seed)
        backbone = get_peft_model(backbone, config)
    head = _blank_head(backbone.config.hidden_size, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Classifier(backbone, head).to(device())


def _blank_head(size: int, classes: int) -> nn.Linear:
    """A linear layer with weights still to be written: initialising them would draw from torch's generator."""
    return nn.utils.skip_init(nn.Linear, size, classes)


def fit(classifier: Classifier, tokens: Tokens, rows: np.ndarray, labels: np.ndarray, recipe: Recipe,
        seed: int) -> list[float]:
    """Train on tokens[rows] with labels (len(rows),) and return the loss of every step.

    Cross-entropy, AdamW, 10 % linear warm-up then linear decay, gradient norm clipped at 1. Rows are visited in freshly
    shuffled order, epoch after epoch, until `recipe.steps` are done. FloatingPointError at a loss that is not finite.
    """
    from transformers import get_linear_schedule_with_warmup

    trained = [p for p in classifier.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=recipe.rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimiser, max(1, recipe.steps // 10), recipe.steps)
    order = _order(len(rows), recipe.batch, np.random.default_rng([seed, 1]))
    target = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    losses = []
    classifier.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # dropout of the base model
        for step in range(recipe.steps):
            chosen = next(order)
            ids, mask = tokens.batch(rows[chosen])
            loss = nn.functional.cross_entropy(classifier(ids, mask), target[chosen].to(ids.device))
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(f"loss is {losses[-1]} at step {step}; lower the rate ({recipe.rate})")
    return losses


def _order(n: int, batch: int, rng: np.random.Generator):
    """Endless batches of indices below n, every index once per shuffled epoch."""
    queue = np.empty(0, dtype=int)
    while True:
        while len(queue) < min(batch, n):
            queue = np.concatenate([queue, rng.permutation(n)])
        yield queue[:batch]
        queue = queue[batch:]


def predict(classifier: Classifier, tokens: Tokens, size: int = 64) -> np.ndarray:
    """Class probabilities (N, C) of all texts, in the order of the texts."""
    out = np.empty((len(tokens.ids), classifier.head.out_features), dtype=np.float32)
    classifier.eval()
    with torch.inference_mode():
        for rows in tokens.by_length(size):
            out[rows] = classifier(*tokens.batch(rows)).softmax(1).cpu().numpy()
    return out


def save_adapter(classifier: Classifier, folder: Path, label_names: tuple[str, ...]) -> None:
    """Write a standard PEFT folder (plain `peft` opens it), with the head and its label names beside the adapter."""
    from safetensors.torch import save_file

    classifier.backbone.save_pretrained(folder)
    head = {name: tensor.contiguous().cpu() for name, tensor in classifier.head.state_dict().items()}
    save_file(head, Path(folder) / "head.safetensors")
    (Path(folder) / "labels.json").write_text(json.dumps(label_names, indent=1) + "\n")


def load_adapter(model: Model, folder: Path) -> tuple[Classifier, tuple[str, ...]]:
    """Open what `save_adapter` wrote, on top of the base model: the classifier and its label names."""
    from peft import PeftModel
    from safetensors.torch import load_file

    state = load_file(Path(folder) / "head.safetensors")
    head = _blank_head(*reversed(state["weight"].shape))
    head.load_state_dict(state)
    with _one_warning_less():
        backbone = PeftModel.from_pretrained(load_backbone(model), folder)
    names = tuple(json.loads((Path(folder) / "labels.json").read_text()))
    return Classifier(backbone, head).to(device()).eval(), names


@contextlib.contextmanager
def _one_warning_less():
    """The pinned peft asks the pinned transformers for an attribute by its old name; no reader can mend that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield
