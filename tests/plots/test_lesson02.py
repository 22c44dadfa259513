"""Lesson 02's pictures: strips meet in the right corners, lines stay apart in grey, every figure can be drawn."""

from itertools import combinations

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from stackelberg_lib.plots import lesson02

matplotlib.use("Agg")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("m", [2, 3, 6])
def test_corners_lie_on_two_strips_and_in_the_rest(m, rng):
    for _ in range(20):
        A, centre, directions = rng.standard_normal((2, 2)), rng.standard_normal(2), rng.standard_normal((m, 2))
        V = np.eye(2) + A @ A.T
        corners = lesson02.polygon(centre, V, 1.7, directions)
        assert corners.shape == (2 * m, 2)
        width = np.sqrt(np.einsum("pi,ij,pj->p", directions, np.linalg.inv(V), directions))
        share = np.sort(np.abs((corners - centre) @ directions.T) / (1.7 * width), axis=1)
        assert_allclose(share[:, -2:], 1)
        assert (share <= 1 + 1e-9).all()


def test_the_polygon_of_many_directions_is_the_ellipse():
    V, angle = np.array([[3.0, 1.0], [1.0, 2.0]]), np.linspace(0, np.pi, 2000, endpoint=False)
    corners = lesson02.polygon(np.zeros(2), V, 2.0, np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert_allclose(np.sqrt(np.einsum("pi,ij,pj->p", corners, V, corners)), 2, rtol=1e-4)


def lightness(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


@pytest.mark.parametrize("looks", [lesson02.CASES, (lesson02.ELLIPSE, lesson02.FIXED, lesson02.SHARP)])
def test_lines_stay_apart_in_grey(looks):
    for a, b in combinations(looks, 2):
        assert a["linestyle"] != b["linestyle"]
    by_light = sorted(lightness(look["color"]) for look in looks)
    assert np.diff(by_light).min() > 0.05


def test_coverage_draws_a_share_of_zero(rng):
    rates = {name: np.array([[0.0, 0.02], [0.0, 0.01], [0.002, 0.03]]) for name in ("L1", "L1'", "sharp")}
    figure = lesson02.draw_coverage((0.2, 0.05), rates, {name: rng.random(9) for name in rates}, "title", "caption")
    heights = np.concatenate([line.get_ydata() for line in figure.axes[0].get_lines()]).astype(float)
    assert (heights > 0).all()


def test_breaks_draw_every_case_in_every_panel(rng):
    so_far = {f"case {i}": np.maximum.accumulate(rng.random((7, 4)) > 0.5, axis=1) for i in range(5)}
    figure = lesson02.draw_breaks({"L1": so_far, "L1'": so_far}, 0.05, "title", "caption")
    for ax in figure.axes:
        drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        for case, failed in so_far.items():
            assert_allclose(drawn[case], failed.mean(axis=0))
