"""Pictures of lesson 06: the cloud of texts, learning curves, residual, spectrum, ranking, promise and layers."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval

# Models of the labels, and ways of reading a text, are no arms of the game; lightness, line and marker differ.
LOOKS = (
    dict(color="#0b3c8c", linestyle="-", marker="o"),
    dict(color="#d1670a", linestyle="-.", marker="^"),
    dict(color="#9a9a9a", linestyle="--", marker="s"),
)
LEVELS = (dict(color="#1b7f3b", linestyle=(0, (5, 1))), dict(color="#7a5195", linestyle="-."),
          dict(color="#000000", linestyle=":"))
CLOUD = (("#0b3c8c", "o"), ("#d1670a", "^"), ("#1b7f3b", "s"), ("#c77ba8", "v"), ("#000000", "x"), ("#4fa3d1", "D"))


def draw_cloud(points: np.ndarray, y: np.ndarray, names: dict[int, str], explained: np.ndarray, title: str,
               caption: str):
    """Texts on their first two principal axes: points (n, 2), y (n,); names: the labels to colour (at most six)."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 4.6))
    others = ~np.isin(y, list(names))
    ax.plot(*points[others].T, ".", color="#d5d5d5", markersize=3, label="all others")
    for (label, name), (colour, marker) in zip(names.items(), CLOUD, strict=False):
        ax.plot(*points[y == label].T, marker, color=colour, markersize=5, alpha=0.75, linestyle="none", label=name)
    ax.set(xlabel=f"first axis, {explained[0]:.0%} of the variance", ylabel=f"second axis, {explained[1]:.0%}")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def draw_curves(n: list[int], curves: dict[str, np.ndarray], levels: dict[str, float], ylabel: str, title: str,
                caption: str, log: bool = False):
    """Something measured against labels: curves name -> (seeds, up to n), mean and interval; levels name -> value."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for look, (name, values) in zip(LOOKS, curves.items(), strict=False):
        with_interval(ax, n[:values.shape[1]], values, {**look, "label": name})
    for look, (name, value) in zip(LEVELS, levels.items(), strict=False):
        ax.axhline(value, label=name, linewidth=1.5, **look)
    ax.set(xscale="log", xlabel="labels n (log scale)", ylabel=ylabel)
    if log:
        ax.set_yscale("log")
    ax.set_xticks(n, [f"{k:,}" for k in n])
    ax.minorticks_off()
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def draw_spectrum(values: np.ndarray, lam: float, n: list[int], log_det: np.ndarray, worst: list[float], title: str,
                  caption: str):
    """Left: eigenvalues of H^T H (m,) beside lam; right: log det(G / lam) (seeds, n) beside its worst case."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.7))
    left.plot(np.arange(1, len(values) + 1), np.maximum(values, 1e-12), color="#0b3c8c", label="features")
    left.axhline(values.sum() / len(values), color="black", linestyle=(0, (1, 1)), label="if all were equal")
    left.axhline(lam, color="#d1670a", linestyle="--", label=r"ridge $\lambda$")
    left.set(xscale="log", yscale="log", xlabel="direction (log scale)", ylabel="eigenvalue (log scale)")
    left.legend(fontsize=9, loc="lower left", frameon=True, edgecolor="none")
    right.plot(n, worst, color="black", linestyle=(0, (1, 1)), label=r"worst case $m \Lambda_n$")
    with_interval(right, n, log_det, {**LOOKS[0], "label": r"$\log\,\det(G/\lambda)$"})
    right.set(xscale="log", xlabel="labels n (log scale)", ylabel="information in nats", ylim=(0, None))
    right.legend(fontsize=9, loc="upper left")
    return style.titled(fig, title, caption)


def draw_ranking(alphas: np.ndarray, areas: dict[str, np.ndarray], bins: dict[str, dict[str, np.ndarray]], title: str,
                 caption: str):
    """Left: AUC (seeds, alphas) of alpha width - margin for wrong answers, by labels; right: share wrong by bins.

    The first alpha is 0, the margin alone, and the last stands for infinity, the width alone; both are set apart.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.0))
    inner = alphas[1:-1]
    x = np.concatenate([[inner[0] / 4], inner, [inner[-1] * 4]])
    for look, (name, values) in zip(LOOKS, areas.items(), strict=False):
        with_interval(left, x, values, {**look, "label": name})
    left.axhline(0.5, color="black", linewidth=0.8, linestyle=":")
    left.text(x[-1], 0.505, "no ranking", ha="right", va="bottom", fontsize=8)
    decades = [10.0**k for k in range(-1, 3)]
    left.set(xscale="log", xlabel=r"$\alpha$ in  $\alpha\cdot$width $-$ margin", ylabel="AUC for wrong answers")
    left.set_xticks([x[0], *decades, x[-1]], ["margin", *(f"{v:g}" for v in decades), "width"])
    left.minorticks_off()
    left.legend(fontsize=9)
    for look, (name, found) in zip(LOOKS, bins.items(), strict=False):
        place = np.arange(1, len(found["share"]) + 1)
        right.errorbar(place, found["share"], yerr=[found["share"] - found["low"], found["high"] - found["share"]],
                       capsize=2, linewidth=1.2, label=name, **look)
    right.set(xlabel="tenth of the fresh texts, by the score", ylabel="share of wrong answers", ylim=(0, None))
    right.legend(fontsize=9, loc="upper left")
    return style.titled(fig, title, caption)


def draw_promise(n: list[int], promised: np.ndarray, best: np.ndarray, true: np.ndarray | None, title: str,
                 caption: str):
    """What is promised and what is missed, (seeds, n) each: alpha width, and errors against best fit and truth."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    with_interval(ax, n, promised, style.arm("bound", marker="D",
                                             label=r"promised: $\alpha\cdot$width" + "\n(median text)"))
    if true is not None:
        with_interval(ax, n, true, {**LOOKS[1], "label": "missed of the truth\n(95 % of texts)"})
    with_interval(ax, n, best, {**LOOKS[0], "label": "missed of the best\nlinear fit (95 %)"})
    ax.axhline(1, color="#9a9a9a", linewidth=1, label="useful below 1")
    ax.set(xscale="log", yscale="log", xlabel="labels n (log scale)", ylabel="error of a score difference (log scale)")
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def draw_layers(accuracy: dict[str, dict[str, np.ndarray]], level: dict[str, float], title: str, caption: str):
    """A panel per pooling, each on its own scale: accuracy (seeds, layers) by layer for every way of scaling."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(accuracy), figsize=(8.6, 3.8))
    for ax, (pooling, ways) in zip(axes, accuracy.items(), strict=True):
        for look, (name, values) in zip(LOOKS, ways.items(), strict=True):
            with_interval(ax, np.arange(values.shape[1]), values, {**look, "label": name})
        ax.set(xlabel="hidden state (0: embeddings)", title=pooling)
        ax.set_xticks(np.arange(values.shape[1]))
    for look, (name, value) in zip(LEVELS, level.items(), strict=False):
        axes[-1].axhline(value, label=name, linewidth=1.5, **look)  # far below the other panels' scale
    axes[0].set_ylabel("accuracy on held-out texts of the pool")
    axes[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def draw_recorded(names: list[str], dots: dict[str, np.ndarray], title: str, caption: str):
    """One row per set: areas under the curve (sets, seeds) of several scores, mean and interval."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 0.6 * len(names) + 1.6))
    for shift, look, (name, values) in zip((0.2, 0.0, -0.2), LOOKS, dots.items(), strict=False):
        mean, low, high = mean_interval(values.T)
        place = np.arange(len(names))[::-1] + shift
        ax.errorbar(mean, place, xerr=[mean - low, high - mean], capsize=3, label=name, **{**look, "linestyle": "none"})
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":", label="no ranking")
    ax.set_yticks(np.arange(len(names))[::-1], names)
    ax.set(xlabel="AUC for wrong answers", ylim=(-0.6, len(names) - 0.4))
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def with_interval(ax, x, values: np.ndarray, look: dict) -> None:
    """Mean of values (seeds, n) over x (n,) with its 95 % interval, in the given look."""
    mean, low, high = mean_interval(values)
    ax.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    ax.plot(x, mean, **look)
