"""Lesson 07's pictures of answers and of the challenger: every number stands where it belongs."""

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


def test_the_loss_is_drawn_from_step_one_and_beside_where_it_began():
    ax = lesson07.draw_loss([3.0, 2.0, 1.5], 2.5, "title", "caption").axes[0]
    loss, start = ax.get_lines()
    assert_allclose(loss.get_xydata(), [[1, 3.0], [2, 2.0], [3, 1.5]])
    assert_allclose(start.get_ydata(), 2.5)
    assert ax.get_ylim()[0] == 0
