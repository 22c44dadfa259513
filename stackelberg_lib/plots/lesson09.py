"""Figures of lesson 09: learning curves, what was bought, and the pool as a map."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style


def learning_curves(ax, curves: dict[str, tuple[np.ndarray, np.ndarray]], ceiling: float | None,
                    best: float | None, title: str,
                    intervals: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> None:
    """Test accuracy against labels bought, one line per arm.

    curves: arm -> labels (P,), accuracy (seeds, P). intervals: arm -> low (P,), high (P,), drawn as a band. ceiling:
    accuracy with all labels; best: the Bayes accuracy, where it is known.
    """
    for name, (labels, accuracy) in curves.items():
        mean = accuracy.mean(0)
        if intervals:
            style.band(ax, labels, mean, *intervals[name], name)
        else:
            ax.plot(labels, mean, **style.arm(name))
    if ceiling is not None:
        ax.axhline(ceiling, **style.arm("all"))
    if best is not None:
        ax.axhline(best, **style.arm("bound", label="best possible (Bayes)"))
    labels = next(iter(curves.values()))[0]
    ax.set_xscale("log", base=2)
    ax.set_xticks(labels, [str(n) for n in labels])
    ax.minorticks_off()
    lowest = min(accuracy.mean(0).min() for _, accuracy in curves.values())
    ax.set(xlabel="labels bought", ylabel="test accuracy", ylim=(max(0, lowest - 0.1), 1.02), title=title)
    ax.legend(loc="lower right", fontsize=9)


def purchases(ax, counts: dict[str, np.ndarray], pool: np.ndarray, title: str) -> None:
    """Labels bought per class, from frequent to rare; the pool's own frequencies (C,) scaled to the same budget."""
    order = np.argsort(-pool, kind="stable")
    budget = next(iter(counts.values())).sum()
    ax.plot(pool[order] / pool.sum() * budget, color="black", linestyle=":", linewidth=1.2, label="the pool's share")
    for name, count in counts.items():
        ax.plot(count[order], **style.arm(name, linewidth=1.1, markersize=4))
    ax.set(xlabel="class, from frequent to rare", ylabel="labels bought", title=title)
    ax.legend(fontsize=9)


def pool_map(axes, features: np.ndarray, picks: dict[str, np.ndarray], titles: dict[str, str]) -> np.ndarray:
    """The pool in its first two principal components with the rows that each arm bought; returns the points (N, 2)."""
    centred = features - features.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    for ax, (name, rows) in zip(axes, picks.items(), strict=True):
        ax.scatter(*points.T, s=4, color="#c9c9c9", linewidth=0, label="pool")
        ax.scatter(*points[rows].T, s=22, color=style.ARMS[name]["color"], marker=style.ARMS[name]["marker"],
                   edgecolor="white", linewidth=0.4, label="bought")
        ax.set(xlabel="first principal component", title=titles[name], xticks=[], yticks=[])
        ax.legend(loc="upper right", fontsize=8, markerscale=1.2)
    axes[0].set_ylabel("second principal component")
    return points


def loss(ax, losses: dict[str, list[float]], window: int, title: str) -> None:
    """Training loss against optimiser step, running mean over `window` steps, one line per arm."""
    for name, values in losses.items():
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        ax.plot(np.arange(window, len(values) + 1), smooth, **style.arm(name, marker=None))
    ax.set(xlabel="optimiser step", ylabel=f"cross-entropy in nats (mean of {window} steps)", title=title)
    ax.legend(fontsize=9)
