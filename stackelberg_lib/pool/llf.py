"""The default rule: largest latency first on a pool, from the first label on."""

from __future__ import annotations

import numpy as np

from stackelberg_lib.pool.coverage import coverage
from stackelberg_lib.pool.kernel import kernel_mass
from stackelberg_lib.pool.view import Pool


def llf(pool: Pool, budget: int) -> np.ndarray:
    """Coverage while no model can say what is in doubt, then the largest kernel mass latency first.

    Both lower the same potential, sum_j p_j k_t(j, j): coverage is its lower bound that needs no doubt to be weighted
    by (THEORY 6), and finds better first batches (docs/llf-lab-book.md).
    """
    return coverage(pool, budget) if pool.margins() is None else kernel_mass(pool, budget)
