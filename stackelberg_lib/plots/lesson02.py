"""Pictures of lesson 02: the process behind the radius, the sets it gives, how often they fail, what breaks them."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval
from stackelberg_lib.plots.lesson01 import ellipse

# Radii and broken assumptions are no arms; line, marker and lightness tell them apart in grey too.
ELLIPSE = dict(color=style.ARMS["llf"]["color"], linestyle="-", marker="o")
FIXED = dict(color="#2a9d8f", linestyle="--", marker="s")
SHARP = dict(color="#8a8a8a", linestyle=":", marker="D")
CASES = [
    dict(color="#000000", linestyle="-"), dict(color="#5b3a8c", linestyle="--"), dict(color="#b0457b", linestyle="-."),
    dict(color="#d98a3d", linestyle=":"), dict(color="#a6c36f", linestyle=(0, (6, 1, 1, 1, 1, 1))),
]


def polygon(theta_hat: np.ndarray, V: np.ndarray, alpha: float, directions: np.ndarray) -> np.ndarray:
    """Corners (2m, 2), in order, of {theta: |<theta - theta_hat, psi>| <= alpha |psi|_{V^-1} for each psi}.

    theta_hat (2,), V (2, 2), directions (m, 2): at least two of them, no two parallel.
    """
    C = np.linalg.cholesky(V)
    # In the coordinates u = C^T (theta - theta_hat) every strip touches the circle of radius alpha.
    normals = np.linalg.solve(C, directions.T)
    angle = np.sort(np.arctan2(normals[1], normals[0]) % np.pi)
    angle = np.concatenate([angle, angle + np.pi])
    half = (np.roll(angle, -1) - angle) % (2 * np.pi) / 2
    corners = alpha / np.cos(half) * np.stack([np.cos(angle + half), np.sin(angle + half)])
    return theta_hat + np.linalg.solve(C.T, corners).T


def draw_process(process: np.ndarray, mixture: np.ndarray, delta: float, title: str, caption: str):
    """Left, the process of a fixed direction, (runs, T): paths and mean; right, its mixture (runs, T) and 1/delta.

    Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.3))
    rounds = np.arange(process.shape[1])
    for ax, paths in ((left, process), (right, mixture)):
        ax.plot(rounds, paths[:30].T, color="#9a9a9a", linewidth=0.7, alpha=0.7)
        ax.plot([], [], color="#9a9a9a", linewidth=0.7, label="30 runs")
        ax.set(yscale="log", xlabel="round")
    mean, low, high = mean_interval(process)
    left.fill_between(rounds, low, high, color=ELLIPSE["color"], alpha=0.2, linewidth=0)
    left.plot(rounds, mean, color=ELLIPSE["color"], label="mean of all runs")
    left.axhline(1, color="black", linewidth=1, linestyle="--", label="expectation 1")
    left.set(ylabel=r"$M_t(x)$ (log scale)", title="one direction: a fair game", ylim=(0.1, 12))
    left.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    left.minorticks_off()
    # A quantile of the largest value so far and no mean: the mixture's variance is infinite.
    reached = np.quantile(np.maximum.accumulate(mixture, axis=1), 1 - delta, axis=0)
    right.plot(rounds, reached, color=ELLIPSE["color"],
               label=f"reached by a share {delta:g} of all runs so far")
    right.axhline(1 / delta, color="black", linewidth=1, linestyle="--", label=rf"$1/\delta$ = {1 / delta:g}")
    right.set(ylabel=r"$\bar M_t$ (log scale)", title="all directions mixed", ylim=(1e-4, 1e5))
    for ax in (left, right):
        ax.legend(fontsize=9, loc="upper right")
    return _titled(fig, title, caption)


def draw_sets(scenes: list[dict], title: str, caption: str):
    """The ellipse of L1 and the strips of L1', a panel each; a scene holds labels, theta, theta_hat, V, alpha, fixed
    and directions (m, 2). Returns the figure."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(scenes), figsize=(2.9 * len(scenes), 4.3), sharex=True, sharey=True)
    for ax, scene in zip(axes, scenes, strict=True):
        ax.fill(*ellipse(scene["theta_hat"], scene["V"], scene["alpha"]).T, color=ELLIPSE["color"], alpha=0.12,
                linewidth=0)
        ax.plot(*ellipse(scene["theta_hat"], scene["V"], scene["alpha"]).T, color=ELLIPSE["color"],
                label="L1: ellipse, all directions")
        corners = polygon(scene["theta_hat"], scene["V"], scene["fixed"], scene["directions"])
        ax.plot(*np.vstack([corners, corners[:1]]).T, color=FIXED["color"], linestyle="--",
                label="L1': strips of the round's pairs")
        ax.plot(*scene["theta_hat"], "+", color=ELLIPSE["color"], markersize=10, markeredgewidth=2, linestyle="none",
                label="estimate")
        ax.plot(*scene["theta"], "*", color="black", markersize=11, linestyle="none", label="truth (hidden)")
        plural = "" if scene["labels"] == 1 else "s"
        ax.set(title=f"{scene['labels']} label{plural}", xlabel="first coordinate", aspect="equal",
               xlim=(-4, 4), ylim=(-4, 4))
    axes[0].set_ylabel("second coordinate")
    return _keyed(fig, axes[0], 4, title, caption)


def draw_radii(d: np.ndarray, ellipse_radius: dict[int, np.ndarray], fixed_radius: dict[int, float], title: str,
               caption: str):
    """Both radii against d (m,): {labels: (m,)} of L1's ceiling, {labels: number} of L1'. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.6, 4.3))
    for shade, n in zip((0.45, 1.0), ellipse_radius, strict=True):
        ax.plot(d, ellipse_radius[n], color=ELLIPSE["color"], alpha=shade, 
                label=rf"$\alpha^{{\mathrm{{adp}}}}$, {n:,} labels")
        ax.plot(d, np.full(len(d), fixed_radius[n]), color=FIXED["color"], linestyle="--", alpha=shade,
                label=rf"$\alpha^{{\mathrm{{fix}}}}$, {n:,} rounds")
    ax.set(xscale="log", yscale="log", xlabel="features d (log scale)", ylabel="radius (reward units, log scale)")
    ax.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    ax.set_yticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return _titled(fig, title, caption)


def draw_coverage(deltas: tuple, rates: dict[str, np.ndarray], largest: dict[str, np.ndarray], title: str,
                  caption: str):
    """Left, share of failed runs against delta (log axes); right, the largest error in units of the radius.

    rates: name -> (3, len(deltas)) share, low, high; largest: name -> (runs,) at the first delta. Names in the order
    L1, L1', sharp case. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.8, 4.8))
    floor, looks = 1e-4, (ELLIPSE, FIXED, SHARP)
    for shift, look, (name, (share, low, high)) in zip((0.94, 1.06, 1.0), looks, rates.items(), strict=True):
        share, low = np.maximum(share, floor), np.maximum(low, floor)  # a share of 0 has no place on a log axis
        left.errorbar(np.array(deltas) * shift, share, [share - low, high - share], capsize=3, label=name,
                      **{**look, "linestyle": "none"})
    left.plot(deltas, deltas, color="black", linewidth=1, linestyle="--", label=r"allowed: $\delta$")
    left.set(xscale="log", yscale="log", ylim=(0.7 * floor, 0.6), xlabel=r"$\delta$ (log scale)",
             ylabel="share of runs that failed (log scale)", title="failures, with 95 % intervals")
    left.set_xticks(deltas, [f"{x:g}" for x in deltas])
    left.set_yticks([floor, 1e-3, 1e-2, 1e-1], ["none", "0.001", "0.01", "0.1"])
    left.minorticks_off()
    for look, (name, ratio) in zip(looks, largest.items(), strict=True):
        right.plot(np.sort(ratio), 1 - np.arange(len(ratio)) / len(ratio), color=look["color"],
                   linestyle=look["linestyle"], label=name)
    right.axvline(1, color="black", linewidth=1, linestyle="--")
    right.axhline(deltas[0], color="black", linewidth=1, linestyle=":")
    right.text(0.02, deltas[0] + 0.015, rf"$\delta$ = {deltas[0]:g}", fontsize=9)
    right.set(xlim=(0, 1.35), ylim=(0, 1.02), xlabel="largest error / radius, over all rounds",
              ylabel="share of runs above", title=rf"how much of the radius was needed ($\delta$ = {deltas[0]:g})")
    return _keyed(fig, left, 4, title, caption)


def draw_breaks(failed: dict[str, dict[str, np.ndarray]], delta: float, title: str, caption: str):
    """Share of runs that failed so far, against the round, a panel per radius.

    failed: radius -> {case: (runs, T) bool, failed so far}, the same cases in all. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(failed), figsize=(9.8, 4.8), sharey=True)
    for ax, (radius, cases) in zip(axes, failed.items(), strict=True):
        for look, (case, so_far) in zip(CASES, cases.items(), strict=True):
            ax.plot(1 + np.arange(so_far.shape[1]), so_far.mean(axis=0), label=case, **look)
        ax.axhline(delta, color="#777777", linewidth=1, label=rf"allowed: $\delta$ = {delta:g}")
        ax.set(xscale="log", xlabel="round (log scale)", title=radius, ylim=(-0.02, 1.02))
    axes[0].set_ylabel("share of runs that failed so far")
    return _keyed(fig, axes[0], 3, title, caption)


def _titled(fig, title: str, caption: str):
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    return fig


def _keyed(fig, ax, columns: int, title: str, caption: str):
    """Title above; below, in one box so that they cannot overlap, the caption and the key of `ax`."""
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=9, title=caption,
               title_fontsize=9)
    return fig
