"""The record of a play against the same play followed by hand, with V inverted anew in every round."""

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import LLF, AllLabels, ContextSelecting, RandomGate, Reserve, Stationary, rounds
from stackelberg_lib.theory.radii import alpha_adp, alpha_log_det
from stackelberg_lib.theory.trajectory import record

LAM, SIGMA, S, L = 0.05, 0.4, 1.5, 0.8
GAME = dict(T=25, B=9, seeds=3, seed=2, sigma=SIGMA, lam=LAM)


def radius(log_det):
    return alpha_log_det(log_det, sigma=SIGMA, delta=0.1, S=S, lam=LAM)


def by_hand(now, V):
    """What the record must hold of one round of replica 0, from the features and V alone."""
    phi, a, z = now.reply.phi[0], now.reply.leader[0], now.reply.challenger[0]
    mu, theta_hat = phi @ now.theta[0], now.commitment.theta_hat[0]
    best = np.argmax(mu)

    def size(x):
        return np.sqrt(x @ np.linalg.solve(V, x))

    off, score = now.theta[0] - theta_hat, phi @ theta_hat
    F = phi @ np.linalg.solve(V, phi.T)
    log_det = np.linalg.slogdet(V)[1] - len(V) * np.log(LAM)
    return dict(
        regret=mu[best] - mu[a], width=size(phi[z] - phi[a]), latency=radius(log_det) * size(phi[z] - phi[a])
        - (score[a] - score[z]), alpha=radius(log_det), log_det=log_det, distance=np.sqrt(off @ V @ off),
        gap=score[a] - score[z], best_gap=score[a] - score[best], best_width=size(phi[best] - phi[a]),
        best_error=off @ (phi[best] - phi[a]), margin=mu[best] - np.sort(mu)[-2],
        pair=sum(size(phi[b]) ** 2 for b in {a, z}), trace=sum(size(x) ** 2 for x in phi),
        growth=np.linalg.slogdet(np.eye(len(F)) + F)[1], queried=now.queried[0])


@pytest.mark.parametrize("gate", [LLF(1.0), RandomGate(),
                                  Reserve(2.0, alpha=radius(40.0), lam=LAM, L=L, free=AllLabels())],
                         ids=["LLF", "random", "reserve"])
def test_every_field_by_hand(gate):
    game = (Stationary(3, 4, M=2, S=S, L=L), ContextSelecting())
    free = Reserve(2.0, alpha=radius(40.0), lam=LAM, L=L, free=AllLabels()) if isinstance(gate, Reserve) else gate
    p = record(*game, free, alpha=radius, **GAME)
    V, level_V, good = LAM * np.eye(3), LAM * np.eye(3), True
    for now in rounds(*game, gate, alpha=radius, **GAME):
        for name, wanted in by_hand(now, V).items():
            np.testing.assert_allclose(getattr(p, name)[0, now.t], wanted, rtol=1e-8, atol=1e-10, err_msg=name)
        good &= bool(p.distance[0, now.t] <= p.alpha[0, now.t])
        outer = now.reply.phi[0].T @ now.reply.phi[0]
        V = V + now.queried[0] * outer
        level_V = level_V + (now.queried[0] and now.reply.latency[0] > p.tau) * outer
    ends = [np.linalg.slogdet(V / LAM)[1], np.trace(V) - 3 * LAM, np.linalg.slogdet(level_V / LAM)[1]]
    np.testing.assert_allclose([p.end_log_det[0], p.end_trace[0], p.level_log_det[0]], ends)
    assert p.good[0] == good and p.tau == getattr(gate, "tau", 0)
    assert (p.T, p.B, p.d, p.K, p.L, p.S, p.lam, p.sigma) == (25, 9, 3, 4, L, S, LAM, SIGMA)


def test_the_ceiling_is_the_deterministic_radius():
    p = record(Stationary(3, 4, S=S, L=L), ContextSelecting(), AllLabels(), alpha=radius, **GAME)
    np.testing.assert_allclose(p.ceiling, alpha_adp(9, d=3, K=4, sigma=SIGMA, delta=0.1, S=S, L=L, lam=LAM))
    assert (p.alpha <= p.ceiling).all()
    assert record(Stationary(3, 4), ContextSelecting(), AllLabels(), alpha=0.7, **GAME).ceiling == 0.7


def test_equal_rewards_have_no_margin():
    class Twins(Stationary):
        def menu(self, rng, t, T, n):
            return super().menu(rng, t, T, n).repeat(2, axis=2)[:, :, : self.K]

    p = record(Twins(2, 2), ContextSelecting(), AllLabels(), alpha=1.0, **GAME)
    assert np.isinf(p.margin).all() and (p.regret == 0).all()


def test_a_stream_without_bounds_is_refused():
    class Unbounded:
        d, K, M = 2, 2, 1
        theta, menu = Stationary(2, 2).theta, Stationary(2, 2).menu

    with pytest.raises(InputError, match="has no S"):
        record(Unbounded(), ContextSelecting(), AllLabels(), alpha=1.0, **GAME)
