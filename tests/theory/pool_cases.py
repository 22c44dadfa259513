"""Small pools of all kinds for the tests of the pool's chains, and the formulas of THEORY 6 on their raw numbers.

Nothing here calls `pools`' methods: inverses, potentials and coverage are written out a second time, set by set.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from stackelberg_lib.theory import pools

LAMS = (1e-3, 0.1, 1.0, 10.0)
NONE = ()


class Raw(NamedTuple):
    """The arguments of `answered`, and the formulas of THEORY 6 on them."""

    h: np.ndarray
    p: np.ndarray
    picks: tuple
    rival: tuple
    theta: np.ndarray
    labels: np.ndarray
    lam: float
    sigma: float
    delta: float
    S: float

    def play(self):
        return pools.answered(self.h, self.p, self.picks, self.theta, self.labels, rival=self.rival, lam=self.lam,
                        sigma=self.sigma, delta=self.delta, S=self.S)

    def inv(self, rows):
        return np.linalg.inv(self.lam * np.eye(self.h.shape[1]) + sum(np.outer(self.h[i], self.h[i]) for i in rows))

    def phi(self, rows):
        G_inv = self.inv(rows)
        return sum(q * x @ G_inv @ x for q, x in zip(self.p, self.h, strict=True))

    def lev(self, rows):
        G_inv = self.inv(rows)
        return np.array([x @ G_inv @ x for x in self.h])

    def mass(self, rows):
        cross = self.h @ self.inv(rows) @ self.h.T
        return cross**2 @ self.p

    def gains(self, rows):
        """By differences of potentials, not by the formula."""
        return np.array([self.phi(rows) - self.phi((*rows, i)) for i in range(len(self.p))])

    def F(self, rows):
        return sum(q * max([0.0, *(self.h[i] @ x for i in rows)]) for q, x in zip(self.p, self.h, strict=True))

    def rises(self, rows):
        return np.array([self.F((*rows, i)) - self.F(rows) for i in range(len(self.p))])

    def out(self, rows):
        return [i for i in range(len(self.p)) if i not in rows]

    def gamma(self, rows):
        return 1 / (1 + max(self.lev(rows)[self.out(rows)]))

    def alpha(self, rows):
        C = self.theta.shape[1]
        det = np.linalg.det(np.eye(self.h.shape[1]) + sum(np.outer(self.h[i], self.h[i]) for i in rows) / self.lam)
        return self.sigma * np.sqrt(2 * np.log(C * (C - 1) / (2 * self.delta)) + np.log(det)) + self.lam**0.5 * self.S

    def var(self, rows):
        K = self.h @ self.h.T
        rows = list(rows)
        inside = np.linalg.inv(K[np.ix_(rows, rows)] + self.lam * np.eye(len(rows)))
        return np.diag(K) - np.diag(K[:, rows] @ inside @ K[rows]) if rows else np.diag(K)

    @property
    def ratio(self):
        return self.lam / (self.lam + max(x @ x for x in self.h))


def best_set(s, value, b, among):
    """The b of these rows with the largest value, by looking at all of them."""
    return max(combinations(among, b), key=value)


def buy(s, score, B):
    """B rows, each of the largest score when it is bought."""
    for _ in range(B):
        scores = score(s)
        i = max(s.out(s.picks), key=lambda i: scores[i])
        s = s._replace(picks=(*s.picks, i))
    return s.picks


def features(rng, kind, N, m):
    x = rng.normal(size=(N, m))
    if kind == "vectors":
        return x * rng.choice([0.3, 1.0]) / np.sqrt(m)
    if kind == "unit vectors":
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    square = np.sum((x[:, None] - x) ** 2, axis=2)
    K = np.exp(-square) if kind == "kernel" else np.mean([np.exp(-g * square) for g in (0.25, 0.5, 1, 2, 4)], axis=0)
    return pools.root(K)


KINDS = ("vectors", "unit vectors", "kernel", "kernel of many scales")
BUYERS = ("mass", "coverage", "random")
RIVALS = ("best", "best to come", "random")


def one(rng, kind, lam, buyer, rival):
    """A small pool, its sizes drawn."""
    N, m, C = int(rng.integers(6, 10)), int(rng.integers(1, 5)), int(rng.integers(2, 5))
    B, b, n = int(rng.integers(1, 4)), int(rng.integers(1, 4)), 3
    h, S, sigma = features(rng, kind, N, m), rng.choice([0.5, 2.0]), rng.choice([0.0, 0.1, 1.0])
    p = [np.ones(N), rng.random(N), 1 / rng.exponential(size=N)][rng.integers(3)]
    theta = rng.normal(size=(h.shape[1], C))
    theta *= S / np.linalg.norm(theta)
    s = Raw(h, p, NONE, NONE, theta, np.zeros((n, 0, C)), lam, sigma, 0.05, S)
    picks = {"mass": lambda: buy(s, lambda s: s.gains(s.picks), B), "coverage": lambda: buy(
        s, lambda s: s.rises(s.picks), B), "random": lambda: tuple(rng.permutation(N)[:B].tolist())}[buyer]()
    from_nothing = [lambda R: -s.phi(R), s.F][buyer == "coverage"]
    chosen = {"best": lambda: best_set(s, from_nothing, b, range(N)), "random": lambda: tuple(
        rng.permutation(N)[:b].tolist()), "best to come": lambda: best_set(s, lambda R: -s.phi((*picks, *R)), b,
                                                                         s.out(picks))}[rival]()
    labels = h[list(picks)] @ theta + sigma * rng.normal(size=(n, B, C))
    return s._replace(picks=picks, rival=chosen, labels=labels)


def grid(repeats=2):
    rng = np.random.default_rng(0)
    return [one(rng, kind, lam, buyer, rival) for kind in KINDS for lam in LAMS for buyer in BUYERS for rival in RIVALS
            for _ in range(repeats)]


def plain(h, lam, picks, rival, S=1.0, p=None):
    """Two classes, no noise, and theta along the first feature such that who knows nothing answers wrongly."""
    h = np.array(h, dtype=float)
    theta = np.zeros((h.shape[1], 2))
    theta[0] = np.array([-1, 1]) * S / 2**0.5
    p = np.ones(len(h)) if p is None else np.array(p, dtype=float)
    return Raw(h, p, picks, rival, theta, (h[list(picks)] @ theta)[None], lam, 0.0, 0.05, S)


def tight():
    """name -> pool; with the grid they leave no step more than a tenth of slack."""
    return {"nothing known": plain([[1.0], [1.0]], 1.0, (), (0,)),
            "copies, one bought": plain([[1.0]] * 4, 10.0, (0,), (1,)),
            "copies, all to come": plain([[1.0]] * 4, 1.0, (), (0, 1)),
            "many directions": plain(0.5 * np.eye(9), 10.0, (0,), (1,)),
            "two that see apart what none sees alone": plain([[1.0, 0.01], [1.0, -0.01], [0.0, 1.0]], 0.01, (), (0, 1),
                                                            p=[0, 0, 1]),
            "unit directions": plain(np.eye(9), 10.0, (0, 1, 2, 3), (4, 5, 6, 7))}


def loud():
    """A pool with more noise than it says: some replicas are off the good event, some are not."""
    rng = np.random.default_rng(1)
    s = one(rng, "vectors", 0.1, "random", "random")
    quiet = s._replace(sigma=0.3, p=np.ones(len(s.p)))
    values = s.h[list(s.picks)] @ s.theta
    return quiet._replace(labels=values + 4 * quiet.sigma * rng.normal(size=(200, *values.shape)))
