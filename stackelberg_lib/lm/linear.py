"""The linear model on a language model's features: its widths and latency, and how far from linear the truth is.

A closed set of C labels has phi(x, y) = h(x) (x) e_y (`joint.labels`). Full feedback then makes V = G (x) I with
G = lam I + sum h h^T, so that everything is computed with h (N, m) and G (m, m) alone. Scores (n, C) have a row per
text; mu (n, C) is the true P(label | text), where it is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError

SIGMA = 2**-0.5  # of a one-hot label's noise: two classes move against each other, so 1/2 is not enough


class Fit(NamedTuple):
    """Ridge regression: theta (m, C), G_inv (m, m), and log_det = log(det G / det lam I)."""

    theta: np.ndarray
    G_inv: np.ndarray
    log_det: float


class Split(NamedTuple):
    """Mean squared error of scores for a fresh label, in its two parts: total = noise + misfit."""

    total: float
    noise: float
    misfit: float


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """Labels y (n,) as rows e_y (n, C)."""
    return np.eye(classes)[y]


def fit(h: np.ndarray, targets: np.ndarray, lam: float, weights: np.ndarray | None = None) -> Fit:
    """argmin over theta of sum_i w_i |targets_i - theta^T h_i|^2 + lam |theta|^2, for h (N, m) and targets (N, C).

    targets: one-hot labels, their means, or mu itself; weights (N,): how often each row counts, 1 if None.
    Raises InputError for lam <= 0 and for rows that do not match.
    """
    if not lam > 0:
        raise InputError(f"lam={lam} must be above 0")
    if len(h) != len(targets) or (weights is not None and len(weights) != len(h)):
        raise InputError(f"{len(h)} features, {len(targets)} targets and weights for "
                         f"{len(h) if weights is None else len(weights)}: give one of each per text")
    weighted = h if weights is None else h * weights[:, None]
    G = weighted.T @ h + lam * np.eye(h.shape[1])
    G_inv = np.linalg.inv(G)
    return Fit(np.linalg.solve(G, weighted.T @ targets), (G_inv + G_inv.T) / 2, float(np.linalg.slogdet(G / lam)[1]))


def pair_width(h: np.ndarray, G_inv: np.ndarray) -> np.ndarray:
    """|phi(x, y) - phi(x, z)|_{V^-1} = sqrt 2 |h(x)|_{G^-1}, the same for every pair of labels: h (n, m) -> (n,)."""
    return np.sqrt(2 * np.einsum("nm,nm->n", h @ G_inv, h))


def margin(scores: np.ndarray) -> np.ndarray:
    """The largest score minus the second largest, (n, K) -> (n,)."""
    two = np.partition(scores, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def latency(scores: np.ndarray, width: np.ndarray, alpha: float) -> np.ndarray:
    """max(0, alpha width - margin), (n,): the most that the answer can lose, given scores (n, C) and widths (n,).

    Only for a closed set of labels, where all pairs of a text have one width. Source: THEORY, section 5 (this
    project's reconstruction).
    """
    return np.maximum(0, alpha * width - margin(scores))


def joint_width(phi: np.ndarray, leader: np.ndarray, V_inv: np.ndarray) -> np.ndarray:
    """|phi(x, z) - phi(x, leader)|_{V^-1} for open answers: phi (n, K, d), leader (n,) -> (n, K), 0 at the leader."""
    apart = phi - phi[np.arange(len(phi)), leader][:, None]
    return np.sqrt(np.maximum(0, np.einsum("nkd,nkd->nk", apart @ V_inv, apart)))


def joint_latency(scores: np.ndarray, widths: np.ndarray, alpha: float) -> np.ndarray:
    """max over z of alpha width(z) - (top score - score(z)), (n,): scores (n, K), widths (n, K) as `joint_width`."""
    return (alpha * widths - (scores.max(1, keepdims=True) - scores)).max(1)


def spread(error: np.ndarray) -> np.ndarray:
    """The largest error of a difference of two scores, max - min over labels: error (n, C) -> (n,)."""
    return np.ptp(error, axis=1)


def pair_norm(theta: np.ndarray) -> float:
    """S = max over pairs of labels of |theta_y - theta_z| / sqrt 2, for theta (m, C).

    The radius of the pair (y, z) needs no more of |theta|: its own ridge estimate is that of theta_y - theta_z, with
    noise 1-sub-Gaussian and width |h|_{G^-1}; both are divided by sqrt 2 where the width is `pair_width`.
    """
    inner = theta.T @ theta
    squares = np.diag(inner)
    return float(np.sqrt(np.max(squares[:, None] + squares[None] - 2 * inner) / 2))


def effective_dimension(h: np.ndarray, lam: float) -> float:
    """d_eff = tr(H^T H (H^T H + lam I)^-1), at most min(N, m): h (N, m). Raises InputError for lam <= 0.

    Source: the trace of ridge's hat matrix; Hastie, Tibshirani and Friedman 2009, section 3.4.1.
    """
    if not lam > 0:
        raise InputError(f"lam={lam} must be above 0")
    squares = np.linalg.svd(h, compute_uv=False) ** 2
    return float(np.sum(squares / (squares + lam)))


def split(mu: np.ndarray, scores: np.ndarray) -> Split:
    """Mean over texts of E_y |e_y - scores|^2, y drawn from mu (n, C): label noise and what the scores (n, C) miss."""
    noise = (mu * (1 - mu)).sum(1).mean()
    misfit = ((mu - scores) ** 2).sum(1).mean()
    return Split(float(noise + misfit), float(noise), float(misfit))


def label_counts(mu: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n labels of texts drawn at random, each label drawn from its text's mu (N, C): counts (N, C) adding up to n.

    No text twice while n <= N; beyond that texts are drawn with replacement, every time with a new label.
    """
    N = len(mu)
    if n <= N:
        drawn = np.zeros(N, dtype=int)
        drawn[rng.permutation(N)[:n]] = 1
    else:
        drawn = rng.multinomial(n, np.full(N, 1 / N))
    return rng.multinomial(drawn, mu / mu.sum(1, keepdims=True))


def fit_counts(h: np.ndarray, counts: np.ndarray, lam: float) -> Fit:
    """`fit` on labels given as counts (N, C) of each label of each text h (N, m)."""
    n = counts.sum(1)
    seen = n > 0
    return fit(h[seen], counts[seen] / n[seen, None], lam, n[seen].astype(float))


def covering_radius(error: np.ndarray, width: np.ndarray, share: float = 1.0) -> float:
    """The smallest alpha with error <= alpha width for at least this share of the texts: error, width (n,)."""
    if not 0 < share <= 1:
        raise InputError(f"share={share} must lie above 0 and not above 1")
    ratios = np.sort(error / width)
    return float(ratios[int(np.ceil(share * len(ratios) - 1e-9)) - 1])


def auc(score: np.ndarray, wrong: np.ndarray) -> float:
    """Chance that a wrong answer scores higher than a right one, ties half: score (n,), wrong (n,) bool -> [0, 1].

    0.5 is no ranking at all; nan without a wrong or without a right answer. Source: Mann and Whitney 1947.
    """
    from scipy.stats import rankdata

    bad = int(np.sum(wrong))
    good = len(wrong) - bad
    if not bad or not good:
        return float("nan")
    return float((rankdata(score)[wrong].sum() - bad * (bad + 1) / 2) / (bad * good))


def reliability(score: np.ndarray, wrong: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """Share of wrong answers by bins of equally many texts, lowest score first, with Wilson's 95 % interval.

    score (n,), wrong (n,) bool; the result has "score" (mean of the bin), "share", "low", "high", each (bins,).
    Raises InputError for fewer texts than bins. Source: Wilson 1927.
    """
    if not 1 <= bins <= len(score):
        raise InputError(f"bins={bins} must lie between 1 and the {len(score)} texts")
    parts = np.array_split(np.argsort(score, kind="stable"), bins)
    n, bad = (np.array([f(part) for part in parts], float) for f in (len, lambda part: wrong[part].sum()))
    z, share = 1.959964, bad / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return {"score": np.array([score[part].mean() for part in parts]), "share": share,
            "low": np.maximum(0, centre - half), "high": np.minimum(1, centre + half)}


def kernel_ridge(h: np.ndarray, targets: np.ndarray, fresh: np.ndarray, lam: float = 0.01) -> np.ndarray:
    """Scores (n, C) of fresh texts (n, m) by ridge regression with a Gaussian kernel, learned on h (N, m): O(N^3).

    The kernel's scale is the median squared distance of two texts. A rival of the linear model that is not linear.
    """
    scale = float(np.median(_squared(h[:500], h[:500])[np.triu_indices(min(500, len(h)), 1)]))
    K = np.exp(-_squared(h, h) / scale)
    K[np.diag_indices_from(K)] += lam
    return np.exp(-_squared(fresh, h) / scale) @ np.linalg.solve(K, targets)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, N) of rows a (n, m) and b (N, m)."""
    return np.maximum(0, (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T)
