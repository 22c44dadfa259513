"""Lesson 09's pictures."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from stackelberg_lib.plots import lesson09

matplotlib.use("Agg")


def test_the_change_in_the_stream_is_marked():
    fig, ax = plt.subplots()
    lesson09.spending(ax, {"llf": np.eye(4, 10, dtype=bool)}, 5, 6, "t")
    plt.close(fig)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() == "new intents"] == [6]
