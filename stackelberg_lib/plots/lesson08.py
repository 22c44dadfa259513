"""Pictures of lesson 08: picks on a toy pool, kernels, curves, who beats whom, where a rule loses, when to stop."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style

SHORT = dict(fontsize=8.5)


def draw_strip(x: np.ndarray, rows: dict[str, np.ndarray], doubt: dict[str, np.ndarray], title: str, caption: str):
    """A toy pool while it is bought: one line of panels a rule, one panel a pick.

    x (N, 2) places; rows: rule -> picks (B,); doubt: rule -> (B, N) in [0, 1], what is left of each text after each
    pick, dark where nothing is known. Returns the figure.
    """
    import matplotlib.pyplot as plt

    B = len(next(iter(rows.values())))
    fig, axes = plt.subplots(len(rows), B, figsize=(9.6, 1.75 * len(rows)), sharex=True, sharey=True, squeeze=False)
    for line, (rule, picks) in zip(axes, rows.items(), strict=True):
        for t, ax in enumerate(line):
            seen = ax.scatter(*x.T, c=doubt[rule][t], s=9, cmap="Blues", vmin=-0.25, vmax=1, linewidth=0)
            ax.plot(*x[picks[:t]].T, "o", color="none", markeredgecolor="#d1670a", markersize=6)
            ax.plot(*x[picks[t]], "o", color="#d1670a", markeredgecolor="white", markersize=7)
            ax.set(xticks=[], yticks=[], title=f"label {t + 1}" if line is axes[0] else "")
            ax.margins(0.1)
        line[0].set_ylabel(style.ARMS[rule]["label"], fontsize=9)
    fig.colorbar(seen, ax=axes, shrink=0.5, label="doubt left (1: all)", boundaries=np.linspace(0, 1, 51),
                 ticks=[0, 0.5, 1])
    return style.titled(fig, title, caption)


def draw_kernel(distance: np.ndarray, single: dict[str, np.ndarray], mean: np.ndarray, near: np.ndarray,
                far: np.ndarray, title: str, caption: str):
    """Kernels against distance, over the distances of a pool: to the nearest text `near` (N,), of any pair `far`.

    single: scale -> values at `distance` (n,); mean: of them all. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for shade, (name, values) in zip(np.linspace(0.75, 0.35, len(single)), single.items(), strict=True):
        ax.plot(distance, values, color=str(shade), linewidth=1, linestyle="--")
        k = int(np.abs(values - 0.5).argmin())
        ax.annotate(name, (distance[k], values[k]), fontsize=8, color=str(shade - 0.1), xytext=(2, 2),
                    textcoords="offset points")
    ax.plot(distance, mean, color=style.ARMS["coverage"]["color"], label="mean of the scales")
    bins = np.linspace(0, distance[-1], 60)
    for values, look in ((near, dict(color="#3fb2c9", label="distance to the nearest text")),
                         (far, dict(color="#d9d9d9", label="distance of two texts"))):
        height, _ = np.histogram(values, bins)
        ax.fill_between(bins[:-1], 0.45 * height / height.max(), step="post", alpha=0.7, linewidth=0, **look)
    ax.set(xlabel="distance of two texts (features of root-mean-square norm 1)", ylabel="kernel", ylim=(0, 1.02))
    _legend(fig, [ax])
    return style.titled(fig, title, caption)


def draw_curves(panels: dict[str, tuple], title: str, caption: str):
    """Test accuracy against labels, a panel a set, with intervals.

    panels: name -> (labels (P,), {rule: (mean, low, high), (P,) each}, accuracy with all labels or None). Returns the
    figure; rules keep their look in all panels, and stand in one legend.
    """
    fig, axes = _panels(len(panels), 3.7)
    for ax, (name, (labels, curves, ceiling)) in zip(axes, panels.items(), strict=False):
        if ceiling is not None:
            ax.axhline(ceiling, **style.arm("all"))
        for rule, (mean, low, high) in curves.items():
            style.band(ax, labels, mean, low, high, rule, markersize=4, linewidth=1.4)
        ax.set(title=name, xlabel="labels bought (log scale)", ylabel="test accuracy")
        _log_labels(ax, labels)
    _legend(fig, axes)
    return style.titled(fig, title, caption)


def draw_differences(panels: dict[str, tuple], ours: str, title: str, caption: str):
    """Accuracy of each rule less ours against labels: above zero ours loses; panels: name -> (labels, {rule: triple}).

    A triple is mean, low and high, (P,) each. Returns the figure.
    """
    fig, axes = _panels(len(panels), 3.4)
    for ax, (name, (labels, curves)) in zip(axes, panels.items(), strict=False):
        for rule, (mean, low, high) in curves.items():
            style.band(ax, labels, mean, low, high, rule, markersize=4, linewidth=1.4)
        ax.axhline(0, color="black", linewidth=1)
        ax.set(title=name, xlabel="labels bought (log scale)", ylabel=f"accuracy minus {style.ARMS[ours]['label']}")
        ax.yaxis.label.set_fontsize(9)
        _log_labels(ax, labels)
    _legend(fig, axes)
    return style.titled(fig, title, caption)


def draw_penalty(wins: np.ndarray, rules: list[str], sets: int, title: str, caption: str):
    """Who beats whom: wins (R, R), how often the row is significantly better than the column, at most `sets`.

    Below, the mean of each column: how often a rule is beaten. Returns the figure.
    """
    import matplotlib.pyplot as plt

    R, beaten = len(rules), wins.sum(0) / max(len(wins) - 1, 1)
    fig, ax = plt.subplots(figsize=(9.2, 7.2))
    shown = np.vstack([wins, beaten])
    ax.imshow(shown, cmap="Blues", vmin=0, vmax=sets, aspect="auto")
    for i, row in enumerate(shown):
        for j, value in enumerate(row):
            if i != j:
                ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8,
                        color="white" if value > 0.6 * sets else "black")
    ax.axhline(R - 0.5, color="black", linewidth=1.2)
    names = [style.ARMS[rule]["label"] for rule in rules]
    ax.set_xticks(range(R), names, rotation=45, ha="right", **SHORT)
    ax.set_yticks(range(R + 1), [*names, "mean: is beaten"], **SHORT)
    ax.set(xlabel="... than this rule", ylabel="this rule is significantly better ...")
    ax.grid(visible=False)
    return style.titled(fig, title, caption)


def draw_arms(found: dict[str, dict[str, tuple]], columns: int, title: str, caption: str):
    """Area of each rule less that of random, with interval, a panel a setting; found: setting -> {rule: triple}.

    So many columns; the settings fill them line by line. Returns the figure.
    """
    import matplotlib.pyplot as plt

    lines = -(-len(found) // columns)
    fig, axes = plt.subplots(lines, columns, figsize=(max(5.5, 2.5 * columns), 2.3 * lines + 0.8), sharex="col",
                             sharey=True, squeeze=False)
    rules = list(dict.fromkeys(rule for by_rule in found.values() for rule in by_rule))
    for ax, (name, by_rule) in zip(axes.flat, found.items(), strict=False):
        for rule, (mean, low, high) in by_rule.items():
            look = style.ARMS[rule]
            ax.errorbar(mean, rules.index(rule), xerr=[[mean - low], [high - mean]], capsize=3, color=look["color"],
                        marker=look["marker"])
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(name, fontsize=9.5)
        ax.tick_params(labelsize=8.5)
        ax.locator_params(axis="x", nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel("area minus random's", fontsize=8.5)
    for ax in axes.flat[len(found):]:
        ax.set_axis_off()
    axes[0][0].set_yticks(range(len(rules)), [style.ARMS[rule]["label"] for rule in rules])
    axes[0][0].set_ylim(len(rules) - 0.5, -0.5)
    return style.titled(fig, title, caption)


def draw_stop(labels: np.ndarray, seen: dict[str, np.ndarray], price: float, title: str, caption: str):
    """What is certified of a pool while it is bought, in texts. seen: name -> (P,).

    Left certificate, by_coverage, all_wrong and regret; middle one, most, one_cover and most_cover, texts per label,
    beside the price; right accuracy. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10.2, 3.9))
    for name, look in {"certificate": style.arm("certificate", label="certificate"),
                       "by_coverage": style.arm("bound", label="the same, by coverage"),
                       "all_wrong": style.arm("none", color="#6e6e6e", label="all texts wrong"),
                       "regret": style.arm("llf", marker=None, label="measured")}.items():
        left.plot(labels, seen[name], **look)
    left.set(yscale="log", xlabel="labels bought", ylabel="weighted wrong texts (log scale)", title="what is left")
    for name, look in {"most": dict(color="#0b3c8c", linestyle="--", label="most, by mass"),
                       "one": dict(color="#0b3c8c", linestyle="-", label="one, by mass"),
                       "most_cover": dict(color="#c2185b", linestyle="--", label="most, by coverage"),
                       "one_cover": dict(color="#c2185b", linestyle=":", label="one, by coverage")}.items():
        middle.plot(labels, seen[name], **look)
    middle.axhline(price, color="black", linewidth=0.9, label="price: one text")
    middle.set(yscale="log", xlabel="labels bought", ylabel="texts per label (log scale)", title="a label's worth")
    right.plot(labels, seen["accuracy"], color="#1b7f3b")
    right.set(xlabel="labels bought", ylabel="test accuracy", title="what happens")
    left.legend(fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.55))
    middle.set_ylim(0.4 * price)
    middle.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.1))
    return style.titled(fig, title, caption)


def _panels(n: int, height: float):
    """A figure with room for n panels, two a line; unused places are blank."""
    import matplotlib.pyplot as plt

    lines, columns = (n + 1) // 2, min(n, 2)
    fig, axes = plt.subplots(lines, columns, figsize=(9.8 if columns > 1 else 7.8, height * lines + 0.4), squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, axes.flat[:n]


def _log_labels(ax, labels: np.ndarray) -> None:
    ax.set_xscale("log")
    shown = labels[[0, 1, 3, 6, -1]] if len(labels) > 6 else labels
    ax.set_xticks(shown, [str(n) for n in shown])
    ax.minorticks_off()


def _legend(fig, axes) -> None:
    known = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(known.values(), known.keys(), loc="outside right upper", fontsize=8.5)


def pool_map(axes, features: np.ndarray, picks: dict[str, np.ndarray], titles: dict[str, str]) -> np.ndarray:
    """The pool in its first two principal components with the rows that each arm bought; returns the points (N, 2)."""
    centred = features - features.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    for ax, (name, rows) in zip(axes, picks.items(), strict=True):
        ax.scatter(*points.T, s=4, color="#c9c9c9", linewidth=0)
        ax.scatter(*points[rows].T, s=22, color=style.ARMS[name]["color"], marker=style.ARMS[name]["marker"],
                   edgecolor="white", linewidth=0.4)
        ax.set(xlabel="first principal component", title=titles[name], xticks=[], yticks=[])
    axes[0].set_ylabel("second principal component")
    return points
