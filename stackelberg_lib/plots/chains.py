"""The slack waterfall: what each step of a proof gives away, on plays that were really played."""

from __future__ import annotations

import re

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory.chains import RELATIONS, Evaluated

# Lightness tells the two apart in grey, the hatch says it again.
BARS = {"path": dict(facecolor="#c9c9c9", label="holds always"),
        "good": dict(facecolor="#0b3c8c", hatch="///", edgecolor="white", label="on the good event"),
        "chance": dict(facecolor="#d1670a", hatch="...", edgecolor="white", label="in the mean or with probability")}


def waterfall(evaluated: list[Evaluated], title: str, caption: str):
    """One bar a step, from its left to its right side on a log axis, with the factor between them.

    evaluated: of `theory.chains.Chain.evaluate`; sides are means over replicas, summed over rounds where a step speaks
    of each round. Every row names its step and shows the side that it reaches. Returns the figure. InputError if a side
    is not positive: a log axis cannot show it.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    ends = [[float(side.sum() / len(side)) for side in (step.left, step.right)] for step in evaluated]
    if not all(end > 0 for pair in ends for end in pair):
        raise InputError(f"sides {ends}: a log axis shows positive ones only; give a trajectory with some regret")
    fig, ax = plt.subplots(figsize=(9.6, 1.2 + 0.62 * (len(ends) + 1)))
    for row, (step, (left, right)) in enumerate(zip(evaluated, ends, strict=True), start=1):
        ax.barh(row, right - left, left=left, height=0.6, **{**BARS[step.step.on], "label": None})
        ax.plot([right, right], [row - 0.3, row + 1.3 if row < len(ends) else row + 0.3], color="black", linewidth=0.8)
        factor = "=" if step.step.relation == "=" else f"$\\times$ {right / left:.3g}"
        factor += f" $\\rightarrow$ {right:.3g}" if row == len(ends) else ""
        ax.annotate(factor, (right, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    ax.plot([ends[0][0]] * 2, [-0.3, 1.3], color="black", linewidth=0.8)
    ax.annotate(f"{ends[0][0]:.3g}", (ends[0][0], 0), xytext=(5, 0), textcoords="offset points", va="center",
                fontsize=9)
    ax.set_yticks(range(len(ends) + 1), _rows(evaluated), fontsize=9)
    start, total = ends[0][0], ends[-1][1] / ends[0][0]
    ax.set(xscale="log", title=title, xlabel=f"value (log scale); in all a factor of {total:.3g}",
           xlim=(start * total**-0.03, start * total**1.2))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(len(ends) + 0.6, -0.6)
    ax.grid(axis="y", visible=False)
    used = [on for on in BARS if any(step.step.on == on and step.step.relation == "<=" for step in evaluated)]
    fig.legend([plt.Rectangle((0, 0), 1, 1, **BARS[on]) for on in used], [BARS[on]["label"] for on in used],
               loc="outside lower right", ncols=len(used), fontsize=9)
    fig.supxlabel(caption, fontsize=9)
    return fig


def _rows(evaluated: list[Evaluated]) -> list[str]:
    """The left side the chain starts from, then each step's name and the side it reaches, for matplotlib."""
    cut = [step.step.latex.split(f" {RELATIONS[step.step.relation]} ", 1) for step in evaluated]
    rows = [f"${cut[0][0]}$"]
    for (_, right), step in zip(cut, evaluated, strict=True):
        rows.append(f"{step.step.name}\n${RELATIONS[step.step.relation]}\\ {right}$")
    # what mathtext does not know or writes otherwise
    for latex, mathtext in ((r"\\le\b", r"\\leq"), (r"\\tfrac", r"\\frac"), (r"\\Big\b", ""), (r"\\\|", r"\\Vert ")):
        rows = [re.sub(latex, mathtext, row) for row in rows]
    return rows
