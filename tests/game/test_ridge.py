import numpy as np
import pytest

from stackelberg_lib.game import Ridge
from stackelberg_lib.game.ridge import REFRESH_AFTER


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
