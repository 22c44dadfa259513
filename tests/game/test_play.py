from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    LLF,
    AllLabels,
    BestResponse,
    Drifting,
    NoLabels,
    RandomChallenger,
    RandomGate,
    Stationary,
    play,
    rounds,
)
from stackelberg_lib.theory.radii import alpha_log_det, log_growth

RADIUS = partial(alpha_log_det, sigma=0.2, delta=0.1)
SETTING = dict(T=60, B=20, seeds=5, seed=11, sigma=0.2, lam=1.0, alpha=RADIUS)
GATES = [LLF(0.5), RandomGate(), AllLabels(), NoLabels()]


class Greedy:
    """Always asks, and for more than there is."""

    def decide(self, latency, features_seen, budget_left, horizon_left, rng):
        return np.ones(len(latency), bool)


class Coin:
    def __init__(self, p):
        self.p = p

    def decide(self, latency, features_seen, budget_left, horizon_left, rng):
        return rng.random(len(latency)) < self.p


@settings(max_examples=40, deadline=None)
@given(T=st.integers(1, 25), part=st.floats(0, 1), p=st.floats(0, 1), seed=st.integers(0, 999))
def test_the_budget_holds_on_every_prefix_whatever_the_gate(T, part, p, seed):
    B = int(part * T)
    for gate in (Greedy(), Coin(p), LLF(0.0), RandomGate()):
        spent = 0
        setting = {**SETTING, "T": T, "B": B, "seed": seed}
        for now in rounds(Stationary(2, 3), BestResponse(), gate, **setting):
            spent = spent + now.queried
            np.testing.assert_array_equal(now.spent, spent)
            assert (now.spent <= B).all()
            np.testing.assert_array_equal(np.isnan(now.y).all(axis=1), ~now.queried)
            np.testing.assert_array_equal(np.isfinite(now.y).all(axis=1), now.queried)
        if isinstance(gate, Greedy | RandomGate):
            assert (spent == B).all()


@pytest.mark.parametrize("stream", [Stationary(4, 3, M=2), Drifting(4, 3, M=2)])
@pytest.mark.parametrize("follower", [BestResponse(), RandomChallenger()])
def test_all_gates_meet_the_same_theta_contexts_and_noise(stream, follower):
    seen = []
    for gate in GATES:
        seen.append([(now.theta.copy(), now.reply.phi, now.mu, now.y - now.mu, now.queried)
                     for now in rounds(stream, follower, gate, **SETTING)])
    for others in zip(*seen, strict=True):
        noise = np.full(others[0][3].shape, np.nan)
        for theta, phi, mu, eta, queried in others:
            np.testing.assert_array_equal(theta, others[0][0])
            np.testing.assert_array_equal(phi, others[0][1])
            np.testing.assert_array_equal(mu, others[0][2])
            known = queried & np.isfinite(noise).all(axis=1)
            np.testing.assert_allclose(eta[known], noise[known], atol=1e-14)
            noise[queried] = eta[queried]


def test_noise_has_the_stated_size_and_seeds_differ():
    eta = np.array([now.y - now.mu for now in rounds(Stationary(2, 4), BestResponse(), AllLabels(),
                                                     **{**SETTING, "T": 400, "B": 400, "sigma": 0.7})])
    np.testing.assert_allclose(eta.std(), 0.7, rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(eta.reshape(-1, 4).T), np.eye(4), atol=0.1)
    one, two = (play(Stationary(2, 4), BestResponse(), AllLabels(), **{**SETTING, "seed": s}) for s in (0, 1))
    assert not np.array_equal(one.latency, two.latency)
    assert len(np.unique(one.latency[:, 0])) == SETTING["seeds"]


def test_a_plain_one_replica_game_gives_the_same_play():
    """The game of section 1, one replica, one loop, direct solves: no code shared with the library's loop."""
    setting = {**SETTING, "seeds": 3}
    got = play(Stationary(3, 4), BestResponse(), LLF(0.6), **setting)
    nature = [(now.theta, now.reply.phi, now.mu, now.y) for now in
              rounds(Stationary(3, 4), BestResponse(), AllLabels(), **{**setting, "B": 60})]
    for i in range(3):
        V, b, spent = np.eye(3), np.zeros(3), 0
        for t, (theta, phi, mu, y) in enumerate(nature):
            estimate = np.linalg.solve(V, b)
            alpha = 0.2 * np.sqrt(2 * np.log(10) + np.linalg.slogdet(V)[1]) + 1
            score = phi[i] @ estimate
            apart = phi[i] - phi[i][score.argmax()]
            value = score - score.max() + alpha * np.sqrt((apart * np.linalg.solve(V, apart.T).T).sum(1))
            np.testing.assert_allclose(got.latency[i, t], value.max(), rtol=1e-8)
            missed = (phi[i] @ theta[i]).max() - mu[i, score.argmax()]
            np.testing.assert_allclose(got.regret[i, t], missed, atol=1e-9)
            buy = value.max() > 0.6 and spent < 20
            assert got.queried[i, t] == buy
            if buy:
                V, b, spent = V + phi[i].T @ phi[i], b + phi[i].T @ y[i], spent + 1


@pytest.mark.parametrize("stream", [Stationary(6, 4), Drifting(6, 4)])
@pytest.mark.parametrize("lam", [1.0, 0.05])
def test_lemmas_on_trajectories(stream, lam):
    n, T, B = 40, 200, 40
    radius = partial(alpha_log_det, sigma=0.2, delta=0.1, lam=lam)
    good, potential = np.ones(n, bool), np.zeros(n)
    regret, latency = np.zeros((n, T)), np.zeros((n, T))
    for now in rounds(stream, BestResponse(), LLF(0.5), T=T, B=B, seeds=n, seed=5, sigma=0.2, lam=lam,
                      alpha=radius):
        off = now.commitment.theta_hat - now.theta
        good &= np.einsum("ni,nij,nj->n", off, now.commitment.V, off) <= now.commitment.alpha**2
        potential += np.where(now.queried, np.log1p(now.reply.width**2 / 2), 0)
        # L3 before every round: the sum over the labels so far is below the growth of the determinant.
        grown = np.linalg.slogdet(now.commitment.V / lam)[1]
        np.testing.assert_allclose(now.commitment.log_det, grown, rtol=1e-9, atol=1e-9)
        last = np.where(now.queried, np.log1p(now.reply.width**2 / 2), 0)
        assert (potential - last <= grown + 1e-9).all()
        regret[:, now.t], latency[:, now.t] = now.regret, now.reply.latency
    assert (potential <= 6 * log_growth(B, d=6, K=4, lam=lam)).all()
    assert good.mean() >= 0.9
    # L2 and T3 where the ellipsoid held.
    assert (regret[good] <= latency[good] + 1e-12).all()
    assert (regret[good].cumsum(axis=1) <= latency[good].cumsum(axis=1) + 1e-9).all()
    assert regret.max() > 0.1


def test_a_round_that_is_kept_stays_as_it_was():
    kept = list(rounds(Stationary(3, 3), BestResponse(), RandomGate(), **SETTING))
    V = np.broadcast_to(np.eye(3), (5, 3, 3))
    for now in kept:
        np.testing.assert_allclose(now.commitment.V, V, atol=1e-9)
        V = V + np.where(now.queried[:, None, None], now.reply.phi.swapaxes(1, 2) @ now.reply.phi, 0)
    np.testing.assert_array_equal(kept[0].commitment.theta_hat, 0)


def test_result_adds_up():
    got = play(Stationary(4, 3), BestResponse(), RandomGate(), **SETTING)
    np.testing.assert_allclose(got.certificate, np.cumsum(got.latency, axis=1))
    np.testing.assert_allclose(got.regret_queried + got.regret_skipped, got.cumulative[:, -1])
    for i in range(5):
        np.testing.assert_allclose(got.regret_queried[i], sum(got.regret[i][got.queried[i]]))
    assert got.regret.shape == got.width.shape == got.queried.shape == (5, 60) and got.queried.dtype == bool
    np.testing.assert_array_equal(got.labels, 20)


def test_labels_help():
    setting = {**SETTING, "T": 200, "seeds": 40}
    few, many = (play(Stationary(4, 3), BestResponse(), AllLabels(), **{**setting, "B": B}) for B in (0, 200))
    assert many.cumulative[:, -1].mean() < 0.2 * few.cumulative[:, -1].mean()


@pytest.mark.parametrize("B", [0, 1])
@pytest.mark.parametrize("gate", GATES)
def test_smallest_game(gate, B):
    got = play(Stationary(1, 2), BestResponse(), gate, **{**SETTING, "T": 1, "B": B, "seeds": 1})
    assert got.regret.shape == (1, 1) and got.labels[0] <= B
    assert np.isfinite(got.certificate).all() and got.regret[0, 0] in (0, 2)


def test_progress_goes_to_stderr_and_changes_nothing(capsys):
    quiet = play(Stationary(2, 2), BestResponse(), LLF(0.5), **SETTING)
    loud = play(Stationary(2, 2), BestResponse(), LLF(0.5), **SETTING, progress=True)
    np.testing.assert_array_equal(quiet.certificate, loud.certificate)
    out = capsys.readouterr()
    assert out.out == "" and "round" in out.err


@pytest.mark.parametrize("change, words", [
    ({"T": 0}, "T=0"), ({"T": 2.5}, "T=2.5"), ({"B": -1}, "B=-1"), ({"B": 61}, "B=61"), ({"B": 3.0}, "B=3.0"),
    ({"B": True}, "B=True"), ({"seeds": 0}, "seeds=0"), ({"seed": -1}, "seed=-1"),
    ({"sigma": -0.1}, "sigma=-0.1"),
    ({"sigma": float("nan")}, "sigma=nan"), ({"lam": 0}, "lam=0"), ({"lam": "one"}, "lam='one'"),
    ({"alpha": 0}, "alpha=0"), ({"alpha": float("inf")}, "alpha=inf"), ({"alpha": lambda x: 1.0}, "alpha"),
    ({"alpha": lambda x: x - 1}, "alpha"),
])
def test_bad_settings_are_named_at_the_door(change, words):
    with pytest.raises(InputError, match=words) as caught:
        rounds(Stationary(2, 2), BestResponse(), NoLabels(), **{**SETTING, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("triple, words", [
    ((None, BestResponse(), NoLabels()), "stream=None"),
    ((Stationary(2, 2), BestResponse, NoLabels()), "follower="),
    ((Stationary(2, 2), BestResponse(), "llf"), "gate='llf'"),
])
def test_wrong_players_are_named(triple, words):
    with pytest.raises(InputError, match=words):
        rounds(*triple, **SETTING)


@pytest.mark.parametrize("answer", [True, np.ones(5), np.ones((5, 1), bool)])
def test_a_gate_must_answer_one_bool_per_replica(answer):
    gate = type("Odd", (), {"decide": lambda self, *seen: answer})()
    with pytest.raises(InputError, match="gate.decide"):
        play(Stationary(2, 2), BestResponse(), gate, **SETTING)
