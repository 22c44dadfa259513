import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackelberg_lib.game import BestResponse, Commitment, RandomChallenger, first_argmax, reply, stakes


def scene(seed, n=3, M=2, K=4, d=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, d, d))
    V = root @ root.swapaxes(1, 2) + np.eye(d)
    commitment = Commitment(rng.normal(size=(n, d)), V, np.linalg.inv(V), np.zeros(n), rng.uniform(0.1, 3, n))
    return commitment, rng.normal(size=(n, M, K, d)), rng


def brute(commitment, menu, i):
    """One replica, one candidate after the other, norms by a direct solve."""
    phi = menu[i, 0]
    score = [float(commitment.theta_hat[i] @ p) for p in phi]
    a = max(range(len(phi)), key=lambda k: score[k])
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
