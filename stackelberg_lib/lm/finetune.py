"""LoRA fine-tuning of language models: `peft` adapters, and for classification a linear head on the pooled state.

`fit` trains a classifier, `fit_answers` a causal model that writes its answers; `training.train` is the loop of both,
`objectives` holds the losses.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import objectives
from stackelberg_lib.lm.features import Tokens, device, load, load_backbone, pool
from stackelberg_lib.lm.registry import Model
from stackelberg_lib.lm.training import Recipe, train

__all__ = ["Classifier", "Recipe", "adapt_base", "fit", "fit_answers", "load_adapter", "load_causal", "load_generator",
           "lora_classifier", "lora_generator", "predict", "save_adapter"]


class Classifier(nn.Module):
    """Backbone with LoRA, mean pooling, and a linear head: ids, mask (n, length) -> logits (n, C)."""

    def __init__(self, backbone: nn.Module, head: nn.Linear):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        h = pool(self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
        return self.head(nn.functional.normalize(h, dim=1) * math.sqrt(h.shape[1]))


def lora_classifier(model: Model, classes: int, rank: int, seed: int,
                    targets: str | list[str] = "all-linear") -> Classifier:
    """The base model with fresh LoRA adapters (B = 0) and a zero head; one seed gives every arm the same weights.

    `targets` names the adapted linear layers. InputError for a rank below 1 and for a name that no layer has.
    """
    backbone = load_backbone(model)
    # An encoder's pooler is not on the way to the mean-pooled features: adapting it would train nothing.
    beside = [name for name, _ in backbone.named_modules() if name.startswith("pooler.")]
    backbone = adapt_base(backbone, rank, seed, targets, exclude_modules=beside or None)
    head = _blank_head(backbone.config.hidden_size, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Classifier(backbone, head).to(device())


def lora_generator(model: Model, rank: int, seed: int, targets: str | list[str] = "all-linear",
                   dtype: str = "float32") -> nn.Module:
    """The causal base model with fresh LoRA adapters (B = 0), a `peft.PeftModel`; arguments as `lora_classifier`.

    `dtype` "bfloat16" holds the frozen weights in half the bytes; the adapters stay float32.
    """
    return adapt_base(load_causal(model, dtype), rank, seed, targets, task_type="CAUSAL_LM").to(device())


def adapt_base(base: nn.Module, rank: int, seed: int, targets: str | list[str], **more: Any) -> nn.Module:
    """A base model with fresh LoRA adapters drawn from `seed`; `more` goes to `peft.LoraConfig`."""
    from peft import LoraConfig, get_peft_model

    if rank < 1:
        raise InputError(f"rank={rank} must be at least 1")
    if targets != "all-linear":
        names = {name.rpartition(".")[2] for name, layer in base.named_modules() if isinstance(layer, nn.Linear)}
        unknown = set([targets] if isinstance(targets, str) else targets) - names
        if unknown or not targets:
            raise InputError(f"targets={targets!r}: no linear layer is called {' or '.join(sorted(unknown))!r}; this "
                             f"model has {', '.join(sorted(names))}, or use 'all-linear'")
        targets = [targets] if isinstance(targets, str) else list(targets)  # peft reads a plain word as a pattern
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=targets, **more)
    with torch.random.fork_rng(), _one_warning_less():
        torch.manual_seed(seed)
        return get_peft_model(base, config)


def load_causal(model: Model, dtype: str = "float32") -> nn.Module:
    """The whole causal model, its weights in `dtype`. InputError for an encoder and for an unknown dtype."""
    from transformers import AutoModelForCausalLM

    if model.kind != "causal":
        raise InputError(f"MODEL={model.name} is an encoder and writes no answers; use MODEL=pocket or a causal model")
    return load(AutoModelForCausalLM, model, dtype)


def _blank_head(size: int, classes: int) -> nn.Linear:
    """A linear layer with weights still to be written: initialising them would draw from torch's generator."""
    return nn.utils.skip_init(nn.Linear, size, classes)


def fit(classifier: Classifier, tokens: Tokens, rows: np.ndarray, labels: np.ndarray, recipe: Recipe,
        seed: int, save_to: Path | None = None, accelerator: Any = None) -> list[float]:
    """Train on tokens[rows] with labels (len(rows),) and return the loss of every step.

    `training.train` says how, what `save_to` and `accelerator` are, and which errors are raised.
    """
    if recipe.challenger_weight and classifier.head.out_features < 2:
        raise InputError("challenger_weight needs at least 2 classes; set it to 0")
    target = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    objective = objectives.ClassObjective(tokens, np.asarray(rows), target, recipe.challenger_weight)
    return train(classifier, objective, recipe, seed, save_to, accelerator)


def fit_answers(generator: nn.Module, answers: objectives.Answers, rows: np.ndarray, labels: np.ndarray, recipe: Recipe,
                seed: int, challengers: np.ndarray | None = None, save_to: Path | None = None,
                accelerator: Any = None) -> list[float]:
    """Train to write answers.answers[labels] after answers.prompts[rows]; returns the loss of every step.

    `challengers` (len(rows),) index the wrong answers that came with the labels (`objectives.hardest_wrong`), needed
    when `recipe.challenger_weight` > 0. `training.train` says the rest. InputError when they are missing or right.
    """
    labels, challengers = np.asarray(labels), None if challengers is None else np.asarray(challengers)
    if recipe.challenger_weight and (challengers is None or (challengers == labels).any()):
        raise InputError("challenger_weight needs challengers, one wrong answer per label (objectives.hardest_wrong)")
    objective = objectives.AnswerObjective(answers, np.asarray(rows), labels, recipe.challenger_weight, challengers)
    return train(generator, objective, recipe, seed, save_to, accelerator)


def predict(classifier: Classifier, tokens: Tokens, size: int = 64) -> np.ndarray:
    """Class probabilities (N, C) of all texts, in the order of the texts."""
    out = np.empty((len(tokens.ids), classifier.head.out_features), dtype=np.float32)
    for rows in tokens.by_length(size):
        out[rows] = answer(classifier, tokens, rows)
    return out


def answer(classifier: Classifier, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
    """Class probabilities (len(rows), C) of a few texts, in one batch."""
    with torch.inference_mode():
        return classifier.eval()(*tokens.batch(rows)).softmax(1).cpu().numpy()


def save_adapter(classifier: Classifier, folder: Path, label_names: tuple[str, ...]) -> None:
    """Write a standard PEFT folder (plain `peft` opens it), with the head and its label names beside the adapter.

    A generator needs no function of its own: its `save_pretrained` writes the same folder without a head.
    """
    from safetensors.torch import save_file

    classifier.backbone.save_pretrained(folder)
    head = {name: tensor.contiguous().cpu() for name, tensor in classifier.head.state_dict().items()}
    save_file(head, Path(folder) / "head.safetensors")
    (Path(folder) / "labels.json").write_text(json.dumps(label_names, indent=1) + "\n")


def load_adapter(model: Model, folder: Path) -> tuple[Classifier, tuple[str, ...]]:
    """Open what `save_adapter` wrote, on top of the base model: the classifier and its label names."""
    from safetensors.torch import load_file

    if not (Path(folder) / "head.safetensors").is_file():
        raise InputError(f"{folder} holds no head.safetensors; an adapter without a head is opened by load_generator")
    state = load_file(Path(folder) / "head.safetensors")
    head = _blank_head(*reversed(state["weight"].shape))
    head.load_state_dict(state)
    backbone = _open(load_backbone(model), folder)
    names = tuple(json.loads((Path(folder) / "labels.json").read_text()))
    return Classifier(backbone, head).to(device()).eval(), names


def load_generator(model: Model, folder: Path) -> nn.Module:
    """Open a PEFT folder, written here or by plain `peft`, on top of the causal base model."""
    return _open(load_causal(model), folder).to(device()).eval()


def _open(base: nn.Module, folder: Path) -> nn.Module:
    from peft import PeftModel

    for name in ("adapter_config.json", "adapter_model.safetensors"):  # peft would also read formats that run code
        if not (Path(folder) / name).is_file():
            raise InputError(f"{folder} holds no {name}; it is no PEFT folder in safetensors format")
    with _one_warning_less():
        return PeftModel.from_pretrained(base, folder)


@contextlib.contextmanager
def _one_warning_less():
    """The pinned peft asks the pinned transformers for an attribute by its old name; no reader can mend that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield
