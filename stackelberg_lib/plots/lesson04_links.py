"""Picture of lesson 04, section 1: what a leader's share of the flow is worth on parallel links."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style

LEADER, FOLLOWERS, HARD = (style.ARMS[name]["color"] for name in ("llf", "margin", "first"))
# Lines stay apart in grey by their strokes, the two families of instances by line against marks.
CURVES = {
    "pigou": dict(color=LEADER, linestyle="-", label=r"Pigou's network, $\ell_2 = x$"),
    "steep": dict(color=LEADER, linestyle="--", label=r"the same, $\ell_2 = x^8$"),
    "hard affine": dict(color=HARD, linestyle="none", marker="v", markerfacecolor="none",
                        label="hard for its share, $p = 1$"),
    "hard": dict(color=HARD, linestyle="none", marker="v", label="hard for its share, $p = 1000$"),
}


def draw_shares(shares: np.ndarray, ratios: dict[str, np.ndarray], scenes: list[dict], title: str, caption: str):
    """Left, cost over optimum against the leader's share, log scale, under both bounds; right, who goes where.

    shares (n,) in (0, 1]; ratios maps the keys of CURVES to (n,); a scene holds share, leader (2,), total (2,) flows
    on a constant and a rising link, latency (2,) and cost. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), width_ratios=(1.25, 1))
    left.plot(shares, 1 / shares, **style.arm("bound", label=r"bound $1/\beta$, any latencies"))
    left.plot(shares, 4 / (3 + shares), **style.arm("bound", linewidth=1.2, linestyle=(0, (1, 3)),
                                                    label=r"bound $4/(3+\beta)$, affine"))
    for name, curve in CURVES.items():
        every = slice(None) if curve["linestyle"] != "none" else slice(4, None, 5)
        left.plot(shares[every], ratios[name][every], **curve)
    left.axhline(1, **style.arm("oracle", label="optimum", linewidth=1))
    ticks = (1, 1.5, 2, 3, 5, 10, 20)
    left.set(yscale="log", xlim=(0, 1.02), ylim=(0.93, 22), xlabel=r"leader's share $\beta$ of the flow",
             ylabel="cost over optimum (log scale)", title="what LLF costs")
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    left.legend(fontsize=8, loc="upper right")
    _who_goes_where(right, scenes)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    return fig


def _who_goes_where(ax, scenes: list[dict]) -> None:
    """A pair of stacked bars for each scene: the leader's flow below, the followers' on top, latency above."""
    at = 3.0 * np.arange(len(scenes))[:, None] + np.arange(2)
    leader, total = (np.array([scene[key] for scene in scenes]) for key in ("leader", "total"))
    ax.bar(at.ravel(), leader.ravel(), color=LEADER, label="leader")
    ax.bar(at.ravel(), (total - leader).ravel(), bottom=leader.ravel(), color=FOLLOWERS, alpha=0.45, hatch="//",
           edgecolor="white", label="followers")
    for x, y, latency in zip(at.ravel(), total.ravel(), np.ravel([s["latency"] for s in scenes]), strict=True):
        ax.text(x, y + 0.02, f"time\n{latency:.2f}", ha="center", fontsize=8)
    for x, scene in zip(at.mean(axis=1), scenes, strict=True):
        text = rf"$\beta$ = {scene['share']:g}" + f"\ncost {scene['cost']:.4g}"
        ax.text(x, -0.13, text, ha="center", va="top", fontsize=9, transform=ax.get_xaxis_transform())
    ax.set_xticks(at.ravel(), ["link 1", "link 2"] * len(scenes), fontsize=8)
    ax.set(ylim=(0, 1.3), ylabel="flow on the link (share of all flow)",
           title=r"who goes where on Pigou's links $\ell_1 = 1$, $\ell_2(x) = x$")
    ax.set_yticks(np.linspace(0, 1, 5))
    ax.grid(axis="x", visible=False)
    ax.set_axisbelow(True)
    ax.legend(fontsize=8, loc="upper right", ncols=2)
