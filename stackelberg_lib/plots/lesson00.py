"""The teaser figure of lesson 00."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style


def teaser(ax, budgets: list[int], curves: dict[str, np.ndarray], title: str) -> dict[str, np.ndarray]:
    """Accuracy (seeds, P) against labels bought, mean and the middle 80 % of the seeds; returns the plotted means."""
    for name, accuracy in curves.items():
        style.band(ax, budgets, accuracy.mean(0), *np.quantile(accuracy, [0.1, 0.9], axis=0), name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(budgets, [str(b) for b in budgets])
    ax.minorticks_off()
    ax.set(xlabel="labels bought", ylabel="accuracy on 1,000 new messages", title=title)
    ax.legend(loc="lower right")
    return {name: accuracy.mean(0) for name, accuracy in curves.items()}
