"""Two things to train a language model on under a label budget: the class of a text, or the words of its answer.

`ClassObjective`: a linear head on the pooled state, cross-entropy. `AnswerObjective` (supervised fine-tuning, SFT): the
prompt followed by the answer, loss on the answer's tokens only; its candidates are ranked by length-normalised
log-likelihood (`score`) or by decoding that can say nothing but a candidate (`decode`). Both take the challenger, the
follower's hardest wrong answer, into training: weight * log(1 + exp(-(score of gold - score of challenger))), the
pairwise logistic loss of Bradley and Terry's model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softplus

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm.features import Tokens, device
from stackelberg_lib.lm.registry import Model

IGNORED = -100  # the label that cross_entropy leaves out


@dataclass(frozen=True)
class ClassObjective:
    """Cross-entropy of tokens[rows] against `labels` (len(rows),), plus `weight` times the challenger's term.

    The challenger of a text is the wrong class with the highest logit at that step.
    """

    tokens: Tokens
    rows: np.ndarray
    labels: torch.Tensor
    weight: float = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """A checksum of the tokens and labels trained on."""
        return _checksum([self.tokens.ids[i] for i in self.rows], self.labels.tolist(), self.weight)

    def part(self, module: nn.Module, mine: np.ndarray, whole: np.ndarray) -> torch.Tensor:
        """The rows `mine`'s share of the loss of the batch `whole`, a scalar; shares add up."""
        ids, mask = self.tokens.batch(self.rows[mine])
        logits, gold = module(ids, mask).float(), self.labels[mine].to(ids.device)
        loss = cross_entropy(logits, gold, reduction="sum")
        if self.weight:
            wrong = logits.scatter(1, gold[:, None], -torch.inf).amax(1)
            loss = loss + self.weight * softplus(wrong - logits.gather(1, gold[:, None])[:, 0]).sum()
        return loss / len(whole)


class Answers:
    """Prompts and the closed set of their answers, tokenised once for one causal model.

    `prompts`: N lists of token ids; `answers`: C lists, each closed by the end token. InputError in one line for an
    encoder, no answers, an empty one, one without tokens, two that cannot be told apart, a prompt beyond the context.
    """

    def __init__(self, model: Model, prompts: list[str], answers: list[str] | tuple[str, ...]):
        from transformers import AutoConfig, AutoTokenizer

        if model.kind != "causal":
            raise InputError(f"MODEL={model.name} is an encoder and writes no answers; train a head on it, or use "
                             "MODEL=pocket")
        if not len(answers):
            raise InputError("answers is empty; give at least one text to choose")
        tokenizer = AutoTokenizer.from_pretrained(model.folder)
        self.end = tokenizer.eos_token_id
        end = [] if self.end is None else [self.end]
        self.pad = next(i for i in (tokenizer.pad_token_id, *end, 0) if i is not None)
        whole = tokenizer(list(prompts), verbose=False)["input_ids"] if len(prompts) else []  # `_fits` says it better
        self.prompts = [ids[:-1] if ids[-1:] == end else ids for ids in whole]  # some tokenizers end every text
        self.answers = [_answer(tokenizer, model, i, text) + end for i, text in enumerate(answers)]
        self.lengths = torch.tensor([len(ids) for ids in self.answers])
        _distinct(self.answers, list(answers))
        context = AutoConfig.from_pretrained(model.folder).get_text_config().max_position_embeddings
        _fits(self.prompts, int(self.lengths.max()), context, model.name)

    def batch(self, rows: np.ndarray, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, mask and labels of prompts[rows] + answers[chosen]: (n, length), (n, length), (n, longest answer).

        Padding goes to the left: all answers end together, and logits are computed for their positions only.
        """
        ids, mask = self.left([self.prompts[i] + self.answers[c] for i, c in zip(rows, chosen, strict=True)])
        size = self.lengths[torch.as_tensor(chosen)].to(ids.device)
        back = torch.arange(int(size.max()), 0, -1, device=ids.device)
        labels = ids[:, -len(back):].masked_fill(back > size[:, None], IGNORED)
        return ids, mask, labels

    def left(self, sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask (n, longest) on the device, padded on the left."""
        width = max(map(len, sequences))
        ids = torch.tensor([[self.pad] * (width - len(s)) + s for s in sequences])
        lengths = torch.tensor([len(s) for s in sequences])
        mask = (torch.arange(width, 0, -1) <= lengths[:, None]).long()
        return ids.to(device()), mask.to(device())

    def by_length(self, size: int) -> list[np.ndarray]:
        """All prompts in batches of `size`, similar lengths together."""
        rising = np.argsort([len(ids) for ids in self.prompts], kind="stable")
        return [rising[i:i + size] for i in range(0, len(rising), size)]


def _answer(tokenizer, model: Model, i: int, text: str) -> list[int]:
    if not text.strip():
        raise InputError(f"answers[{i}]={text!r} is empty; every answer needs words")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise InputError(f"answers[{i}]={text!r} becomes no token under the tokenizer of {model.name}; reword it")
    return ids


def _distinct(ids: list[list[int]], answers: list[str]) -> None:
    """Without an end token one answer may be the start of another, and decoding could not choose between them."""
    rising = sorted(range(len(ids)), key=ids.__getitem__)
    for a, b in zip(rising, rising[1:], strict=False):
        if ids[b][:len(ids[a])] == ids[a]:
            raise InputError(f"the tokens of answer {answers[a]!r} are those of {answers[b]!r}, or their start; "
                             "reword one")


def _fits(prompts: list[list[int]], answer: int, context: int | None, name: str) -> None:
    longest = max(range(len(prompts)), key=lambda i: len(prompts[i]), default=None)
    if context and longest is not None and len(prompts[longest]) + answer > context:
        raise InputError(f"prompts[{longest}] has {len(prompts[longest])} tokens and the longest answer {answer}; the "
                         f"context of {name} is {context} tokens: shorten the text")


@dataclass(frozen=True)
class AnswerObjective:
    """Negative log-likelihood per answer token of answers[labels] after prompts[rows], and the challenger's term.

    `labels` (len(rows),) index the answers; `challengers` (len(rows),) are the wrong answers that came with the labels,
    needed when `weight` > 0: their term compares log-likelihoods divided by the answer's number of tokens.
    """

    answers: Answers
    rows: np.ndarray
    labels: np.ndarray
    weight: float = 0.0
    challengers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """A checksum of the prompts, answers and challengers trained on."""
        challengers = self.challengers.tolist() if self.weight else None
        return _checksum([self.answers.prompts[i] for i in self.rows], self.answers.answers, self.labels.tolist(),
                         self.weight, challengers)

    def part(self, module: nn.Module, mine: np.ndarray, whole: np.ndarray) -> torch.Tensor:
        """The rows `mine`'s share of the loss of the batch `whole`, a scalar; shares add up."""
        rows, chosen, n = self.rows[mine], self.labels[mine], len(mine)
        if self.weight:
            rows, chosen = np.concatenate([rows, rows]), np.concatenate([chosen, self.challengers[mine]])
        ids, mask, labels = self.answers.batch(rows, chosen)
        likelihood = log_likelihood(module, ids, mask, labels)
        loss = -likelihood[:n].sum() / float(self.answers.lengths[self.labels[whole]].sum())
        if self.weight:
            gold, other = (likelihood / (labels != IGNORED).sum(1)).chunk(2)
            loss = loss + self.weight * softplus(other - gold).sum() / len(whole)
        return loss


def log_likelihood(module: nn.Module, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-likelihood (n,) of the labels, which stand at the end of the ids."""
    keep = labels.shape[1] + 1
    if torch.is_autocast_enabled(ids.device.type):  # a CPU copies the output matrix for every text of a mere slice
        keep = torch.arange(ids.shape[1] - keep, ids.shape[1], device=ids.device)
    out = module(input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=False,
                 logits_to_keep=keep)
    logits = out.logits[:, :-1].float().transpose(1, 2)
    return -cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").sum(1)


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


@torch.inference_mode()
def score(generator: nn.Module, answers: Answers, size: int = 512) -> np.ndarray:
    """Log-likelihood per token (N, C) of every answer after every prompt; at most about `size` sequences at once.

    A prompt is read once; its keys and values are shared by all its answers.
    """
    generator.eval()
    C, lengths = len(answers.answers), answers.lengths.to(device())
    m = int(lengths.max())
    tail = torch.tensor([ids + [answers.pad] * (m - len(ids)) for ids in answers.answers]).to(device())
    real = torch.arange(m, device=tail.device) < lengths[:, None]
    out = np.empty((len(answers.prompts), C), dtype=np.float32)
    for rows in answers.by_length(max(1, size // C)):
        ids, mask = answers.left([answers.prompts[i] for i in rows])
        n = len(rows)
        start = generator(input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=True,
                          logits_to_keep=1)
        first = start.logits[:, -1].float().log_softmax(-1)[:, tail[:, 0]]
        cache = start.past_key_values
        cache.batch_repeat_interleave(C)
        read = torch.cat([mask.repeat_interleave(C, 0), real.long().repeat(n, 1)], 1)
        rest = generator(input_ids=tail.repeat(n, 1), attention_mask=read, position_ids=_positions(read)[:, -m:],
                         past_key_values=cache, use_cache=True).logits[:, :-1].float().log_softmax(-1)
        rest = rest.gather(2, tail[:, 1:].repeat(n, 1)[:, :, None]).view(n, C, m - 1)
        total = (torch.cat([first[:, :, None], rest], 2) * real).sum(2)
        out[rows] = (total / lengths).cpu().numpy()
    return out


def fitting(model: Model, prompts: list[str], answers: list[str] | tuple[str, ...]) -> np.ndarray:
    """Rows of the prompts that leave room for the longest answer in the model's context, rising."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    context = AutoConfig.from_pretrained(model.folder).get_text_config().max_position_embeddings
    room = context - max(len(ids) for ids in tokenizer(list(answers), add_special_tokens=False)["input_ids"]) - 1
    lengths = [len(ids) for ids in tokenizer(list(prompts), verbose=False)["input_ids"]]
    return np.flatnonzero(np.array(lengths) <= room)


def decode(generator: nn.Module, answers: Answers, size: int = 64, beams: int = 1) -> np.ndarray:
    """Answer (N,) that decoding reaches when every token must lead on in the trie of the answers' tokens.

    beams=1 is greedy: the best token that leads on, again and again. More beams search for the largest log-likelihood
    per token among all answers; with as many beams as answers the search is complete and finds the best of `score`.
    InputError for fewer than one beam, and for more than one where the tokenizer has no end token.
    """
    if beams < 1 or (beams > 1 and answers.end is None):
        raise InputError(f"beams={beams}: give 1, or more for a model whose tokenizer has an end token")
    search = {"num_beams": beams, "early_stopping": "never", "eos_token_id": answers.end} if beams > 1 else {}
    trie: dict = {}
    for ids in answers.answers:
        node = trie
        for token in ids:
            node = node.setdefault(token, {})
    index = {tuple(ids): c for c, ids in enumerate(answers.answers)}
    out = np.empty(len(answers.prompts), dtype=int)
    generator.eval()
    for rows in answers.by_length(max(1, size // beams)):
        ids, mask = answers.left([answers.prompts[i] for i in rows])

        def allowed(_, sequence, width=ids.shape[1]) -> list[int]:
            node = trie
            for token in sequence[width:].tolist():
                node = node.get(token, {})
            return list(node) or [answers.pad]

        said = generator.generate(input_ids=ids, attention_mask=mask, do_sample=False, prefix_allowed_tokens_fn=allowed,
                                  max_new_tokens=int(answers.lengths.max()), pad_token_id=answers.pad, **search)
        for i, tokens in zip(rows, said[:, ids.shape[1]:].tolist(), strict=True):
            out[i] = next(index[tuple(tokens[:k])] for k in range(len(tokens) + 1) if tuple(tokens[:k]) in index)
    return out


def hardest_wrong(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The challenger (n,) of each row of scores (n, C): the best-scored answer that is not labels (n,)."""
    if scores.shape[1] < 2:
        raise InputError(f"{scores.shape[1]} answer leaves no wrong one to be the challenger; set challenger_weight=0")
    wrong = np.array(scores, dtype=float)
    wrong[np.arange(len(labels)), labels] = -np.inf
    return wrong.argmax(1)


def _checksum(*parts) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
