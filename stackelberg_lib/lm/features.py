"""Texts to features: a language model's hidden states, pooled over the tokens of the text, and whitened if wanted."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm.registry import Model

MAX_TOKENS = 128  # longer texts are cut; the learning curves say so through `Tokens.cut`
BAR_AFTER = 60.0  # seconds of embedding before a progress bar appears
POOLINGS = ("mean", "last")
KEEPS = ("start", "end")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Readout:
    """How hidden states become one vector per text.

    pooling: "mean" over the text's tokens, or its "last" token, the only one of a causal model that has read them all
    (an encoder's last token is its separator: prefer the mean). layer: index into the hidden states, 0 the embeddings,
    -1 the last layer. unit: scale to length 1. bf16: compute in bfloat16 where autocast does, for GPUs; entries of
    unit features then differ from float32 by less than 0.03 (Pocket).
    """

    pooling: str = "mean"
    layer: int = -1
    unit: bool = True
    bf16: bool = False

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling={self.pooling!r}; use one of {', '.join(POOLINGS)}")


PLAIN = Readout()
LOADING = threading.Lock()  # transformers patches itself while it loads; two threads at once can leave it patched


def device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_backbone(model: Model) -> nn.Module:
    """The model without its output layer, float32, in evaluation mode; safetensors only."""
    from transformers import AutoModel, logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # says only that the unused output layer was left out, which is the point
    try:
        backbone = load(AutoModel, model).to(device())
        backbone.config.use_cache = False  # keys and values of all layers would be held, and nobody reads on
        return backbone
    finally:
        logging.set_verbosity(before)


def load(kind: type, model: Model, dtype: str = "float32") -> nn.Module:
    """The model as an Auto class of transformers (`kind`) makes it: evaluation mode, safetensors only.

    dtype: one of DTYPES, that of the weights in memory. Raises InputError for another.
    """
    from transformers import logging

    if dtype not in DTYPES:
        raise InputError(f"dtype={dtype!r}; use one of {', '.join(DTYPES)}")
    logging.disable_progress_bar()
    with LOADING:
        return kind.from_pretrained(model.folder, use_safetensors=True, dtype=getattr(torch, dtype)).eval()


class Tokens:
    """The token ids of some texts, ready to be batched: `ids` a list of lists, `cut` the number of texts too long.

    keep: which side of a text that is too long survives; "end" where the answer stands at the end.
    Raises InputError for no texts at all.
    """

    def __init__(self, model: Model, texts: list[str], keep: str = "start"):
        from transformers import AutoTokenizer

        if keep not in KEEPS:
            raise InputError(f"keep={keep!r}; use one of {', '.join(KEEPS)}")
        texts = list(texts)
        if not texts:
            raise InputError("no texts; pass at least one")
        tokenizer = AutoTokenizer.from_pretrained(model.folder)
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        whole = tokenizer(texts)["input_ids"]
        self.cut = sum(len(ids) > MAX_TOKENS for ids in whole)
        if keep == "end" and self.cut:  # the tokenizer itself cuts, so that a leading special token stays
            tokenizer.truncation_side = "left"
            whole = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        self.ids = [ids[:MAX_TOKENS] or [self.pad] for ids in whole]

    def batch(self, rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (n, longest of the rows) on the device; padding goes to the right."""
        chosen = [self.ids[i] for i in rows]
        width = max(map(len, chosen))
        ids = torch.full((len(chosen), width), self.pad)
        mask = torch.zeros(len(chosen), width, dtype=torch.long)
        for k, row in enumerate(chosen):
            ids[k, :len(row)] = torch.tensor(row)
            mask[k, :len(row)] = 1
        return ids.to(device()), mask.to(device())

    def by_length(self, size: int) -> list[np.ndarray]:
        """All rows in batches of `size`, similar lengths together, so that little is padding."""
        order = np.argsort([len(ids) for ids in self.ids], kind="stable")
        return [order[i:i + size] for i in range(0, len(order), size)]


def pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the real tokens: hidden (n, length, m), mask (n, length) -> (n, m)."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last real token's state, padding on the right: hidden (n, length, m), mask (n, length) -> (n, m)."""
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]


def read(backbone: nn.Module, ids: torch.Tensor, mask: torch.Tensor, readout: Readout = PLAIN) -> torch.Tensor:
    """One vector per row of a batch: ids, mask (n, length) -> (n, m). Raises InputError for a layer there is not."""
    last = readout.layer == -1
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=readout.bf16):
        out = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=not last)
    if last:
        hidden = out.last_hidden_state
    else:
        n = len(out.hidden_states)
        if not -n <= readout.layer < n:
            raise InputError(f"layer={readout.layer}: the model has hidden states 0 to {n - 1}, or -{n} to -1")
        hidden = out.hidden_states[readout.layer]
    if readout.bf16:  # pooling and scaling are cheap: no second rounding
        hidden = hidden.float()
    h = (pool if readout.pooling == "mean" else last_token)(hidden, mask)
    return nn.functional.normalize(h, dim=1) if readout.unit else h


def embed(backbone: nn.Module, tokens: Tokens, size: int = 64, readout: Readout = PLAIN) -> np.ndarray:
    """Features (N, m) float32 of all texts under `backbone`, in the order of the texts; `size` texts at a time.

    A text's features do not depend on what else is in its batch.
    """
    from tqdm import tqdm

    out: list[np.ndarray] = [None] * len(tokens.ids)
    backbone.eval()
    with torch.inference_mode(), tqdm(total=len(out), desc="embedding", unit=" texts", delay=BAR_AFTER) as bar:
        for rows in tokens.by_length(size):
            h = read(backbone, *tokens.batch(rows), readout).cpu().numpy()
            for i, row in zip(rows, h, strict=True):
                out[i] = row
            bar.update(len(rows))
    return np.stack(out)


@dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) map, fitted on one set of features and applied to others: mean (m,), map (m, m)."""

    mean: np.ndarray
    map: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (..., m), e.g. (N, m) or joint (N, K, m), in the dtype they came in."""
        return ((features - self.mean) @ self.map).astype(features.dtype, copy=False)


def fit_whitening(pool_features: np.ndarray, shrinkage: float | None = 0.1) -> Whitening:
    """Centring and symmetric (ZCA) whitening fitted on the pool (N, m); shrinkage=None only centres.

    The covariance C is shrunk to (1 - s) C + s (tr C / m) I before it is inverted (Ledoit and Wolf 2004, with s given
    instead of estimated). s = 0 makes the pool's covariance the identity; s = 1 keeps its shape, at unit mean variance.
    Labels play no part. Raises InputError for s outside [0, 1] and for a singular C at s = 0.
    """
    x = np.asarray(pool_features, dtype=float)
    mean, m = x.mean(0), x.shape[1]
    if shrinkage is None:
        return Whitening(mean, np.eye(m))
    if not 0 <= shrinkage <= 1:
        raise InputError(f"shrinkage={shrinkage} must lie between 0 and 1, or be None to centre only")
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    values = np.clip(values, 0, None)
    shrunk = (1 - shrinkage) * values + shrinkage * values.mean()
    if shrunk[0] <= m * np.finfo(float).eps * shrunk[-1]:
        rank = int(np.sum(values > m * np.finfo(float).eps * values[-1]))
        raise InputError(f"shrinkage={shrinkage}: {len(x)} features of rank {rank} do not span their {m} dimensions; "
                         "use a shrinkage above 0, e.g. 0.1")
    return Whitening(mean, (vectors / np.sqrt(shrunk)) @ vectors.T)
