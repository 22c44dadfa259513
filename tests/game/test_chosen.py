"""Bandit feedback: a label shows the leader's answer only."""

import tracemalloc

import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    BBQ,
    AllLabels,
    BestResponse,
    ContextSelecting,
    DisjointArms,
    RandomGate,
    Stationary,
    WidthLLF,
    play,
    rounds,
)
from stackelberg_lib.theory.radii import alpha_log_det

SETTING = dict(T=80, B=80, seeds=3, seed=7, sigma=0.1, lam=0.5, alpha=0.4, feedback="chosen")
ARMS = dict(SETTING, answer="optimistic")


def first_largest(x):
    """Lowest index among those that agree to 1e-9: a tie rule that does not see rounding."""
    return int(np.flatnonzero(x >= x.max() - 1e-9)[0])


@pytest.mark.parametrize("answer", ["greedy", "optimistic"])
def test_shared_parameter_equals_a_plain_loop(answer):
    """One replica after the other, direct solves; the label comes through the noise of a play that sees all."""
    kept = list(rounds(Stationary(3, 4), BestResponse(), AllLabels(), **SETTING, answer=answer))
    noise = [now.y - now.mu for now in
             rounds(Stationary(3, 4), BestResponse(), AllLabels(), **{**SETTING, "feedback": "all"})]
    for i in range(3):
        V, b = 0.5 * np.eye(3), np.zeros(3)
        for now, eta in zip(kept, noise, strict=True):
            phi = now.reply.phi[i]
            score = phi @ np.linalg.solve(V, b)
            width = np.sqrt((phi * np.linalg.solve(V, phi.T).T).sum(axis=1))
            a = first_largest(score + 0.4 * width * (answer == "optimistic"))
            assert now.reply.leader[i] == a
            y = phi[a] @ now.theta[i] + eta[i, a]
            np.testing.assert_allclose(now.y[i], np.where(np.arange(4) == a, y, np.nan), atol=1e-12)
            np.testing.assert_allclose(now.commitment.V[i], V, atol=1e-9)
            if answer == "optimistic":
                np.testing.assert_allclose(now.reply.width[i], 2 * width[a], rtol=1e-8)
                np.testing.assert_allclose(now.reply.latency[i], 0.8 * width[a], rtol=1e-8)
            V, b = V + np.outer(phi[a], phi[a]), b + phi[a] * y


def linucb(kept, K, d, lam, alpha):
    """LinUCB on disjoint arms, one replica, a direct solve per arm and round: the actions."""
    V, b, actions = np.tile(lam * np.eye(d), (K, 1, 1)), np.zeros((K, d)), []
    for x, y in kept:
        solved = np.linalg.solve(V, np.stack([b, np.tile(x, (K, 1))], axis=-1))
        a = first_largest(solved[:, :, 0] @ x + alpha * np.sqrt(solved[:, :, 1] @ x))
        V[a], b[a] = V[a] + np.outer(x, x), b[a] + y[a] * x
        actions.append(a)
    return np.array(actions)


@pytest.mark.parametrize("dtype, agree", [(np.float64, 1.0), (np.float32, 0.99)])
def test_two_thousand_rounds_act_as_direct_solves_do(dtype, agree):
    setting = dict(ARMS, T=2000, B=2000, seeds=2, dtype=dtype)
    eta = 0.1 * np.random.default_rng(np.random.SeedSequence(7).spawn(4)[1]).standard_normal((2000, 2, 5))
    kept = [(now.reply.phi[:, 0], now.reply.leader, now.y, now.mu + eta[now.t])
            for now in rounds(DisjointArms(6, 5, S=2.0), None, AllLabels(), **setting)]
    for i in range(2):
        actions = np.array([a[i] for _, a, _, _ in kept])
        plain = linucb([(x[i].astype(float), y[i]) for x, _, _, y in kept], 5, 6, 0.5, 0.4)
        assert (actions == plain).mean() >= agree
        assert set(actions) == set(range(5)) and actions[0] == 0
        for a, (_, _, shown, y) in zip(actions, kept, strict=True):
            np.testing.assert_array_equal(shown[i], np.where(np.arange(5) == a, y[i], np.nan))


def test_arms_are_the_game_of_blocks():
    """The same contexts written out as x (x) e_a, a d K theta: equal plays."""

    class Blocks(DisjointArms):
        disjoint = False
        d = 12

        def theta(self, rng, n):
            return small.theta(rng, n).reshape(n, 12)

        def menu(self, rng, t, T, n):
            x = small.menu(rng, t, T, n)[:, :, 0]
            return np.einsum("ka,nmd->nmkad", np.eye(3), x).reshape(n, -1, 3, 12)

    small = DisjointArms(4, 3)
    setting = dict(ARMS, gate=RandomGate(), B=40, follower=None,
                   alpha=lambda grown: alpha_log_det(grown, sigma=0.1, delta=0.1, lam=0.5))
    arms, blocks = play(small, **setting), play(Blocks(12, 3), **setting)
    np.testing.assert_array_equal(arms.queried, blocks.queried)
    for name in ("regret", "latency", "width", "certificate"):
        np.testing.assert_allclose(getattr(arms, name), getattr(blocks, name), atol=1e-9)


@pytest.mark.parametrize("stream, follower", [(DisjointArms(4, 3), None), (Stationary(4, 3), None),
                                              (Stationary(4, 3, M=3), ContextSelecting())])
def test_an_optimists_latency_bounds_its_regret(stream, follower):
    setting = dict(ARMS, T=200, B=100, seeds=40, lam=1.0,
                   alpha=lambda grown: alpha_log_det(grown, sigma=0.1, delta=0.05))
    got = play(stream, follower, RandomGate(), **setting)
    assert (got.regret <= got.latency + 1e-12).all(axis=1).mean() >= 0.95
    assert got.regret.max() > 0.1 and (got.labels == 100).all()


def test_the_follower_chooses_the_context_of_an_optimist():
    class Last:
        def respond(self, commitment, menu, rng):
            self.menu, n = menu, len(menu)
            return BestResponse().respond(commitment, menu, rng)._replace(served=np.full(n, 4))

    follower = Last()
    for now in rounds(Stationary(4, 3, M=5), follower, AllLabels(), **ARMS):
        np.testing.assert_array_equal(now.reply.served, 4)
        np.testing.assert_array_equal(now.reply.phi, follower.menu[:, 4])
        np.testing.assert_array_equal(now.reply.challenger, now.reply.leader)


def test_bandit_feedback_learns_less_than_full_feedback():
    setting = dict(SETTING, T=300, B=300, seeds=40, lam=1.0)
    full, bandit = (play(Stationary(6, 5), BestResponse(), AllLabels(), **{**setting, "feedback": f}).cumulative[:, -1]
                    for f in ("all", "chosen"))
    assert full.mean() < 0.8 * bandit.mean()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dtype_reaches_the_estimate(dtype):
    for stream, follower in ((Stationary(3, 3), BestResponse()), (DisjointArms(3, 3), None)):
        setting = dict(ARMS, T=9, B=9, dtype=dtype, lam=np.float64(0.5))
        now = list(rounds(stream, follower, AllLabels(), **setting))[-1]
        assert now.commitment.V_inv.dtype == now.commitment.theta_hat.dtype == now.reply.phi.dtype == dtype


@pytest.mark.parametrize("feedback", ["all", "chosen"])
def test_the_working_set_does_not_grow_with_the_horizon(feedback):
    stream, follower, change = Stationary(4, 3), BestResponse(), {"answer": "greedy"}
    if feedback == "chosen":
        stream, follower, change = DisjointArms(8, 4), None, {"answer": "optimistic"}
    setting = {**SETTING, **change, "T": 8000, "B": 8000, "feedback": feedback}
    source = rounds(stream, follower, AllLabels(), **setting)
    tracemalloc.start()
    try:
        peaks = []
        for now in source:
            if now.t % 2000 == 1999:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert len(peaks) == 4 and max(peaks[1:]) <= peaks[0] + 4096


@pytest.mark.parametrize("change, words", [
    ({"feedback": "some"}, "feedback='some'.*'all' or 'chosen'"), ({"answer": None}, "answer=None.*'greedy' or"),
    ({"dtype": int}, "dtype=.*float64 or float32"), ({"answer": "greedy"}, "answer='greedy'.*disjoint arms"),
    ({"feedback": "all"}, "feedback='all'.*disjoint arms"), ({"follower": BestResponse()}, "follower=.*disjoint arms"),
    ({"gate": WidthLLF(1.0, 1.0)}, "gate=WidthLLF reads the features"),
    ({"gate": BBQ(0.5, 80)}, "gate=BBQ reads the features"),
    ({"stream": Stationary(2, 2), "answer": "greedy"}, "follower=None has no method respond"),
])
def test_what_does_not_go_together_is_named(change, words):
    with pytest.raises(InputError, match=words) as caught:
        rounds(**{**ARMS, "stream": DisjointArms(2, 2), "follower": None, "gate": AllLabels(), **change})
    assert "\n" not in str(caught.value)
