"""Every step of every proof about pools: on a grid, against formulas worked out anew, nearly tight somewhere."""

import re
from functools import cache

import matplotlib
import numpy as np
import pool_checks
import pytest
from pool_cases import NONE, best_set, grid, loud, plain, tight

from stackelberg_lib.errors import InputError
from stackelberg_lib.plots.chains import waterfall
from stackelberg_lib.pool import propose
from stackelberg_lib.pool.kernel import RIDGE, KernelMass, multiscale
from stackelberg_lib.pool.latency import MassLatency
from stackelberg_lib.theory import pool_chains as c
from stackelberg_lib.theory.pools import root

matplotlib.use("Agg")
NUMBERS = range(len(pool_checks.all_chains()))
EQUALITIES = 2  # the chain of one label


@cache
def settings():
    raw = grid() + list(tight().values())
    return [(s, s.play()) for s in raw]


@cache
def evaluated(number):
    """(pool, evaluated steps, sides by hand) for every pool that meets the chain's conditions."""
    chain, sides = pool_checks.all_chains()[number]
    found = []
    for s, play in settings():
        try:
            found.append((play, chain.evaluate(play), sides(s)))
        except InputError:
            continue
    return found


def test_the_grid_is_large_and_mostly_good():
    assert len(settings()) >= 290 and 0.95 < np.mean([p.good.mean() for _, p in settings()])
    assert {s.lam for s, _ in settings()} >= {1e-3, 0.1, 1.0, 10.0}


@pytest.mark.parametrize("number", NUMBERS)
def test_no_step_is_broken(number):
    found = evaluated(number)
    assert len(found) >= 60, "too few pools meet the conditions"
    for p, steps, _ in found:
        for step in steps:
            assert not step.broken.any(), (step.step.name, p.lam, p.picks, p.rival, step.left, step.right)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_side_is_the_formula_of_the_text(number):
    for _, steps, by_hand in evaluated(number):
        assert len(by_hand) == len(steps) + 1
        size = max(np.abs(side).max() for side in by_hand)
        for k, step in enumerate(steps):
            for got, wanted in ((step.left, by_hand[k]), (step.right, by_hand[k + 1])):
                pool_checks.agree(got, wanted, size)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_steps_multiply_to_the_bound(number):
    for _, steps, _ in evaluated(number):
        for before, after in zip(steps, steps[1:], strict=False):
            np.testing.assert_array_equal(before.right, after.left)
        start, end = (side.sum() / len(side) for side in (steps[0].left, steps[-1].right))
        if all(step.left.sum() > 0 for step in steps):  # also where one side has replicas and the other is the same
            np.testing.assert_allclose(np.prod([step.factor for step in steps]), end / start, rtol=1e-9)


def test_every_step_is_nearly_tight_somewhere():
    least = {}
    for number in NUMBERS:
        chain = pool_checks.all_chains()[number][0]
        for p, steps, _ in evaluated(number):
            for step in steps:
                key = (chain.name, step.step.name)
                busy = step.left > 0.1 * step.right.max() if step.right.max() > 0 else np.zeros(1, bool)
                if busy.any() and p.good.all():
                    least[key] = min(least.get(key, 1.0), step.slack[busy].min())
    wanted = {(chain.name, step.name) for chain, _ in pool_checks.all_chains() for step in chain.steps}
    assert {key: round(least.get(key, 1.0), 3) for key in wanted if least.get(key, 1.0) > 0.1} == {}


@pytest.mark.parametrize("number", NUMBERS)
def test_chains_can_be_typeset_and_drawn(number):
    import matplotlib.pyplot as plt

    chain, _ = pool_checks.all_chains()[number]
    text = chain.latex()
    assert text.count(r"\begin") == text.count(r"\end") == 1 and text.count("{") == text.count("}")
    assert text.count(r"\left(") == text.count(r"\right)")
    known = ("alpha begin cup Delta emptyset end exp frac gamma in lambda langle le left mathrm max min notin Phi prod "
             "rangle right sqrt sum text top").split()
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= set(known)
    assert len(text.splitlines()) == len(chain.steps) + 2
    assert not any(set(r"_^$\\") & set(words) for words in re.findall(r"\\text{([^}]*)}", text))
    assert (r" \le " in chain.statement) == any(step.relation == "<=" for step in chain.steps)
    for _, steps, _ in evaluated(number):
        if number != EQUALITIES and steps[-1].right.sum() < 1.01 * steps[0].left.sum():
            continue  # nothing to be seen
        try:
            figure = waterfall(steps, chain.name, "caption")
        except InputError:
            continue
        figure.canvas.draw()
        plt.close(figure)
        return
    pytest.fail("no pool has positive sides throughout")


def test_off_the_good_event_only_the_steps_that_need_it_fail():
    play = loud().play()
    bad = ~play.good
    assert 0.1 < bad.mean() < 0.9
    small = play._replace(sigma=0.0, S=1e-3, good=np.zeros_like(bad))  # a radius that nothing respects
    for chain, name in ((c.REGRET, "the estimate is close"), (c.GAPS, "width dominates regret")):
        steps = chain.evaluate(small)
        assert {s.step.name for s in steps if (s.left > s.right * (1 + 1e-9) + 1e-12).any()} == {name}
        assert not any(s.broken.any() for s in steps) and any(s.broken.any() for s in chain.evaluate(
            small._replace(good=~small.good)))


def test_regret_holds_for_weights_that_know_the_regrets():
    for _, play in settings()[::3]:
        for regret, good in zip(play.regret, play.good, strict=True):
            if good and regret.any():
                one = play._replace(regret=regret[None], p=regret, good=np.array([True]))
                last = c.REGRET.evaluate(one)[-1].right[0]
                assert regret @ regret <= last * (1 + 1e-9)


def test_gaps_turned_into_weights_bound_the_plain_sum():
    seen = 0
    for _, play in settings():
        finite = np.isfinite(play.margin)
        if finite.any() and play.good.all():
            one = play._replace(p=np.where(finite, 1 / play.margin, 0.0))
            bound = 2 * one.radius(one.picks) ** 2 * one.potential(one.picks)
            np.testing.assert_allclose(c.GAPS.evaluate(one)[0].left, play.regret.sum(axis=1), rtol=1e-12, atol=1e-12)
            assert (play.regret.sum(axis=1) <= bound * (1 + 1e-9)).all()
            seen += 1
    assert seen > 250


def test_the_fall_of_the_potential_is_not_submodular():
    """Rows (1, 1/2) and (1, -1/2), all weight on (0, 1), lam = 1: the second label brings 2/9 after 1/9."""
    play = plain([[1, 0.5], [1, -0.5], [0, 1]], 1.0, (), (), p=[0, 0, 1]).play()
    first = play.fall([0])
    second = play.fall([0, 1]) - first
    np.testing.assert_allclose([first, play.fall([1]), second], [1 / 9, 1 / 9, 2 / 9], rtol=1e-12)
    crowd = plain([[1, 0.5], [1, -0.5], *[[0, 1]] * 40], 1.0, (), ()).play()  # all weights 1, forty prompts ahead
    assert crowd.fall([0, 1]) - crowd.fall([0]) > 1.2 * crowd.fall([1])


def test_the_ratio_cannot_be_better():
    play = tight()["two that see apart what none sees alone"].play()
    gains = play.gain(NONE)
    assert 0.97 < play.ratio([]) * play.fall([0, 1]) / (gains[0] + gains[1]) <= 1 and play.ratio([]) < 0.01


def test_coverage_rises_are_submodular():
    rng = np.random.default_rng(0)
    for s, play in settings()[::5]:
        order = rng.permutation(len(s.h))
        A, B, i = order[:1], order[:3], order[3]
        assert play.covered([*A, i]) - play.covered(A) >= play.covered([*B, i]) - play.covered(B) - 1e-12
        np.testing.assert_allclose(play.covers(B)[i], play.covered([*B, i]) - play.covered(B), rtol=1e-9, atol=1e-12)


def test_coverage_speaks_of_the_posterior_variance_and_of_kernels_up_to_1():
    """Of Phi itself, lam times smaller, it is wrong for lam > 1; and of a kernel above 1 it is wrong."""
    play = plain([[1.0]], 10.0, (0,), ()).play()
    certified = c.COVER.evaluate(play)[0].left[0]
    np.testing.assert_allclose([certified, 10 * play.fall([0])], 1 / 11, rtol=1e-12)
    assert play.fall([0]) < certified
    large = plain([[2.0]], 1.0, (0,), ()).play()
    assert large.covered([0]) ** 2 / 2 > large.lam * large.fall([0])
    with pytest.raises(InputError, match="k\\(x, x\\) = 4"):
        c.COVER.evaluate(large)


def test_the_library_computes_the_same_numbers():
    for s, play in settings()[:288:7]:
        state, picks = MassLatency(s.h, s.p, s.lam, np.array(s.picks, dtype=int)), s.picks
        np.testing.assert_allclose(state.potential, play.potential(picks), rtol=1e-7)
        np.testing.assert_allclose(state.gain, play.gain(picks), rtol=1e-6, atol=1e-9 * state.gain.max())
        np.testing.assert_allclose(state.leverage, play.leverage(picks), rtol=1e-6)
        kernel = KernelMass(s.h, s.p, s.lam, lambda a, b: a @ b.T, np.array(s.picks, dtype=int))
        np.testing.assert_allclose(kernel.potential, s.lam * play.potential(picks), rtol=1e-7)
        np.testing.assert_allclose(kernel.variance, play.variance(picks), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_the_default_rule_keeps_its_promises(seed):
    """`propose` with coverage: its picks are greedy for F of the kernel of many scales, and the chains hold on them."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(10, 2)) * rng.choice([0.5, 1.0, 3.0])
    picks = propose(h, 3, rng=rng, strategy="coverage")
    x = root(multiscale(*[h / np.sqrt((h**2).sum(1).mean())] * 2))
    s = plain(x, RIDGE, tuple(picks.tolist()), NONE)
    s = s._replace(rival=best_set(s, s.F, 3, range(10)))
    for chain in (c.COVER, c.COVER_STEP, c.COVER_GREEDY, c.COVER_REGRET):
        assert not any(step.broken.any() for step in chain.evaluate(s.play()))
    assert (1 - 1 / np.e) * s.F(s.rival) <= s.F(s.picks) <= s.F(s.rival) * (1 + 1e-12)


def test_conditions_are_asked_for_at_their_edge():
    pool_checks.check_edges()


def test_bad_pools_are_refused():
    s = plain([[1.0], [0.5]], 1.0, (0,), (1,))
    for word, change in (("lam=0", dict(lam=0.0)), ("do not fit", dict(p=np.ones(3))), ("do not fit", dict(
            labels=s.labels[:, :0])), ("p goes from -1", dict(p=np.array([-1.0, 1]))), ("p goes", dict(p=np.zeros(2)))):
        with pytest.raises(InputError, match=word):
            s._replace(**change).play()
