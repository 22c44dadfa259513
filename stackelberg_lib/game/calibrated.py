"""A level without a label: width depends on features alone, so the level that spends a budget can be found by trial.

On a pool the trial is a walk through the pool itself; on a stream it is a replay of the contexts seen so far.
"""

from __future__ import annotations

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real, whole
from stackelberg_lib.game.gates import FeaturesSeen, squared_widths

HALVINGS = 7  # of the bracket of levels, a factor LOWEST wide: the level is found to 100^(1/128), 4 %
LOWEST = 0.01  # of the largest width, the lowest level that is tried
OFTEN = 0.2  # the level is found anew when the past has grown, or the future shrunk, by this share
UNTOUCHED = 0.1  # a direction holding less than this share of the average information counts as unseen


def labels_bought(contexts: np.ndarray, order: np.ndarray, V_inv: np.ndarray, level: np.ndarray,
                  enough: np.ndarray) -> np.ndarray:
    """Labels (n,) that a walk through the contexts buys at a width level; counting ends at `enough` (n,).

    contexts (n, R, K, d), order (n, h) indices below R, V_inv (n, d, d) at the start, level (n,) width units.
    A context is bought iff its largest width exceeds the level; then V takes it in.
    """
    n, V_inv = np.arange(len(order)), V_inv.copy()
    bought = np.zeros(len(order), int)
    unit = np.eye(contexts.shape[2])
    for which in order.T:
        phi = contexts[n, which]
        G = phi @ V_inv
        inner = G @ phi.swapaxes(1, 2)
        rows = np.flatnonzero((squared_widths(inner).max(axis=(1, 2)) > level**2) & (bought < enough))
        if rows.size:
            V_inv[rows] -= G[rows].swapaxes(1, 2) @ np.linalg.solve(unit + inner[rows], G[rows])
            bought[rows] += 1
            if (bought >= enough).all():
                break
    return bought


def calibrated_level(contexts: np.ndarray, order: np.ndarray, V_inv: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """Lowest width level (n,), found by bisection, at which a walk in this order buys at most `budget` (n,) labels.

    Arguments as in `labels_bought`. Not one label is needed. Source: section "calibration" of this project's
    reconstruction.
    """
    n, R, K, d = contexts.shape
    reached = (contexts.reshape(n, R * K, d) @ V_inv).reshape(n, R, K, d)
    inner = (reached @ contexts.swapaxes(2, 3)).reshape(n * R, K, K)
    high = np.sqrt(squared_widths(inner).max(axis=(1, 2))).reshape(n, R).max(axis=1)
    low = LOWEST * high
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        over = labels_bought(contexts, order, V_inv, middle, budget + 1) > budget
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return high


def pool_level(phi: np.ndarray, B: int, *, lam: float) -> float:
    """Lowest width level at which one walk through a pool phi (N, K, d), in its order, buys at most B labels.

    lam > 0: ridge. Raises InputError.
    """
    phi = np.asarray(phi, float)
    if phi.ndim != 3 or not np.isfinite(phi).all():
        raise InputError(f"phi has shape {phi.shape}: give N contexts, (N, K, d), of finite numbers")
    whole("B", B, 0, len(phi))
    prior = np.eye(phi.shape[2])[None] / real("lam", lam, above=0)
    return float(calibrated_level(phi[None], np.arange(len(phi))[None], prior, np.array([B]))[0])


class Calibrated:
    """LLF by width on a stream: a level found without labels, and a reserve for directions not seen yet.

    The level is the lowest at which replaying what was seen, over the rounds left and from the current V, spends what
    is free. What is kept: for every untouched direction its share of the budget, share * B / d, in proportion
    to the time left; it is released as directions get touched and as time runs out, and opens to contexts whose
    widest pair lies mostly in untouched directions. lam: the play's ridge. share in [0, 1]: 0 keeps nothing. sample:
    contexts remembered per replica, drawn uniformly from all seen. Memory O(n sample K d), whatever T.
    Keeps a state: one object, one play. Source: this project's reconstruction, after T4's reserve and release.
    """

    reads_features = True

    def __init__(self, lam: float, *, share: float = 1.0, sample: int = 256) -> None:
        self.lam, self.share = real("lam", lam, above=0), real("share", share, at_least=0)
        if self.share > 1:
            raise InputError(f"share={share!r} is above 1: give a share of the budget, from 0 to 1")
        self.size, self.seen = whole("sample", sample, 1), 0

    def decide(self, latency: np.ndarray, features_seen: FeaturesSeen, budget_left: np.ndarray,
               horizon_left: int, rng: np.random.Generator) -> np.ndarray:
        """As `LLF.decide`; the latency is not looked at."""
        if self.seen == 0:
            self._begin(features_seen, budget_left, horizon_left)
        self._remember(features_seen.phi, rng)
        changed = self._explore(features_seen)
        self.reserve = np.minimum(self.keep * self.untouched * horizon_left, horizon_left - 1)
        free = np.floor(budget_left - self.reserve)
        due = changed | (self.seen >= self.next)
        if self.seen >= self.next:
            self.next = self.seen + max(1, int(OFTEN * min(self.seen, horizon_left)))
        self._calibrate(np.flatnonzero(due & (budget_left > 0)), features_seen.V_inv, free, horizon_left, rng)
        width, new = self._widest(features_seen)
        wish = ((width > self.level) & (free >= 1)) | new
        return wish | (budget_left >= horizon_left)

    def _begin(self, features_seen: FeaturesSeen, budget_left: np.ndarray, horizon_left: int) -> None:
        n, K, d = features_seen.phi.shape
        self.memory = np.zeros((n, self.size, K, d))
        self.level, self.log_det, self.next = np.full(n, np.inf), np.full(n, -1.0), 1
        self.untouched, self.unseen = np.full(n, d), np.zeros((n, d, d))
        self.keep = self.share * budget_left / (d * horizon_left)  # labels per untouched direction and round left

    def _remember(self, phi: np.ndarray, rng: np.random.Generator) -> None:
        """Reservoir sampling: every context seen so far is in memory with the same probability."""
        slot = self.seen if self.seen < self.size else int(rng.integers(self.seen + 1))
        if slot < self.size:
            self.memory[:, slot] = phi
        self.seen += 1

    def _explore(self, features_seen: FeaturesSeen) -> np.ndarray:
        """Find the untouched directions where V has changed; True (n,) where their number has."""
        rows = np.flatnonzero(features_seen.log_det != self.log_det)
        self.log_det, before = features_seen.log_det, self.untouched.copy()
        if rows.size:
            values, vectors = np.linalg.eigh(features_seen.V[rows])
            information = values - self.lam
            hardly = information <= UNTOUCHED * information.mean(axis=1, keepdims=True) + 1e-9 * self.lam
            self.untouched[rows] = hardly.sum(axis=1)
            self.unseen[rows] = (vectors * hardly[:, None]) @ vectors.swapaxes(1, 2)  # the projection onto them
        return self.untouched != before

    def _calibrate(self, rows: np.ndarray, V_inv: np.ndarray, free: np.ndarray, horizon_left: int,
                   rng: np.random.Generator) -> None:
        self.level[rows] = np.inf  # with nothing free, a level found earlier no longer holds
        rows = rows[free[rows] >= 1]
        if rows.size:
            known = min(self.seen, self.size)
            order = rng.integers(known, size=(rows.size, horizon_left))
            self.level[rows] = calibrated_level(self.memory[rows, :known], order, V_inv[rows], free[rows])

    def _widest(self, features_seen: FeaturesSeen) -> tuple[np.ndarray, np.ndarray]:
        """Width of the widest pair (n,), and whether more than half of its squared length is in unseen directions."""
        phi = features_seen.phi
        n, K, _ = phi.shape
        squares = squared_widths(phi @ features_seen.V_inv @ phi.swapaxes(1, 2)).reshape(n, K * K)
        a, b = np.divmod(squares.argmax(axis=1), K)
        apart = phi[np.arange(n), a] - phi[np.arange(n), b]
        inside = ((apart[:, None] @ self.unseen)[:, 0] * apart).sum(axis=1)
        return np.sqrt(squares.max(axis=1)), inside > 0.5 * (apart**2).sum(axis=1)
