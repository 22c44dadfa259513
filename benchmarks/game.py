"""`make bench-game`: the game's loop side by side with other libraries' contextual bandits, one job for all.

K disjoint arms, bandit feedback, LinUCB or the nearest a library has, one thread. Every contender gets the same
contexts and noise, drawn beforehand; timed are the rounds only (choose, see the label, learn), in
processor seconds, so that neighbours on the machine do not count. Peers run in an
environment of their own (.venv-peers). The table goes to stdout, progress to stderr, all of it with provenance to
benchmarks/results/game.json; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np  # noqa: E402  (after the number of threads is set)

HERE = Path(__file__).resolve().parent
PEERS_PYTHON = HERE.parent / ".venv-peers/bin/python"
K, D, SIGMA, LAM, ALPHA = 10, 32, 0.1, 1.0, 0.3


class Recorded:
    """A stream of disjoint arms whose contexts (T, n, 1, 1, d) and theta (n, K, d) are drawn beforehand."""

    d, K, M, disjoint = D, K, 1, True

    def __init__(self, seed: int, T: int, n: int) -> None:
        from stackelberg_lib.game import DisjointArms
        rng, law = np.random.default_rng([seed, 1]), DisjointArms(D, K, S=K**0.5)
        self.truth = law.theta(rng, n)
        self.contexts = np.stack([law.menu(rng, t, T, n) for t in range(T)])

    def theta(self, rng, n):
        """The recorded parameters (n, K, d)."""
        return self.truth

    def menu(self, rng, t, T, n):
        """The recorded context of round t, (n, 1, 1, d)."""
        return self.contexts[t]


def noise(seed: int, T: int) -> np.ndarray:
    """The noise (T, K) that `play` draws for one replica."""
    return SIGMA * np.random.default_rng(np.random.SeedSequence(seed).spawn(4)[1]).standard_normal((T, K))


def ours(stream: Recorded, seed: int, dtype=np.float64) -> tuple[float, np.ndarray]:
    """Seconds and each replica's regret of `play` with bandit feedback, warmed up as in `timed`."""
    from stackelberg_lib.game import AllLabels, play
    T, n = stream.contexts.shape[:2]
    game = partial(play, stream, None, AllLabels(), seeds=n, seed=seed, sigma=SIGMA, lam=LAM, alpha=ALPHA,
                   feedback="chosen", answer="optimistic", dtype=dtype)
    game(T=30, B=30)
    begin = time.process_time()
    got = game(T=T, B=T)
    return time.process_time() - begin, got.cumulative[:, -1]


def sherman_morrison(X: np.ndarray, y: np.ndarray) -> list[int]:
    """The loop a reader would write: plain NumPy, one replica, the actions."""
    V_inv, b, theta = np.tile(np.eye(D) / LAM, (K, 1, 1)), np.zeros((K, D)), np.zeros((K, D))
    actions = []
    for x, label in zip(X, y, strict=True):
        width = np.sqrt(V_inv @ x @ x)
        a = (theta @ x + ALPHA * width).argmax()
        g = V_inv[a] @ x
        V_inv[a] -= np.outer(g, g) / (1 + x @ g)
        b[a] += label[a] * x
        theta[a] = V_inv[a] @ b[a]
        actions.append(a)
    return actions


def mabwiser(X: np.ndarray, y: np.ndarray) -> list[int]:
    """MABWiser must be fitted before it predicts: its first round plays arm 0, as a tie at the start would."""
    from mabwiser.mab import MAB, LearningPolicy
    mab, actions = MAB(list(range(K)), LearningPolicy.LinUCB(ALPHA, LAM)), [0]
    mab.fit([0], [y[0, 0]], X[:1])
    for t in range(1, len(X)):
        a = mab.predict(X[t:t + 1])
        mab.partial_fit([a], [y[t, a]], X[t:t + 1])
        actions.append(a)
    return actions


def contextualbandits(X: np.ndarray, y: np.ndarray) -> list[int]:
    """contextualbandits' LinUCB with Sherman and Morrison's update, in double precision, without intercept."""
    from contextualbandits.online import LinUCB
    policy, actions = LinUCB(K, ALPHA, LAM, fit_intercept=False, use_float=False, random_state=1, njobs=1), []
    for t in range(len(X)):
        a = int(policy.predict(X[t:t + 1])[0])
        policy.partial_fit(X[t:t + 1], np.array([a]), y[t, a:a + 1])
        actions.append(a)
    return actions


def river(X: np.ndarray, y: np.ndarray) -> list[int]:
    """river's upper bound is one predictive deviation, alpha sqrt(1 + width^2) for the precisions given here."""
    from river.bandit import LinUCBDisjoint
    policy, arms, actions = LinUCBDisjoint(alpha=LAM / ALPHA**2, beta=1 / ALPHA**2, seed=0), range(K), []
    for x, label in zip([dict(enumerate(row)) for row in X.tolist()], y.tolist(), strict=True):
        a = policy.pull(arms, x)
        policy.update(a, x, label[a])
        actions.append(a)
    return actions


def obp(X: np.ndarray, y: np.ndarray) -> list[int]:
    """obp's LinUCB; its ridge is 1 and its epsilon is the radius."""
    from obp.policy import LinUCB
    policy, actions = LinUCB(dim=D, n_actions=K, epsilon=ALPHA), []
    for t in range(len(X)):
        a = int(policy.select_action(X[t:t + 1])[0])
        policy.update_params(a, y[t, a], X[t:t + 1])
        actions.append(a)
    return actions


PEERS = {f.__name__: f for f in (mabwiser, contextualbandits, river, obp)}


def timed(loop, X: np.ndarray, y: np.ndarray, mu: np.ndarray) -> dict:
    """Seconds and regret of a contender; a call on a few rounds before takes imports, compiling and warming up out."""
    loop(X[:30], y[:30])
    begin = time.process_time()
    actions = loop(X, y)
    seconds = time.process_time() - begin
    return {"seconds": seconds, "regret": float((mu.max(axis=1) - mu[np.arange(len(mu)), actions]).sum())}


def peer(name: str, job: Path) -> dict:
    """`timed` in the peers' environment."""
    command = [PEERS_PYTHON, "-W", "ignore", __file__, "--peer", name, "--job", job]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed in .venv-peers:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def repetition(seed: int, T: int, n: int) -> dict[str, dict]:
    """All contenders once, one after the other, on the job of this seed."""
    one, many = Recorded(seed, T, 1), Recorded(seed, T, n)
    X = one.contexts.reshape(T, D)
    mu = X @ one.truth[0].T
    y = mu + noise(seed, T)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "job.npz", X=X, y=y, mu=mu)
        for name in PEERS:
            rows[name] = peer(name, Path(folder) / "job.npz")
            say(f"seed {seed}  {name:18} {T / rows[name]['seconds']:10,.0f} rounds/s")
    rows["NumPy loop"] = timed(sherman_morrison, X, y, mu)
    for name, stream, dtype in [("play", one, np.float64), (f"play, {n} seeds", many, np.float64),
                                (f"play, {n} seeds, float32", many, np.float32)]:
        seconds, regret = ours(stream, seed, dtype)
        rows[name] = {"seconds": seconds / len(regret), "regret": float(regret.mean())}
    for name in list(rows)[len(PEERS):]:
        say(f"seed {seed}  {name:18} {T / rows[name]['seconds']:10,.0f} rounds/s")
    return rows


def arms_read(stream: Recorded) -> float:
    """How many arms' V_inv the leader reads in a seed-round, on average over the job; not timed."""
    from stackelberg_lib.game import ArmRidge
    T, n = stream.contexts.shape[:2]
    ridge, rng, total = ArmRidge(n, K, D, LAM), np.random.default_rng(0), 0
    for x in stream.contexts.reshape(T, n, D):
        arm, _, read = ridge.optimistic(np.full(n, ALPHA), x)
        ridge.update(np.ones(n, bool), arm, x, np.vecdot(stream.truth[np.arange(n), arm], x) + rng.normal(0, SIGMA, n))
        total += read
    return total / (T * n)


def costs(item: int, read: float) -> dict[str, int]:
    """Work of a seed-round in which `read` arms' V_inv are read, in numbers of `item` bytes.

    Scores and mean rewards of all arms (theta is double), a lower triangle for each width, and the update: V_inv x,
    the outer product and its norm, one V_inv read and written.
    """
    flops = 4 * K * D + read * D * (D + 4) + 6 * D * D
    moved = item * (K * D + read * D * (D + 1) / 2 + 2 * D * D) + 8 * K * D
    return {"flops": round(flops), "bytes": round(moved)}


def summary(runs: list[dict[str, dict]], T: int) -> list[dict]:
    """One row per contender: median rounds per second (seed-rounds when batched), mean regret."""
    return [{"name": name, "rounds_per_second": T / statistics.median(run[name]["seconds"] for run in runs),
             "regret": statistics.mean(run[name]["regret"] for run in runs),
             "version": runs[0][name].get("version", version("stackelberg-lib" if "play" in name else "numpy"))}
            for name in runs[0]]


def ratios(table: list[dict], n: int) -> dict[str, float]:
    """How many times faster the game's loop is than the fastest peer and than MABWiser."""
    speed = {row["name"]: row["rounds_per_second"] for row in table}
    fastest = max(speed[name] for name in PEERS)
    return {"loop_vs_fastest_peer": round(speed["play"] / fastest, 2),
            "loop_vs_mabwiser": round(speed["play"] / speed["mabwiser"], 2),
            "batched_vs_fastest_peer": round(speed[f"play, {n} seeds"] / fastest, 2)}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--T", type=int, default=20_000, help="rounds")
    parser.add_argument("--seeds", type=int, default=64, help="replicas of the batched play")
    parser.add_argument("--repeat", type=int, default=3, help="interleaved repetitions, each with a seed of its own")
    parser.add_argument("--out", type=Path, default=HERE / "results/game.json")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        with np.load(args.job) as job:
            print(json.dumps(timed(PEERS[args.peer], job["X"], job["y"], job["mu"]) | {"version": version(args.peer)}))
        return
    runs = [repetition(seed, args.T, args.seeds) for seed in range(args.repeat)]
    table, last = summary(runs, args.T), ratios(summary(runs, args.T), args.seeds)
    print(f"{'contender':26} {'version':10} {'rounds/s':>12} {'regret':>8}")
    for row in table:
        print(f"{row['name']:26} {row['version']:10} {row['rounds_per_second']:12,.0f} {row['regret']:8.1f}")
    read = arms_read(Recorded(0, args.T, 1))
    work = {"arms_read": round(read, 2), "float64": costs(8, read), "float32": costs(4, read)}
    print(f"a seed-round of play: {read:.1f} of {K} arms' V_inv read, {work['float64']['flops']:,} flops; "
          f"{work['float64']['bytes']:,} bytes moved in float64, {work['float32']['bytes']:,} in float32; batched rows "
          "count seed-rounds")
    setting = {"K": K, "d": D, "T": args.T, "sigma": SIGMA, "lam": LAM, "alpha": ALPHA, "seeds": args.seeds,
               "repeat": args.repeat, "threads": 1}
    where = {"python": platform.python_version(), "numpy": version("numpy"), "machine": platform.machine(),
             "system": platform.system(), "cores": os.cpu_count(), "when": time.strftime("%Y-%m-%d", time.gmtime())}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"setting": setting, "provenance": where, "table": table, "work": work,
                                    "ratios": last, "runs": runs}, indent=1) + "\n")
    print(json.dumps(last))


if __name__ == "__main__":
    main()
