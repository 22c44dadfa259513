"""Radii, potential and bounds against the same formulas written out a second time, and the conditions they refuse."""

import re
from itertools import product

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory import bounds, potential, radii

GRID = [dict(zip(("d", "K", "L", "lam"), v, strict=True)) for v in product((1, 5), (2, 4), (1.0, 0.6), (1e-3, 0.7, 10))]
ROUNDED = 64 * 2.0**-52  # t2_level is rounded up by this share at most


def equal(got, wanted, rtol=1e-12):
    np.testing.assert_allclose(got, wanted, rtol=rtol)


def refused(word, call):
    try:
        call()
    except InputError as error:
        assert re.search(word, str(error)), error
    else:
        raise AssertionError(f"not refused: {word}")


def check_radii():
    for v in GRID:
        d, K, L, lam = v.values()
        Lambda = np.log(1 + 30 * K * L**2 / (d * lam))
        equal(radii.log_growth(30, **v), Lambda)
        noise = dict(sigma=0.4, delta=0.02, S=1.5, lam=lam)
        equal(radii.alpha_log_det(3.0, **noise), 0.4 * np.sqrt(2 * np.log(50) + 3) + 1.5 * np.sqrt(lam))
        equal(radii.alpha_adp(30, d=d, K=K, L=L, **noise), 0.4 * np.sqrt(2 * np.log(50) + d * Lambda) + 1.5 * lam**0.5)
        equal(radii.alpha_fix(30, K=K, **noise), 0.4 * np.sqrt(2 * np.log(K * (K - 1) * 1500)) + 1.5 * np.sqrt(lam))
    equal(radii.log_growth(3, d=3, K=2), np.log(3))
    equal(radii.alpha_log_det(0.0, sigma=1, delta=np.exp(-2)), 3.0)
    equal(radii.alpha_fix(30, K=2, sigma=1, delta=0.1), radii.alpha_fix(30, K=2, sigma=1, delta=0.1, S=1, lam=1))
    equal(radii.alpha_adp(3, d=2, K=2, sigma=1, delta=0.1),
          radii.alpha_adp(3, d=2, K=2, sigma=1, delta=0.1, S=1, L=1, lam=1))


def check_potential():
    for v in GRID:
        X = 2 * v["L"] ** 2 / v["lam"]
        C, Lambda = X / np.log(1 + X), np.log(1 + 30 * v["K"] * v["L"] ** 2 / (v["d"] * v["lam"]))
        sizes = dict(L=v["L"], lam=v["lam"])
        equal([potential.widest(**sizes), potential.c_x(**sizes)], [X, C])
        equal(potential.growth_ceiling(30, **v), v["d"] * Lambda)
        equal(potential.squared_widths(30, **v), 2 * C * v["d"] * Lambda)
    equal([potential.widest(), potential.c_x()], [2, 2 / np.log(3)])


def check_bounds():
    equal(bounds.t1_mean_regret(3, sigma=1, d=2, K=2), bounds.t1_mean_regret(3, sigma=1, d=2, K=2, S=1, L=1, lam=1))
    T, B, alpha, law = 400, 60, 0.8, dict(kappa=1.3, Delta_0=2.5, M=3)
    for v in GRID:
        d, K, L, lam = v.values()
        a = dict(alpha=alpha, **v)
        X = 2 * L**2 / lam
        seen = 0.49 * d * np.log(1 + T * K * L**2 / (d * lam))
        equal(bounds.t1_mean_regret(T, sigma=0.7, S=1.5, **v), np.sqrt(2 * (1 + X) * (2.25 * lam + seen) * T))
        C = X / np.log(1 + X)

        def grown(n, d=d, K=K, L=L, lam=lam):
            return d * np.log(1 + n * K * L**2 / (d * lam))

        equal(bounds.t1_regret(T, **a), alpha * np.sqrt(2 * C * grown(T) * T))
        u, root = grown(B) / B, alpha * np.sqrt(2 * C * grown(B) * B)
        tau = alpha * np.sqrt(2 * np.expm1(u))
        equal(bounds.t2_share(B, **v), u)
        equal(bounds.t2_level(B, **a), tau)
        assert tau <= bounds.t2_level(B, **a) <= tau * (1 + ROUNDED)
        equal(bounds.t2_low_noise(T, B, **law, **a), T * tau * 3 * (tau / 2.5) ** 1.3)
        equal(bounds.t2_low_noise_sure(T, B, delta=0.1, **law, **a),
              tau * (2 * T * 3 * (tau / 2.5) ** 1.3 + 7 / 6 * np.log(10)))
        equal(bounds.t2_margin(B, Delta=1.5 * tau, **a), 2 * C * alpha**2 * grown(B) / (1.5 * tau))
        half = alpha * np.sqrt(2 * np.exp(grown(B // 2) / (B // 2)) - 2)
        equal([bounds.t4_level(B, **a), bounds.t4_level(B + 1, **a)], [half, half])
        if u <= np.log(1 + X):
            equal(bounds.t2_level_ceiling(B, **a), alpha * np.sqrt(2 * C * u))
            equal(bounds.t2_regret(T, B, **a), (T / B + 1 / 4) * root)
            equal(bounds.t2_leakage(T, B, 45, **a), (T - 45) / B * root / np.sqrt(B))
        if grown(B // 2) / (B // 2) <= np.log(1 + X):
            equal(bounds.t4_regret(T, B, **a), (2 * T / B + 1 / 4) * alpha * np.sqrt(C * grown(B // 2) * B))
    equal(bounds.off_event(T, S=1.5, delta=0.1, L=0.6), 2 * 0.6 * 1.5 * T * 0.1)
    check_defaults(dict(alpha=alpha, d=2, K=2))


def check_defaults(a):
    """Features of length 1, a ridge of 1, one context to choose from."""
    one, law = dict(L=1.0, lam=1.0), dict(kappa=1.0, Delta_0=9.0)
    for call, sizes in ((bounds.t1_regret, [40]), (bounds.t2_level, [20]), (bounds.t2_level_ceiling, [20]),
                        (bounds.t2_regret, [40, 20]), (bounds.t2_leakage, [40, 20, 3]), (bounds.t4_level, [20]),
                        (bounds.t4_regret, [40, 20])):
        equal(call(*sizes, **a), call(*sizes, **a, **one))
    equal(bounds.t2_margin(20, Delta=9.0, **a), bounds.t2_margin(20, Delta=9.0, **a, **one))
    equal(bounds.t2_low_noise(40, 20, **law, **a), bounds.t2_low_noise(40, 20, M=1, **law, **a, **one))
    equal(bounds.t2_low_noise_sure(40, 20, delta=0.1, **law, **a),
          bounds.t2_low_noise_sure(40, 20, delta=0.1, M=1, **law, **a, **one))
    equal(bounds.t2_share(20, d=2, K=2), bounds.t2_share(20, d=2, K=2, **one))
    equal(bounds.small_gap(0.5, kappa=1.0, Delta_0=2.0), 0.25)
    equal(bounds.off_event(40, S=1.0, delta=0.1), 8.0)
    equal([potential.growth_ceiling(3, d=2, K=2), potential.squared_widths(3, d=2, K=2)],
          [2 * np.log(4), 8 / np.log(3) * np.log(4)])


def check_conditions():
    """Just inside a condition the bound is given, just outside it is refused with the condition in the message."""
    a = dict(alpha=1.0, d=4, K=2)
    equal(bounds.t2_level_ceiling(4, **a), 2.0)  # u = log(1 + X) exactly
    for call in (lambda B: bounds.t2_level_ceiling(B, **a), lambda B: bounds.t2_regret(40, B, **a),
                 lambda B: bounds.t2_leakage(40, B, 0, **a), lambda B: bounds.t4_regret(40, 2 * B, **a)):
        call(4)
        refused(r"B=3 gives u = .* > log\(1 \+ X\) = 1.099", lambda call=call: call(3))
    tau = bounds.t2_level(20, **a)
    bounds.t2_margin(20, Delta=1.01 * tau, **a)
    for Delta in (tau, 0.99 * tau):
        refused(r"T2 \(iii\) needs Delta > tau", lambda Delta=Delta: bounds.t2_margin(20, Delta=Delta, **a))
    refused("B=21 is odd.* give 20 or 22", lambda: bounds.t4_regret(40, 21, **a))
    bounds.t2_level(1, alpha=1.0, d=3, K=2, lam=1e-100)  # u = 690 still has a level
    refused(r"e\^u overflows", lambda: bounds.t2_level(1, alpha=1.0, d=4, K=2, lam=1e-100))
    refused("B=41", lambda: bounds.t2_regret(40, 41, **a))
    refused("Q=21", lambda: bounds.t2_leakage(40, 20, 21, **a))
    refused("B=1 ", lambda: bounds.t4_level(1, **a))


def check_all():
    check_radii()
    check_potential()
    check_bounds()
    check_conditions()
