"""Pictures of lesson 03: regret against rounds and dimensions, an easy instance, and a game solved exactly."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval

SHARP = dict(color="#000000", linestyle="-", linewidth=1.0)  # the second bound, beside the style's dotted one
BEST = "best possible, nature draws (exact)"
SERVED = dict(linestyle="--", marker="^")  # all labels as well, under the context-selecting follower
KNOWS = dict(color="#8c1d40", linestyle="-.", marker="D")


def draw_envelopes(T: np.ndarray, panels: dict[str, dict], title: str, caption: str):
    """Worst mean regret over the gaps against T, log axes, a panel per follower.

    A panel holds learner and none, triples mean, low, high (n,) each; lower, bound and sharp (n,) and slope, a text.
    Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(panels), figsize=(9.6, 4.4), sharey=True)
    for ax, (name, panel) in zip(axes, panels.items(), strict=True):
        ax.plot(T, panel["bound"], **style.arm("bound", label="bound, T1"))
        ax.plot(T, panel["sharp"], label="bound, T1 in the mean", **SHARP)
        style.band(ax, T, *panel["none"], "none", marker="s", label="never learns")
        style.band(ax, T, *panel["learner"], "all", marker="o", label="all labels")
        ax.plot(T, panel["lower"], **style.arm("oracle", color="#d1670a", label=BEST))
        ax.set(xscale="log", yscale="log", xlabel="rounds T (log scale)", title=f"{name}: {panel['slope']}")
        _powers(ax, T)
    axes[0].set_ylabel("regret, worst gap (reward units, log scale)")
    return _finish(fig, axes[0], title, caption)


def draw_dimensions(d: np.ndarray, series: dict[str, dict], title: str, caption: str):
    """Regret against d, log axes. `series` maps obl, adp and knows to triples mean, low, high (n,), with the label in
    front; lower, bound, sharp and none to (n,). Returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8.6, 4.6))
    ax.plot(d, series["bound"], **style.arm("bound", label="bound, T1"))
    ax.plot(d, series["sharp"], label="bound, T1 in the mean", **SHARP)
    ax.plot(d, series["none"], **style.arm("none", label="never learns"))
    looks = {"knows": KNOWS, "adp": style.arm("all", **SERVED), "obl": style.arm("all", marker="o")}
    for name, look in looks.items():
        label, mean, low, high = series[name]
        ax.fill_between(d, low, high, color=look["color"], alpha=0.15, linewidth=0)
        ax.plot(d, mean, **{**look, "label": label})
    ax.plot(d, series["lower"], **style.arm("oracle", color="#d1670a", label=BEST))
    ax.set(xscale="log", yscale="log", xlabel="features d (log scale)", ylabel="regret (reward units, log scale)")
    _powers(ax, d)
    return _finish(fig, ax, title, caption)


def draw_easy(curves: dict[str, np.ndarray], limit: float, bound: np.ndarray, title: str, caption: str):
    """Cumulative regret at one fixed gap over the rounds, log axes: obl, adp, none (seeds, T) and exact (T,), under
    the limit of exact and the logarithmic bound (T,). Returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8.6, 4.4))
    rounds = 1 + np.arange(len(bound))
    ax.plot(rounds, bound, label="bound, logarithmic in T", **SHARP)
    looks = {"none": ("none", dict(label="never learns")),
             "adp": ("all", {**SERVED, "label": "all labels, context-selecting"}),
             "obl": ("all", dict(label="all labels, nature draws"))}
    for name, (arm, look) in looks.items():
        style.band(ax, rounds, *mean_interval(curves[name]), arm, **{**look, "marker": None})
    ax.plot(rounds, curves["exact"], **style.arm("oracle", color="#d1670a", label=BEST))
    ax.axhline(limit, color="#d1670a", linewidth=0.8, label="its limit")
    ax.set(xscale="log", yscale="log", xlabel="round (log scale)", ylabel="cumulative regret (reward units, log scale)")
    return _finish(fig, ax, title, caption)


def draw_tiny(T: np.ndarray, by_rounds: dict[str, np.ndarray], B: np.ndarray, by_budget: dict[str, np.ndarray],
              title: str, caption: str):
    """Exact values of the tiny game: left against T with all labels allowed, right against the budget B.

    Both map optimum, ridge and none to values; by_rounds also bound; by_budget also llf, blind and mixed. Returns the
    figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4))
    looks = {
        "bound": {**SHARP, "label": "bound, T1 in the mean"},
        "none": style.arm("none", label="never learns"),
        "blind": dict(color="#7a5195", linestyle=":", marker="v", label="optimum, gate blind, no coins"),
        "mixed": dict(color="#7a5195", linestyle="-", marker=".", label="optimum, gate blind, coins"),
        "ridge": style.arm("all", marker="s", label="ridge, always asks"),
        "llf": style.arm("llf", label="ridge, LLF at its best level"),
        "optimum": style.arm("oracle", color="#d1670a", marker="x", label="optimum, exact"),
    }
    for ax, x, values in ((left, T, by_rounds), (right, B, by_budget)):
        for name in (name for name in looks if name in values):
            ax.plot(x, values[name], **looks[name])
        ax.set_xticks(x)
    left.set(xlabel="rounds T, budget T", ylabel="expected regret (reward units)", title="full feedback")
    right.set(xlabel=f"budget B, {T[-1]} rounds", title="budgeted, log scale", yscale="log")
    right.set_yticks(ticks := [2, 3, 4, 6], [str(y) for y in ticks])
    right.minorticks_off()
    known = [ax.get_legend_handles_labels() for ax in (left, right)]
    shown = {label: handle for pair in known for handle, label in zip(*pair, strict=True)}
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.legend(shown.values(), shown.keys(), loc="outside right upper", fontsize=9)
    fig.supxlabel(caption, fontsize=9)
    return fig


def _powers(ax, x: np.ndarray) -> None:
    ax.set_xticks(x, [str(n) for n in x])
    ax.minorticks_off()


def _finish(fig, ax, title: str, caption: str):
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    fig.supxlabel(caption, fontsize=9)
    return fig
