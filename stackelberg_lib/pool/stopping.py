"""When a label is no longer worth its price.

On the good event the regret left in a pool, sum_j p_j r_j, is at most U = alpha sqrt(2 P Phi), P the sum of weights.
With a price per label, in units of that regret, stopping is right once no set of further labels takes more than its
price from U. A label alone takes what its gain says; labels bought together may bring more than the sum of their
gains, but never more than the sum of gain_i (1 + leverage_i), whatever they say. Hence two numbers, `one` <= `most`:

    stop when most <= price: U + price * labels cannot be lowered any more, by however many labels;
    buy when one > price: the best label pays for itself (if alpha is that of a fixed design, which does not grow);
    between them neither is proved. `most` is at most 2 (1 + the largest leverage) times `one`.

The weights are those at the time of asking, and it is the bound that is followed: regret itself may fall by more, as
long as it stays below. (Proof: `theory.stop_chains`; this project's reconstruction.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.game.checks import real

ROUNDING = 1e-6  # share by which gains in float32 may exceed what there is to gain, or fall below 0


class Worth(NamedTuple):
    """What labels take from a certified bound on regret, per label, with alpha held."""

    one: float  # the best single label
    most: float  # no set of further labels takes more, even if alpha grows


def mass_worth(potential: float, gain: np.ndarray, leverage: np.ndarray, *, total: float, alpha: float) -> Worth:
    """What further labels take from alpha sqrt(2 total Phi), O(n log n).

    potential, gain (n,) and leverage (n,): of `latency.MassLatency` with no variance of rows' own, for the n rows that
    may still be bought; of `kernel.KernelMass` its potential, gain and variance, each divided by lam. total: sum of
    all weights; alpha >= 0: radius. InputError for no rows, numbers out of range, gains above the potential.
    """
    gain = _rises("gain", gain, real("potential", potential, above=0), potential)
    scale = real("alpha", alpha, at_least=0) * np.sqrt(2 * real("total", total, above=0))
    if np.shape(leverage) != gain.shape:
        raise InputError(f"leverage has shape {np.shape(leverage)}: give {len(gain)} numbers, as many as gains")
    return _worth(lambda rise: scale * np.sqrt(np.maximum(potential - rise, 0.0)), gain, gain * (1 + leverage))


def cover_worth(cover: float, rise: np.ndarray, *, total: float, alpha: float, lam: float) -> Worth:
    """What further labels take from alpha sqrt(2 (total^2 - F^2 / (1 + lam)) / lam), O(n log n).

    That is the bound as weighted coverage F certifies it, for a kernel with k(x, x) <= 1: cover = F = sum_j p_j max
    over bought i of k(i, j), rise (n,) how much each row that may still be bought would add to it. Coverage is
    submodular: rises add up to no less than what their rows bring together. total, alpha, InputError as above.
    """
    cover, total = real("cover", cover, at_least=0), real("total", total, above=0)
    rise, lam = _rises("rise", rise, total - cover, total), real("lam", lam, above=0)
    scale = real("alpha", alpha, at_least=0) * np.sqrt(2 / lam)

    def bound(more):
        return scale * np.sqrt(total**2 - np.minimum(cover + more, total) ** 2 / (1 + lam))

    return _worth(bound, rise, rise)


def _rises(name: str, values: np.ndarray, left: float, size: float) -> np.ndarray:
    """The values if they lie between 0 and what is left, up to rounding of numbers of this size; else InputError."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise InputError(f"{name} has shape {values.shape}: give one number for each row that may still be bought")
    if not ((values >= -ROUNDING * size) & (values <= left + ROUNDING * size)).all():
        raise InputError(f"{name} goes from {values.min():g} to {values.max():g}: give numbers from 0 to {left:g}, all "
                         "there is to gain, in the same unit")
    return values


def _worth(bound, alone: np.ndarray, together: np.ndarray) -> Worth:
    """From the bound after a rise, what rows bring alone, and what companies of rows cannot exceed in sum."""
    now, b = bound(0.0), np.arange(1, len(together) + 1)
    sums = np.cumsum(np.sort(together)[::-1])
    return Worth(float(now - bound(alone.max())), float(np.max((now - bound(sums)) / b)))
