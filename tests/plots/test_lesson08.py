"""Lesson 08's pictures: every number stands where it belongs, and rules drawn together stay apart in grey."""

from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from stackelberg_lib.plots import lesson08, style
from stackelberg_lib.pool.strategies import RULES
from stackelberg_lib.report.pool_study import FEW

matplotlib.use("Agg")


@pytest.fixture
def rng():
    yield np.random.default_rng(0)
    plt.close("all")


def lightness(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def test_every_rule_has_a_look_of_its_own():
    looks = [style.ARMS[rule] for rule in RULES]
    for a, b in combinations(looks, 2):
        assert a["marker"] != b["marker"] and a["linestyle"] != b["linestyle"] and a["label"] != b["label"]


def test_rules_drawn_together_differ_in_grey_too():
    by_light = sorted(lightness(style.ARMS[rule]["color"]) for rule in FEW)
    assert np.diff(by_light).min() > 0.025


def test_the_strip_shows_the_picks_one_by_one(rng):
    x, rows = rng.normal(size=(30, 2)), {"point": np.array([4, 9, 2]), "coverage": np.array([7, 1, 8])}
    left = {rule: rng.random((3, 30)) for rule in rows}
    axes = np.array(lesson08.draw_strip(x, rows, left, "title", "caption").axes[:6]).reshape(2, 3)
    for line, (rule, picks) in zip(axes, rows.items(), strict=True):
        assert line[0].get_ylabel() == style.ARMS[rule]["label"]
        for t, ax in enumerate(line):
            before, now = ax.get_lines()
            assert_allclose(before.get_xydata(), x[picks[:t]].reshape(-1, 2))
            assert_allclose(now.get_xydata(), x[picks[t]][None])
            assert_allclose(ax.collections[0].get_array(), left[rule][t])


def triples(rng, rules, P=10):
    means = rng.random((len(rules), P))
    return {rule: (mean, mean - 0.1, mean + 0.2) for rule, mean in zip(rules, means, strict=True)}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_curves_have_one_panel_a_set_and_each_rule_once_in_the_legend(n, rng):
    rules, labels = ("coverage", "random"), 10 * np.arange(1, 11)
    panels = {f"set {k}": (labels, triples(rng, rules), 0.9 if k else None) for k in range(n)}
    figure = lesson08.draw_curves(panels, "title", "caption")
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == list(panels)
    for ax, (_, curves, ceiling) in zip(shown, panels.values(), strict=True):
        lines = {line.get_label(): line for line in ax.get_lines()}
        for rule, triple in curves.items():
            assert_allclose(lines[style.ARMS[rule]["label"]].get_ydata(), triple[0])
        assert ("all labels" in lines) == (ceiling is not None)
        (corners,) = (part.vertices for part in ax.collections[0].get_paths())
        low, high = curves["coverage"][1:]
        assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [low.min(), high.max()])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == sorted({"weighted coverage", "random"} | ({"all labels"} if n > 1 else set()))


def test_differences_have_a_line_at_zero(rng):
    panels = {"a": (np.arange(1, 11), triples(rng, ("mass", "margin")))}
    ax = lesson08.draw_differences(panels, "coverage", "title", "caption").axes[0]
    assert_allclose(ax.get_lines()[-1].get_ydata(), [0, 0])
    assert "weighted coverage" in ax.get_ylabel()
    assert_allclose(ax.get_lines()[0].get_ydata(), panels["a"][1]["mass"][0])


def test_the_penalty_matrix_says_who_is_beaten_how_often():
    wins = np.array([[0.0, 1.5, 2.0], [0.5, 0.0, 1.0], [0.0, 0.2, 0.0]])
    ax = lesson08.draw_penalty(wins, ["coverage", "mass", "random"], 2, "title", "caption").axes[0]
    assert_allclose(ax.images[0].get_array(), np.vstack([wins, [0.25, 0.85, 1.5]]))
    written = {tuple(np.round(text.get_position()).astype(int)): float(text.get_text()) for text in ax.texts}
    assert written[1, 0] == 1.5 and written[0, 1] == 0.5 and (1, 1) not in written and written[2, 3] == 1.5
    assert [label.get_text() for label in ax.get_yticklabels()][0] == "weighted coverage"


def test_arms_stand_at_their_mean_whatever_rules_a_panel_has():
    found = {"noisy\na": {"coverage": (0.1, 0.05, 0.2)}, "noisy\nb": {"mass": (-0.1, -0.3, 0.0),
                                                                    "coverage": (0.3, 0.2, 0.4)}}
    *axes, blank = lesson08.draw_arms(found, 3, "title", "caption").axes
    assert not blank.axison
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == [style.ARMS[rule]["label"] for rule in ("coverage", "mass")] and axes[0].yaxis_inverted()
    for ax, by_rule in zip(axes, found.values(), strict=True):
        for bar, (rule, (mean, low, high)) in zip(ax.containers, by_rule.items(), strict=True):
            dot, _, (interval,) = bar.lines
            (left, y), (right, _) = interval.get_segments()[0]
            assert_allclose([np.ravel(dot.get_xdata())[0], left, right], [mean, low, high])
            assert names[int(y)] == style.ARMS[rule]["label"] and to_hex(dot.get_color()) == style.ARMS[rule]["color"]


def test_the_kernel_is_drawn_over_the_distances(rng):
    distance = np.linspace(0, 2, 50)
    single = {"1": np.exp(-distance**2), "4": np.exp(-4 * distance**2)}
    mean = (single["1"] + single["4"]) / 2
    ax = lesson08.draw_kernel(distance, single, mean, rng.random(99), 1 + rng.random(99), "title", "caption").axes[0]
    assert_allclose([line.get_ydata() for line in ax.get_lines()], [*single.values(), mean])
    assert len(ax.collections) == 2


def test_stopping_shows_each_series_where_it_is_named(rng):
    names = ("certificate", "by_coverage", "all_wrong", "regret", "one", "most", "one_cover", "most_cover", "accuracy")
    labels, seen = np.arange(1, 8), {name: 1 + rng.random(7) for name in names}
    left, middle, right = lesson08.draw_stop(labels, seen, 0.7, "title", "caption").axes
    drawn = {line.get_label(): line.get_ydata() for ax in (left, middle) for line in ax.get_lines()}
    said = {"certificate": "certificate", "the same, by coverage": "by_coverage", "all texts wrong": "all_wrong",
            "measured": "regret", "most, by mass": "most", "one, by mass": "one", "most, by coverage": "most_cover",
            "one, by coverage": "one_cover"}
    for label, name in said.items():
        assert_allclose(drawn[label], seen[name])
    assert_allclose(drawn["price: one text"], [0.7, 0.7])
    assert_allclose(right.get_lines()[0].get_ydata(), seen["accuracy"])
    assert left.get_yscale() == middle.get_yscale() == "log" and right.get_yscale() == "linear"
    low, high = middle.get_ylim()
    assert low < 0.7 < high
