"""Pictures of lesson 01: a round drawn in two dimensions, and what it costs to play many."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval

LEADER, CHALLENGER = style.ARMS["llf"]["color"], style.ARMS["margin"]["color"]


def ellipse(theta_hat: np.ndarray, V: np.ndarray, alpha: float, points: int = 181) -> np.ndarray:
    """Boundary (points, 2) of {theta: |theta - theta_hat|_V <= alpha} for theta_hat (2,), V (2, 2)."""
    angle = np.linspace(0, 2 * np.pi, points)
    # V = C C^T: theta = theta_hat + alpha C^-T u has V-distance alpha from theta_hat for every unit vector u.
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return theta_hat + alpha * np.linalg.solve(np.linalg.cholesky(V).T, circle).T


def draw_rounds(scenes: list[dict]):
    """One panel a round; a scene holds labels, phi (K, 2), theta, theta_hat, V, alpha, leader, challenger,
    hostile (2,) and latency. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(scenes), figsize=(3.5 * len(scenes), 4.3), sharex=True, sharey=True)
    for ax, scene in zip(axes, scenes, strict=True):
        _round(ax, scene)
    axes[0].set_ylabel("second coordinate")
    fig.suptitle("Labels shrink the ellipse; latency, the reach of the strongest challenge, falls with it",
                 x=0.01, ha="left", fontsize=11.5)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return fig


def _round(ax, scene: dict) -> None:
    line = ellipse(scene["theta_hat"], scene["V"], scene["alpha"])
    ax.fill(*line.T, color=LEADER, alpha=0.10, linewidth=0)
    ax.plot(*line.T, color=LEADER, linewidth=1.2, label="confidence ellipse")
    roles = {scene["leader"]: (LEADER, "leader's answer"), scene["challenger"]: (CHALLENGER, "challenger")}
    for k, phi in sorted(enumerate(scene["phi"]), key=lambda item: item[0] in roles):
        colour, label = roles.get(k, ("#9a9a9a", "other candidates"))
        ax.plot([0, phi[0]], [0, phi[1]], color=colour, linewidth=2.4 if k in roles else 1.2)
        seen = ax.get_legend_handles_labels()[1]
        ax.plot(*phi, "s" if k in roles else ".", color=colour, linestyle="none",
                label=None if label in seen else label)
    ax.plot(*scene["theta_hat"], "+", color=LEADER, markersize=10, markeredgewidth=2, linestyle="none",
            label="estimate")
    ax.plot(*scene["theta"], "*", color="black", markersize=11, linestyle="none", label="truth (hidden)")
    ax.plot(*scene["hostile"], "X", color=CHALLENGER, markersize=8, linestyle="none",
            label="parameter that favours the challenger most")
    plural = "" if scene["labels"] == 1 else "s"
    ax.set(title=f"{scene['labels']} label{plural}, latency {scene['latency']:.2f}", xlabel="first coordinate",
           aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9))


def draw_followers(scenes: dict[str, dict]):
    """One panel a follower, two rows: the ellipse, the pool, the served context with its answer and challenger.

    A scene holds menu (M, K, 2), theta_hat, V, alpha, served, leader, latency and challenger (None: nobody named,
    and no latency in the title). Returns the figure.
    """
    import matplotlib.pyplot as plt

    columns = (len(scenes) + 1) // 2
    fig, axes = plt.subplots(2, columns, figsize=(3.2 * columns, 7.4), sharex=True, sharey=True)
    for ax, (name, scene) in zip(axes.flat, scenes.items(), strict=True):
        _served(ax, scene)
        named = scene["challenger"] is not None
        ax.set_title(f"{name}\n" + (f"latency {scene['latency']:.2f}" if named else "no challenger"), fontsize=10.5)
    for ax in axes[:, 0]:
        ax.set_ylabel("second coordinate")
    for ax in axes[-1]:
        ax.set_xlabel("first coordinate")
    fig.suptitle("Whoever chooses more finds more latency: what each follower serves, and whom it names",
                 x=0.01, ha="left", fontsize=11.5)
    shown = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3, fontsize=9)
    return fig


def _served(ax, scene: dict) -> None:
    line = ellipse(scene["theta_hat"], scene["V"], scene["alpha"])
    ax.fill(*line.T, color=LEADER, alpha=0.10, linewidth=0)
    ax.plot(*line.T, color=LEADER, linewidth=1.2, label="confidence ellipse")
    ax.plot(*scene["theta_hat"], "+", color=LEADER, markersize=10, markeredgewidth=2, linestyle="none",
            label="estimate")
    for m, marker in zip(range(len(scene["menu"])), ("o", "^", "s", "D"), strict=True):
        served = m == scene["served"]
        ax.plot(*scene["menu"][m].T, marker, color="#444444" if served else "#a8a8a8", markersize=7 if served else 4,
                linestyle="none", zorder=3 if served else 2,
                label="served context" if served else "contexts left in the pool")
    phi = scene["menu"][scene["served"]]
    for x in phi:
        ax.plot([0, x[0]], [0, x[1]], color="#444444", linewidth=0.8)
    roles = [(scene["leader"], LEADER, "leader's answer", 3.4)]
    if scene["challenger"] is not None:
        # Thinner than the answer's line, so that both show where a challenger is the answer itself.
        roles.append((scene["challenger"], CHALLENGER, "challenger", 1.8))
    for k, colour, label, thick in roles:
        ax.plot([0, phi[k][0]], [0, phi[k][1]], color=colour, linewidth=thick, label=label)
    ax.set(aspect="equal", xlim=(-2.05, 2.05), ylim=(-2.05, 2.05))


def draw_regret(plays: dict, title: str, caption: str):
    """Left, cumulative regret of each arm of `plays` {arm of the style: Play}; right, regret of random
    and of all labels under their certificates, log scale. Bands: 95 % of the mean. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    for name, run in plays.items():
        _series(left, run.cumulative, name)
    left.set(xlabel="round", ylabel="cumulative regret (reward units)", title="regret")
    for name in ("random", "all"):
        _series(right, plays[name].cumulative, name, label=f"regret, {style.ARMS[name]['label']}")
        _series(right, plays[name].certificate, "certificate", linestyle=style.ARMS[name]["linestyle"],
                label=f"certificate, {style.ARMS[name]['label']}")
    right.set(yscale="log", xlabel="round", ylabel="reward units, log scale",
              title="regret under its certificate")
    right.set_ylim(top=30 * right.get_ylim()[1])
    left.legend()
    right.legend(loc="upper left", fontsize=9)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    return fig


def _series(ax, values: np.ndarray, name: str, **change) -> None:
    rounds = 1 + np.arange(values.shape[1])
    style.band(ax, rounds, *mean_interval(values), name, marker=None, **change)
