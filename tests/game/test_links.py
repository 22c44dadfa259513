import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.links import Link, cost, induced, llf, nash, optimum, pigou

SHARES = np.linspace(0, 1, 41)
EVERY = settings(max_examples=150, deadline=None)


def some_links(affine=False):
    """Two to five links, the last of them constant or not, so that every instance can take any flow."""
    sizes = st.floats(0.05, 5)
    rising = st.builds(Link, st.floats(0, 3), sizes, st.just(1.0) if affine else st.floats(0.3, 12))
    constant = st.builds(Link, st.floats(0.1, 4))
    return st.lists(st.one_of(rising, rising, constant), min_size=2, max_size=5).map(tuple)


def random_links(rng, m=4):
    """m - 1 rising links and a constant one."""
    rising = [Link(rng.uniform(0, 2), rng.uniform(0.2, 2), rng.choice([1, 2, 4])) for _ in range(m - 1)]
    return (*rising, Link(rng.uniform(1, 4)))


def by_hand(link, x):
    """a + b x^p with b = capacity^-p."""
    return link.free + (0 if np.isinf(link.capacity) else link.capacity**-link.power) * x**link.power


def ratio(links, beta):
    return cost(links, induced(links, llf(links, beta))) / cost(links, optimum(links))


def assert_wardrop(links, added, already):
    """Links with added flow share the least latency of all."""
    latency = np.array([by_hand(link, x) for link, x in zip(links, added + already, strict=True)])
    np.testing.assert_allclose(latency[added > 1e-9], latency.min(), rtol=1e-9, atol=1e-9)


# --- closed forms

@pytest.mark.parametrize("beta", SHARES)
def test_pigou_exactly(beta):
    onto_slow = min(beta, 0.5)  # the optimum is a half on each; the leader never routes more than that
    links = pigou()
    np.testing.assert_allclose(optimum(links), [0.5, 0.5], rtol=1e-12)
    total = induced(links, llf(links, beta))
    np.testing.assert_allclose(total, [onto_slow, 1 - onto_slow], atol=1e-12)
    np.testing.assert_allclose(cost(links, total), onto_slow + (1 - onto_slow) ** 2, rtol=1e-12)
    np.testing.assert_allclose(llf(links, beta), [onto_slow, beta - onto_slow], atol=1e-12)


@pytest.mark.parametrize("power", [0.5, 1, 3, 8, 40, 300])
@pytest.mark.parametrize("beta", [0.03, 0.1, 0.3, 0.6, 0.95])
def test_the_hard_network_of_each_share(beta, power):
    """No leader gets below cost 1, and the optimum is 1 - (1 - beta) p / (p + 1)^(1 + 1/p)."""
    links = pigou(power, 1 - beta)
    best = 1 - (1 - beta) * power / (power + 1) ** (1 + 1 / power)
    np.testing.assert_allclose(cost(links, optimum(links)), best, rtol=1e-12)
    np.testing.assert_allclose(ratio(links, beta), 1 / best, rtol=1e-11)
    for onto_slow in np.linspace(0, beta, 6):  # not only LLF: every way to split the leader's flow
        costs = cost(links, induced(links, np.array([onto_slow, beta - onto_slow])))
        assert costs >= 1 - 1e-11


@pytest.mark.parametrize("beta", [0.05, 0.2, 0.5, 0.9])
def test_both_factors_of_the_theorem_are_reached(beta):
    np.testing.assert_allclose(ratio(pigou(1, 1 - beta), beta), 4 / (3 + beta), rtol=1e-12)
    gaps = [1 / beta - ratio(pigou(power, 1 - beta), beta) for power in (10, 100, 1000, 10_000)]
    assert np.all(np.diff(gaps) < 0) and 0 < gaps[-1] < 0.03 / beta


def test_without_a_leader_steep_latencies_cost_without_limit():
    nobody = [cost(pigou(p), nash(pigou(p))) / cost(pigou(p), optimum(pigou(p))) for p in (1, 10, 100, 1000)]
    np.testing.assert_allclose(nobody, [1 / (1 - p / (p + 1) ** (1 + 1 / p)) for p in (1, 10, 100, 1000)], rtol=1e-9)
    assert nobody[-1] > 100


# --- against a solver that knows nothing of levels

def solved(links, objective, flow):
    """Flows (m,) that minimise sum_i objective(link, x_i), by a general solver from the even split."""
    m = len(links)
    whole = LinearConstraint(np.ones(m), flow, flow)
    answer = minimize(lambda x: sum(objective(link, max(v, 0)) for link, v in zip(links, x, strict=True)),
                      np.full(m, flow / m), bounds=[(0, flow)] * m, constraints=whole, method="SLSQP",
                      options={"ftol": 1e-14, "maxiter": 500})
    assert answer.success
    return answer.x


@pytest.mark.parametrize("flow", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_optimum_is_a_solvers(seed, flow):
    links = random_links(np.random.default_rng(seed))
    other = solved(links, lambda link, x: x * by_hand(link, x), flow)
    best = optimum(links, flow)
    np.testing.assert_allclose(best, other, atol=2e-4)
    by_solver = sum(x * by_hand(link, x) for link, x in zip(links, other, strict=True))
    np.testing.assert_allclose(cost(links, best), by_solver, rtol=1e-7)
    assert cost(links, best) <= by_solver + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_equilibrium_minimises_beckmanns_integral(seed):
    """The equilibrium of added flow minimises the sum of integrals of the latencies (Beckmann et al. 1956)."""
    rng = np.random.default_rng(seed)
    links, already = random_links(rng), rng.uniform(0, 0.5, 4)
    shift = {id(link): x for link, x in zip(links, already, strict=True)}

    def integral(link, x):
        b = 0 if np.isinf(link.capacity) else link.capacity**-link.power
        return link.free * x + b / (link.power + 1) * (x + shift[id(link)]) ** (link.power + 1)

    np.testing.assert_allclose(nash(links, 1.0, already), solved(links, integral, 1.0), atol=2e-4)


def test_optimum_beats_a_grid():
    links = (Link(0.2, 0.7, 3), Link(0.5, 1.2, 1), Link(0.9))
    grid = min(cost(links, np.array([a, b, 60 - a - b]) / 60) for a in range(61) for b in range(61 - a))
    np.testing.assert_allclose(cost(links, optimum(links)), grid, rtol=1e-3)
    assert cost(links, optimum(links)) <= grid


# --- properties

@EVERY
@given(some_links(), st.floats(0.05, 3), st.data())
def test_used_links_share_the_least_latency(links, flow, data):
    already = np.array(data.draw(st.lists(st.floats(0, 2), min_size=len(links), max_size=len(links))))
    added = nash(links, flow, already)
    np.testing.assert_allclose(added.sum(), flow, rtol=1e-9)
    assert (added >= 0).all()
    assert_wardrop(links, added, already)


@EVERY
@given(some_links(), st.floats(0.02, 1))
def test_llf_costs_at_most_one_over_beta(links, beta):
    assert 1 - 1e-9 <= ratio(links, beta) <= (1 + 1e-9) / beta


@EVERY
@given(some_links(affine=True), st.floats(0, 1))
def test_llf_on_affine_links_costs_at_most_four_over_three_plus_beta(links, beta):
    assert 1 - 1e-9 <= ratio(links, beta) <= (1 + 1e-9) * 4 / (3 + beta)


@EVERY
@given(some_links(), st.floats(0, 1), st.floats(0.1, 3))
def test_the_leader_fills_slow_links_first_and_no_more_than_the_optimum(links, beta, flow):
    best, leader = optimum(links, flow), llf(links, beta, flow)
    np.testing.assert_allclose(leader.sum(), beta * flow, rtol=1e-9, atol=1e-12)
    assert (leader <= best + 1e-12).all()
    latency = np.array([by_hand(link, x) for link, x in zip(links, best, strict=True)])
    open_links = latency[leader < best - 1e-9]  # links left below their optimal flow are no slower than those used
    if open_links.size and (leader > 1e-9).any():
        assert open_links.max() <= latency[leader > 1e-9].min() * (1 + 1e-9) + 1e-9


@EVERY
@given(some_links())
def test_no_share_is_selfish_and_the_whole_flow_is_optimal(links):
    np.testing.assert_array_equal(induced(links, llf(links, 0.0)), nash(links))
    np.testing.assert_allclose(induced(links, llf(links, 1.0)), optimum(links), rtol=1e-9, atol=1e-9)


# --- single cases

def test_a_constant_link_takes_what_remains():
    links = (Link(2.0), Link(free=1.0, capacity=0.5))  # the rising link reaches latency 2 at flow 0.5
    np.testing.assert_allclose(nash(links, 3.0), [2.5, 0.5], rtol=1e-12)
    np.testing.assert_allclose(nash(links, 3.0, np.array([1.0, 0.2])), [2.7, 0.3], rtol=1e-12)
    np.testing.assert_allclose(nash(links, 0.4), [0, 0.4], rtol=1e-12)
    np.testing.assert_allclose(nash((Link(1.0), Link(1.0), Link(2.0)), 3.0), [1.5, 1.5, 0], rtol=1e-12)
    np.testing.assert_allclose(nash((Link(), Link(1.0)), 3.0), [3, 0], rtol=1e-12)


def test_followers_leave_a_crowded_link_alone():
    links = (Link(capacity=1.0), Link(capacity=1.0))
    np.testing.assert_allclose(induced(links, np.array([0.8, 0.0])), [0.8, 0.2], rtol=1e-12)
    np.testing.assert_allclose(induced(links, np.array([0.3, 0.0])), [0.5, 0.5], rtol=1e-12)


def test_what_counts_is_the_latency_at_the_optimum_not_of_the_empty_link():
    links, best = (Link(0.3, 1.0, 1), Link(0.5, 1.0, 9)), np.array([0.85, 0.15 ** (1 / 9)])  # both marginal costs are 2
    np.testing.assert_allclose(optimum(links, best.sum()), best, rtol=1e-12)
    np.testing.assert_allclose(llf(links, 0.2, best.sum()), [0.2 * best.sum(), 0], rtol=1e-12)  # 1.15 against 0.65
    np.testing.assert_allclose(llf(links, 0.6, best.sum()), [0.85, 0.6 * best.sum() - 0.85], rtol=1e-12)


def test_steep_links_neither_overflow_nor_stall():
    np.testing.assert_allclose(nash((Link(capacity=1, power=1000),), 0.4), [0.4], rtol=1e-12)
    np.testing.assert_allclose(nash((Link(1, 1, 100), Link(1, 1, 100)), 1.0), [0.5, 0.5], rtol=1e-9)
    np.testing.assert_allclose(nash((Link(capacity=1e-3, power=500), Link(1.0))), [1e-3, 0.999], rtol=1e-9)
    np.testing.assert_allclose(nash((Link(capacity=1e-300, power=0.001), Link(100.0))), [1, 0], rtol=1e-9)
    assert Link(capacity=1.0, power=0.001).inverse(10.0) == np.inf
    assert Link(capacity=0.1, power=1000).latency(1.0) == np.inf


@pytest.mark.parametrize("power", [0.5, 1, 2, 7])
def test_marginal_cost_is_the_derivative(power):
    link, step = Link(0.3, 1.7, power), 1e-6
    for x in (0.4, 1.0, 2.5):
        slope = ((x + step) * by_hand(link, x + step) - (x - step) * by_hand(link, x - step)) / (2 * step)
        np.testing.assert_allclose(link.marginal().latency(x), slope, rtol=1e-6)
        np.testing.assert_allclose(link.inverse(by_hand(link, x)), x, rtol=1e-12)
        np.testing.assert_allclose(link.latency(np.array([x, 0.0])), [by_hand(link, x), 0.3], rtol=1e-12)
    assert link.inverse(0.1) == 0


@pytest.mark.parametrize(("call", "named"), [
    (lambda: Link(free=-1.0), "free=-1.0"),
    (lambda: Link(capacity=0.0), "capacity=0.0"),
    (lambda: Link(capacity=float("nan")), "capacity=nan"),
    (lambda: Link(power=0.0), "power=0.0"),
    (lambda: nash(()), "links is empty"),
    (lambda: nash(pigou(), -0.1), "flow=-0.1"),
    (lambda: nash(pigou(), 1.0, np.zeros(3)), r"already has shape \(3,\)"),
    (lambda: nash(pigou(), 1.0, np.array([-0.5, 0])), r"already=\[-0.5, 0.0\]"),
    (lambda: nash((Link(capacity=0.1, power=1000),)), "overflow"),
    (lambda: llf(pigou(), 1.01), "beta=1.01"),
    (lambda: llf(pigou(), -0.01), "beta=-0.01"),
    (lambda: induced(pigou(), np.array([0.7, 0.4])), "routes more"),
    (lambda: induced(pigou(), np.array([np.nan, 0.4])), "leader="),
    (lambda: cost(pigou(), np.ones(1)), "x has shape"),
])
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()
