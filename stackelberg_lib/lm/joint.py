"""Joint features phi(x, y) of a prompt x and a candidate answer y: what the game calls the candidates of a context.

Two cases (THEORY, section 5): a closed set of labels, where phi(x, y) = h(x) (x) e_y, and open answers (multiple
choice, preference pairs), where the language model reads prompt and answer together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import cache
from stackelberg_lib.lm.features import PLAIN, Readout
from stackelberg_lib.lm.registry import Model


def labels(h: np.ndarray, classes: int) -> np.ndarray:
    """phi(x, y) = h(x) (x) e_y for a closed label set: h (..., m) -> (..., C, m C), dtype kept.

    Coordinate i C + c of phi(x, y) is h_i if c = y, else 0, as `np.kron(h, e_y)`. Dense: C times m C numbers a text;
    for a full pool work with h itself and G (x) I. Raises InputError for fewer than two classes.
    """
    if classes < 2:
        raise InputError(f"classes={classes} must be at least 2")
    phi = np.einsum("...m,yc->...ymc", h, np.eye(classes, dtype=h.dtype))
    return phi.reshape(*h.shape[:-1], classes, -1)


def answers(model: Model, prompts: Sequence[str], candidates: Sequence[Sequence[str]], readout: Readout = PLAIN,
            folder: Path | str | None = None) -> np.ndarray:
    """Features (N, K, m) float32 of every candidate answer read behind its prompt, kept on disk by `cache.embedded`.

    prompts: N texts; candidates: for each of them K answers, in the order of the result. The text is the prompt, a
    newline and the answer; where that is too long its beginning is cut, never the answer's end. K must be the same in
    all rows: a context of the game has K candidates. Raises InputError naming the first row that differs.
    """
    if len(prompts) != len(candidates):
        raise InputError(f"{len(prompts)} prompts but {len(candidates)} rows of candidates; each prompt needs its own")
    if not len(prompts):
        raise InputError("no prompts; pass at least one")
    K = len(candidates[0])
    for i, row in enumerate(candidates):
        if isinstance(row, str):
            raise InputError(f"candidates[{i}] is one text, not a list of texts: {row[:40]!r}")
        if len(row) != K or K < 2:
            raise InputError(f"candidates[{i}] holds {len(row)} answers and candidates[0] {K}; every prompt needs the "
                             "same number, at least 2: drop or complete the rows that differ")
    texts = [f"{prompt}\n{answer}" for prompt, row in zip(prompts, candidates, strict=True) for answer in row]
    h = cache.embedded(model, texts, readout, keep="end", folder=folder)
    return h.reshape(len(prompts), K, -1)
