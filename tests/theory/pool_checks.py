"""Every side of the pool's chains worked out anew from the raw numbers, and all checks that a broken constant faces."""

from itertools import combinations

import numpy as np
from pool_cases import NONE, grid, loud, plain, tight

from stackelberg_lib.errors import InputError
from stackelberg_lib.theory import pool_chains, pools, stop_chains


def regrets(s):
    """r_j, best answer, answer and theta - theta_hat of every replica, in loops."""
    for labels in s.labels:
        error = s.theta - s.inv(s.picks) @ sum((np.outer(s.h[i], y) for i, y in zip(s.picks, labels, strict=True)),
                                              np.zeros_like(s.theta))
        reward = s.h @ s.theta
        answer, best = (s.h @ (s.theta - error)).argmax(1), reward.argmax(1)
        n = np.arange(len(s.h))
        yield np.maximum(reward[n, best] - reward[n, answer], 0), best, answer, error


def margins(s):
    reward = s.h @ s.theta
    gaps = reward.max(1, keepdims=True) - reward
    return np.where(gaps > 1e-9, gaps, np.inf).min(1)


def sides_regret(s):
    A, P, rows = s.picks, s.p.sum(), []
    for r, best, answer, error in regrets(s):
        apart, score = (error[:, best] - error[:, answer]).T, s.h @ (s.theta - error)
        n = np.arange(len(s.h))
        seen = np.array([e @ x for e, x in zip(apart, s.h, strict=True)])
        gap = score[n, answer] - score[n, best]
        norm = np.sqrt([e @ np.linalg.inv(s.inv(A)) @ e for e in apart])
        rows.append([s.p @ r, s.p @ (seen - gap), s.p @ seen, s.p @ (norm * np.sqrt(s.lev(A)))])
    ends = [2**0.5 * s.alpha(A) * s.p @ np.sqrt(s.lev(A)), s.alpha(A) * (2 * P * s.p @ s.lev(A)) ** 0.5,
            s.alpha(A) * (2 * P * s.phi(A)) ** 0.5]
    return [*np.array(rows).T, *ends]


def sides_gaps(s):
    gaps, A = np.where(np.isfinite(margins(s)), margins(s), 0), s.picks
    rows = [[s.p @ (gaps * r), s.p @ r**2] for r, *_ in regrets(s)]
    return [*np.array(rows).T, 2 * s.alpha(A) ** 2 * s.p @ s.lev(A), 2 * s.alpha(A) ** 2 * s.phi(A)]


def sides_drop(s):
    A = s.picks
    return [s.gains(A)[None], s.gains(A)[None], (s.mass(A) / (1 + s.lev(A)))[None]]


def fresh(s):
    return [i for i in s.rival if i not in s.picks]


def sides_ratio(s):
    A, R = s.picks, fresh(s)
    drop, mass, gain = s.phi(A) - s.phi((*A, *R)), s.mass(A), s.gains(A)
    most = len(R) * max(gain[s.out(A)])
    return [drop, drop, sum(mass[R]), sum(mass[R]), sum(gain[R]) / s.gamma(A), most / s.gamma(A), most / s.ratio]


def prefixes(s, value):
    return np.array([[value(s.picks[:t]) for t in range(len(s.picks))]])


def sides_greedy_step(s):
    b = len(s.rival)
    phi = [s.phi(s.picks[:t]) for t in range(len(s.picks) + 1)]
    return [prefixes(s, lambda A: s.phi(A) - s.phi(s.rival)),
            prefixes(s, lambda A: s.phi(A) - s.phi((*A, *[i for i in s.rival if i not in A]))),
            prefixes(s, lambda A: b / s.gamma(A) * max(s.gains(A)[s.out(A)])),
            b * -np.diff(phi)[None] / prefixes(s, s.gamma)]


def sides_greedy(s):
    B, b = len(s.picks), len(s.rival)
    best, left = s.phi(NONE) - s.phi(s.rival), 1.0
    for t in range(B):
        left *= 1 - s.gamma(s.picks[:t]) / b
    return [(1 - np.exp(-B / b * s.ratio)) * best, (1 - (1 - s.ratio / b) ** B) * best, (1 - left) * best,
            s.phi(NONE) - s.phi(s.picks)]


def sides_cover(s):
    K, A, lam = s.h @ s.h.T, list(s.picks), s.lam
    first = s.F(A) ** 2 / ((1 + lam) * s.p.sum())
    alone = [max([0.0, *(K[i, j] ** 2 / (K[i, i] + lam) for i in A)]) for j in range(len(K))]
    fall = s.p @ (s.var(NONE) - s.var(A))
    return [first, s.p @ [max([0.0, *K[A, j] ** 2]) for j in range(len(K))] / (1 + lam), s.p @ alone, fall,
            lam * (s.phi(NONE) - s.phi(A))]


def cover_bound(s, F, alpha):
    return alpha * np.sqrt(2 / s.lam * (s.p.sum() ** 2 - F**2 / (1 + s.lam)))


def sides_cover_regret(s):
    A, P = s.picks, s.p.sum()
    return [np.array([s.p @ r for r, *_ in regrets(s)]), s.alpha(A) * (2 * P * s.phi(A)) ** 0.5,
            s.alpha(A) * (2 * P / s.lam * s.p @ s.var(A)) ** 0.5, cover_bound(s, s.F(A), s.alpha(A))]


def sides_cover_step(s):
    b = len(s.rival)
    F = [s.F(s.picks[:t]) for t in range(len(s.picks) + 1)]
    return [prefixes(s, lambda A: s.F(s.rival) - s.F(A)), prefixes(s, lambda A: s.F((*A, *s.rival)) - s.F(A)),
            prefixes(s, lambda A: sum(s.rises(A)[list(s.rival)])), prefixes(s, lambda A: b * max(s.rises(A))),
            b * np.diff(F)[None]]


def sides_cover_greedy(s):
    B, b = len(s.picks), len(s.rival)
    return [(1 - np.exp(-B / b)) * s.F(s.rival), (1 - (1 - 1 / b) ** B) * s.F(s.rival), s.F(s.picks)]


def largest(s, values):
    return sum(sorted(values[i] for i in s.out(s.picks))[::-1][:len(fresh(s))])


def sides_stop(s):
    A, R = s.picks, fresh(s)
    b, phi, mass = len(R), s.phi(A), s.mass(A)

    def U(value, rows=A):
        return s.alpha(rows) * np.sqrt(2 * s.p.sum() * max(value, 0))

    joined, M = s.phi((*A, *R)), largest(s, mass)
    return [(U(phi) - U(joined, (*A, *R))) / b, (U(phi) - U(joined)) / b, (U(phi) - U(phi - sum(mass[R]))) / b,
            (U(phi) - U(phi - M)) / b, U(phi) * M / phi / b, U(phi) / phi * max(mass[s.out(A)]),
            2 / s.gamma(A) * (U(phi) - U(phi - max(s.gains(A)[s.out(A)])))]


def sides_stop_gaps(s):
    A, R, b = s.picks, fresh(s), len(fresh(s))
    W, all_of_it = 2 * s.alpha(A) ** 2, (*A, *R)
    return [(W * s.phi(A) - 2 * s.alpha(all_of_it) ** 2 * s.phi(all_of_it)) / b, W * (s.phi(A) - s.phi(all_of_it)) / b,
            W * sum(s.mass(A)[R]) / b, W * max(s.mass(A)[s.out(A)]), W * max(s.gains(A)[s.out(A)]) / s.gamma(A)]


def sides_stop_cover(s):
    A, R, F, P = s.picks, fresh(s), s.F(s.picks), s.p.sum()
    b, rises, all_of_it = len(R), s.rises(s.picks), (*A, *R)

    def C(value, rows=A):
        return cover_bound(s, min(value, P), s.alpha(rows))

    E, slope = largest(s, rises), (C(F) - C(P)) / (P - F)
    return [(C(F) - C(s.F(all_of_it), all_of_it)) / b, (C(F) - C(s.F(all_of_it))) / b,
            (C(F) - C(F + sum(rises[R]))) / b, (C(F) - C(F + E)) / b, slope * E / b, slope * max(rises[s.out(A)])]


def all_chains():
    """(chain, all its sides by hand); built when called, so that a changed module shows."""
    c, t = pool_chains, stop_chains
    return [(c.REGRET, sides_regret), (c.GAPS, sides_gaps), (c.DROP, sides_drop), (c.RATIO, sides_ratio),
            (c.GREEDY_STEP, sides_greedy_step), (c.GREEDY, sides_greedy), (c.COVER, sides_cover),
            (c.COVER_REGRET, sides_cover_regret), (c.COVER_STEP, sides_cover_step),
            (c.COVER_GREEDY, sides_cover_greedy), (t.STOP, sides_stop),
            (t.STOP_GAPS, sides_stop_gaps), (t.STOP_COVER, sides_stop_cover)]


def agree(got, wanted, size):
    """Two computations of a side, which inverts matrices of condition 1 / lam."""
    np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-7, atol=1e-10 * size)


def few():
    """A handful of pools on which every chain can be evaluated, with all sides by hand where its conditions hold."""
    raw = [*grid(1)[::13], *tight().values()]
    return [(s, [sides(s) if meets(chain, s.play()) else None for chain, sides in all_chains()]) for s in raw]


def meets(chain, play):
    try:
        chain.needs(play)
    except InputError:
        return False
    return True


def check(pairs):
    """All sides of all chains on the pools of `few`, and the conditions at their edge."""
    met = np.zeros(len(all_chains()))
    for s, by_hand in pairs:
        play = s.play()
        for number, (chain, _) in enumerate(all_chains()):
            assert meets(chain, play) == (by_hand[number] is not None), chain.name
            if by_hand[number] is not None:
                met[number] += 1
                size = max(np.abs(side).max() for side in by_hand[number])
                for k, step in enumerate(chain.evaluate(play)):
                    agree(step.left, by_hand[number][k], size)
                    agree(step.right, by_hand[number][k + 1], size)
                    assert not step.broken.any()
    assert (met >= 3).all()
    check_edges()
    check_good(loud())


def check_good(s):
    far = []
    for *_, error in regrets(s):
        pairs = [error[:, c] - error[:, d] for c, d in combinations(range(error.shape[1]), 2)]
        far.append(max(np.sqrt(e @ np.linalg.inv(s.inv(s.picks)) @ e) for e in pairs) / (2**0.5 * s.alpha(s.picks)))
    far = np.array(far)
    assert (far < 1).sum() > 20 and (far > 1).sum() > 20 and far.max() < 4 and far.min() > 0.1
    np.testing.assert_array_equal(s.play().good, far <= 1)


def check_edges():
    """A kernel just above 1, a pool all covered, picks just not greedy, one class: refused; just inside: not."""
    c, stops, copies = pool_chains, stop_chains, [[1.0]] * 3
    asked = [(c.COVER, plain([[1.001]], 1.0, (0,), ()), True), (c.COVER, plain([[0.999]], 1.0, (0,), ()), False),
             (stops.STOP_COVER, plain(copies, 1.0, (0,), (1,)), True),
             (stops.STOP_COVER, plain([[1.0], [0.999]], 1.0, (1,), (0,)), False),
             (c.GREEDY, plain([[1.0], [1.001]], 1.0, (0,), (1,)), True),
             (c.GREEDY, plain([[1.0], [1.001]], 1.0, (1,), (1,)), False),
             (c.GREEDY, plain(copies, 1.0, (0, 0), (1,)), True), (c.GREEDY, plain(copies, 1.0, (0,), (1,)), False),
             (c.RATIO, plain(copies, 1.0, (0,), (0,)), True), (c.RATIO, plain(copies, 1.0, (0,), (0, 1)), False)]
    for chain, s, refused in asked:
        assert meets(chain, s.play()) != refused, (chain.name, s.h, s.picks)
    one_class, two = plain(copies, 1.0, (), ()), plain(copies, 1.0, (), ())
    one_class = one_class._replace(theta=one_class.theta[:, :1], labels=one_class.labels[:, :, :1])
    below = pools.root(np.diag([1.0, 0.0]))
    np.testing.assert_allclose(below @ below.T, np.diag([1.0, 0.0]))
    for make, refused in ((one_class.play, True), (two.play, False), (lambda: pools.root(np.diag([1.0, -1e-6])), True)):
        try:
            make()
            raised = False
        except InputError:
            raised = True
        assert raised == refused
