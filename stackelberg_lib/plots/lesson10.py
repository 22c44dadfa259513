"""Figures of lesson 10: memory by part, the plan against what was measured, and accuracy of what was trained."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style

PARTS = {  # part -> colour; where a bar is mostly weights, the rest must be told apart
    "weights": "#9a9a9a", "adapter": "#c2185b", "optimiser": "#d1670a", "activations": "#0b3c8c",
    "logits or working": "#3fb2c9"}
CARDS = (8, 24, 80)  # GB, as cards are sold


def parts_at_peak(memory) -> dict[str, float]:
    """GB (1e9 bytes) of what is held at once at the peak of a `planner.Memory`; the values add up to its total."""
    held = {"weights": memory.weights, "adapter": memory.adapter, "optimiser": memory.optimiser,
            "activations": memory.activations, "logits or working": max(memory.logits, memory.working)}
    if memory.gradients + memory.step > held["activations"] + held["logits or working"]:
        held |= {"activations": memory.gradients, "logits or working": memory.step}
    return {name: value / 1e9 for name, value in held.items()}


def draw_memory(panels: dict, title: str, caption: str):
    """Stacked bars of the memory by part, one panel a way of training; returns the figure.

    panels: name of the panel -> name of the model -> `planner.Memory`. Horizontal lines at 8, 24 and 80 GB.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(panels), figsize=(9.6, 4.4), sharey=True)
    for ax, (name, models) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        bottom = np.zeros(len(models))
        for part, colour in PARTS.items():
            height = np.array([parts_at_peak(memory)[part] for memory in models.values()])
            ax.bar(range(len(models)), height, bottom=bottom, color=colour, label=part, width=0.7)
            bottom += height
        for card in CARDS:
            ax.axhline(card, color="black", linestyle=":", linewidth=1)
            ax.text(-0.6, card * 1.04, f"{card} GB", fontsize=8)
        ax.set_xticks(range(len(models)), list(models), rotation=60, ha="right", fontsize=8)
        ax.set(yscale="log", ylim=(0.2, 3000), title=name, xlabel="model")
    np.atleast_1d(axes)[0].set_ylabel("memory at the peak in GB, log scale")
    np.atleast_1d(axes)[0].legend(fontsize=8, loc="upper left")
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
        ax.plot(np.full(len(values), x), values, linestyle="none", marker=kind["marker"], color=kind["color"])
        ax.plot([x - 0.2, x + 0.2], [values.mean()] * 2, color=kind["color"])
    ax.axhline(chance, **style.arm("none", label="largest class"))
    ax.set_xticks(range(len(accuracy)), [style.ARMS[name]["label"] for name in accuracy])
    ax.set(xlim=(-0.6, len(accuracy) - 0.4), ylim=(0, 1), ylabel="test accuracy (share of texts)", xlabel="labels by")
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)
