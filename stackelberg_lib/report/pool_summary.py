"""`make study-summary`: what the study of labels on frozen features found, from its recorded cells only.

Per data set and start: the normalised area under accuracy against log(labels) of every rule, its difference to our
default with Student's interval, Wilcoxon's signed-rank test per seed with Holm's correction over the rules, the share
of the budget needed to reach what random has at the end and 90, 95, 99 % of what all labels bring, the evenness of the
classes bought, and seconds of choosing. The last line is one JSON object with the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.plots.intervals import t_interval
from stackelberg_lib.pool.strategies import DEFAULT
from stackelberg_lib.report import pool_study

OURS = DEFAULT
SHARES = (0.9, 0.95, 0.99)  # of the accuracy with all labels


class Row(NamedTuple):
    """One rule on one set, over the seeds it shares with ours.

    area, and its difference to ours with 95 % interval and Holm-corrected p (None for ours itself); reach: share of
    the budget at which the mean curve reaches random's last accuracy (None: never), and near: the same for SHARES of
    the ceiling; balance: entropy of the classes bought over its largest value; seconds of choosing per run.
    """

    strategy: str
    seeds: int
    area: float
    difference: float
    low: float
    high: float
    p: float | None
    reach: float | None
    near: list[float | None]
    balance: float
    seconds: float


def area(labels: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Mean accuracy over log(labels): labels (P,) rising, accuracy (..., P) -> (...), by the trapezoid rule."""
    x = np.log(labels)
    return np.trapezoid(accuracy, x, axis=-1) / (x[-1] - x[0])


def labels_to(labels: np.ndarray, accuracy: np.ndarray, target: float) -> float:
    """Labels at which the curve first reaches the target, linear in log(labels); inf if it never does.

    A curve that starts above the target needs its first number of labels: fewer were not tried.
    """
    above = np.flatnonzero(accuracy >= target)
    if not len(above):
        return float("inf")
    k = above[0]
    if k == 0:
        return float(labels[0])
    share = (target - accuracy[k - 1]) / (accuracy[k] - accuracy[k - 1])
    return float(np.exp(np.log(labels[k - 1]) + share * np.log(labels[k] / labels[k - 1])))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p-values (n,) (Holm 1979)."""
    rising = np.argsort(p)
    raised = np.maximum.accumulate(p[rising] * (len(p) - np.arange(len(p))))
    return np.minimum(raised, 1.0)[np.argsort(rising)]


def curves(lines: list[dict], start: str = "own") -> tuple[np.ndarray, dict[str, dict[int, np.ndarray]]]:
    """Labels (P,) and rule -> seed -> accuracy (P,) of the cells with this start; ceilings are left out."""
    found: dict[str, dict[int, np.ndarray]] = {}
    labels = None
    for line in lines:
        if line["start"] == start and line["strategy"] != "all":
            labels = np.array(line["labels"])
            found.setdefault(line["strategy"], {})[line["seed"]] = np.array(line["accuracy"])
    if labels is None:
        raise InputError(f"no finished cell with start={start!r}; run `make study`")
    return labels, found


def ceiling(lines: list[dict]) -> float | None:
    """Mean accuracy with all labels of the pool."""
    found = [line["accuracy"][0] for line in lines if line["strategy"] == "all"]
    return float(np.mean(found)) if found else None


def table(lines: list[dict], start: str = "own", ours: str = OURS) -> list[Row]:
    """All rules, the largest area first, each over the seeds that it shares with ours."""
    labels, found = curves(lines, start)
    if ours not in found or "random" not in found:
        raise InputError(f"the study needs finished cells of {ours} and random; run `make study`")
    here = {(line["strategy"], line["seed"]): line for line in lines if line["start"] == start}
    top = ceiling(lines)
    rows = []
    for rule, by_seed in found.items():
        seeds = sorted(by_seed.keys() & found[ours].keys())
        if not seeds:
            continue
        mine, theirs = (np.array([of[seed] for seed in seeds]) for of in (found[ours], by_seed))
        gap = area(labels, theirs) - area(labels, mine)
        _, low, high = t_interval(gap)
        goal = np.mean([found["random"][seed][-1] for seed in seeds if seed in found["random"]])
        reach, *near = (_share(labels, theirs.mean(0), target)
                        for target in (goal, *(share * (top or np.inf) for share in SHARES)))
        balance, seconds = (float(np.mean([np.sum(here[rule, seed][key]) for seed in seeds]))
                            for key in ("balance", "seconds"))
        rows.append(Row(rule, len(seeds), float(area(labels, theirs).mean()), float(gap.mean()), float(low),
                        float(high), None if rule == ours else _wilcoxon(gap), reach, near, balance, seconds))
    tested = [k for k, row in enumerate(rows) if row.p is not None]
    for k, p in zip(tested, holm(np.array([rows[k].p for k in tested])), strict=True):
        rows[k] = rows[k]._replace(p=float(p))
    return sorted(rows, key=lambda row: -row.area)


def _share(labels: np.ndarray, accuracy: np.ndarray, target: float) -> float | None:
    needed = labels_to(labels, accuracy, target - 1e-12) / labels[-1]  # a mean taken in another order is as good
    return float(needed) if needed <= 1 else None


def _wilcoxon(gap: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(gap).pvalue) if np.any(gap) else 1.0


def show(name: str, rows: list[Row], top: float | None) -> None:
    """Print one set's table; "-": not reached within the budget."""
    print(f"\n{name}: all labels {'not run' if top is None else f'{top:.3f}'}")
    print(f"{'rule':18s} {'seeds':>5} {'area':>7} {'minus ' + OURS:>18} {'95 % interval':>18} {'p (Holm)':>9} "
          f"{'labels for random':>18}" + "".join(f"{f'for {share:.0%}':>9}" for share in SHARES)
          + f"{'even':>6} {'s':>6}")
    for r in rows:
        p = "" if r.p is None else f"{r.p:.2g}"
        reach, *near = ("-" if share is None else f"{share:.0%}" for share in (r.reach, *r.near))
        print(f"{r.strategy:18s} {r.seeds:5d} {r.area:7.4f} {r.difference:+18.4f} "
              f"{f'{r.low:+.4f} to {r.high:+.4f}':>18} {p:>9} {reach:>18}"
              + "".join(f"{share:>9}" for share in near) + f"{r.balance:6.2f} {r.seconds:6.1f}")


def main() -> int:
    """Command line of `make study-summary`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", nargs="+", default=list(pool_study.SETS))
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--starts", nargs="+", choices=pool_study.STARTS, default=list(pool_study.STARTS))
    a = parser.parse_args()
    out = {}
    for start, name in product(a.starts, a.data):
        lines = pool_study.read(name, a.model)
        try:
            rows, top = table(lines, start), ceiling(lines)
        except InputError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
            continue
        show(f"{name}, {a.model}, start {start}", rows, top)
        key = f"{name}/{a.model}" + ("" if start == "own" else f"/{start}")
        out[key] = {"all": top, **{r.strategy: {k: _short(v) for k, v in r._asdict().items() if k != "strategy"}
                                   for r in rows}}
    print(json.dumps(out))
    return 0 if out else 2


def _short(value):
    if isinstance(value, list):
        return [_short(v) for v in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if np.isfinite(value) else None


if __name__ == "__main__":
    raise SystemExit(main())
