"""Every step of every proof on more than 200 plays: equalities both ways, inequalities wherever they are claimed."""

import re
from functools import cache, partial

import chain_checks
import numpy as np
import pytest

from stackelberg_lib.errors import InputError
from stackelberg_lib.game import (
    LLF,
    AllLabels,
    BestResponse,
    ContextSelecting,
    Drifting,
    HardGaps,
    LowNoise,
    Margin,
    PowerLaw,
    RandomChallenger,
    RandomGate,
    Replaying,
    Reserve,
    Stationary,
)
from stackelberg_lib.theory import chains
from stackelberg_lib.theory.radii import alpha_adp, alpha_log_det
from stackelberg_lib.theory.trajectory import record

FOLLOWERS = {"best": BestResponse, "context": ContextSelecting, "replay": lambda: Replaying(3)}
GATES = ("level", "low level", "random", "first B", "all", "reserve", "half level")
LAMS = (1e-3, 0.1, 1.0, 10.0)
NUMBERS = range(len(chain_checks.all_chains()))
DELTA = 0.05


def gate_of(name, B, alpha, v):
    tau = chain_checks.level(B, alpha, **v)
    if name == "reserve":
        return Reserve(chain_checks.level(B // 2, alpha, **v), alpha=alpha, lam=v["lam"], L=v["L"], free=RandomGate())
    return {"level": LLF(tau), "low level": LLF(0.3 * tau), "half level": LLF(0.5 * tau), "random": RandomGate(),
            "first B": AllLabels(), "all": AllLabels()}[name]


def one(rng, follower, gate, lam):
    """A small play, its sizes drawn: a few replicas, 8 to 40 rounds, B even."""
    T, d, K = int(rng.integers(8, 41)), int(rng.integers(2, 7)), int(rng.integers(2, 6))
    least = 0.5 if gate == "reserve" else 0.1
    B, S, L = 2 * max(1, int(T * rng.uniform(least, 1) / 2)), rng.choice([0.5, 2.0]), rng.choice([1.0, 0.3])
    kind = rng.choice([Stationary, partial(Drifting, blocks=2), PowerLaw, partial(Margin, Delta=S * L / 4)])
    sigma, v = rng.choice([0.01, 0.3, 1.0]), dict(d=d, K=K, L=L, lam=lam)
    B = T if gate == "all" else B
    noise = dict(sigma=sigma, delta=DELTA, S=S, lam=lam)
    ceiling = alpha_adp(B, d=d, K=K, L=L, **noise)
    stream = kind(d, K, M=1 if follower == "best" else 3, S=S, L=L)
    return record(stream, FOLLOWERS[follower](), gate_of(gate, B, ceiling, v), T=T, B=B, seeds=4,
                  seed=int(rng.integers(1 << 30)), sigma=sigma, lam=lam, alpha=partial(alpha_log_det, **noise))


def with_margin(rng):
    """Little noise, little prior and many labels: the level is below the gap."""
    B, d, lam, S = int(rng.integers(40, 61)), 2, 1e-4, 1.0
    alpha = alpha_adp(B, d=d, K=3, sigma=0.003, delta=DELTA, S=S, lam=lam)
    stream = [Margin(d, 3, Delta=0.2), HardGaps(d, 3, 0.3)][rng.integers(2)]
    return record(stream, BestResponse(), LLF(chain_checks.level(B, alpha, d=d, K=3, lam=lam)), T=70, B=B, seeds=4,
                  seed=int(rng.integers(1 << 30)), sigma=0.003, lam=lam, alpha=alpha)


@cache
def plays():
    rng = np.random.default_rng(0)
    grid = [one(rng, follower, gate, lam) for follower in FOLLOWERS for gate in GATES for lam in LAMS for _ in range(4)]
    return grid + [with_margin(rng) for _ in range(24)] + list(chain_checks.tight_plays().values())


@cache
def evaluated(number):
    """(trajectory, evaluated steps, sides by hand) for every play that meets the chain's conditions."""
    chain, sides = chain_checks.all_chains()[number]
    found = []
    for p in plays():
        try:
            found.append((p, chain.evaluate(p), sides(p)))
        except InputError:
            continue
    return found


def test_the_grid_is_large_and_mostly_good():
    assert len(plays()) >= 350 and np.mean([p.good.mean() for p in plays()]) > 1 - DELTA
    assert {p.lam for p in plays() if p.lam < p.L**2} and {p.lam for p in plays() if p.lam > p.L**2}


@pytest.mark.parametrize("number", NUMBERS)
def test_no_step_is_broken(number):
    found = evaluated(number)
    assert len(found) >= 24, "too few plays meet the conditions"
    for p, steps, _ in found:
        for step in steps:
            assert not step.broken.any(), (step.step.name, p.lam, p.d, p.K, p.B)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_side_is_the_formula_of_the_text(number):
    for p, steps, by_hand in evaluated(number):
        assert len(by_hand) == len(steps) + 1
        reward = p.ceiling * p.L / p.lam**0.5  # what cancels in L2 is of this size
        for k, step in enumerate(steps):
            for got, wanted in ((step.left, by_hand[k]), (step.right, by_hand[k + 1])):
                np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-12, atol=1e-15 * reward)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_steps_multiply_to_the_bound(number):
    for _, steps, by_hand in evaluated(number):
        for before, after in zip(steps, steps[1:], strict=False):
            np.testing.assert_array_equal(before.right, after.left)
        if by_hand[0].sum() > 0 and all(step.left.sum() > 0 for step in steps):
            total = np.sum(np.broadcast_to(by_hand[-1], by_hand[0].shape)) / by_hand[0].sum()
            np.testing.assert_allclose(np.prod([step.factor for step in steps]), total, rtol=1e-12)


def test_the_reserve_serves_thresholds_and_free_labels():
    found = [p for p, _, _ in evaluated(7)]
    assert any(p.threshold.any() for p in found) and any((p.queried & ~p.threshold).any() for p in found)


def test_t2_counts_fewer_than_B():
    strict = [p for p, _, _ in evaluated(3)]
    assert all((p.threshold.sum(axis=1) < p.B).all() for p in strict)
    assert max((p.labels / p.B).max() for p in strict) > 0.9  # the growing lengths: little room below B


# T2 (iv)'s last step with probability 1 - delta is no inequality between paths: it doubles the mean to pay for the
# luck of one path, and no stream makes it tight on average. Its constant is tested on exact tails in test_bounds.
LOOSE = {("T2 (iv)", "the law of the gaps")}


def test_every_step_is_nearly_tight_somewhere():
    least = {}
    for number in NUMBERS:
        chain = chain_checks.all_chains()[number][0]
        for p, steps, _ in evaluated(number):
            for step in steps:
                busy = step.left > 0.1 * step.right.max() if step.right.max() > 0 else np.zeros_like(step.left, bool)
                if busy.any() and p.good.all():
                    key = (chain.name, step.step.name)
                    least[key] = min(least.get(key, 1.0), step.slack[busy].min())
    wanted = {(c.name, s.name) for c, _ in chain_checks.all_chains() for s in c.steps} - LOOSE
    assert {key: round(least.get(key, 1.0), 3) for key in wanted if least.get(key, 1.0) > 0.1} == {}


def test_t2_and_t4_are_within_three_percent_of_a_play():
    tight = chain_checks.tight_plays()
    for chain, name in ((chains.T2_REGRET, "none of 20"), (chains.T4, "none of 20, reserve"), (chains.T1, "once")):
        steps = chain.evaluate(tight[name])
        assert (steps[0].left / steps[-1].right > 0.97).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_chains_can_be_typeset(number):
    chain, _ = chain_checks.all_chains()[number]
    text = chain.latex()
    assert text.count(r"\begin") == text.count(r"\end") == 1 and text.count("{") == text.count("}")
    assert text.count(r"\left(") == text.count(r"\right)")
    known = ("alpha begin beta Big cdot d delta Delta det ell end frac geq hat in lambda Lambda langle le left log "
             "mathcal mathrm notin phi rangle right sqrt sum tau text tfrac theta top kappa").split()
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= set(known)
    assert len(text.splitlines()) == len(chain.steps) + 2
    assert not any(set(r"_^$\\") & set(words) for words in re.findall(r"\\text{([^}]*)}", text))
    assert all(step.latex in text.replace("&", "").replace("\n", "") for step in chain.steps[:1])


def losing(**change):
    settings = dict(T=40, B=10, seeds=30, seed=3, sigma=0.5, lam=0.01, alpha=0.05)
    return record(Stationary(3, 3), change.pop("follower", BestResponse()), change.pop("gate", RandomGate()),
                  **{**settings, **change})


def test_off_the_good_event_the_steps_that_need_it_do_fail():
    p = losing()
    assert not p.good.any()
    steps = chains.L2.evaluate(p)
    fails = {s.step.name for s in steps if (s.left > s.right + 1e-9).any()}
    assert fails == {"the estimate is close"} and not any(s.broken.any() for s in steps)
    total = chains.T3.evaluate(p)[0]
    assert (total.left[:, -1] > total.right[:, -1]).any()


def test_a_follower_that_does_not_maximise_is_found_out():
    p = losing(follower=RandomChallenger(), alpha=3.0)
    assert {s.step.name for s in chains.L2.evaluate(p) if s.broken.any()} == {"the challenger is the best response"}


@pytest.mark.parametrize(("chain", "word", "change"), [
    (chains.T1, "T1 needs none", {}),
    (chains.T2_COUNT, r"T2 \(i\) counts", dict(gate=LLF(0.1), alpha=1.0)),
    (chains.T2_REGRET, r"T2 \(ii\) needs all", dict(gate=LLF(1e-6), alpha=1.0)),
    (chains.T2_REGRET, r"T2 \(ii\) pays", dict(gate=LLF(500.0), alpha=1.0)),
    (chains.T2_MARGIN, r"T2 \(iii\) needs Delta", dict(gate=LLF(500.0), alpha=1.0)),
    (chains.T4, "T4 counts", dict(gate=LLF(0.1), alpha=1.0)),
    (chains.T4, "B=9 is odd", dict(gate=LLF(0.1), B=9)),
], ids=lambda v: getattr(v, "name", None) or (v if isinstance(v, str) else ""))
def test_conditions_are_named(chain, word, change):
    with pytest.raises(InputError, match=word):
        chain.evaluate(losing(**change))


@pytest.mark.parametrize("M", [1, 3])
def test_leakage_under_the_law_of_small_gaps(M):
    """T2 (iv), both forms, where the level is below Delta_0, so that they say something."""
    B, d, T, n, lam, S, sure = 200, 2, 400, 300, 1e-4, 1.0, 0.2
    alpha = alpha_adp(B, d=d, K=3, sigma=0.003, delta=DELTA, S=S, lam=lam)
    tau = chain_checks.level(B, alpha, d=d, K=3, lam=lam)
    stream = LowNoise(d, 3, M=M, kappa=0.8, Delta_0=0.4)
    p = record(stream, BestResponse() if M == 1 else ContextSelecting(), LLF(tau), T=T, B=B, seeds=n, seed=1,
               sigma=0.003, lam=lam, alpha=alpha)
    assert tau < 0.1 and M * (tau / 0.4) ** 0.8 < 1
    *_, count = chains.t2_low_noise(0.8, 0.4, M=M).evaluate(p)
    error = count.left.std() / np.sqrt(n)
    assert count.left.mean() <= count.right[0] + 3 * error
    if M == 1:  # the stream's law holds with equality
        np.testing.assert_allclose(count.left.mean(), count.right[0], atol=4 * error)
    steps = chains.t2_low_noise(0.8, 0.4, delta=sure, M=M).evaluate(p)
    assert (steps[-1].left <= steps[-1].right).mean() >= 1 - sure
    assert (steps[0].left[p.good] <= steps[-1].right[p.good]).mean() >= 1 - sure
