"""Pictures of lesson 07: the first step at every rank, accuracy by rank, module, method and step, learned spectra."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.plots import style
from stackelberg_lib.plots.intervals import t_interval

# Ways of training and of scaling are no arms of the game; lightness, line and marker tell them apart in grey too.
WAYS = {
    "full": dict(color="#1b7f3b", linestyle="-", marker="s"),
    "LoRA": dict(color="#0b3c8c", linestyle="--", marker="o"),
    "head only": dict(color="#9a9a9a", linestyle=":", marker="^"),
    "ridge head": dict(color="#7a5195", linestyle="-.", marker="D"),
}
SCALES = {
    "alpha": dict(color="#d1670a", linestyle="-.", marker="^", label=r"$\alpha$ (no division)"),
    "alpha/sqrt(r)": dict(color="#9a9a9a", linestyle="--", marker="s", label=r"$\alpha/\sqrt{r}$"),
    "alpha/r": dict(color="#0b3c8c", linestyle="-", marker="o", label=r"$\alpha/r$"),
}


def draw_first_step(ranks: list[int], change: dict[str, np.ndarray], predicted: np.ndarray, title: str, caption: str):
    """How far one AdamW step moves a layer's output, by rank; change: scale -> (seeds, ranks). Returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for name, values in change.items():
        _with_interval(ax, ranks, values, SCALES[name])
    ax.plot(ranks, predicted, color="black", linewidth=0.9, label="predicted")
    ax.set(xscale="log", yscale="log", xlabel="rank r (log scale)",
           ylabel="largest change of an output (log scale)")
    ax.set_xticks(ranks, [str(r) for r in ranks])
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)


def draw_ranks(ranks: list[int], accuracy: np.ndarray, others: dict[str, np.ndarray], title: str, caption: str):
    """Test accuracy (seeds, ranks) against rank; others: "full", "head only" -> (seeds,), drawn level."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for seed, row in enumerate(accuracy):
        ax.plot(ranks, row, color="#0b3c8c", alpha=0.25, linewidth=0.8, label="single seeds" if seed == 0 else None)
    _with_interval(ax, ranks, accuracy, {**WAYS["LoRA"], "label": "LoRA, all linear layers"})
    for name, values in others.items():
        look = {**WAYS[name], "marker": None}
        ax.axhline(values.mean(), label=name, **look)
    ax.set(xscale="log", xlabel="rank r (log scale)", ylabel="test accuracy")
    ax.set_xticks(ranks, [str(r) for r in ranks])
    ax.minorticks_off()
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.titled(fig, title, caption)


def draw_modules(accuracy: dict[str, np.ndarray], parameters: dict[str, int], title: str, caption: str):
    """Test accuracy by which modules are adapted; accuracy: name -> (seeds,), a dot a seed, mean and interval."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 3.4))
    for place, values in enumerate(accuracy.values()):
        mean, low, high = t_interval(values)
        ax.plot(values, np.full(len(values), place + 0.18), ".", color="#9a9a9a")
        ax.errorbar(mean, place, xerr=[[mean - low], [high - mean]], color="#0b3c8c", marker="o", capsize=3)
    names = [f"{name}\n({parameters[name]:,} trained)" for name in accuracy]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="test accuracy", ylim=(-0.5, len(names) - 0.5))
    return style.titled(fig, title, caption)


def draw_labels(labels: list[int], accuracy: dict[str, np.ndarray], title: str, caption: str):
    """Test accuracy against labels by way of training; accuracy: name -> (seeds, labels). Returns the figure."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for name, values in accuracy.items():
        _with_interval(ax, labels, values, {**WAYS[name], "label": name})
    ax.set(xscale="log", xlabel="labels (log scale)", ylabel="test accuracy")
    ax.set_xticks(labels, [str(n) for n in labels])
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)


def draw_progress(losses: dict[str, np.ndarray], lengths: list[int], accuracy: dict[str, np.ndarray], ridge: float,
                  title: str, caption: str):
    """Left: training loss by step, way -> (steps,); right: test accuracy by length of training, way -> (lengths,)."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.9))
    for name, values in losses.items():
        look = {**WAYS[name], "marker": None}
        steps = np.arange(1, len(values) + 1)
        left.plot(steps, values, **{**look, "linewidth": 0.7, "alpha": 0.3})
        left.plot(steps, running_mean(values), label=name, **look)
    left.set(xlabel="optimiser step", ylabel="training loss of a batch (nats)", ylim=(0, None))
    for name, values in accuracy.items():
        right.plot(lengths, values, label=name, **WAYS[name])
    right.axhline(ridge, label="ridge head, no steps", **{**WAYS["ridge head"], "marker": None})
    right.set(xscale="log", xlabel="length of training in steps (log scale)", ylabel="test accuracy", ylim=(0, None))
    right.set_xticks(lengths, [str(n) for n in lengths])
    right.minorticks_off()
    right.legend(fontsize=9)
    return style.titled(fig, title, caption)


def running_mean(values: np.ndarray, width: int = 8) -> np.ndarray:
    """Mean of each value and of up to width - 1 before it, (n,) -> (n,)."""
    total = np.concatenate([[0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(0, end - width)
    return (total[end] - total[begin]) / (end - begin)


def draw_spectra(spectra: dict[str, np.ndarray], title: str, caption: str):
    """Singular values of learned updates over their largest; spectra: name -> (layers, n), mean over the layers."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    looks = ({"color": "#1b7f3b", "linestyle": "-"}, {"color": "#d1670a", "linestyle": ":"},
             {"color": "#0b3c8c", "linestyle": "--"})
    for look, (name, values) in zip(looks, spectra.items(), strict=True):
        shares = (values / values[:, :1]).mean(0)
        ax.plot(np.arange(1, shares.size + 1), np.maximum(shares, 1e-9), label=name, **look)
    ax.set(xscale="log", yscale="log", ylim=(1e-5, 1.5), xlabel="index of the singular value (log scale)",
           ylabel="singular value / largest (log scale)")
    ax.legend(fontsize=9, loc="lower left")
    return style.titled(fig, title, caption)


def draw_loss(losses: list[float], levels: dict[str, float], title: str, caption: str):
    """Training loss against step; levels: name -> a loss to compare with, drawn level (two)."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 3.2))
    ax.plot(np.arange(1, len(losses) + 1), losses, color="#0b3c8c", label="LoRA, answers' tokens")
    looks = (dict(color="#9a9a9a", linestyle="--"), dict(color="#000000", linestyle=":"))
    for look, (name, value) in zip(looks, levels.items(), strict=True):
        ax.axhline(value, label=name, linewidth=1.5, **look)
    ax.set(xlabel="optimiser step", ylabel="loss (nats a token)", ylim=(0, None))
    ax.legend(fontsize=9, loc="upper right", bbox_to_anchor=(1, 0.87))
    return style.titled(fig, title, caption)


def draw_challenger(gains: dict[str, dict[str, np.ndarray]], title: str, caption: str):
    """What the challenger's term adds; gains: steps -> (arm -> paired differences of accuracy (seeds,))."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7.2, 3.6))
    looks = ({"color": "#0b3c8c", "marker": "o"}, {"color": "#d1670a", "marker": "^"})
    for shift, look, (steps, arms) in zip((-0.14, 0.14), looks, gains.items(), strict=True):
        for place, values in enumerate(arms.values()):
            mean, low, high = t_interval(values)
            ax.errorbar(mean, place + shift, xerr=[[mean - low], [high - mean]], capsize=3,
                        label=steps if place == 0 else None, **look)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(arms)), list(arms))
    ax.invert_yaxis()
    ax.set(xlabel="accuracy with the term minus accuracy without")
    ax.legend(fontsize=9)
    return style.titled(fig, title, caption)


def _with_interval(ax, x, values: np.ndarray, look: dict) -> None:
    mean, low, high = t_interval(values)
    ax.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    ax.plot(x, mean, **look)
