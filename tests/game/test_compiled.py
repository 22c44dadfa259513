"""Compiled steps against the plain ones, in both precisions; the plain ones against direct solves."""

import subprocess
import sys

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import AllLabels, ArmRidge, DisjointArms, compiled, rounds
from stackelberg_lib.game.followers import TIES
from stackelberg_lib.game.play import NOISE

CLOSE = {np.float64: dict(rtol=1e-11, atol=1e-13), np.float32: dict(rtol=2e-4, atol=2e-5)}
n, K, d = 40, 6, 7


def learned(rng, dtype, steps=60, lam=0.3):
    """A ridge (n, K, d) after so many labels of random arms, not all replicas each time, by plain steps."""
    ridge = ArmRidge(n, K, d, lam, dtype)
    for _ in range(steps):
        arm, x = rng.integers(K, size=n), rng.normal(size=(n, d)).astype(dtype)
        compiled.plain_learn(*state(ridge), rng.random(n) < 0.7, arm, x, rng.normal(size=n))
    return ridge


def state(ridge):
    return ridge.V_inv, ridge.theta_hat, ridge.log_det, ridge.labels, ridge.reach


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("steps", [0, 3, 60, 600])
@pytest.mark.parametrize("alpha", [1e-9, 0.05, 0.5, 20.0])
def test_compiled_answer_is_the_plain_one(dtype, steps, alpha):
    rng = np.random.default_rng([steps, 1])
    ridge = learned(rng, dtype, steps)
    for _ in range(20):
        radius, x = alpha * rng.uniform(0.5, 2, n), (rng.normal(size=(n, d)) * rng.choice([0.1, 1, 9])).astype(dtype)
        leader, width, read = ridge.optimistic(radius, x)
        plain, plain_width = compiled.plain_answer(ridge.V_inv, ridge.theta_hat, radius, x, TIES[np.dtype(dtype)])
        np.testing.assert_array_equal(leader, plain)
        np.testing.assert_allclose(width, plain_width, **CLOSE[dtype])
        assert width.dtype == dtype and n <= read <= n * K
        assert read == n * K or steps > 0
        assert read < n * K / 2 or steps < 60 or alpha > 0.5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("above, first", [(0.5, 1), (2.0, 4), (-2.0, 1)])
def test_ties_go_to_the_lowest_index_within_the_slack_and_not_beyond(dtype, above, first):
    """Arms 1 and 4 score 1, arm 4 that share of the slack more; the rest score 0 and their widths are all alike."""
    ridge, x = ArmRidge(2, K, d, 1.0, dtype), np.zeros((2, d), dtype)
    x[:, 0], slack = 1, TIES[np.dtype(dtype)]
    ridge.theta_hat[:, [1, 4], 0] = 1
    ridge.theta_hat[:, 4, 0] += dtype(above * slack)
    alpha = np.full(2, slack)  # so small that the score alone decides
    for got in (ridge.optimistic(alpha, x), compiled.plain_answer(*state(ridge)[:2], alpha, x, slack)):
        np.testing.assert_array_equal(got[0], first)
        np.testing.assert_array_equal(got[1], 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled_learning_is_the_plain_one(dtype):
    rng = np.random.default_rng(2)
    ridge, plain = learned(rng, dtype, 2), ArmRidge(n, K, d, 0.3, dtype)
    for to, of in zip(state(plain), state(ridge), strict=True):
        to[:] = of
    for _ in range(40):
        queried, arm, x, y = rng.random(n) < 0.6, rng.integers(K, size=n), rng.normal(size=(n, d)), rng.normal(size=n)
        before = [s.copy() for s in state(ridge)]
        ridge.update(queried, arm, x.astype(dtype), np.where(queried, y, np.nan))
        compiled.plain_learn(*state(plain), queried, arm, x.astype(dtype), y)
        kept = np.ones((n, K), bool)
        kept[queried, arm[queried]] = False
        for old, new, same in zip(before, state(ridge), (kept, kept, ~queried, ~queried, kept), strict=True):
            np.testing.assert_array_equal(old[same], new[same])
        for new, wanted in zip(state(ridge), state(plain), strict=True):
            np.testing.assert_allclose(new, wanted, **CLOSE[dtype])
        np.testing.assert_array_equal(ridge.labels, before[3] + queried)
        np.testing.assert_array_equal(ridge.V_inv, ridge.V_inv.swapaxes(2, 3))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("steps", [0, 5, 300])
def test_reach_bounds_every_width(dtype, steps):
    rng = np.random.default_rng(3)
    ridge = learned(rng, dtype, steps)
    for _ in range(steps):
        ridge.update(np.ones(n, bool), rng.integers(K, size=n), rng.normal(size=(n, d)).astype(dtype), np.zeros(n))
    V_inv = ridge.V_inv.astype(float)
    assert (np.linalg.eigvalsh(V_inv)[..., -1] <= (compiled.ABOVE_ROUNDING * ridge.reach) ** 2).all()
    np.testing.assert_allclose(ridge.reach**2, np.minimum(np.linalg.norm(V_inv, axis=(2, 3)), 1 / 0.3), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled_revealing_is_the_plain_one(dtype):
    rng = np.random.default_rng(4)
    theta, x, eta = rng.normal(size=(n, K, d)), rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(n, K))
    leader, queried = rng.integers(K, size=n), rng.random(n) < 0.5
    got = np.empty((n, K)), np.empty((n, K)), np.empty(n)
    compiled.reveal(theta, x, leader, queried, eta, *got)
    for new, wanted in zip(got, compiled.plain_reveal(theta, x, leader, queried, eta), strict=True):
        np.testing.assert_allclose(new, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_plain_steps_equal_direct_solves(dtype):
    rng = np.random.default_rng(5)
    V, b = np.tile(0.3 * np.eye(d), (n, K, 1, 1)), np.zeros((n, K, d))
    ridge = ArmRidge(n, K, d, 0.3, dtype)
    for _ in range(50):
        queried, arm, x, y = rng.random(n) < 0.6, rng.integers(K, size=n), rng.normal(size=(n, d)), rng.normal(size=n)
        x = x.astype(dtype).astype(float)
        compiled.plain_learn(*state(ridge), queried, arm, x.astype(dtype), y)
        at = np.flatnonzero(queried), arm[queried]
        V[at] += x[queried, :, None] * x[queried, None]
        b[at] += x[queried] * y[queried, None]
    np.testing.assert_allclose(ridge.V_inv, np.linalg.inv(V), **CLOSE[dtype])
    np.testing.assert_allclose(ridge.theta_hat, np.linalg.solve(V, b[..., None])[..., 0], **CLOSE[dtype])
    np.testing.assert_allclose(ridge.log_det, np.linalg.slogdet(V / 0.3)[1].sum(axis=1), **CLOSE[dtype])


def test_a_play_reads_few_matrices_and_answers_as_if_it_read_all():
    """Every round of a play, 16 replicas: the compiled answer against the plain one at the same commitment."""
    setting = dict(T=600, B=600, seeds=16, seed=3, sigma=0.1, lam=1.0, alpha=0.3, feedback="chosen",
                   answer="optimistic")
    ridge, read = ArmRidge(16, 5, 8, 1.0), []
    for now in rounds(DisjointArms(8, 5, S=2.0), None, AllLabels(), **setting):
        at, x = now.commitment, now.reply.phi[:, 0]
        leader, width = compiled.plain_answer(at.V_inv, at.theta_hat, at.alpha, x, 1e-10)
        np.testing.assert_array_equal(now.reply.leader, leader)
        np.testing.assert_allclose(now.reply.width, 2 * width, rtol=1e-9)
        np.testing.assert_allclose(now.reply.latency, 0.6 * width, rtol=1e-9)
        read.append(ridge.optimistic(at.alpha, x)[2] / 16)
        ridge.update(now.queried, leader, x, now.y[np.arange(16), leader])
    assert read[0] == 5 and 1 <= np.mean(read[300:]) <= 2.5


def test_noise_is_that_of_one_draw_per_round():
    """Blocks of rounds, one of them not full: bit for bit the numbers of a draw per round."""
    setting = dict(T=300, B=300, seeds=3, seed=8, sigma=0.7, lam=1.0, alpha=0.3, feedback="chosen",
                   answer="optimistic")
    rng = np.random.default_rng(np.random.SeedSequence(8).spawn(4)[1])
    kept = list(rounds(DisjointArms(4, 9), None, AllLabels(), **setting))
    assert len(kept) == 300 and 300 % (NOISE // 27)
    for now in kept:
        eta, pick = 0.7 * rng.standard_normal((3, 9)), (np.arange(3), now.reply.leader)
        np.testing.assert_array_equal(now.y[pick], now.mu[pick] + eta[pick])


@pytest.mark.parametrize("change, words", [
    ({"arm": np.array([0, 3])}, "arm is out of range.*0 to K - 1"), ({"arm": np.array([-1, 0])}, "arm is out of range"),
    ({"x": np.ones((2, 3))}, "x or y has a wrong shape: give"), ({"y": np.ones(3)}, "y has a wrong shape"),
    ({"queried": np.ones(1, bool)}, "queried.*wrong shape"),
])
def test_what_does_not_fit_is_named(change, words):
    ridge = ArmRidge(2, 3, 4, 1.0)
    given = dict(queried=np.ones(2, bool), arm=np.zeros(2, int), x=np.ones((2, 4)), y=np.ones(2))
    with pytest.raises(InputError, match=words):
        ridge.update(**{**given, **change})
    for alpha, x in ((np.ones(2), np.ones((2, 5))), (np.ones(1), np.ones((2, 4)))):
        with pytest.raises(InputError, match="alpha or x has a wrong shape"):
            ridge.optimistic(alpha, x)


def test_a_stream_that_does_not_fit_is_named():
    class Short(DisjointArms):
        def menu(self, rng, t, T, n):
            return super().menu(rng, t, T, n)[..., :-1]

    class Many(DisjointArms):
        def theta(self, rng, n):
            return super().theta(rng, n).repeat(2, axis=1)

    setting = dict(T=5, B=5, seeds=2, seed=0, sigma=0.1, lam=1.0, alpha=0.3, feedback="chosen", answer="optimistic")
    for stream, words in ((Short(4, 3), r"stream\.menu gave"), (Many(4, 3), r"stream\.theta gave")):
        with pytest.raises(InputError, match=words):
            next(rounds(stream, None, AllLabels(), **setting))


def test_numba_comes_with_disjoint_arms_and_not_before():
    code = ("import sys; from stackelberg_lib.game import ArmRidge; before = 'numba' in sys.modules; "
            "ArmRidge(1, 2, 2, 1.0); print(before, 'numba' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
