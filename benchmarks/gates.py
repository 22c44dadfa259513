"""`make bench-gates`: every gate on every stream at three budgets, beside the best fixed level.

T rounds, B = fraction * T labels, the same contexts and noise for all gates of a stream. A gate with a level (LLF by
latency, LLF by width, margin; BBQ with its exponent) gets the best of a grid, chosen by mean regret on other seeds
than those reported: an oracle, no learner has such trials. The calibrated gate has one setting for all. Prints a table,
writes results/gates.json after each stream and budget, and takes up there if it was interrupted; progress
goes to stderr. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np  # noqa: E402  (after the number of threads is set)

from stackelberg_lib.game import (  # noqa: E402
    BBQ,
    DGS,
    LLF,
    AllLabels,
    BestResponse,
    Calibrated,
    Drifting,
    MarginGate,
    NoLabels,
    PowerLaw,
    RandomGate,
    Reserve,
    Stationary,
    WidthLLF,
    ZipfClusters,
    play,
)
from stackelberg_lib.game.contexts import on_sphere  # noqa: E402
from stackelberg_lib.theory.bounds import t2_level  # noqa: E402
from stackelberg_lib.theory.radii import alpha_adp, alpha_log_det  # noqa: E402

HERE = Path(__file__).resolve().parent
D, K, SIGMA, LAM, DELTA = 16, 5, 0.3, 1.0, 0.05
FRACTIONS = (0.02, 0.05, 0.1)
OTHER_SEEDS = 1000  # levels are chosen on plays that begin with this seed
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Subspace(Stationary):
    """One law for ever, in 4 of the d coordinates: what is kept for the other directions is never needed."""

    def menu(self, rng, t, T, n):
        """The pool of round t, (n, M, K, d)."""
        menu = np.zeros((n, self.M, self.K, self.d))
        menu[..., :4] = on_sphere(rng, (n, self.M, self.K, 4), self.L)
        return menu


@dataclass(frozen=True)
class Turning(Stationary):
    """Every T/4 a random subspace of 4 dimensions, not orthogonal to those before."""

    def menu(self, rng, t, T, n):
        """The pool of round t, (n, M, K, d)."""
        basis = np.linalg.qr(np.random.default_rng(4 * t // T).standard_normal((self.d, 4)))[0]
        return on_sphere(rng, (n, self.M, self.K, 4), self.L) @ basis.T


@dataclass(frozen=True)
class Leaking(Drifting):
    """As `Drifting`, with a fifth of noise in all coordinates from the first round on."""

    def menu(self, rng, t, T, n):
        """The pool of round t, (n, M, K, d)."""
        menu = super().menu(rng, t, T, n)
        menu += 0.2 * rng.standard_normal(menu.shape) / np.sqrt(self.d)
        return menu * (self.L / np.linalg.norm(menu, axis=-1, keepdims=True))


FIXED = {"stationary": Stationary(D, K), "power law": PowerLaw(D, K, L=3**0.5), "Zipf clusters": ZipfClusters(D, K)}
DRIFT = {"drift": Drifting(D, K)}
LIMITS = {"power law, a third of the signal": PowerLaw(D, K), "subspace": Subspace(D, K), "turning": Turning(D, K),
          "leaking drift": Leaking(D, K)}
STREAMS = FIXED | DRIFT | LIMITS


def final(stream, gate, B: int, args, seed: int) -> np.ndarray:
    """Final regret (seeds,) of one play."""
    got = play(stream, BestResponse(), gate, T=args.T, B=B, seeds=args.seeds, seed=seed, sigma=SIGMA, lam=LAM,
               alpha=partial(alpha_log_det, sigma=SIGMA, delta=DELTA, S=1.0, lam=LAM))
    return got.cumulative[:, -1]


def best(stream, make, grid, B: int, args) -> tuple[float, np.ndarray]:
    """The setting of the grid with the least mean regret on the other seeds, and its regret on the seeds reported."""
    trial = [final(stream, make(value), B, args, OTHER_SEEDS).mean() for value in grid]
    chosen = float(grid[int(np.argmin(trial))])
    return chosen, final(stream, make(chosen), B, args, args.seed)


def cell(stream, B: int, args) -> dict[str, dict]:
    """All gates on one stream and budget: setting chosen, mean regret, its standard error, ratio to the oracle."""
    levels = np.geomspace(0.05, 4, args.levels)
    alpha = alpha_adp(B, d=D, K=K, sigma=SIGMA, delta=DELTA, L=stream.L, lam=LAM)
    tau = {b: t2_level(b, alpha=alpha, d=D, K=K, L=stream.L, lam=LAM) for b in (B, B // 2)}
    runs = {
        "LLF, best level": best(stream, LLF, levels, B, args),
        "width, best level": best(stream, lambda tau: WidthLLF(tau, 1.0), levels, B, args),
        "margin, best level": best(stream, MarginGate, levels, B, args),
        "BBQ, best exponent": best(stream, lambda kappa: BBQ(kappa, args.T), np.arange(1, 10) / 10, B, args),
    }
    plain = {
        "calibrated": Calibrated(LAM), "random": RandomGate(), "first B": AllLabels(), "DGS": DGS(),
        "T2 level": LLF(tau[B]), "no label": NoLabels(),
        "T4 reserve, rest by coin": Reserve(tau[B // 2], alpha=alpha, lam=LAM, L=stream.L, free=RandomGate()),
    }
    runs |= {name: (None, final(stream, gate, B, args, args.seed)) for name, gate in plain.items()}
    runs["all labels"] = (None, final(stream, AllLabels(), args.T, args, args.seed))
    if B == round(0.05 * args.T):
        for share in SHARES:
            gate = Calibrated(LAM, share=share)
            runs[f"calibrated, share {share:g}"] = share, final(stream, gate, B, args, args.seed)
    oracle = min((runs[name][1] for name in ("LLF, best level", "width, best level")), key=np.mean)
    return {name: described(setting, regret, oracle) for name, (setting, regret) in runs.items()}


def described(setting: float | None, regret: np.ndarray, oracle: np.ndarray) -> dict:
    """Mean and standard error of the regret; ratio of means to the oracle with a paired bootstrap interval of 95 %."""
    rows = np.random.default_rng(0).integers(len(regret), size=(2000, len(regret)))
    ratios = regret[rows].mean(axis=1) / oracle[rows].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {"setting": setting, "regret": round(float(regret.mean()), 3),
            "standard_error": round(float(regret.std(ddof=1) / len(regret) ** 0.5), 3),
            "vs_oracle": round(float(regret.mean() / oracle.mean()), 3),
            "interval": [round(float(low), 3), round(float(high), 3)]}


def verdict(cells: dict[str, dict]) -> dict[str, float]:
    """The figures that are asked of the calibrated gate, the worst over budgets and, with a fixed law, over streams."""
    def ratios(streams, numerator, denominator):
        return [row[numerator]["regret"] / row[denominator]["regret"] for key, row in cells.items()
                if key.split(" B/T ")[0] in streams]

    def oracle_ratios(streams):
        return [row["calibrated"]["vs_oracle"] for key, row in cells.items() if key.split(" B/T ")[0] in streams]

    return {"fixed_law_vs_oracle": round(max(oracle_ratios(FIXED)), 3),
            "fixed_law_random_vs_gate": round(min(ratios(FIXED, "random", "calibrated")), 2),
            "drift_vs_oracle": round(max(oracle_ratios(DRIFT)), 3),
            "drift_random_vs_gate": round(min(ratios(DRIFT, "random", "calibrated")), 2)}


def show(cells: dict[str, dict]) -> None:
    for key, row in cells.items():
        print(f"\n{key}\n{'gate':28}{'setting':>9}{'regret':>9}{'s.e.':>7}{'/ oracle':>10}  95 % interval")
        for name, got in sorted(row.items(), key=lambda item: item[1]["regret"]):
            setting = "" if got["setting"] is None else f"{got['setting']:.3g}"
            print(f"{name:28}{setting:>9}{got['regret']:9.1f}{got['standard_error']:7.1f}{got['vs_oracle']:10.2f}"
                  f"  {got['interval'][0]:.2f} to {got['interval'][1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--T", type=int, default=1500, help="rounds")
    parser.add_argument("--seeds", type=int, default=50, help="replicas of each play")
    parser.add_argument("--levels", type=int, default=40, help="points of the grid of levels")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the plays reported")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results/gates.json")
    args = parser.parse_args()
    setting = {"d": D, "K": K, "T": args.T, "sigma": SIGMA, "lam": LAM, "delta": DELTA, "seeds": args.seeds,
               "levels": args.levels, "seed": args.seed, "streams": {k: repr(v) for k, v in STREAMS.items()}}
    wanted = [(f"{name} B/T {fraction}", stream, round(fraction * args.T))
              for name, stream in STREAMS.items() for fraction in FRACTIONS]
    before = json.loads(args.out.read_text()) if args.out.exists() else {}
    unfinished = before.get("setting") == setting and len(before["cells"]) < len(wanted)
    cells = before["cells"] if unfinished else {}
    where = {"python": platform.python_version(), "numpy": version("numpy"), "machine": platform.machine(),
             "system": platform.system(), "when": time.strftime("%Y-%m-%d", time.gmtime())}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for number, (key, stream, B) in enumerate(wanted, 1):
        if key not in cells:
            begin = time.time()
            cells[key] = cell(stream, B, args)
            args.out.write_text(json.dumps({"setting": setting, "provenance": where, "cells": cells}, indent=1) + "\n")
            print(f"[{number}/{len(wanted)}] {key}: {time.time() - begin:.0f} s", file=sys.stderr, flush=True)
    show(cells)
    last = verdict(cells)
    args.out.write_text(json.dumps({"setting": setting, "provenance": where, "cells": cells, "verdict": last},
                                   indent=1) + "\n")
    print(json.dumps(last))


if __name__ == "__main__":
    main()
