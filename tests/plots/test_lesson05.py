"""Lesson 05's pictures: means over stretches of time, and followers that stay apart in grey."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stackelberg_lib.plots import lesson05, style


@pytest.mark.parametrize(("T", "most"), [(1000, 80), (7, 3), (5, 80)])
def test_stretches_cover_every_round_once(T, most):
    x = np.random.default_rng(0).random((3, T))
    ends, means = lesson05.stretches(x, most)
    assert len(ends) == min(T, most) and ends[-1] == T
    assert_allclose(means @ np.diff(ends, prepend=0), x.sum(axis=1))
    assert_allclose(means[:, 0], x[:, :ends[0]].mean(axis=1))


def test_stretches_no_longer_than_a_round_change_nothing():
    x = np.random.default_rng(1).random((2, 6))
    ends, means = lesson05.stretches(x, 6)
    assert_array_equal(ends, np.arange(1, 7))
    assert_allclose(means, x)


def lightness(colour):
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def test_followers_differ_in_grey_and_from_every_arm():
    patience = "knows the truth, impatient", "knows the truth, patient"
    ladder = "random challenger", "best response", "replaying", "context-selecting"
    for names in (ladder, ("best response", "context-selecting", *patience)):  # those drawn together
        looks = [lesson05.FOLLOWERS[name] for name in names]
        for a, b in combinations(looks, 2):
            apart = abs(lightness(a["color"]) - lightness(b["color"])) > 0.08
            assert apart and a["linestyle"] != b["linestyle"] and a["marker"] != b["marker"]
    arms = {arm["color"] for arm in style.ARMS.values()}
    assert not arms & {look["color"] for look in lesson05.FOLLOWERS.values()}
