"""Pictures of lesson 04: gates beside the best fixed level, and what a reserve costs and saves."""

from __future__ import annotations

from stackelberg_lib.plots import style

CALIBRATED = dict(color="#0b3c8c", marker="o", markersize=9)
SHOWN = {
    "calibrated": ("calibrated level", CALIBRATED),
    "random": ("random", dict(color="#9a9a9a", marker="s")),
    "first B": ("first B", dict(color="#7a5195", marker="v", markerfacecolor="none", markersize=9)),
    "margin, best level": ("margin, best level", dict(color="#d1670a", marker="^")),
    "BBQ, best exponent": ("BBQ, best exponent", dict(color="#3a7d7c", marker="D")),
    "all labels": ("all labels", dict(color="#1b7f3b", marker="|", markersize=12, markeredgewidth=2)),
}


def draw_gates(cells: dict[str, dict], streams: list[str], fractions: list[float], title: str, caption: str):
    """Regret over the oracle's, log axis, a panel per budget fraction, a row per stream; returns the figure.

    cells: "<stream> B/T <fraction>" to gate to a dict with vs_oracle and its interval (low, high).
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(fractions), figsize=(10.2, 4.4), sharex=True, sharey=True)
    for ax, fraction in zip(axes, fractions, strict=True):
        for row, stream in enumerate(streams):
            for gate, (label, look) in SHOWN.items():
                got = cells[f"{stream} B/T {fraction}"][gate]
                ax.plot(got["interval"], [row, row], color=look["color"], linewidth=1.2)
                ax.plot(got["vs_oracle"], row, linestyle="", label=label if row == 0 else None, **look)
        ax.axvline(1, **style.arm("oracle", label="best fixed level (oracle)"))
        ax.set(xscale="log", title=f"B = {fraction:g} T", ylim=(len(streams) - 0.5, -0.5))
        ax.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        ax.minorticks_off()
    axes[0].set_yticks(range(len(streams)), streams)
    fig.supxlabel(f"final regret / regret of the best fixed level (log scale)\n{caption}", fontsize=9)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return fig


def draw_reserve(curves: dict[str, dict[float, dict]], title: str, caption: str):
    """Regret over the oracle's (log axis) against the share kept in reserve, a line per stream; returns the figure.

    curves: stream to share to a dict with vs_oracle and its interval (low, high).
    """
    import matplotlib.pyplot as plt

    looks = [("#0b3c8c", "-", "o"), ("#d1670a", "-.", "^"), ("#3a7d7c", "--", "s"), ("#7a5195", ":", "v"),
             ("#5a5a5a", (0, (5, 1)), "D"), ("#8c1d40", (0, (3, 1, 1, 1)), "P")]
    fig, ax = plt.subplots(figsize=(9.6, 4.6))
    for (stream, curve), (color, line, marker) in zip(curves.items(), looks, strict=False):
        shares = sorted(curve)
        ax.fill_between(shares, *zip(*(curve[s]["interval"] for s in shares), strict=True), color=color, alpha=0.12)
        ax.plot(shares, [curve[s]["vs_oracle"] for s in shares], color=color, linestyle=line, marker=marker,
                label=stream)
    ax.axhline(1, **style.arm("oracle", label="best fixed level (oracle)"))
    ax.set(yscale="log", ylabel="final regret / regret of the\nbest fixed level (log scale)",
           xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="share of a direction's part of the budget that is kept for it")
    ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    ax.minorticks_off()
    fig.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    fig.supxlabel(caption, fontsize=9)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return fig
