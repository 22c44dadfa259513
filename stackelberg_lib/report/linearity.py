"""`make feature-map`: how linear a set is in a model's features, measured for lesson 06, set by set, resumable.

    python -m stackelberg_lib.report.linearity --sets pocketdesk/pocket banking77/minilm --seeds 20

Every finished pair DATA/MODEL is one entry of results/feature_map.json; what stands there with the same setting is not
done again. medmcqa_dev is a set of open answers: each of the four options is read behind its question.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackelberg_lib.errors import InputError
from stackelberg_lib.lm import linear
from stackelberg_lib.report.recorded import RESULTS
from stackelberg_lib.theory.radii import alpha_log_det, log_growth

NAME = "feature_map"
PAIRS = ("pocketdesk/pocket", "pocketdesk/minilm", "banking77/pocket", "banking77/minilm", "medmcqa_dev/minilm")
OPEN = ("medmcqa_dev",)
POOL, FRESH = 8000, 4000  # texts drawn of PocketDesk; real sets have their own parts
LABELS, LAM, DELTA = 1000, 1e-3, 0.05
RIVAL = 4000  # texts that the kernel rival learns from
SAFE = 1e-6  # ridge of the best linear fit, against a singular matrix and no more
SHARE = 0.95  # of the fresh texts, for the radius that would have covered


class World(NamedTuple):
    """Features and truth of a closed set: a pool to draw labels from, and fresh texts to measure on.

    h (N, m), fresh (n, m); y (n,) labels of the fresh texts; mu (N, C), fresh_mu (n, C) the exact P(label | text) if
    `exact`, else the labels as rows e_y.
    """

    h: np.ndarray
    mu: np.ndarray
    fresh: np.ndarray
    y: np.ndarray
    fresh_mu: np.ndarray
    exact: bool
    texts: list[str]
    names: tuple[str, ...]
    source: str


def world(data: str, model: str, seed: int = 0, pool: int = POOL, fresh: int = FRESH) -> World:
    """Read (or draw) at most `pool` and `fresh` texts of DATA and embed them with MODEL, kept on disk by the cache."""
    from stackelberg_lib.data import pocketdesk, sets
    from stackelberg_lib.lm import adapt, cache, registry

    llm = registry.resolve(model)
    if exact := data == "pocketdesk":
        texts, y, nouns, clauses = pocketdesk.draw(pool + fresh, np.random.default_rng([seed, 6]))
        names, mu, N = pocketdesk.LABELS, pocketdesk.posterior(nouns, clauses), pool
        source = f"generated, seed {seed}"
    else:
        read = adapt.subsample(sets.load(data, seed), pool if pool < POOL else 10**9, fresh if fresh < FRESH else 10**9,
                               seed)
        texts, names, N = [*read.train_texts, *read.test_texts], read.label_names, len(read.train_texts)
        y, source = np.concatenate([read.train_labels, read.test_labels]), read.source
        mu = linear.one_hot(y, len(names))
    h = cache.embedded(llm, texts).astype(float)
    return World(h[:N], mu[:N], h[N:], y[N:], mu[N:], exact, texts[:N], tuple(names), source)


def radius(log_det: float, classes: int, S: float, lam: float = LAM, delta: float = DELTA) -> float:
    """L1's radius for all pairs of a closed set at once: delta is shared by the C (C - 1) / 2 pairs."""
    return float(alpha_log_det(log_det, sigma=linear.SIGMA, delta=2 * delta / (classes * (classes - 1)), S=S, lam=lam))


def best_fit(w: World):
    """The best linear fit of the pool: least squares on mu itself where it is exact, else on all labels; and its S."""
    best = linear.fit(w.h, w.mu, SAFE)
    return best, linear.pair_norm(best.theta)


def one_draw(w: World, n: int, rng: np.random.Generator, best: linear.Fit, S: float, lam: float = LAM,
             delta: float = DELTA) -> dict:
    """n labels, the ridge fit on them, and on the fresh texts everything that depends on them, by name."""
    got = linear.fit_counts(w.h, linear.label_counts(w.mu, n, rng), lam)
    scores, width = w.fresh @ got.theta, linear.pair_width(w.fresh, got.G_inv)
    off = linear.spread(scores - w.fresh @ best.theta)
    return {"fit": got, "scores": scores, "width": width, "wrong": scores.argmax(1) != w.y, "off_best": off,
            "off_true": linear.spread(scores - w.fresh_mu) if w.exact else None,
            "alpha": radius(got.log_det, w.mu.shape[1], S, lam, delta)}


def closed(w: World, n: int, seeds: int, lam: float = LAM, delta: float = DELTA) -> dict:
    """The measures of a closed set with n labels, lists with one entry a seed; see `summary` for the rest."""
    from scipy.stats import spearmanr

    best, S = best_fit(w)
    kept: dict[str, list] = {}
    for s in range(seeds):
        d = one_draw(w, n, np.random.default_rng([s, n]), best, S, lam, delta)
        scores, width, wrong, alpha = d["scores"], d["width"], d["wrong"], d["alpha"]
        row = {"accuracy": 1 - wrong.mean(), "alpha": alpha, "log_det": d["fit"].log_det,
               "auc_margin": linear.auc(-linear.margin(scores), wrong), "auc_width": linear.auc(width, wrong),
               "auc_latency": linear.auc(linear.latency(scores, width, alpha), wrong)}
        for truth in ("best", "true") if w.exact else ("best",):
            off = d[f"off_{truth}"]
            row |= {f"spearman_{truth}": spearmanr(width, off)[0], f"covered_{truth}": np.mean(off <= alpha * width),
                    f"covering_{truth}": linear.covering_radius(off, width, SHARE)}
        row["auc_hindsight"] = linear.auc(row["covering_best"] * width - linear.margin(scores), wrong)
        for name, value in row.items():
            kept.setdefault(name, []).append(round(float(value), 5))
    return summary(w, best, S, n, lam) | kept


def summary(w: World, best, S: float, n: int, lam: float) -> dict:
    """What does not depend on the labels drawn: sizes, effective dimension, S, residuals of linear model and rival."""
    part = np.random.default_rng(0).permutation(len(w.h))
    rival = linear.kernel_ridge(w.h[part[:RIVAL]], w.mu[part[:RIVAL]], w.fresh)
    errors = {"linear, pool": linear.split(w.mu, w.h @ best.theta),
              "linear, fresh": linear.split(w.fresh_mu, w.fresh @ best.theta),
              "rival, fresh": linear.split(w.fresh_mu, rival),
              "constant, fresh": linear.split(w.fresh_mu, np.broadcast_to(w.mu.mean(0), w.fresh_mu.shape))}
    m, C = w.h.shape[1], w.mu.shape[1]
    return {"kind": "closed", "m": m, "classes": C, "pool": len(w.h), "fresh": len(w.y), "exact": w.exact, "labels": n,
            "source": w.source, "S": round(S, 4), "d_eff": round(linear.effective_dimension(w.h[part[:n]], lam), 3),
            "worst_log_det": round(m * log_growth(n, d=m, K=1, lam=lam), 2),
            "largest_class": round(float(np.bincount(w.y).max() / len(w.y)), 4),
            "all_labels": round(float(np.mean((w.fresh @ best.theta).argmax(1) == w.y)), 4),
            "errors": {name: [round(x, 5) for x in error] for name, error in errors.items()}}


def questions(path: Path) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Prompts, options and index of the right option from a JSONL file of multiple-choice questions, four options.

    Raises InputError with file and line for a row that is no such question.
    """
    prompts, options, y = [], [], []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(text)
            prompts.append(str(row["question"]))
            options.append([str(o) for o in row["options"]])
            y.append("ABCD".index(row["answer"]))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path.name}, line {line}: give question, options and answer (A to D)") from None
        if len(options[-1]) != 4 or not row["answer"]:
            raise InputError(f"{path.name}, line {line}: {len(options[-1])} options; give four, and an answer")
    return prompts, options, np.array(y)


def open_features(data: str, model: str) -> tuple[np.ndarray, np.ndarray]:
    """phi (N, 4, m) of a set of open answers, every option read behind its question, and the right ones y (N,)."""
    from stackelberg_lib.data import sets
    from stackelberg_lib.lm import joint, registry

    file, = sorted(sets.find(data).glob("*.jsonl"))
    prompts, options, y = questions(file)
    return joint.answers(registry.resolve(model), prompts, options).astype(float), y


def open_answers(phi: np.ndarray, y: np.ndarray, n: int, seeds: int, lam: float = LAM, delta: float = DELTA) -> dict:
    """The measures of open answers phi (N, K, d) with n labelled questions; each seed draws other questions.

    "right" of "asked" counts the questions answered rightly in ten-fold cross-validation, "right_centred" those with
    the mean over its options taken out of each question's features.
    """
    N, K, d = phi.shape
    targets = linear.one_hot(y, K)
    best = linear.fit(phi.reshape(-1, d), targets.reshape(-1, 1), SAFE).theta[:, 0]
    kept: dict[str, list] = {}
    for s in range(seeds):
        order = np.random.default_rng([s, n]).permutation(N)
        row = _open_draw(phi, targets, order[:n], order[n:], best, lam, delta)
        for name, value in row.items():
            kept.setdefault(name, []).append(round(float(value), 5))
    right, centred = (_cross_validated(x, targets, lam) for x in (phi, phi - phi.mean(1, keepdims=True)))
    flat = phi[np.random.default_rng(0).permutation(N)[:n]].reshape(-1, d)
    return {"kind": "open", "m": d, "classes": K, "pool": N, "fresh": N - n, "exact": False, "labels": n,
            "S": round(float(np.linalg.norm(best)), 4), "d_eff": round(linear.effective_dimension(flat, lam), 3),
            "worst_log_det": round(d * log_growth(n, d=d, K=K, lam=lam), 2),
            "largest_class": round(float(np.bincount(y).max() / N), 4), "right": right, "right_centred": centred,
            "asked": N} | kept


def _cross_validated(phi: np.ndarray, targets: np.ndarray, lam: float) -> int:
    """How many questions are answered rightly by a fit on the nine tenths that they are not in."""
    fold = np.random.default_rng(0).permutation(len(phi)) % 10
    return sum(int(_right(phi, targets, fold != k, fold == k, lam).sum()) for k in range(10))


def _right(phi: np.ndarray, targets: np.ndarray, train: np.ndarray, test: np.ndarray, lam: float) -> np.ndarray:
    got = linear.fit(phi[train].reshape(-1, phi.shape[2]), targets[train].reshape(-1, 1), lam)
    return (phi[test] @ got.theta)[..., 0].argmax(1) == targets[test].argmax(1)


def _open_draw(phi, targets, train, test, best, lam, delta) -> dict:
    """One seed's row: the pairs looked at are those of the answer with every other option."""
    from scipy.stats import spearmanr

    d, rows = phi.shape[2], np.arange(len(test))
    got = linear.fit(phi[train].reshape(-1, d), targets[train].reshape(-1, 1), lam)
    scores = (phi[test] @ got.theta)[..., 0]
    leader = scores.argmax(1)
    widths = linear.joint_width(phi[test], leader, got.G_inv)
    alpha = alpha_log_det(got.log_det, sigma=linear.SIGMA, delta=delta, S=float(np.linalg.norm(best)), lam=lam)
    off = scores - phi[test] @ best
    off = np.abs(off - off[rows, leader][:, None])
    latent = linear.joint_latency(scores, widths, alpha)
    rival = (alpha * widths - (scores.max(1, keepdims=True) - scores)).argmax(1)
    wrong = leader != targets[test].argmax(1)
    ratio = np.divide(off, widths, out=np.zeros_like(off), where=widths > 1e-9).max(1)
    w, e = widths[rows, rival], off[rows, rival]
    covering = linear.covering_radius(ratio, np.ones(len(ratio)), SHARE)
    return {"accuracy": 1 - wrong.mean(), "alpha": alpha, "log_det": got.log_det,
            "auc_margin": linear.auc(-linear.margin(scores), wrong), "auc_width": linear.auc(w, wrong),
            "auc_latency": linear.auc(latent, wrong), "spearman_best": spearmanr(w, e)[0],
            "auc_hindsight": linear.auc(linear.joint_latency(scores, widths, covering), wrong),
            "covered_best": np.mean(ratio <= alpha), "covering_best": covering}


def measure(data: str, model: str, n: int, seeds: int) -> dict:
    """One entry of the results: everything about the pair DATA/MODEL, with its provenance."""
    from stackelberg_lib.lm import cache, registry

    start = time.perf_counter()
    if data in OPEN:
        found = open_answers(*open_features(data, model), n, seeds)
    else:
        found = closed(world(data, model), n, seeds)
    llm = registry.resolve(model)
    return {"setting": _setting(n, seeds), "source": f"all questions of {data}", **found, "provenance": {
        "model": llm.source, "model_hash": cache.model_hash(llm)[:16], "seconds": round(time.perf_counter() - start, 1),
        **_provenance()}}


def _setting(n: int, seeds: int) -> dict:
    return {"labels": n, "seeds": seeds, "lam": LAM, "delta": DELTA, "share": SHARE, "rival": RIVAL}


def _provenance() -> dict:
    asked = subprocess.run(["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"], capture_output=True,
                           text=True)
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "torch", "transformers")}
    return {"date": time.strftime("%Y-%m-%d"), "commit": asked.stdout.strip() or "unknown", **versions}


def run(pairs: list[str], n: int, seeds: int, path: Path) -> dict:
    """Measure every pair that is missing or was measured with another setting, and write after each. InputError."""
    from tqdm import tqdm

    for pair in pairs:
        if pair.count("/") != 1:
            raise InputError(f"--sets {pair}: write DATA/MODEL, as in {PAIRS[0]}")
    if n < 2 or seeds < 2:
        raise InputError(f"labels={n}, seeds={seeds}: both must be at least 2")
    try:
        done = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise InputError(f"{path.name} is not JSON ({error.msg}); delete it to measure anew") from None
    missing = [pair for pair in pairs if done.get(pair, {}).get("setting") != _setting(n, seeds)]
    for pair in (bar := tqdm(missing, desc="feature map", disable=not missing)):
        bar.set_postfix_str(pair)
        done[pair] = measure(*pair.split("/"), n, seeds)
        path.parent.mkdir(exist_ok=True)
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in done.items())
        path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    return done


def table(done: dict) -> str:
    """The results for people: one row a pair, means over seeds; "-" where the truth is not known."""
    columns = {"accuracy": 3, "spearman_best": 2, "spearman_true": 2, "auc_margin": 3, "auc_width": 3, "auc_latency": 3,
               "auc_hindsight": 3, "alpha": 1, "covering_best": 2, "covering_true": 1, "covered_best": 3,
               "covered_true": 3}
    rows = [f"{'':20}{'m':>5}{'d_eff':>7}" + "".join(f"{c.replace('_', ' '):>15}" for c in columns)]
    for pair, r in done.items():
        rows.append(f"{pair:20}{r['m']:5}{r['d_eff']:7.0f}" + "".join(
            f"{np.mean(r[c]):15.{digits}f}" if c in r else f"{'-':>15}" for c, digits in columns.items()))
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Command line of `make feature-map`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sets", nargs="+", default=list(PAIRS), metavar="DATA/MODEL")
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--seeds", type=int, default=20)
    a = parser.parse_args(argv)
    path = RESULTS / f"{NAME}.json"
    try:
        done = run(a.sets, a.labels, a.seeds, path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table({pair: done[pair] for pair in a.sets}))
    print(f"written: {path.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
