"""`make gate-trials`: what was tried before the calibrated gate got its form; see docs/gates-lab-book.md.

Prints the mean final regret of each variant over 50 seeds, streams and settings of `make bench-gates`, and writes
results/gate_trials.json. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from gates import FRACTIONS, LAM, STREAMS, final

from stackelberg_lib.game import Calibrated

SHOWN = [name for name in STREAMS if name != "turning"]


class Scheduled(Calibrated):
    """No reserve; what may be spent by round t is B (rho + (1 - rho) t / T) at most."""

    def __init__(self, rho: float) -> None:
        super().__init__(LAM, share=0.0)
        self.rho, self.B = rho, None

    def decide(self, latency, features_seen, budget_left, horizon_left, rng):
        """As `LLF.decide`."""
        if self.B is None:
            self.B, self.T = budget_left, horizon_left
        wish = super().decide(latency, features_seen, budget_left, horizon_left, rng)
        passed = 1 - horizon_left / self.T
        return wish & (self.B - budget_left < self.B * (self.rho + (1 - self.rho) * passed))


class Kept(Calibrated):
    """The reserve is released as directions get touched, not as time runs out."""

    def decide(self, latency, features_seen, budget_left, horizon_left, rng):
        """As `LLF.decide`."""
        if self.seen == 0:
            self.whole = self.share * budget_left / features_seen.phi.shape[2]
        self.keep = self.whole / horizon_left
        return super().decide(latency, features_seen, budget_left, horizon_left, rng)

    def _begin(self, features_seen, budget_left, horizon_left):
        keep = self.keep
        super()._begin(features_seen, budget_left, horizon_left)
        self.keep = keep


class Absolute(Calibrated):
    """A direction is unseen while V holds less than (1 + epsilon) lam in it, whatever the others hold."""

    def __init__(self, epsilon: float) -> None:
        super().__init__(LAM)
        self.epsilon = epsilon

    def _explore(self, features_seen):
        before = self.untouched.copy()
        values, vectors = np.linalg.eigh(features_seen.V)
        hardly = values < (1 + self.epsilon) * self.lam
        self.untouched = hardly.sum(axis=1)
        self.unseen = (vectors * hardly[:, None]) @ vectors.swapaxes(1, 2)
        return self.untouched != before


VARIANTS = {
    "replay alone": lambda: Calibrated(LAM, share=0.0),
    "replay, schedule with rho 0.5": lambda: Scheduled(0.5),
    "reserve without release in time": lambda: Kept(LAM),
    "unseen: below 1.25 lam": lambda: Absolute(0.25),
    "unseen: below 2 lam": lambda: Absolute(1.0),
    "calibrated (a tenth of the average)": lambda: Calibrated(LAM),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--T", type=int, default=1500, help="rounds")
    parser.add_argument("--seeds", type=int, default=50, help="replicas of each play")
    parser.add_argument("--seed", type=int, default=0, help="seed of the plays")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "results/gate_trials.json")
    args = parser.parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for fraction in FRACTIONS[:2]:
        print(f"\nB/T {fraction}\n{'':38}" + "".join(f"{name[:14]:>16}" for name in SHOWN), flush=True)
        for variant, make in VARIANTS.items():
            row = {name: round(float(final(STREAMS[name], make(), round(fraction * args.T), args, args.seed).mean()), 2)
                   for name in SHOWN}
            table.setdefault(str(fraction), {})[variant] = row
            print(f"{variant:38}" + "".join(f"{value:16.1f}" for value in row.values()), flush=True)
    setting = {"T": args.T, "seeds": args.seeds, "seed": args.seed, "when": time.strftime("%Y-%m-%d", time.gmtime())}
    args.out.write_text(json.dumps({"setting": setting, "regret": table}, indent=1) + "\n")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
