import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import LLF, AllLabels, BestResponse, NoLabels, RandomGate, Stationary, play

SETTING = dict(T=40, seeds=2000, seed=3, sigma=0.1, lam=1.0, alpha=1.0)


def run(gate, B, **change):
    return play(Stationary(2, 2), BestResponse(), gate, B=B, **{**SETTING, **change})


def test_llf_buys_above_the_level_and_not_at_it():
    asked = LLF(0.5).decide(np.array([0.4, 0.5, 0.6]), None, np.array([1, 1, 1]), 10, None)
    np.testing.assert_array_equal(asked, [False, False, True])


def test_llf_by_hand_from_its_own_latencies():
    got = run(LLF(0.6), 5, seeds=50)
    for latency, queried in zip(got.latency, got.queried, strict=True):
        spent = 0
        for l, q in zip(latency, queried, strict=True):
            assert q == (l > 0.6 and spent < 5)
            spent += q
    assert got.labels.max() == 5 and got.labels.min() >= 1


def test_random_gate_spends_all_and_prefers_no_round():
    got = run(RandomGate(), 10)
    np.testing.assert_array_equal(got.labels, 10)
    np.testing.assert_allclose(got.queried.mean(axis=0), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 2000))


def test_all_labels_are_the_first_B():
    got = run(AllLabels(), 7, seeds=4)
    np.testing.assert_array_equal(got.queried, np.broadcast_to(np.arange(40) < 7, (4, 40)))


def test_no_labels_learn_nothing():
    got = run(NoLabels(), 40, seeds=4)
    np.testing.assert_array_equal(got.labels, 0)
    np.testing.assert_array_equal(got.regret_queried, 0)


@pytest.mark.parametrize("tau", [-0.1, float("nan"), float("inf"), "high", None])
def test_bad_level_is_named(tau):
    with pytest.raises(InputError, match="tau="):
        LLF(tau)
