"""Pictures of lesson 10: shares of the memory add up, and every part of a step has its colour and its name."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from stackelberg_lib.lm import planner
from stackelberg_lib.lm.architecture import SHAPES
from stackelberg_lib.lm.planner import Job
from stackelberg_lib.plots import lesson10

matplotlib.use("Agg")
NAMES = ("SmolLM2-135M", "Llama-3.1-70B")
LORA, STEP = Job(dtype="bfloat16"), Job(method="full", batch=1, length=16, answer=8)


def plans(job):
    return {name: planner.memory(SHAPES[name], job) for name in NAMES}


@pytest.mark.parametrize(("job", "there", "gone"), [(LORA, "activations", "gradients"),
                                                    (STEP, "gradients", "activations")], ids=["way back", "step"])
def test_parts_at_the_peak_add_up(job, there, gone):
    for memory in plans(job).values():
        parts = lesson10.parts_at_peak(memory)
        assert list(parts) == list(lesson10.PARTS)
        assert_allclose(sum(parts.values()) * 1e9, memory.total)
        assert parts[gone] == 0 and parts[there] == memory.by_part()[there] / 1e9


def test_bars_are_shares_with_the_peak_at_their_ends():
    panels = {"one": plans(LORA), "other": plans(Job(dtype="bfloat16", recompute=True))}
    fig = lesson10.draw_memory(panels, "title", "caption")
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == list(NAMES)  # shared by the panels
    for ax, models in zip(fig.axes, panels.values(), strict=True):
        assert ax.yaxis_inverted()
        assert [text.get_text() for text in ax.texts] == [f"{memory.total / 1e9:.1f} GB" for memory in models.values()]
        for y, memory in enumerate(models.values()):
            bars = [container[y] for container in ax.containers]
            ends = np.cumsum([0, *lesson10.parts_at_peak(memory).values()]) * 1e9 / memory.total
            assert_allclose([bar.get_x() for bar in bars], ends[:-1])
            assert_allclose(bars[-1].get_x() + bars[-1].get_width(), 1)


@pytest.mark.parametrize(("job", "none"), [(LORA, "gradients"), (STEP, "activations")], ids=["way back", "step"])
def test_the_legend_names_every_part_and_says_which_is_none(job, none):
    (legend,) = lesson10.draw_memory({"one": plans(job)}, "title", "caption").legends
    names = [text.get_text().split("\n") for text in legend.get_texts()]
    assert [name for name, *_ in names] == list(lesson10.PARTS)
    assert none in [name for name, *more in names if more]
