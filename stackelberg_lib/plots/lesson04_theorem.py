"""Picture of lesson 04: what T2 promises and what is measured, against the budget."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval


def draw_three_regrets(table: dict[float, dict], title: str, caption: str):
    """Regret of all, bought and skipped rounds against beta (left), labels bought against B (right), log axes.

    table: beta to a dict with all, bought, skipped, certificate, random, labels (n,) and B, bound, level: numbers.
    Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(11.2, 4.4))
    beta = np.array(list(table))
    rows = list(table.values())
    looks = {"all": dict(label="all rounds", marker="o"),
             "bought": dict(label="rounds with a label", marker="^", linestyle="--", color="#3a7d7c"),
             "skipped": dict(label="rounds without: the leakage", marker="v", linestyle=":", color="#d1670a")}
    for name, look in looks.items():
        style.band(left, beta, *mean_interval(np.stack([row[name] for row in rows], axis=1)), "llf", **look)
    style.band(left, beta, *mean_interval(np.stack([row["random"] for row in rows], axis=1)), "random",
               label="random, B labels")
    certified = np.stack([row["certificate"] for row in rows], axis=1)
    style.band(left, beta, *mean_interval(certified), "certificate", label="certificate")
    left.plot(beta, [row["bound"] for row in rows], **style.arm("bound", label="T2 (ii)"))
    left.plot(beta, [row["full"] for row in rows], **style.arm("all", label="all labels (oracle)"))
    left.set(xscale="log", yscale="log", xlabel=r"budget fraction $\beta = B/T$ (log scale)",
             ylabel="final regret (reward units, log scale)")
    B = np.array([row["B"] for row in rows])
    style.band(right, B, *mean_interval(np.stack([row["labels"] for row in rows], axis=1)), "llf",
               label="labels bought at T2's level")
    right.plot(B, B, **style.arm("bound", label="the budget B"))
    right.set(xscale="log", yscale="log", xlabel="budget B (labels, log scale)", ylabel="labels bought (log scale)")
    for ax, at in ((left, beta), (right, B)):
        ax.set_xticks(at, [f"{x:g}" for x in at])
        ax.minorticks_off()
    right.legend(fontsize=9)
    fig.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    return fig
