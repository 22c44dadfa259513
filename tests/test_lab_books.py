"""The tables of the lab books in docs/ are those of the recorded results, digit for digit."""

import json
from pathlib import Path

import numpy as np

from stackelberg_lib.report import pool_study, pool_summary

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "docs/gates-lab-book.md"
STREAMS = ["stationary", "power law", "Zipf clusters", "drift"]
GATES = ["LLF, best level", "width, best level", "margin, best level", "BBQ, best exponent", "calibrated", "first B",
         "random", "DGS", "T2 level", "T4 reserve, rest by coin", "all labels", "no label"]


def result(name):
    return json.loads((ROOT / f"results/{name}.json").read_text(encoding="utf-8"))


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def reached(cells):
    """Table 1: oracle, calibrated, their ratio and the others, for each stream and budget."""
    rows = []
    for stream in STREAMS:
        for fraction in (0.02, 0.05, 0.1):
            row = cells[f"{stream} B/T {fraction}"]
            ours, best = row["calibrated"], min(row[name]["regret"] for name in GATES[:2])
            low, high = ours["interval"]
            rows.append([stream, fraction, f"{best:.1f}", f"{ours['regret']:.1f}",
                         f"{ours['vs_oracle']:.2f} ({low:.2f} to {high:.2f})", f"{row['random']['regret']:.1f}",
                         f"{row['first B']['regret']:.1f}", f"{row['all labels']['regret']:.1f}"])
    return table(["stream", "B/T", "oracle", "calibrated", "ratio (95 % interval)", "random", "first B", "all labels"],
                 rows)


def others(cells):
    """Table 2: all gates on all streams at B = 0.05 T."""
    streams = [key.removesuffix(" B/T 0.05") for key in cells if key.endswith(" B/T 0.05")]
    rows = [[gate, *(f"{cells[f'{stream} B/T 0.05'][gate]['regret']:.1f}" for stream in streams)] for gate in GATES]
    return table(["gate", *streams], rows)


def tried(trials, fraction):
    """Table 3: the variants at one budget."""
    variants = trials["regret"][fraction]
    streams = list(next(iter(variants.values())))
    rows = [[name, *(f"{row[stream]:.1f}" for stream in streams)] for name, row in variants.items()]
    return table([f"B/T {fraction}", *streams], rows)


def test_the_tables_are_the_recorded_ones():
    text = BOOK.read_text(encoding="utf-8")
    cells, trials = result("gates")["cells"], result("gate_trials")
    for expected in (reached(cells), others(cells), tried(trials, "0.02"), tried(trials, "0.05")):
        assert expected in text


def test_the_weak_stream_is_told_with_its_numbers():
    text = " ".join(BOOK.read_text(encoding="utf-8").split())
    row = result("gates")["cells"]["power law, a third of the signal B/T 0.02"]
    best = min(row[name]["regret"] for name in GATES[:2])
    assert row["random"]["regret"] < 2 * best
    assert (f"random has {row['random']['regret']:.1f}, the best fixed level {best:.1f}, the calibrated gate "
            f"{row['calibrated']['regret']:.1f}") in text


def test_the_trials_end_where_the_bench_is():
    """The last variant is the gate itself: the same figures in both files."""
    cells, trials = result("gates")["cells"], result("gate_trials")["regret"]
    for fraction, variants in trials.items():
        for stream, value in variants["calibrated (a tenth of the average)"].items():
            assert abs(value - cells[f"{stream} B/T {fraction}"]["calibrated"]["regret"]) < 0.01


SMALL = ["banking77", "banking77 topics", "banking77 kinds", "pocketdesk", "pocketdesk issues"]
FIRST = ["coverage", "coverage, plain weights", "coverage, scales from 1/4", "coverage, scales from 1/4, plain weights",
         "coverage, scales from 1/4, weights to the fourth", "coverage, scales from 1/4, weights 1 / margin",
         "kernel mass", "kernel mass, weights squared", "kernel mass, scale 1.0 alone", "kernel mass, scales from 1/16",
         "linear mass", "(facility_location)", "(typiclust)", "(bait)", "(random)"]
SECOND = ["coverage", "coverage, scale 0.25 alone", "coverage, scale 1.0 alone", "coverage, scale 4.0 alone",
          "coverage, scale by leave-one-out", "coverage, k squared", "coverage, all rows weigh 1",
          "coverage, half of the batches, then margin", "point latency"]
LARGE = ["coverage, scales from 1/4, plain weights", "kernel mass", "kernel mass, 1,000 landmarks"]
POOLS = (ROOT / "docs/llf-lab-book.md").read_text(encoding="utf-8")


def studied(sets):
    """Rule by rule, the area on each set and whether it differs from the default's (Holm, p < 0.05: a star)."""
    tables = {name: {r.strategy: r for r in pool_summary.table(pool_study.read(name, "minilm"))} for name in sets}
    order = sorted(tables[sets[0]], key=lambda rule: -np.mean([t[rule].area for t in tables.values()]))
    rows = [[rule, *(f"{t[rule].area:.4f}{'*' if t[rule].p is not None and t[rule].p < 0.05 else ''}"
                     for t in tables.values())] for rule in order]
    return table(["rule", *sets], rows)


def trials(tried, sets):
    """Variant by variant the mean area on each set over the seeds that all of `tried` have on it."""
    lines = [json.loads(line) for line in (ROOT / "results/llf_trials.jsonl").read_text().splitlines()]
    found: dict = {}
    for line in lines:
        labels = line["classes"] * np.arange(1, len(line["accuracy"]) + 1)
        area = pool_summary.area(labels, np.array(line["accuracy"]))
        found.setdefault(line["set"], {}).setdefault(line["variant"], {})[line["seed"]] = area
    seeds = {name: sorted(set.intersection(*(set(found[name][v]) for v in tried))) for name in sets}
    head = ["variant", *(f"{name}, {len(of)} seeds" for name, of in seeds.items())]
    return table(head, [[v, *(f"{np.mean([found[name][v][s] for s in of]):.4f}" for name, of in seeds.items())]
                        for v in tried])


def test_the_tables_of_the_pool_are_the_recorded_ones():
    assert studied(["banking77", "pocketdesk"]) in POOLS
    assert studied(["chemprot", "stackoverflow20"]) in POOLS
    assert trials(FIRST, SMALL) in POOLS
    assert trials(SECOND, SMALL) in POOLS
    assert trials(LARGE, ["banking77 large"]) in POOLS
