"""Pictures of lesson 05: what each follower costs, when a radius fails to cover, how a budget is drained."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import mean_interval

# Followers are no arms and share no colour with them; lightness, line and marker tell them apart in grey too.
FOLLOWERS = {
    "random challenger": dict(color="#e0b84c", linestyle="-", marker="s"),
    "best response": dict(color="#4f9e98", linestyle="--", marker="D"),
    "replaying": dict(color="#5f6b1c", linestyle="-.", marker="^"),
    "context-selecting": dict(color="#222222", linestyle=":", marker="o"),
    "knows the truth, impatient": dict(color="#e39b6b", linestyle=(0, (3, 1, 1, 1)), marker="P"),
    "knows the truth, patient": dict(color="#b03000", linestyle="-", marker="X"),
}


def draw_ladder(plays: dict[str, dict], title: str, caption: str):
    """Final regret of each gate under each follower (left), latency over the rounds under LLF (right).

    plays maps a follower to {llf, random, first, all: Play}; LLF's certificate is drawn too. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 5.4))
    place = np.arange(len(plays))
    for shift, arm in zip((0, -0.15, 0.15, 0.3), ("llf", "random", "first", "all"), strict=True):
        final = np.stack([by_gate[arm].cumulative[:, -1] for by_gate in plays.values()], axis=1)
        _points(left, place + shift, final, arm, marker=style.ARMS[arm]["marker"] or "D")
    certified = np.stack([by_gate["llf"].certificate[:, -1] for by_gate in plays.values()], axis=1)
    _points(left, place, certified, "certificate", marker="_", markersize=16, label="certificate, LLF")
    left.set(yscale="log", ylabel="final regret (reward units, log scale)", title="regret by follower")
    left.set_xticks(place, [name.replace(" ", "\n").replace("-", "-\n") for name in plays], fontsize=9)
    for name, by_gate in plays.items():
        _over_rounds(right, by_gate["llf"].latency, label=name, **_line(name))
    right.set(xlabel="round", ylabel="latency (reward units, mean of a stretch)", title="latency under the LLF gate")
    left.legend(ncols=2, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    right.legend(ncols=2, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return _titled(fig, title, caption)


def draw_lags(lags: list[int], plays: dict[str, list], nature: dict, title: str, caption: str):
    """Final regret (left) and mean latency (right) against the lag of the replaying follower.

    plays maps llf, random, all to a list of Play along `lags`; nature, to one Play each, at the last place of the
    axis. LLF's certificate is drawn too. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.4))
    place = np.arange(len(lags))
    for arm, runs in plays.items():
        for ax, value in ((left, _final), (right, lambda run: run.latency.mean(axis=1))):
            style.band(ax, place, *mean_interval(np.stack([value(run) for run in runs], axis=1)), arm)
            _points(ax, place[-1:] + 1, value(nature[arm])[:, None], arm, marker="D", label=None)
    certified = [run.certificate[:, -1] for run in plays["llf"]]
    style.band(left, place, *mean_interval(np.stack(certified, axis=1)), "certificate", label="certificate, LLF")
    left.set(yscale="log", ylabel="final regret (reward units, log scale)", title="regret")
    right.set(ylabel="mean latency (reward units)", title="latency", ylim=(0, None))
    for ax in (left, right):
        ax.set_xlabel("lag (rounds)")
        ax.set_xticks(np.arange(len(lags) + 1), [*map(str, lags), "nature\ndraws"])
    fig.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return _titled(fig, title, caption)


def draw_coverage(d: list[int], rates: dict[str, np.ndarray], adaptive: np.ndarray, worst: dict[str, np.ndarray],
                  radii: dict[str, np.ndarray], delta: float, title: str, caption: str):
    """Left, share of replicas whose fixed radius was left, against d; right, the largest ratio met, and the radii.

    rates: follower -> (3, len(d)) share, low, high; adaptive: the same for the adaptive radius, all followers
    together; worst: follower -> (seeds, len(d)); radii: "fixed", "adaptive" -> (len(d),). Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 5.6))
    for shift, (name, (share, low, high)) in zip((-1.5, -0.5, 0.5, 1.5), rates.items(), strict=True):
        left.errorbar(np.array(d) + shift, share, [share - low, high - share], capsize=2, label=name,
                      **FOLLOWERS[name])
        _curve(right, d, worst[name], name)
    share, low, high = adaptive
    left.errorbar(d, share, [share - low, high - share], capsize=4, color="black", linestyle="none", marker="_",
                  markersize=12, label="adaptive radius, all four together")
    left.axhline(delta, color="black", linewidth=1, linestyle="--", label=rf"allowed: $\delta$ = {delta}")
    fixed, adapted = radii["fixed"], radii["adaptive"]
    right.plot(d, fixed, color="black", linestyle="--", label=r"fixed radius $\alpha^{\mathrm{fix}}$")
    right.plot(d, adapted, color="black", linestyle="-", label=r"adaptive radius $\alpha^{\mathrm{adp}}$")
    left.set(xlabel="features d", ylabel="share of replicas", ylim=(-0.03, 1.03),
             title=r"outside $\alpha^{\mathrm{fix}}$ in some round")
    right.set(xlabel="features d", ylabel="error / width (reward units)", ylim=(0, None),
              title="largest error, in widths of its pair")
    for ax in (left, right):
        ax.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return _titled(fig, title, caption)


def draw_drift(plays: dict, changes: np.ndarray, title: str, caption: str):
    """Width, labels spent and regret over the rounds, vertical lines at `changes`; plays maps llf, random, first, all
    to Play, drawn with LLF's certificate. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, (wide, spent, cost) = plt.subplots(1, 3, figsize=(11.6, 4.4))
    for arm, run in plays.items():
        change = dict(marker=None)
        _over_rounds(wide, run.width, **style.arm(arm, **change))
        if arm != "all":  # all labels leave the picture of the budget
            _over_rounds(spent, run.queried.cumsum(axis=1), **style.arm(arm, **change))
        _over_rounds(cost, run.cumulative, **style.arm(arm, **change))
    _over_rounds(cost, plays["llf"].certificate, **style.arm("certificate", label="certificate, LLF"))
    for ax in (wide, spent, cost):
        ax.set_xlabel("round")
        for t in changes:
            ax.axvline(t, color="#777777", linewidth=0.8, linestyle=":")
    wide.set(ylabel="width at the challenger (mean of a stretch)", title="what is unknown", ylim=(0, None))
    spent.set(ylabel="labels spent", title="when the budget goes")
    cost.set(ylabel="cumulative regret (reward units, log scale)", yscale="log", title="what it costs")
    fig.legend(*cost.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return _titled(fig, title, caption)


def draw_drain(tables: dict[str, dict], title: str, caption: str):
    """Final regret against the level of an LLF gate, log axes, a panel per follower.

    A table holds tau, levels; llf, a list of Play along them; random, all, none: Play. Returns the figure.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tables), figsize=(10.4, 4.4), sharey=True)
    for ax, (name, table) in zip(axes, tables.items(), strict=True):
        style.band(ax, table["tau"], *mean_interval(np.stack([_final(run) for run in table["llf"]], axis=1)), "llf")
        certified = np.stack([run.certificate[:, -1] for run in table["llf"]], axis=1)
        style.band(ax, table["tau"], *mean_interval(certified), "certificate", label="certificate, LLF")
        for arm in ("random", "all", "none"):
            mean, low, high = mean_interval(_final(table[arm]))
            ax.axhspan(low, high, color=style.ARMS[arm]["color"], alpha=0.25, linewidth=0)
            ax.axhline(mean, **style.arm(arm, marker=None))
        ax.set(xscale="log", yscale="log", xlabel="level (reward units, log scale)", title=name)
        ticks = [0.1, 0.3, 1, 3]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    axes[0].set_ylabel("final regret (reward units, log scale)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return _titled(fig, title, caption)


def draw_drained(plays: dict, until: int, title: str, caption: str):
    """Labels spent (left) and cumulative regret (right); the follower drains up to round `until`. plays maps llf,
    random, all to Play, drawn with LLF's certificate. Returns the figure."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.4))
    for arm, run in plays.items():
        if arm != "all":
            _over_rounds(left, run.queried.cumsum(axis=1), **style.arm(arm, marker=None))
        _over_rounds(right, run.cumulative, **style.arm(arm, marker=None))
    _over_rounds(right, plays["llf"].certificate, **style.arm("certificate", label="certificate, LLF"))
    for ax in (left, right):
        ax.axvspan(0, until, color="#777777", alpha=0.10, linewidth=0)
        ax.set_xlabel("round (shaded: the follower drains)")
    left.set(ylabel="labels spent", title="when the budget goes")
    right.set(ylabel="cumulative regret (reward units, log scale)", yscale="log", ylim=(0.1, None),
              title="what that costs")
    fig.legend(*right.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return _titled(fig, title, caption)


def stretches(x: np.ndarray, most: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Last round (1..T) of each of at most `most` equal stretches, and the means (seeds, stretches) of x (seeds, T)."""
    starts = np.linspace(0, x.shape[1], min(most, x.shape[1]) + 1).astype(int)[:-1]
    ends = np.append(starts[1:], x.shape[1])
    return ends, np.add.reduceat(x, starts, axis=1) / (ends - starts)


def _over_rounds(ax, x: np.ndarray, *, color, **line) -> None:
    ends, means = stretches(x)
    mean, low, high = mean_interval(means)
    ax.fill_between(ends, low, high, color=color, alpha=0.15, linewidth=0)
    ax.plot(ends, mean, color=color, **line)


def _curve(ax, x, values: np.ndarray, name: str) -> None:
    mean, low, high = mean_interval(values)
    ax.fill_between(x, low, high, color=FOLLOWERS[name]["color"], alpha=0.15, linewidth=0)
    ax.plot(x, mean, label=name, **FOLLOWERS[name])


def _points(ax, x, values: np.ndarray, arm: str, **change) -> None:
    mean, low, high = mean_interval(values)
    ax.errorbar(x, mean, [mean - low, high - mean], **style.arm(arm, linestyle="none", capsize=2, **change))


def _line(name: str) -> dict:
    return {key: value for key, value in FOLLOWERS[name].items() if key != "marker"}


def _final(run) -> np.ndarray:
    return run.cumulative[:, -1]


def _titled(fig, title: str, caption: str):
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    return fig
