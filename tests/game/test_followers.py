import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    LLF,
    BestResponse,
    Commitment,
    ContextSelecting,
    RandomChallenger,
    Replaying,
    Stationary,
    first_argmax,
    play,
    reply,
    rounds,
    stakes,
)
from stackelberg_lib.theory.radii import alpha_log_det


def scene(seed, n=3, M=2, K=4, d=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, d, d))
    V = root @ root.swapaxes(1, 2) + np.eye(d)
    commitment = Commitment(rng.normal(size=(n, d)), V, np.linalg.inv(V), np.zeros(n), rng.uniform(0.1, 3, n))
    return commitment, rng.normal(size=(n, M, K, d)), rng


def brute(commitment, menu, i, m=0, past=None):
    """One replica, one candidate after the other, norms by a direct solve; `past`: who answered, if not now."""
    phi = menu[i, m]
    score = [float(commitment.theta_hat[i] @ p) for p in phi]
    said = score if past is None else [float(past[i] @ p) for p in phi]
    a = max(range(len(phi)), key=lambda k: said[k])
    worth = []
    for p, s in zip(phi, score, strict=True):
        apart = p - phi[a]
        width = np.sqrt(apart @ np.linalg.solve(commitment.V[i], apart))
        worth.append((-(score[a] - s) + commitment.alpha[i] * width, width))
    z = max(range(len(phi)), key=lambda k: worth[k][0])
    return a, z, *worth[z]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), K=st.integers(2, 6), d=st.integers(1, 5))
def test_best_response_is_the_brute_force_maximum(seed, K, d):
    commitment, menu, rng = scene(seed, K=K, d=d)
    got = BestResponse().respond(commitment, menu, rng)
    for i in range(len(menu)):
        a, z, latency, width = brute(commitment, menu, i)
        assert (got.leader[i], got.challenger[i]) == (a, z)
        np.testing.assert_allclose([got.latency[i], got.width[i]], [latency, width], rtol=1e-9)
        np.testing.assert_array_equal(got.phi[i], menu[i, 0])
    assert (got.served == 0).all() and (got.latency >= 0).all()


def test_a_tiny_radius_leaves_only_the_leaders_answer():
    commitment, menu, rng = scene(5)
    got = BestResponse().respond(commitment._replace(alpha=np.full(3, 1e-9)), menu, rng)
    np.testing.assert_array_equal(got.challenger, got.leader)
    np.testing.assert_array_equal(got.latency, 0)


def test_random_challenger_never_beats_the_best_one():
    commitment, menu, rng = scene(6, n=400)
    best, drawn = (f.respond(commitment, menu, rng) for f in (BestResponse(), RandomChallenger()))
    np.testing.assert_array_equal(best.leader, drawn.leader)
    assert (drawn.latency <= best.latency).all() and (drawn.latency >= 0).all()
    assert (drawn.latency < best.latency - 1e-9).mean() > 0.3


def test_random_challenger_is_uniform():
    commitment, menu, rng = scene(9, n=4000)
    drawn = RandomChallenger().respond(commitment._replace(alpha=np.full(4000, 1e6)), menu, rng)
    np.testing.assert_allclose(np.bincount(drawn.challenger, minlength=4) / 4000, 0.25, atol=0.04)


def test_reply_takes_the_served_context_and_replaces_a_losing_challenger():
    commitment, menu, _ = scene(7)
    commitment = commitment._replace(alpha=np.full(3, 1e-9))
    s, served = stakes(commitment, menu), np.array([1, 0, 1])
    got = reply(menu, s, served, (s.leader[np.arange(3), served] + 1) % 4)
    np.testing.assert_array_equal(got.phi, menu[np.arange(3), served])
    np.testing.assert_array_equal(got.challenger, s.leader[np.arange(3), served])
    np.testing.assert_array_equal([got.latency, got.width], np.zeros((2, 3)))


@pytest.mark.parametrize("x, index", [([0, 0, 0], 0), ([1, 1 + 1e-14, 1], 0), ([1, 1 + 1e-6, 1], 1),
                                      ([-2, -1, -1], 1), ([-1e9, -1e9 - 1e-3, 0], 2)])
def test_ties_go_to_the_lowest_index(x, index):
    assert first_argmax(np.array(x, float)) == index


def test_equal_candidates_tie_by_index_despite_rounding():
    # Two copies of one candidate, reached by different arithmetic, must not be told apart.
    commitment, menu, rng = scene(8, M=1)
    menu[:, 0, 2] = menu[:, 0, 1] * (1 + 1e-15)
    got = BestResponse().respond(commitment, menu, rng)
    assert not np.isin(2, np.r_[got.leader, got.challenger])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), M=st.integers(1, 5), K=st.integers(2, 4))
def test_context_selecting_is_the_brute_force_over_the_pool(seed, M, K):
    commitment, menu, rng = scene(seed, M=M, K=K)
    got = ContextSelecting().respond(commitment, menu, rng)
    for i in range(len(menu)):
        pool = [brute(commitment, menu, i, m) for m in range(M)]
        m = max(range(M), key=lambda m: pool[m][2])
        assert (got.served[i], got.leader[i], got.challenger[i]) == (m, *pool[m][:2])
        np.testing.assert_allclose([got.latency[i], got.width[i]], pool[m][2:], rtol=1e-9)
        np.testing.assert_array_equal(got.phi[i], menu[i, m])


def test_context_selecting_finds_no_less_than_nature_and_more_in_a_larger_pool():
    commitment, menu, rng = scene(10, n=400, M=6)
    nature = BestResponse().respond(commitment, menu, rng).latency
    few, many = (ContextSelecting().respond(commitment, menu[:, :M], rng).latency for M in (2, 6))
    assert (few >= nature * (1 - 1e-9)).all() and (many >= few * (1 - 1e-9)).all()
    np.testing.assert_array_less([0.3, 0.3], [(few > nature + 1e-9).mean(), (many > few + 1e-9).mean()])


@pytest.mark.parametrize("follower", [ContextSelecting(), Replaying(0)])
def test_equal_contexts_go_to_the_lowest_index(follower):
    commitment, menu, rng = scene(11, M=4)
    menu[:, 2] = menu[:, 1] * (1 + 1e-15)
    menu[:, [0, 3]] = menu[:, [0, 3], :1]  # equal candidates: nothing to win
    np.testing.assert_array_equal(follower.respond(commitment, menu, rng).served, 1)
    same = np.repeat(menu[:, :1], 4, axis=1)
    np.testing.assert_array_equal(follower.respond(commitment, same, rng).served, 0)


def informed(seed):
    commitment, menu, rng = scene(seed, n=6, M=5)
    return commitment._replace(log_det=np.ones(6)), menu, rng


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_replaying_is_the_brute_force_with_the_recorded_estimate(lag):
    follower, recorded, moved = Replaying(lag), [], 0
    for seed in range(20, 27):
        commitment, menu, rng = informed(seed)
        recorded.append(commitment.theta_hat)
        past = recorded[max(len(recorded) - 1 - lag, 0)]
        got = follower.respond(commitment, menu, rng)
        for i in range(6):
            m = max(range(5), key=lambda m: brute(commitment, menu, i, m, past)[2])
            assert (got.served[i], got.leader[i], got.challenger[i]) == (m, *brute(commitment, menu, i, m)[:2])
            np.testing.assert_allclose([got.latency[i], got.width[i]], brute(commitment, menu, i, m)[2:], rtol=1e-9)
        moved += (got.served != ContextSelecting().respond(commitment, menu, rng).served).sum()
    assert (moved == 0) == (lag == 0)


SETTING = dict(T=60, B=20, seeds=8, seed=4, sigma=0.3, lam=1.0,
               alpha=lambda log_det: alpha_log_det(log_det, sigma=0.3, delta=0.1))


def test_replaying_with_lag_0_is_context_selecting_for_a_whole_play():
    one, two = (play(Stationary(4, 3, M=5), f, LLF(1.0), **SETTING) for f in (Replaying(0), ContextSelecting()))
    np.testing.assert_array_equal(one.latency, two.latency)
    np.testing.assert_array_equal(one.regret, two.regret)


def test_replaying_starts_afresh_with_a_new_play():
    used = Replaying(10)
    first, again, fewer = (play(Stationary(4, 3, M=5), used, LLF(0.5), **{**SETTING, "seeds": n}) for n in (8, 8, 3))
    np.testing.assert_array_equal(first.latency, again.latency)
    fresh = play(Stationary(4, 3, M=5), Replaying(10), LLF(0.5), **{**SETTING, "seeds": 3})
    np.testing.assert_array_equal(fewer.latency, fresh.latency)


def test_replaying_keeps_lag_plus_one_estimates():
    follower = Replaying(2)
    for seed in range(9):
        follower.respond(*informed(seed))
    assert len(follower._estimates) == 3 and repr(follower) == "Replaying(lag=2)"


@pytest.mark.parametrize("lag", [-1, 1.5, True, None])
def test_bad_lag_is_named(lag):
    with pytest.raises(InputError, match="lag="):
        Replaying(lag)


@pytest.mark.parametrize("follower", [ContextSelecting(), Replaying(7)])
def test_latency_dominates_regret_when_the_follower_chooses_the_context(follower):
    n = 40
    good, suffered = np.ones(n, bool), np.zeros(n)
    for now in rounds(Stationary(5, 4, M=6), follower, LLF(0.8), **{**SETTING, "seeds": n, "T": 150, "B": 40}):
        off = now.commitment.theta_hat - now.theta
        good &= np.einsum("ni,nij,nj->n", off, now.commitment.V, off) <= now.commitment.alpha**2
        assert (now.regret <= now.reply.latency + 1e-9)[good].all()
        suffered += now.regret
    assert good.mean() >= 0.9 and suffered.min() > 0.1


@pytest.mark.parametrize("dtype, below, apart", [(np.float64, 1e-13, 1e-6), (np.float32, 3e-7, 1e-4)])
def test_ties_are_decided_by_index_in_either_precision(dtype, below, apart):
    assert first_argmax(np.array([0.2, 1 - below, 1.0], dtype)) == 1
    assert first_argmax(np.array([0.2, 1 - apart, 1.0], dtype)) == 2
