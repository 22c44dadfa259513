"""Figures of lesson 09: learning curves, what was bought, calibration, and the stream."""

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
        ax.axhline(ceiling, **style.arm("all", label="all labels (three times the steps)"))
    if best is not None:
        ax.axhline(best, **style.arm("bound", label="best possible (Bayes)"))
    labels = next(iter(curves.values()))[0]
    ax.set_xscale("log", base=2)
    ax.set_xticks(labels, [str(n) for n in labels])
    ax.minorticks_off()
    lowest = min(accuracy.mean(0).min() for _, accuracy in curves.values())
    ax.set(xlabel="labels bought", ylabel="test accuracy", ylim=(max(0, lowest - 0.1), 1.02), title=title)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=9)


def ablations(axes, changed: dict[str, dict[str, tuple[float, float, float, int]]],
              gaps: dict[str, tuple[float, float, float, int]]) -> None:
    """Left: what a change to the loop does to each arm's area; right: the first arm's area minus the second's under it.

    changed: arm -> (change -> mean difference, low, high, seeds); gaps: change -> the same. Both of the area under
    accuracy against log(labels); gaps may hold more rows, such as the loop without a change.
    """
    rows = list(gaps)
    for shift, (name, by_change) in zip((-0.12, 0.12), changed.items(), strict=True):
        look = style.arm(name, linestyle="none", capsize=3)
        for change, (mean, low, high, _) in by_change.items():
            axes[0].errorbar(mean, rows.index(change) + shift, xerr=[[mean - low], [high - mean]], **look)
            look["label"] = None
    for change, (mean, low, high, _) in gaps.items():
        axes[1].errorbar(mean, rows.index(change), xerr=[[mean - low], [high - mean]], color="black", marker="o",
                         capsize=3)
    for ax in axes:
        ax.axvline(0, color="black", linewidth=0.8)
    first, second = (style.ARMS[name]["label"] for name in changed)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    axes[0].set(xlabel="area, changed minus as it is")
    axes[1].set(xlabel=f"area, {first} minus {second}")
    axes[0].legend(fontsize=9)


def purchases(ax, counts: dict[str, np.ndarray], pool: np.ndarray, title: str) -> None:
    """Labels bought per class, from frequent to rare; the pool's own frequencies (C,) scaled to the same budget."""
    order = np.argsort(-pool, kind="stable")
    budget = next(iter(counts.values())).sum()
    ax.plot(pool[order] / pool.sum() * budget, color="black", linestyle=":", linewidth=1.2, label="the pool's share")
    for name, count in counts.items():
        ax.plot(count[order], **style.arm(name, linewidth=1.1, markersize=4))
    ax.set(xlabel="class, from frequent to rare", ylabel="labels bought", title=title)
    ax.legend(fontsize=9)


def reliability(ax, probabilities: np.ndarray, labels: np.ndarray, title: str, bins: int = 10) -> None:
    """Share of right answers against confidence, a bar a bin as wide as it is; probabilities (n, C), labels (n,)."""
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    ax.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1.2, label="calibrated")
    for b in np.unique(which):
        inside = which == b
        ax.bar((b + 0.5) / bins, right[inside].mean(), width=0.9 / bins, color="#c2185b", alpha=0.75)
        ax.text((b + 0.5) / bins, 0.02, str(inside.sum()), ha="center", fontsize=8, color="black")
    ax.set(xlabel="confidence (numbers: texts in the bin)", title=title, xlim=(0, 1), ylim=(0, 1.03))
    ax.legend(loc="upper left", fontsize=9)


def regrets(ax, found: dict[str, np.ndarray], title: str) -> None:
    """Regret against rounds, mean and range over seeds; found: gate -> (seeds, 3, T), see `stream_study.regrets`."""
    for name, r in found.items():
        total, rounds = r[:, 0], np.arange(1, r.shape[2] + 1)
        style.band(ax, rounds, total.mean(0), total.min(0), total.max(0), name, marker=None)
    ax.axhline(0, **style.arm("all"))
    ax.set(xlabel="round", title=title)
    ax.legend(fontsize=9, loc="upper left")


def spending(ax, bought: dict[str, np.ndarray], budget: int, change: int, title: str) -> None:
    """Labels bought so far against rounds, mean over seeds; bought: gate -> (seeds, T). change: a round to mark."""
    for name, marks in bought.items():
        ax.plot(np.arange(1, marks.shape[1] + 1), np.cumsum(marks, axis=1).mean(0), **style.arm(name, marker=None))
    ax.axhline(budget, **style.arm("bound", label="the budget"))
    ax.axvline(change, color="#555555", linewidth=0.8, label="new intents")
    ax.set(xlabel="round", ylabel="labels bought", title=title)
    ax.legend(fontsize=9, loc="lower right")


def certified(ax, regret: np.ndarray, certificate: np.ndarray, title: str) -> None:
    """Regret and certificate (T,), both summed over rounds, in shares of right answers."""
    rounds = np.arange(1, len(regret) + 1)
    ax.plot(rounds, regret, **style.arm("all", label="regret, frozen features, all labels"))
    ax.plot(rounds, certificate, **style.arm("certificate"))
    ax.plot(rounds, rounds, **style.arm("bound", label="one a round, the most there is"))
    ax.set(xlabel="round", ylabel="sum so far", title=title, ylim=(0.5, None))
    ax.legend(fontsize=9, loc="lower right")
