import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import Drifting, Stationary


@pytest.mark.parametrize("stream", [Stationary(5, 3, M=2, S=2.0, L=0.5), Drifting(6, 3, M=2, S=2.0, L=0.5)])
def test_shapes_and_norms(stream):
    rng = np.random.default_rng(0)
    theta, menu = stream.theta(rng, 7), stream.menu(rng, 3, 12, 7)
    assert theta.shape == (7, stream.d) and menu.shape == (7, 2, 3, stream.d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=-1), 2.0)
    np.testing.assert_allclose(np.linalg.norm(menu, axis=-1), 0.5)


def test_stationary_is_isotropic():
    menu = Stationary(3, 2).menu(np.random.default_rng(1), 0, 1, 40_000).reshape(-1, 3)
    np.testing.assert_allclose(menu.T @ menu / len(menu), np.eye(3) / 3, atol=0.01)


def test_drifting_gives_each_quarter_fresh_coordinates():
    stream, T = Drifting(10, 2), 22
    rng = np.random.default_rng(2)
    used = [frozenset(np.flatnonzero(stream.menu(rng, t, T, 5).any(axis=(0, 1, 2)))) for t in range(T)]
    blocks = list(dict.fromkeys(used))
    assert len(blocks) == 4 and sorted(sum(map(sorted, blocks), [])) == list(range(10))
    assert [used.index(b) for b in blocks] == [0, 6, 11, 17]  # the first rounds at or after T/4, T/2, 3T/4


@pytest.mark.parametrize("make, words", [
    (lambda: Stationary(0, 2), "d=0"), (lambda: Stationary(2.5, 2), "d=2.5"),
    (lambda: Stationary(2, 1), "K=1"),
    (lambda: Stationary(2, 2, M=0), "M=0"), (lambda: Stationary(2, 2, S=0), "S=0"),
    (lambda: Stationary(2, 2, L=float("nan")), "L=nan"), (lambda: Drifting(3, 2), "d=3"),
    (lambda: Drifting(3, 2, blocks=0), "blocks=0"), (lambda: Stationary(True, 2), "d=True"),
])
def test_bad_sizes_are_named(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "give" in str(caught.value) and "\n" not in str(caught.value)
