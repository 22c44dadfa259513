"""Texts to features: the mean of a language model's last hidden states over the tokens of the text."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from stackelberg_lib.lm.registry import Model

MAX_TOKENS = 128  # longer texts are cut; the learning curves say so through `Tokens.cut`


def device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_backbone(model: Model) -> nn.Module:
    """The model without its output layer, float32, in evaluation mode; safetensors only."""
    from transformers import AutoModel, logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # says only that the unused output layer was left out, which is the point
    try:
        return AutoModel.from_pretrained(model.folder, use_safetensors=True, dtype=torch.float32).to(device()).eval()
    finally:
        logging.set_verbosity(before)


class Tokens:
    """The token ids of some texts, ready to be batched: `ids` a list of lists, `cut` the number of texts too long."""

    def __init__(self, model: Model, texts: list[str]):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model.folder)
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        whole = tokenizer(list(texts))["input_ids"]
        self.ids = [ids[:MAX_TOKENS] or [self.pad] for ids in whole]
        self.cut = sum(len(ids) > MAX_TOKENS for ids in whole)

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


def embed(backbone: nn.Module, tokens: Tokens, size: int = 64) -> np.ndarray:
    """Unit-norm features (N, m) float32 of all texts under `backbone`, in the order of the texts."""
    out: list[np.ndarray] = [None] * len(tokens.ids)
    backbone.eval()
    with torch.inference_mode():
        for rows in tokens.by_length(size):
            ids, mask = tokens.batch(rows)
            h = pool(backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
            for i, row in zip(rows, torch.nn.functional.normalize(h, dim=1).cpu().numpy(), strict=True):
                out[i] = row
    return np.stack(out)
