import subprocess
import sys

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import BestResponse, RandomGate, Stationary, rounds
from stackelberg_lib.theory.radii import alpha_adp, alpha_fix, alpha_log_det, log_growth

SETTING = dict(sigma=0.3, delta=0.05, S=2.0, lam=0.5)


def test_values_by_hand():
    np.testing.assert_allclose(log_growth(75, d=16, K=5), 3.19612, rtol=1e-5)  # log(1 + 375/16)
    # 0.3 sqrt(5.99146 + 7) + 1.41421
    np.testing.assert_allclose(alpha_log_det(7.0, **SETTING), 2.495524, rtol=1e-6)
    np.testing.assert_allclose(alpha_adp(75, d=16, K=5, sigma=0.3, delta=0.05), 3.267519, rtol=1e-6)
    np.testing.assert_allclose(alpha_fix(1500, K=5, **SETTING), 2.961742, rtol=1e-6)


def test_no_label_and_no_noise_leave_the_prior():
    np.testing.assert_allclose(alpha_log_det(9.0, **{**SETTING, "sigma": 0}), np.sqrt(0.5) * 2)
    assert log_growth(0, d=3, K=2) == 0


def test_the_ceiling_is_above_every_log_det():
    for now in rounds(Stationary(5, 3), BestResponse(), RandomGate(), T=80, B=80, seeds=20, seed=1, sigma=0.3,
                      lam=0.5, alpha=1.0):
        top = alpha_adp(now.t, d=5, K=3, **SETTING)
        assert (alpha_log_det(now.commitment.log_det, **SETTING) <= top + 1e-12).all()


def test_the_fixed_design_radius_has_no_dimension_in_it():
    adaptive = [alpha_adp(100, d=d, K=5, **SETTING) for d in (4, 400)]
    assert alpha_fix(1000, K=5, **SETTING) < adaptive[1] and adaptive[1] > 2 * adaptive[0]


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_both_radii_cover(sigma):
    """Oblivious contexts, a gate that knows no label: both events hold in at least 1 - delta of the runs."""
    n, T, delta = 300, 60, 0.2
    adaptive, fixed = np.ones(n, bool), np.ones(n, bool)
    pair = alpha_fix(T, K=3, sigma=sigma, delta=delta)
    closest = np.zeros(n)
    for now in rounds(Stationary(3, 3), BestResponse(), RandomGate(), T=T, B=30, seeds=n, seed=4, sigma=sigma,
                      lam=1.0, alpha=lambda x: alpha_log_det(x, sigma=sigma, delta=delta)):
        off = now.commitment.theta_hat - now.theta
        size = np.sqrt(np.einsum("ni,nij,nj->n", off, now.commitment.V, off))
        adaptive &= size <= now.commitment.alpha
        closest = np.maximum(closest, size / now.commitment.alpha)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            psi = now.reply.phi[:, a] - now.reply.phi[:, b]
            width = np.sqrt(np.einsum("ni,nij,nj->n", psi, now.commitment.V_inv, psi))
            fixed &= np.abs((off * psi).sum(1)) <= pair * width
    assert adaptive.mean() >= 1 - delta and fixed.mean() >= 1 - delta
    assert np.median(closest) > 0.5  # the radius is not trivially large


@pytest.mark.parametrize("change, words", [({"sigma": -1}, "sigma=-1"), ({"delta": 0}, "delta=0"),
                                           ({"delta": 1}, "delta=1"), ({"S": 0}, "S=0"),
                                           ({"lam": -1}, "lam=-1")])
def test_bad_arguments_are_named(change, words):
    for call in (lambda kw: alpha_log_det(0.0, **kw), lambda kw: alpha_fix(10, K=2, **kw),
                 lambda kw: alpha_adp(5, d=2, K=2, **kw)):
        with pytest.raises(InputError, match=words):
            call({**SETTING, **change})


def test_bad_sizes_are_named():
    with pytest.raises(InputError, match="n=-1"):
        log_growth(-1, d=2, K=2)
    with pytest.raises(InputError, match="K=1"):
        alpha_fix(10, K=1, **SETTING)


def test_game_stays_light_and_below_theory():
    code = ("import sys, stackelberg_lib.game; bad = {'scipy', 'matplotlib', 'torch', 'sklearn', 'tqdm', "
            "'stackelberg_lib.theory'} & set(sys.modules); sys.exit(repr(bad) if bad else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
