"""The tiny game: its value against a search through all policies, its learner against the library's."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import BestResponse, Ridge, tiny
from stackelberg_lib.game.followers import Commitment

POOL = (0.3, 0.9)
LABELS = (None, 1, -1)  # what both players may have seen in a round; None where no label was bought


def value(T, B, policy, pool=POOL):
    return tiny.solve(pool, T, B, policy)[tiny.start(pool, T, B)].value


def options(policy):
    return policy(tiny.start(POOL, 1, 0))


def loss(first, answers, B, context, replies):
    """Expected regret of two rounds from the definition: no state and no posterior, sums over theta and labels.

    answers: (context, label of round 1) -> the leader's answer in round 2; replies: label -> context in round 2.
    """
    total = 0.0
    for theta in (1, -1):
        q = first.gate[context] if B else 0.0
        chances = (1 - q, *(q * (1 + theta * y * POOL[context]) / 2 for y in (1, -1)))
        total += POOL[context] * (first.answer != theta)
        for y, chance in zip(LABELS, chances, strict=True):
            total += chance * POOL[replies[y]] * (answers[context, y] != theta)
    return total


def by_search(commitments, B):
    """min over the leader's policies of max over the follower's: two rounds, every policy of both written out."""
    seen = list(product(range(len(POOL)), LABELS))
    plans = [dict(zip(seen, plan, strict=True)) for plan in product((1, -1), repeat=len(seen))]
    replies = [(c, dict(zip(LABELS, r, strict=True))) for c in (0, 1) for r in product((0, 1), repeat=3)]
    return min(max(loss(first, plan, B, *reply) for reply in replies) for first in commitments for plan in plans)


@pytest.mark.parametrize("B", [0, 1])
@pytest.mark.parametrize("policy", [
    tiny.everything(2), tiny.everything(2, (0.0, 0.5, 1.0), blind=True), tiny.everything(2, (0.5,)),
], ids=["sees", "blind, with coins", "always a coin"])
def test_value_is_that_of_a_search_through_all_policies(policy, B):
    assert_allclose(value(2, B, policy), by_search(options(policy), B), rtol=1e-12)


def test_values_by_hand():
    assert_allclose(value(1, 0, tiny.everything(2)), 0.9)
    assert_allclose(value(5, 0, tiny.everything(2)), 5 * 0.9)
    assert_allclose(value(2, 1, tiny.everything(2)), 0.9 + 1.8 * 0.05)
    # The follower would rather serve the small stake first if a coin decides whether the large one is learned.
    assert_allclose(value(2, 1, tiny.everything(2, (0.5,))), max(0.9 + (0.9 + 0.09) / 2, 0.3 + (0.9 + 1.8 * 0.35) / 2))


@pytest.mark.parametrize("B", [0, 1, 3, 5])
@pytest.mark.parametrize("policy", [tiny.everything(2), tiny.everything(2, (0.0, 0.3, 1.0), blind=True),
                                    tiny.ridge(POOL, tau=0.5)], ids=["sees", "blind, with coins", "ridge"])
def test_no_other_reply_costs_the_leader_more(policy, B):
    moves, rng = tiny.solve(POOL, 5, B, policy), np.random.default_rng(B)
    best = moves[tiny.start(POOL, 5, B)].value
    assert_allclose(tiny.expected_regret(POOL, 5, B, moves), best, rtol=1e-12)
    for _ in range(20):
        other = tiny.solve(POOL, 5, B, lambda state: [moves[state].commitment] if state in moves else policy(state))
        other = {state: move._replace(served=int(rng.integers(2))) for state, move in other.items()}
        assert tiny.expected_regret(POOL, 5, B, other) <= best + 1e-12


@pytest.mark.parametrize("B", [1, 3])
def test_no_other_leader_does_better_against_its_best_reply(B):
    rng, anything = np.random.default_rng(B), tiny.everything(2, (0.0, 0.25, 1.0))
    best, choices = value(4, B, anything), options(anything)
    others = []
    for _ in range(50):
        chosen = {}
        others.append(value(4, B, lambda state, chosen=chosen: [
            chosen.setdefault(state, choices[rng.integers(len(choices))])]))
    assert min(others) >= best - 1e-12
    assert min(others) < 3 * best


def test_commitments_are_all_there():
    sees, blind = options(tiny.everything(2, (0.0, 0.5, 1.0))), options(tiny.everything(2, (0.0, 0.5, 1.0), blind=True))
    assert len(set(sees)) == len(sees) == 2 * 3**2
    assert sorted(blind) == [(answer, (q, q)) for answer in (-1, 1) for q in (0.0, 0.5, 1.0)]


def test_posterior_is_bayes():
    seen = ((2, 1), (0, 3))
    plus = (0.65**2 * 0.35) * 0.05**3
    minus = (0.35**2 * 0.65) * 0.95**3
    assert_allclose(tiny.probability_plus(POOL, seen), plus / (plus + minus), rtol=1e-12)
    assert_allclose(tiny.probability_plus(POOL, ((4, 4), (1, 1))), 0.5)


def test_a_label_enters_once():
    state = tiny.start(POOL, 3, 2)
    after = tiny.with_label(tiny.with_label(state, 1, -1), 0, 1)
    assert after == tiny.State(1, 0, ((1, 0), (0, 1)))
    assert tiny.without_label(state) == tiny.State(2, 2, ((0, 0), (0, 0)))


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_learner_is_the_library_s(tau):
    """Both candidates' rewards, x and -x, are one number here and two rows there: twice lam, and alpha times sqrt 2."""
    policy, rng, asked = tiny.ridge(POOL, lam=0.7, alpha=1.3, tau=tau), np.random.default_rng(0), set()
    for _ in range(40):
        seen = tuple(tuple(int(k) for k in pair) for pair in rng.integers(0, 4, (2, 2)))
        ridge = Ridge(1, 1, 2 * 0.7)
        for x, (plus, minus) in zip(POOL, seen, strict=True):
            for y in (1,) * plus + (-1,) * minus:
                ridge.update(np.array([True]), np.array([[[x], [-x]]]), np.array([[y, -y]], float))
        theta_hat = np.round(ridge.theta_hat, 12) + 0.0  # a sum of zeros is 0 in any order
        known = Commitment(theta_hat, ridge.V, ridge.V_inv, ridge.log_det, np.array([1.3 * np.sqrt(2)]))
        replies = [BestResponse().respond(known, np.array([[[[x], [-x]]]]), rng) for x in POOL]
        (answer, gate), = policy(tiny.State(1, 1, seen))
        assert [answer] * 2 == [1 - 2 * int(reply.leader[0]) for reply in replies]
        assert gate == tuple(float(reply.latency[0] > tau) for reply in replies)
        asked.add(gate)
    assert len(asked) > 1


def test_ties_go_to_the_first_candidate():
    (answer, _), = tiny.ridge(POOL)(tiny.State(1, 1, ((3, 0), (0, 1))))
    assert 3 * 0.3 - 0.9 < 0 and answer == 1


def test_without_a_level_the_learner_always_asks():
    (_, gate), = tiny.ridge(POOL)(tiny.State(1, 1, ((9, 0), (9, 0))))
    assert gate == (1.0, 1.0)


@pytest.mark.parametrize(("pool", "T", "B", "message"), [
    ((0.3, 1.0), 1, 1, "pool=1.0"), ((0.0,), 1, 1, "pool=0.0"), (POOL, 0, 0, "T=0"), (POOL, 1, -1, "B=-1"),
])
def test_bad_input_is_named(pool, T, B, message):
    with pytest.raises(InputError, match=message):
        tiny.solve(pool, T, B, tiny.everything(len(pool)))
