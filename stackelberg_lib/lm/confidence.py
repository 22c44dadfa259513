"""How sure a fine-tuned model is, and how often it is right when it is sure: measured, on texts it was not trained on.

After training on the ledger's labels no certificate of the theory holds (section "the language model" of the
reconstruction); what is left is a share of wrong answers that was counted, with its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stackelberg_lib.errors import InputError


@dataclass(frozen=True)
class Settled:
    """Answers with a confidence of at least `threshold` are settled, the others doubtful.

    threshold: chosen on one half of the texts, the lowest with at most `target` wrong among the settled; infinite when
    there is none. On the other half: n texts, `settled` of them settled, `wrong` of those wrong, and the 95 % interval
    [low, high] of the share of wrong ones (Clopper and Pearson 1934).
    """

    target: float
    threshold: float
    n: int
    settled: int
    wrong: int
    low: float
    high: float


def ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of probabilities (n, C) with labels (n,): |confidence - accuracy| over equal bins.

    Each bin of the confidence counts by its share of the texts. Source: Naeini, Cooper, Hauskrecht 2015.
    """
    confidence, right = sure(probabilities, labels)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(np.sum(confidence[which == b] - right[which == b])) for b in range(bins)]
    return float(np.sum(gaps) / len(confidence))


def sure(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (n,), the largest probability, and whether that answer is right (n,), of probabilities (n, C)."""
    return probabilities.max(1).astype(float), probabilities.argmax(1) == labels


def lowest_threshold(confidence: np.ndarray, right: np.ndarray, target: float) -> float:
    """Lowest confidence from which on at most a share `target` of the answers is wrong; infinite if there is none."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    last = np.append(confidence[order][1:] < confidence[order][:-1], True)  # equal confidences settle together
    fits = np.flatnonzero((share <= target) & last)
    return float(confidence[order][fits[-1]]) if len(fits) else float("inf")


def settle(probabilities: np.ndarray, labels: np.ndarray, target: float = 0.05, seed: int = 0) -> Settled:
    """Choose the threshold on a random half of the texts and count on the other; probabilities (n, C), labels (n,).

    InputError for a target outside (0, 1) and for fewer than two texts.
    """
    if not 0 < target < 1 or len(labels) < 2:
        raise InputError(f"target={target}, {len(labels)} texts: give a share between 0 and 1 and at least 2 texts")
    confidence, right = sure(probabilities, labels)
    order = np.random.default_rng([seed, 15]).permutation(len(labels))
    choose, count = np.split(order, [len(order) // 2])
    threshold = lowest_threshold(confidence[choose], right[choose], target)
    kept = right[count][confidence[count] >= threshold]
    low, high = interval(int(np.sum(~kept)), len(kept)) if len(kept) else (0.0, 1.0)
    return Settled(target, threshold, len(count), len(kept), int(np.sum(~kept)), low, high)


def interval(hits: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a share, given `hits` of n (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)
