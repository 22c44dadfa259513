"""Figures of lesson 10: shares of the memory, the plan against what was measured, and accuracy of what was trained."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style

PARTS = {  # part -> colour; where a bar is mostly weights, the rest must be told apart
    "weights": "#9a9a9a", "adapter": "#c2185b", "optimiser state": "#d1670a", "gradients": "#4f8a35",
    "activations": "#0b3c8c", "logits or working space": "#3fb2c9"}
CARDS = (8, 24, 80)  # GB, as cards are sold


def parts_at_peak(memory) -> dict[str, float]:
    """GB (1e9 bytes) of what is held at once at the peak of a `planner.Memory`; the values add up to its total."""
    held = {"weights": memory.weights, "adapter": memory.adapter, "optimiser state": memory.optimiser}
    back, step = memory.activations + max(memory.logits, memory.working), memory.gradients + memory.step
    if step > back:  # the peak is in the optimiser's step: all gradients are there, no activation is left
        held |= {"gradients": memory.gradients, "activations": 0, "logits or working space": memory.step}
    else:  # it is where the way back begins: no gradient is there yet
        held |= {"gradients": 0, "activations": memory.activations,
                 "logits or working space": max(memory.logits, memory.working)}
    return {name: value / 1e9 for name, value in held.items()}


def draw_memory(panels: dict, title: str, caption: str):
    """Bars of every part's share of the peak, 0 to 1, the peak in GB at their ends; returns the figure.

    panels: name of the way of training -> name of the model -> `planner.Memory`, the same models in each.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(panels), figsize=(10.4, 4.2), sharey=True, squeeze=False)
    shares = {way: [{part: gb * 1e9 / memory.total for part, gb in parts_at_peak(memory).items()}
                    for memory in models.values()] for way, models in panels.items()}
    for ax, (way, models) in zip(axes[0], panels.items(), strict=True):
        left = np.zeros(len(models))
        for part, colour in PARTS.items():
            width = np.array([share[part] for share in shares[way]])
            there = any(share[part] for each in shares.values() for share in each)
            ax.barh(range(len(models)), width, left=left, color=colour, height=0.7,
                    label=part if there else f"{part}\n(none yet at the peak)")
            left += width
        for y, memory in enumerate(models.values()):
            ax.text(1.02, y, f"{memory.total / 1e9:.1f} GB", fontsize=9, va="center")
        ax.set_yticks(range(len(models)), list(models))
        ax.set(xlim=(0, 1.25), xticks=np.arange(0, 1.1, 0.25), title=way, xlabel="share of the peak")
        ax.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_ylabel("model")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=9, loc="outside right upper")
    return style.titled(fig, title, caption)


def draw_measured(planned: np.ndarray, measured: np.ndarray, groups: list[str], title: str, caption: str):
    """Planned against measured peak, MiB (n,) each, on log axes, with a band of 15 %; returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.2, 4.6))
    ends = np.array([measured.min() / 1.5, measured.max() * 1.5])
    ax.fill_between(ends, 0.85 * ends, 1.15 * ends, color="#9a9a9a", alpha=0.25, linewidth=0, label="within 15 %")
    ax.plot(ends, ends, color="black", linewidth=0.8)
    arms = ("coverage", "mass", "margin", "kernel_mass", "typiclust", "facility_location")
    for name, arm in zip(dict.fromkeys(groups), arms, strict=False):
        mine = np.array([group == name for group in groups])
        kind = style.ARMS[arm]
        ax.plot(measured[mine], planned[mine], linestyle="none", color=kind["color"], marker=kind["marker"], label=name)
    ax.set(xscale="log", yscale="log", xlabel="measured peak in MiB", ylabel="planned peak in MiB")
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)


def draw_accuracy(accuracy: dict[str, np.ndarray], chance: float, title: str, caption: str):
    """Test accuracy of every seed, one column an arm, and the share of the largest class; returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    for x, (name, values) in enumerate(accuracy.items()):
        kind = style.ARMS[name]
        apart = x + 0.04 * (np.arange(len(values)) - (len(values) - 1) / 2)  # equal values stay visible
        ax.plot(apart, values, linestyle="none", marker=kind["marker"], color=kind["color"])
        ax.plot([x - 0.2, x + 0.2], [values.mean()] * 2, color=kind["color"])
    ax.axhline(chance, **style.arm("none", label="largest class"))
    ax.set_xticks(range(len(accuracy)), [style.ARMS[name]["label"] for name in accuracy])
    ax.set(xlim=(-0.6, len(accuracy) - 0.4), ylim=(0, 1), ylabel="test accuracy (share of texts)", xlabel="labels by")
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)
