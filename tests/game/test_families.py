import numpy as np
import pytest
from scipy import stats

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import AllLabels, BestResponse, HardGaps, LowNoise, Margin, play

LOW = 1e-3  # smallest p-value of a test of a law; the seeds are fixed


def gaps(stream, n, seed=0):
    """Smallest positive gap (n, M) of each context, one reward after the other."""
    rng = np.random.default_rng(seed)
    theta, menu = stream.theta(rng, n), stream.menu(rng, 3, 10, n)
    assert theta.shape == (n, stream.d) and menu.shape == (n, stream.M, stream.K, stream.d)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=-1), stream.S)
    np.testing.assert_allclose(np.linalg.norm(menu, axis=-1), stream.L)
    found = np.empty((n, stream.M))
    for i in range(n):
        for m in range(stream.M):
            mu = [float(theta[i] @ phi) for phi in menu[i, m]]
            found[i, m] = min(max(mu) - x for x in mu if x < max(mu) - 1e-13)
    return found


@pytest.mark.parametrize("stream", [HardGaps(4, 2, 0.3), HardGaps(1, 5, 2.5, M=3, L=2.0)])
def test_hard_gaps_are_the_stated_gap(stream):
    np.testing.assert_allclose(gaps(stream, 300), stream.gap, rtol=1e-12)


def test_hard_gaps_hide_the_sign_of_each_coordinate():
    stream, rng = HardGaps(3, 3, 0.2, M=2, L=0.5), np.random.default_rng(1)
    theta, menu = stream.theta(rng, 4000), stream.menu(rng, 0, 1, 4000)
    np.testing.assert_allclose(np.abs(theta), 0.2)
    assert stats.chisquare(np.bincount((theta > 0) @ [4, 2, 1], minlength=8)).pvalue > LOW
    assert (np.count_nonzero(menu, axis=-1) == 1).all()
    used = menu.any(axis=2)  # (n, M, d): one coordinate per context
    assert (used.sum(axis=-1) == 1).all()
    assert stats.chisquare(np.bincount(used.argmax(-1) @ [3, 1], minlength=9)).pvalue > LOW
    minus = menu.sum(axis=-1)[:, 0] < 0
    assert (minus.sum(axis=1) == 1).all() and stats.chisquare(minus.sum(axis=0)).pvalue > LOW


def test_regret_of_hard_gaps_grows_like_the_root_of_the_horizon():
    def regret(T, d, gap):
        return play(HardGaps(d, 2, gap), BestResponse(), AllLabels(), T=T, B=T, seeds=400, seed=2, sigma=1.0,
                    lam=1e-3, alpha=1.0).cumulative[:, -1].mean()
    found = [regret(T, d, np.sqrt(d / T)) / np.sqrt(d * T) for T, d in [(64, 2), (256, 2), (256, 8)]]
    np.testing.assert_allclose(found, np.mean(found), rtol=0.25)
    assert 0.05 < np.mean(found) < 1
    for other in (0.1, 10):  # neither smaller nor larger gaps are as hard
        assert regret(256, 2, other * np.sqrt(2 / 256)) / np.sqrt(512) < 0.5 * found[1]


@pytest.mark.parametrize("stream", [Margin(3, 4, M=2, S=2.0, L=0.5, Delta=0.3), Margin(2, 2, M=2, Delta=1.0)])
def test_no_context_violates_the_margin(stream):
    found = gaps(stream, 5000).ravel()
    assert found.min() >= stream.Delta - 1e-12
    assert stats.kstest(found, stats.uniform(stream.Delta, stream.Delta).cdf).pvalue > LOW


@pytest.mark.parametrize("stream", [LowNoise(3, 4, M=2, kappa=2.0), LowNoise(5, 3, kappa=1.0, Delta_0=0.2),
                                    LowNoise(2, 2, S=2.0, L=0.5, kappa=0.5, Delta_0=2.0)])
def test_low_noise_law_and_its_tail_exponent(stream):
    found = gaps(stream, 4000)[:, 0] / stream.Delta_0
    assert stats.kstest(found, lambda e: np.clip(e, 0, 1) ** stream.kappa).pvalue > LOW
    tail = np.array([0.1, 0.2, 0.4, 0.8]) ** (1 / stream.kappa)
    share = [(found <= e).mean() for e in tail]
    np.testing.assert_allclose(np.polyfit(np.log(tail), np.log(share), 1)[0], stream.kappa, rtol=0.06)


@pytest.mark.parametrize("stream", [Margin(4, 3), LowNoise(4, 3)])
def test_the_best_candidate_stands_anywhere_and_other_coordinates_are_isotropic(stream):
    menu = stream.menu(np.random.default_rng(2), 0, 1, 6000)[:, 0]
    assert stats.chisquare(np.bincount(menu[..., 0].argmax(axis=1), minlength=3)).pvalue > LOW
    other = menu[..., 1:].reshape(-1, 3)
    second = other.T @ other / len(other)
    np.testing.assert_allclose(second, np.trace(second) / 3 * np.eye(3), atol=0.01)


@pytest.mark.parametrize("stream", [HardGaps(3, 2, 0.1, M=2), Margin(3, 3, M=2), LowNoise(3, 3, M=2)])
def test_equal_generators_give_equal_streams(stream):
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return np.r_[stream.theta(rng, 9).ravel(), stream.menu(rng, 0, 5, 9).ravel()]
    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


@pytest.mark.parametrize("make, words", [
    (lambda: HardGaps(0, 2, 0.1), "d=0"), (lambda: HardGaps(2, 1, 0.1), "K=1"), (lambda: HardGaps(2, 2, 0), "gap=0"),
    (lambda: HardGaps(2, 2, 0.1, M=0), "M=0"), (lambda: HardGaps(2, 2, 0.1, L=0), "L=0"),
    (lambda: Margin(1, 2), "d=1"), (lambda: Margin(2, 1), "K=1"), (lambda: Margin(2, 2, Delta=0), "Delta=0"),
    (lambda: Margin(2, 2, S=2, L=0.5, Delta=1.1), "Delta=1.1"), (lambda: LowNoise(1, 2), "d=1"),
    (lambda: LowNoise(2, 2, kappa=0), "kappa=0"), (lambda: LowNoise(2, 2, Delta_0=-1), "Delta_0=-1"),
    (lambda: LowNoise(2, 2, Delta_0=2.1), "Delta_0=2.1"), (lambda: Margin(2, 2, S=0), "S=0"),
])
def test_bad_arguments_are_named(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "give" in str(caught.value) and "\n" not in str(caught.value)
