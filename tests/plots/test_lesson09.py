"""Lesson 09's pictures: every interval stands in its row, at its number."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from stackelberg_lib.plots import lesson09, style

matplotlib.use("Agg")


@pytest.fixture
def axes():
    _, axes = plt.subplots(1, 2, sharey=True)
    yield axes
    plt.close("all")


def drawn(bar):
    dot, _, (interval,) = bar.lines
    (low, y), (high, _) = interval.get_segments()[0]
    return dot.get_xdata()[0], low, high, y


def test_ablations_stand_in_their_rows(axes):
    changed = {"coverage": {"warm": (0.1, 0.05, 0.3, 5), "epochs": (-0.2, -0.4, 0.1, 5)},
               "random": {"warm": (0.0, -0.1, 0.2, 5), "epochs": (0.3, 0.2, 0.4, 5)}}
    gaps = {"as it is": (0.5, 0.4, 0.7, 5), "warm": (0.6, 0.5, 0.8, 5), "epochs": (-0.1, -0.3, 0.2, 5)}
    lesson09.ablations(axes, changed, gaps)
    left, right = ([drawn(bar) for bar in ax.containers] for ax in axes)
    wanted = [(*changed[arm][change][:3], row + shift) for arm, shift in (("coverage", -0.12), ("random", 0.12))
              for change, row in (("warm", 1), ("epochs", 2))]
    np.testing.assert_allclose(left, wanted)
    np.testing.assert_allclose(right, [(*gap[:3], row) for row, gap in enumerate(gaps.values())])
    assert [t.get_text() for t in axes[0].get_yticklabels()] == list(gaps)
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["weighted coverage", "random"]
    assert axes[1].get_xlabel() == f"area, {style.ARMS['coverage']['label']} minus random"


def test_the_change_in_the_stream_is_marked(axes):
    lesson09.spending(axes[0], {"llf": np.eye(4, 10, dtype=bool)}, 5, 6, "t")
    assert [line.get_xdata()[0] for line in axes[0].lines if line.get_label() == "new intents"] == [6]
