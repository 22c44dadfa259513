"""Pictures of lesson 04: what a level does, what a budget does, and when a level spends too early."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval

TOO_LOW = dict(color="#d1670a", linestyle="-.")


def draw_levels(sweeps: dict[str, dict], title: str, caption: str):
    """Labels against final regret, both on log axes, a panel per stream.

    A sweep holds llf and random, lists of Play along a level or budget grid; tau, the levels; all, none: Play.
    Levels that buy less than one label on average are left out. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(sweeps), figsize=(9.6, 4.4), sharey=True)
    for ax, (stream, sweep) in zip(axes, sweeps.items(), strict=True):
        shown = [k for k, run in enumerate(sweep["llf"]) if run.labels.mean() >= 1]
        llf, coin = ([sweep[name][k] for k in shown] for name in ("llf", "random"))
        labels = np.array([run.labels.mean() for run in llf])
        _curve(ax, [run.labels.mean() for run in coin], [run.cumulative[:, -1] for run in coin], "random")
        _curve(ax, labels, [run.cumulative[:, -1] for run in llf], "llf")
        for k in range(2, len(shown) - 1, 3):
            ax.annotate(f"level {sweep['tau'][shown[k]]:.2g}", (labels[k], llf[k].cumulative[:, -1].mean()),
                        xytext=(-6, -12), textcoords="offset points", ha="right", fontsize=8,
                        bbox=dict(facecolor="white", edgecolor="none", alpha=0.8, pad=0.5))
        _curve(ax, labels, [run.certificate[:, -1] for run in llf], "certificate", label="certificate, LLF")
        for name in ("none", "all"):
            ax.axhline(sweep[name].cumulative[:, -1].mean(), **style.arm(name))
        ax.set(xscale="log", yscale="log", title=stream, xlabel="labels bought (mean, log scale)", xmargin=0.12)
    axes[0].set_ylabel("final regret (reward units, log scale)")
    return _finish(fig, axes[0], title, caption)


def draw_budgets(tables: dict[str, dict], budgets: list[int], title: str, caption: str):
    """Budget against final regret, log axes, a panel per stream; a table maps llf, first, random to a list of Play
    along `budgets`, and all, none to one Play. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tables), figsize=(9.6, 4.4), sharey=True)
    for ax, (stream, table) in zip(axes, tables.items(), strict=True):
        # First B lies on LLF while nothing changes: hollow marks on top keep both in sight.
        special = {"llf": {"label": "LLF, best level"}, "first": {"markerfacecolor": "none", "markersize": 10}}
        for name in ("random", "llf", "first"):
            change = special.get(name, {})
            _curve(ax, budgets, [run.cumulative[:, -1] for run in table[name]], name, **change)
        certified = [run.certificate[:, -1] for run in table["llf"]]
        _curve(ax, budgets, certified, "certificate", label="certificate, LLF")
        for name in ("none", "all"):
            ax.axhline(table[name].cumulative[:, -1].mean(), **style.arm(name))
        ax.set(xscale="log", yscale="log", title=stream, xlabel="budget B (labels, log scale)")
        ax.set_xticks(budgets, [str(b) for b in budgets])
        ax.minorticks_off()
    axes[0].set_ylabel("final regret (reward units, log scale)")
    return _finish(fig, axes[0], title, caption)


def draw_too_low(plays: dict, low: float, best: float, title: str, caption: str):
    """Labels spent (left) and cumulative regret (right) over the rounds; plays maps low, llf, random, all to Play,
    drawn with the certificate of llf. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4))
    rounds = 1 + np.arange(plays["llf"].regret.shape[1])
    names = {"low": f"LLF, level {low:.2g} (too low)", "llf": f"LLF, level {best:.2g} (best)"}
    for key in ("random", "low", "llf", "all"):
        change = {**(TOO_LOW if key == "low" else {}), "marker": None}
        change["label"] = names.get(key, style.ARMS["all" if key == "all" else "random"]["label"])
        arm = "llf" if key == "low" else key
        if key != "all":  # all labels leave the picture of the budget
            style.band(left, rounds, *mean_interval(plays[key].queried.cumsum(axis=1)), arm, **change)
        style.band(right, rounds, *mean_interval(plays[key].cumulative), arm, **change)
    style.band(right, rounds, *mean_interval(plays["llf"].certificate), "certificate", marker=None,
               label="certificate, LLF best")
    left.set(xlabel="round", ylabel="labels spent", title="when the budget goes")
    right.set(xlabel="round", ylabel="cumulative regret (reward units, log scale)", yscale="log",
              title="what that costs")
    return _finish(fig, right, title, caption)


def _curve(ax, x, values: list[np.ndarray], name: str, **change) -> None:
    style.band(ax, x, *mean_interval(np.stack(values, axis=1)), name, **change)


def _finish(fig, ax, title: str, caption: str):
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    fig.supxlabel(caption, fontsize=9)
    return fig
