import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import Ridge
from stackelberg_lib.game.ridge import REFRESH_AFTER, ArmRidge


def plain(history, d, lam):
    """One replica, from scratch: Gram matrix, direct solve, log determinant."""
    V = lam * np.eye(d) + sum((F.T @ F for F, _ in history), np.zeros((d, d)))
    b = sum((F.T @ y for F, y in history), np.zeros(d))
    return V, np.linalg.solve(V, b), np.linalg.slogdet(V)[1] - d * np.log(lam)


@pytest.mark.parametrize("n, d, K, lam, steps", [(4, 6, 3, 0.5, 60), (2, 1, 2, 3.0, 5), (3, 2, 5, 1e-3, 40),
                                                 (2, 5, 3, 1e-4, REFRESH_AFTER + 30)])
def test_batched_updates_equal_direct_solves(n, d, K, lam, steps):
    rng = np.random.default_rng(0)
    ridge, history = Ridge(n, d, lam), [[] for _ in range(n)]
    for _ in range(steps):
        F, y, queried = rng.normal(size=(n, K, d)), rng.normal(size=(n, K)), rng.random(n) < 0.8
        ridge.update(queried, F, np.where(queried[:, None], y, np.nan))
        for i in np.flatnonzero(queried):
            history[i].append((F[i], y[i]))
    for i in range(n):
        V, theta, log_det = plain(history[i], d, lam)
        np.testing.assert_allclose(ridge.V[i], V, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ridge.V_inv[i] @ V, np.eye(d), atol=1e-8)
        np.testing.assert_allclose(ridge.theta_hat[i], theta, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(ridge.log_det[i], log_det, rtol=1e-10)
        assert ridge.labels[i] == len(history[i])


def test_replicas_without_a_label_keep_every_bit():
    rng = np.random.default_rng(1)
    ridge = Ridge(2, 3, 1.0)
    ridge.update(np.array([True, True]), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4)))
    before = [a[1].copy() for a in (ridge.V, ridge.V_inv, ridge.log_det, ridge.theta_hat)]
    ridge.update(np.array([True, False]), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4)))
    for old, new in zip(before, (ridge.V, ridge.V_inv, ridge.log_det, ridge.theta_hat), strict=True):
        np.testing.assert_array_equal(old, new[1])


def test_refresh_takes_rounding_out():
    # With a tiny lam the updates lose digits; right after a refresh the inverse is as good as a direct one.
    rng = np.random.default_rng(2)
    ridge = Ridge(1, 6, 1e-7)
    for _ in range(REFRESH_AFTER):
        ridge.update(np.array([True]), rng.normal(size=(1, 3, 6)), rng.normal(size=(1, 3)))
    np.testing.assert_array_equal(ridge.V_inv[0], np.linalg.inv(ridge.V[0]))
    np.testing.assert_array_equal(ridge.log_det[0], np.linalg.slogdet(ridge.V[0] / 1e-7)[1])


@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_each_dtype_equals_direct_solves_within_its_precision(dtype, close):
    rng = np.random.default_rng(3)
    ridge, V, b = Ridge(3, 5, 0.5, dtype), np.tile(0.5 * np.eye(5), (3, 1, 1)), np.zeros((3, 5))
    for _ in range(REFRESH_AFTER + 70):
        F, y = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4))
        ridge.update(np.ones(3, bool), F, y)
        V, b = V + F.swapaxes(1, 2) @ F, b + (y[:, None] @ F)[:, 0]
    assert {a.dtype for a in (ridge.V, ridge.V_inv, ridge.theta_hat)} == {np.dtype(dtype)}
    assert ridge.log_det.dtype == np.float64
    np.testing.assert_allclose(ridge.V, V, rtol=close, atol=close * np.trace(V[0]))
    np.testing.assert_allclose(ridge.V_inv @ V, np.broadcast_to(np.eye(5), V.shape), atol=close)
    np.testing.assert_allclose(ridge.theta_hat, np.linalg.solve(V, b[:, :, None])[..., 0], atol=close)
    np.testing.assert_allclose(ridge.log_det, np.linalg.slogdet(V / 0.5)[1], rtol=close)


@pytest.mark.parametrize("dtype, close", [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("n, share", [(1, 1.0), (2, 0.6), (3, 1.0), (3, 0.6)])
def test_arms_equal_one_ridge_on_blocks(dtype, close, n, share):
    """The K d features x (x) e_a written out, direct solves."""
    K, d, lam, rng = 4, 5, 0.5, np.random.default_rng(4)
    ridge = ArmRidge(n, K, d, lam, dtype)
    V, b, labels = np.tile(lam * np.eye(K * d), (n, 1, 1)), np.zeros((n, K * d)), np.zeros(n)
    for _ in range(400):
        queried, arm = rng.random(n) < share, rng.integers(K, size=n)
        x, y = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=n)
        ridge.update(queried, arm, x, np.where(queried, y, np.nan))
        phi = (np.eye(K)[arm][:, :, None] * x[:, None]).reshape(n, K * d) * queried[:, None]
        V, b, labels = V + phi[:, :, None] * phi[:, None], b + phi * y[:, None], labels + queried
    inverse = np.linalg.inv(V).reshape(n, K, d, K, d)
    for a in range(K):
        np.testing.assert_allclose(ridge.V_inv[:, a], inverse[:, a, :, a], atol=close)
    np.testing.assert_allclose(ridge.theta_hat.reshape(n, -1), np.linalg.solve(V, b[:, :, None])[..., 0], atol=close)
    np.testing.assert_allclose(ridge.log_det, np.linalg.slogdet(V / lam)[1], rtol=close)
    np.testing.assert_array_equal(ridge.labels, labels)
    assert ridge.V_inv.dtype == ridge.theta_hat.dtype == dtype and ridge.log_det.dtype == np.float64


@pytest.mark.parametrize("n", [2, 3])
def test_arms_without_a_label_keep_every_bit(n):
    rng, ridge = np.random.default_rng(5), ArmRidge(n, 3, 4, 1.0)
    for second in (True, False):
        queried = np.array([True, second, True][:n])
        before = [a.copy() for a in (ridge.V_inv, ridge.theta_hat)]
        ridge.update(queried, np.array([1, 2, 0][:n]), rng.normal(size=(n, 4)), rng.normal(size=n))
    for old, new in zip(before, (ridge.V_inv, ridge.theta_hat), strict=True):
        np.testing.assert_array_equal(old[1], new[1])
        np.testing.assert_array_equal(old[0, [0, 2]], new[0, [0, 2]])
        assert (old[0, 1] != new[0, 1]).all()


@pytest.mark.parametrize("dtype", ["float16", int, "no such type", None.__class__])
def test_other_dtypes_are_named(dtype):
    for make in (lambda: Ridge(1, 2, 1.0, dtype), lambda: ArmRidge(1, 2, 2, 1.0, dtype)):
        with pytest.raises(InputError, match="dtype=.*give float64 or float32"):
            make()
