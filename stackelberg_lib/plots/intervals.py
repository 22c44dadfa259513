"""Mean and interval over seeds, the band of every stochastic figure."""

from __future__ import annotations

import numpy as np


def mean_interval(x: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high end over axis 0 of x (seeds, ...): mean -+ z standard errors, 95 % at 1.96."""
    half = z * x.std(axis=0, ddof=1) / np.sqrt(len(x))
    mean = x.mean(axis=0)
    return mean, mean - half, mean + half


def t_interval(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high end over axis 0 of x (seeds, ...): Student's 95 % interval; without end for one seed."""
    from scipy.stats import t

    if len(x) == 1:
        mean = x.mean(axis=0)
        return mean, mean - np.inf, mean + np.inf
    return mean_interval(x, float(t.ppf(0.975, len(x) - 1)))
