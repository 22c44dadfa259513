"""Pictures of lesson 11: what was measured beside what was promised, and the labels that a goal costs."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style

DECIDED, OPEN, AGAINST = "#0b3c8c", "#5a5a5a", "#c2185b"
COLOURS = {"supported": DECIDED, "not decided": OPEN, "ruled out": AGAINST}  # by claims.VERDICTS


def draw_bounds(ratios: dict[str, float], title: str, caption: str):
    """What was measured over what is proved at most, a bar a claim, the tightest on top; ratios: claim -> number."""
    import matplotlib.pyplot as plt

    ordered = sorted(ratios.items(), key=lambda pair: pair[1])
    names, values = [name for name, _ in ordered], np.array([value for _, value in ordered])
    fig, ax = plt.subplots(figsize=(7.2, 0.42 * len(names) + 1.4))
    ax.barh(names, values, height=0.55, color=DECIDED)
    for place, value in enumerate(values):
        ax.annotate(f"{value:.3g}", (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    ax.axvline(1, **style.arm("bound"))
    ax.set(xscale="log", xlim=(values.min() / 3, 4), xlabel="measured over the bound (log scale)")
    ax.legend(fontsize=9, loc="lower right")
    return style.titled(fig, title, caption)


def draw_ranges(rows: dict[str, tuple], title: str, caption: str):
    """Measured numbers beside the range in which a claim wants them, a line a claim.

    rows: claim -> (a number with value, low and high, [least, most] with None for an end that is open, one of
    `COLOURS`). Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 0.5 * len(rows) + 1.6))
    ends = [x for line, expected, _ in rows.values() for x in (line.low, line.high, *expected) if x is not None]
    margin = 0.25 * (max(ends) - min(ends))
    left, right = min(ends) - margin, max(ends) + margin
    for place, (line, (least, most), verdict) in enumerate(rows.values()):
        least, most = left if least is None else least, right if most is None else most
        ax.barh(place, most - least, left=least, height=0.6, color="#dfe6ee", label="expected" if not place else None)
        sides = [[line.value - line.low], [line.high - line.value]]
        ax.errorbar(line.value, place, xerr=sides, color=COLOURS[verdict], marker="o", capsize=3)
    ax.set_yticks(range(len(rows)), [f"{name}\n({verdict})" for name, (*_, verdict) in rows.items()], fontsize=9)
    ax.set(xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), xlabel="exponent, with 95 % interval")
    ax.legend(fontsize=9, loc="center")
    return style.titled(fig, title, caption)


def draw_reach(panels: dict[str, dict[str, tuple[float, float, float]]], title: str, caption: str):
    """Share of the budget that reaches what random has at its end, a panel a set; panels: set -> rule -> triple.

    A triple is share, low and high; inf stands for more than the whole budget and is drawn at the right edge.
    Returns the figure.
    """
    import matplotlib.pyplot as plt

    lines, edge = (len(panels) + 1) // 2, 1.08
    rules = list(dict.fromkeys(rule for found in panels.values() for rule in found))
    fig, axes = plt.subplots(lines, 2, figsize=(9.4, 2.9 * lines + 0.5), sharex=True, sharey=True, squeeze=False)
    for ax, (name, found) in zip(axes.flat, panels.items(), strict=False):
        for rule, triple in found.items():
            share, low, high = np.minimum(triple, edge)
            look = style.ARMS[rule]
            ax.errorbar(share, rules.index(rule), xerr=[[share - low], [high - share]], capsize=3, color=look["color"],
                        marker=look["marker"])
        ax.axvline(1, color="black", linewidth=0.8)
        ax.set_title(name, fontsize=10.5)
    for ax in axes.flat[len(panels):]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("share of random's labels")
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(rules)), [style.ARMS[rule]["label"] for rule in rules], fontsize=9)
    axes[0][0].set(xlim=(0, 1.1), ylim=(len(rules) - 0.5, -0.5))
    return style.titled(fig, title, caption)
