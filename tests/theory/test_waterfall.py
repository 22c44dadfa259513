"""The slack waterfall shows the numbers of the chain, and refuses what a log axis cannot show."""

import chain_checks
import matplotlib
import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.plots.chains import waterfall

matplotlib.use("Agg")


@pytest.mark.parametrize("number", range(len(chain_checks.all_chains())))
def test_bars_span_the_sides(number):
    import matplotlib.pyplot as plt

    chain, _ = chain_checks.all_chains()[number]
    for p in chain_checks.few_plays():
        try:
            steps = chain.evaluate(p)
            figure = waterfall(steps, chain.name, "caption")
        except InputError:
            continue
        ax, = figure.axes
        ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
        wanted = [(step.left.sum() / len(step.left), step.right.sum() / len(step.right)) for step in steps]
        np.testing.assert_allclose(ends, wanted, rtol=1e-9)
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert len(labels) == len(steps) + 1 and steps[-1].step.name in labels[-1]
        figure.canvas.draw()  # every formula can be drawn
        plt.close(figure)
        return
    pytest.fail("no play has positive sides throughout")


def test_a_side_of_zero_is_refused():
    steps = chain_checks.chains.L3.evaluate(chain_checks.tight_plays()["none of 20"])
    with pytest.raises(InputError, match="log axis"):
        waterfall(steps, "title", "caption")
