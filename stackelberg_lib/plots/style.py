"""One look for all figures: the same arm has the same colour, line and marker in every lesson."""

from __future__ import annotations

# Colours differ in lightness as well as in hue, so that they stay apart in grey; the line style repeats the message.
ARMS = {
    "llf": dict(color="#0b3c8c", linestyle="-", marker="o", label="LLF gate"),
    "mass": dict(color="#0b3c8c", linestyle="-", marker="o", label="mass latency (LLF)"),
    "random": dict(color="#9a9a9a", linestyle="--", marker="s", label="random"),
    "margin": dict(color="#d1670a", linestyle="-.", marker="^", label="margin"),
    "first": dict(color="#7a5195", linestyle=":", marker="v", label="first B"),
    "coverage": dict(color="#c2185b", linestyle=(0, (12, 1.5)), marker="D", label="weighted coverage"),
    "kernel_mass": dict(color="#3fb2c9", linestyle=(0, (5, 1.5)), marker="P", label="kernel mass"),
    "bait": dict(color="#1f1510", linestyle=(0, (4, 1, 1, 1)), marker="X", label="BAIT"),
    "typiclust": dict(color="#e0ac00", linestyle=(0, (2, 1)), marker="*", label="TypiClust"),
    "facility_location": dict(color="#4f8a35", linestyle=(0, (1, 1.5)), marker="d", label="facility location"),
    "k_center": dict(color="#7d7d55", linestyle=(0, (8, 2)), marker="h", label="k-center"),
    "badge": dict(color="#45606e", linestyle=(0, (4, 1, 1, 1, 1, 1)), marker="p", label="BADGE"),
    "point": dict(color="#e58c8a", linestyle=(0, (1, 3)), marker="x", label="point latency"),
    "probcover": dict(color="#b39ddb", linestyle=(0, (6, 2, 1, 2)), marker="<", label="ProbCover"),
    "stratified": dict(color="#bcaaa4", linestyle=(0, (3, 2)), marker=">", label="stratified random"),
    "kmeans_margin": dict(color="#a65628", linestyle=(0, (2, 2, 1, 2)), marker="1", label="k-means, then margin"),
    "entropy": dict(color="#5c8001", linestyle=(0, (1, 2, 3, 2)), marker="2", label="entropy"),
    "least_confidence": dict(color="#8aa1ad", linestyle=(0, (7, 1, 3, 1)), marker="3", label="least confidence"),
    "all": dict(color="#1b7f3b", linestyle="-", marker=None, label="all labels"),
    "none": dict(color="#c9c9c9", linestyle=":", marker=None, label="no label"),
    "oracle": dict(color="#1b7f3b", linestyle=(0, (5, 1)), marker=None, label="oracle"),
    "bound": dict(color="#000000", linestyle=(0, (1, 1)), marker=None, label="bound"),
    "certificate": dict(color="#8c1d40", linestyle=(0, (3, 1, 1, 1)), marker=None, label="certificate"),
}


def use() -> None:
    """Set matplotlib's defaults for a lesson: size, fonts, light grid, no top and right frame, titles read out."""
    import matplotlib.pyplot as plt

    from stackelberg_lib.plots import alternative

    plt.rcParams.update({
        "figure.figsize": (7.2, 4.2), "figure.dpi": 110, "savefig.bbox": "tight", "font.size": 10.5,
        "axes.titlesize": 11.5, "axes.titlelocation": "left", "axes.grid": True, "grid.alpha": 0.25,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.8,
        "lines.markersize": 5, "figure.constrained_layout.use": True,
    })
    alternative.install()


def arm(name: str, **change) -> dict:
    """Keyword arguments of `plot` for one arm; `change` overrides, e.g. `marker=None` on long series."""
    return {**ARMS[name], **change}


def band(ax, x, mean, low, high, name: str, **change) -> None:
    """Draw one arm's mean (n,) with its interval [low, high] (n,) over x (n,) in the arm's own style."""
    style = arm(name, **change)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    ax.plot(x, mean, **style)


def titled(fig, title: str, caption: str):
    """Give a figure its finding as title and its caption below, both at the left; returns the figure."""
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, x=0.01, ha="left", fontsize=9, color="#555555")
    return fig
