"""Pictures of lesson 11: bars, ranges and intervals lie where the numbers are."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from stackelberg_lib.plots import lesson11
from stackelberg_lib.report import claims


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_bounds_are_sorted_and_the_bound_is_one():
    ax, = lesson11.draw_bounds({"a": 0.5, "b": 0.01, "c": 0.9}, "t", "c").axes
    assert [bar.get_width() for bar in ax.patches] == [0.01, 0.5, 0.9]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "a", "c"]
    assert list(ax.lines[0].get_xdata()) == [1, 1] and ax.get_xlim()[1] > 1


def test_open_ranges_end_at_the_edge():
    lines = [claims.Measurement("exponent: 0.45", 0.4, 0.6), claims.Measurement("exponent: 0.6", 0.5, 0.7)]
    rows = {"a": (lines[0], [None, 0.5], "not decided"), "b": (lines[1], [1, None], "ruled out")}
    ax, = lesson11.draw_ranges(rows, "t", "c").axes
    left, right = ax.get_xlim()
    boxes = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert boxes == [pytest.approx((left, 0.5)), pytest.approx((1, right))] and left < 0.4 and right > 1
    bars = [container.lines[2][0].get_segments()[0][:, 0] for container in ax.containers if hasattr(container, "lines")]
    assert [list(bar) for bar in bars] == [pytest.approx([0.4, 0.6]), pytest.approx([0.5, 0.7])]
    colours = [container.lines[0].get_color() for container in ax.containers if hasattr(container, "lines")]
    assert colours == [lesson11.OPEN, lesson11.AGAINST] and set(lesson11.COLOURS) == set(claims.VERDICTS)
    places = [float(container.lines[0].get_xdata()[0]) for container in ax.containers if hasattr(container, "lines")]
    assert places == [0.45, 0.6]


@pytest.mark.parametrize(("sets", "lines"), [(1, 1), (3, 2), (4, 2)])
def test_a_panel_a_set_and_what_is_not_reached_at_the_edge(sets, lines):
    found = {"coverage": (0.3, 0.2, 0.5), "margin": (np.inf, 0.9, np.inf)}
    fig = lesson11.draw_reach({f"set {k}": found for k in range(sets)}, "t", "c")
    assert len(fig.axes) == 2 * lines and sum(ax.axison for ax in fig.axes) == sets
    coverage, margin = fig.axes[0].containers
    assert coverage.lines[0].get_xdata() == [0.3]
    assert list(coverage.lines[2][0].get_segments()[0][:, 0]) == pytest.approx([0.2, 0.5])
    assert margin.lines[0].get_xdata()[0] > 1 and margin.lines[0].get_xdata()[0] < fig.axes[0].get_xlim()[1]
