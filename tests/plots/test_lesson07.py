"""Lesson 07's pictures of training, of answers and of the challenger: every number stands where it belongs."""

import matplotlib
import numpy as np
from numpy.testing import assert_allclose
from scipy.stats import t

from stackelberg_lib.plots import lesson07

matplotlib.use("Agg")


def test_gains_stand_at_their_mean_with_their_interval_in_the_legends_order():
    rng = np.random.default_rng(0)
    gains = {steps: {arm: rng.normal(size=5) for arm in ("a", "b", "c")} for steps in ("100 steps", "300 steps")}
    ax = lesson07.draw_challenger(gains, "title", "caption").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"] and ax.yaxis_inverted()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(gains)
    bars = iter(ax.containers)
    for place_of_steps, arms in enumerate(gains.values()):
        for place, values in enumerate(arms.values()):
            dot, _, (interval,) = next(bars).lines
            half = t.ppf(0.975, 4) * values.std(ddof=1) / 5**0.5
            (low, y), (high, _) = interval.get_segments()[0]
            assert_allclose([np.ravel(dot.get_xdata())[0], low, high], values.mean() + half * np.array([0, -1, 1]))
            assert_allclose(np.ravel(dot.get_ydata())[0], y)
            assert abs(y - place) < 0.3 and (y > place) == (place_of_steps == 1)  # the second below the first


def test_the_loss_is_drawn_from_step_one_and_beside_its_levels():
    ax = lesson07.draw_loss([3.0, 2.0, 1.5], {"start": 2.5, "guessing": 3.5}, "title", "caption").axes[0]
    loss, start, guessing = ax.get_lines()
    assert_allclose(loss.get_xydata(), [[1, 3.0], [2, 2.0], [3, 1.5]])
    assert_allclose(start.get_ydata(), 2.5)
    assert_allclose(guessing.get_ydata(), 3.5)
    assert [text.get_text() for text in ax.get_legend().get_texts()][1:] == ["start", "guessing"]
    assert ax.get_ylim()[0] == 0


def test_a_running_mean_looks_back_only():
    values = np.array([4.0, 2.0, 6.0, 8.0])
    assert_allclose(lesson07.running_mean(values, 2), [4, 3, 4, 7])
    assert_allclose(lesson07.running_mean(values, 9), [4, 3, 4, 5])


def test_progress_shows_the_loss_by_step_and_accuracy_by_length_beside_ridge():
    losses = {"full": np.array([3.0, 2.0, 1.0]), "LoRA": np.array([3.0, 1.0, 0.5])}
    accuracy = {"full": np.array([0.1, 0.4]), "LoRA": np.array([0.2, 0.5])}
    left, right = lesson07.draw_progress(losses, [1, 3], accuracy, 0.7, "title", "caption").axes
    for k, (way, values) in enumerate(losses.items()):
        single, smooth = left.get_lines()[2 * k:2 * k + 2]
        assert_allclose(single.get_xydata(), np.column_stack([[1, 2, 3], values]))
        assert_allclose(smooth.get_ydata(), lesson07.running_mean(values))
        assert single.get_color() == smooth.get_color() == lesson07.WAYS[way]["color"]
        assert_allclose(right.get_lines()[k].get_xydata(), np.column_stack([[1, 3], accuracy[way]]))
    assert_allclose(right.get_lines()[2].get_ydata(), 0.7)
    assert [text.get_text() for text in right.get_legend().get_texts()] == [*accuracy, "ridge head, no steps"]
