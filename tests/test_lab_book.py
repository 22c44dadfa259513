"""The tables of docs/gates-lab-book.md are those of the recorded results, digit for digit."""

import json
from pathlib import Path

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
