"""What `make bench-pool` rests on: the job, the measuring of memory, the check of the picks, the record."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stackelberg_lib.pool.strategies import RULES
from stackelberg_lib.report import memory

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
CASE = {"n": 600, "m": 12, "classes": 5, "labelled": 25, "budget": 9, "seed": 0, "repeat": 2, "threads": 1}


def module(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


pool, pool_run = module("pool"), module("pool_run")


def test_the_job():
    got, again, other = (pool_run.job(CASE | {"seed": s}) for s in (0, 0, 1))
    assert got.h.shape == (600, 12) and got.h.dtype == np.float32 and got.budget == 9
    np.testing.assert_allclose(np.linalg.norm(got.h, axis=1), 1.0, rtol=1e-5)
    assert np.bincount(got.y + 1).tolist() == [575, 5, 5, 5, 5, 5]
    assert got.p.shape == (600, 5)
    np.testing.assert_allclose(got.p.sum(1), 1.0, rtol=1e-6)
    for one, two in zip(got, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.allclose(got.h, other.h)
    known = got.h[np.flatnonzero(got.y >= 0)]
    same = np.equal.outer(*[got.y[got.y >= 0]] * 2) & ~np.eye(25, dtype=bool)
    alike = known @ known.T
    assert 0.3 < alike[same].mean() < 0.7 and abs(alike[~same & ~np.eye(25, dtype=bool)].mean()) < 0.2


HELD = """
import json, sys
import numpy as np
import pool_run
held, sizes = np.ones(10_000_000), iter([50_000_000, 100_000_000])
np.ones(60_000_000).sum()  # a peak before the call, of 480 MB, is none of its business
got = pool_run.measure(lambda: np.ones(next(sizes), dtype=np.uint8)[:1], 2)
json.dump({"extra": got["extra"], "seconds": len(got["seconds"]), "picks": got["picks"].tolist(), "held": held.sum()},
          sys.stdout)
"""


@pytest.mark.skipif(not memory.RESET.exists(), reason="the peak of memory can be forgotten on Linux only")
def test_extra_memory_is_that_of_the_first_call_above_what_was_held():
    """In a process of its own, as every contender: here, memory of earlier tests may be given back meanwhile."""
    run = subprocess.run([sys.executable, "-c", HELD], cwd=FOLDER, check=True, capture_output=True, text=True)
    got = json.loads(run.stdout)
    assert 45e6 < got.pop("extra") < 75e6
    assert got == {"seconds": 2, "picks": [1], "held": 1e7}


def test_only_the_job_that_was_set_counts():
    y = np.array([-1, -1, 0, -1, 1])
    assert pool_run.checked(np.array([0, 3]), y, 2).tolist() == [0, 3]
    for picks in ([0], [0, 0], [0, 2], [0, 1, 3]):
        with pytest.raises(ValueError, match="instead of 2"):
            pool_run.checked(np.array(picks), y, 2)


def test_the_covering_radius():
    h = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    assert pool_run.radius(h, np.array([0, -1, -1, -1]), np.array([2])) == pytest.approx(np.sqrt(2 - 2 * 0.8))
    assert pool_run.radius(h, np.array([0, -1, -1, -1]), np.array([3])) == pytest.approx(np.sqrt(2 - 2 * 0.6))
    assert pool_run.radius(h, np.full(4, -1), np.array([0])) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("name", ["mass", "badge", "badge_own_head", "k_center"])
def test_ours(name):
    got = pool_run.contend(name, CASE)
    assert len(got["seconds"]) == 2 and got["extra"] >= 0 and 0 < got["radius"] < 2


@pytest.mark.parametrize("name", ["skactiveml_badge", "skactiveml_kcenter", "skactiveml_typiclust", "smalltext_badge",
                                  "smalltext_kcenter"])
def test_peers(name):
    pytest.importorskip("skactiveml" if name.startswith("skactiveml") else "small_text")
    got = pool_run.contend(name, CASE)
    assert len(got["seconds"]) == 1 and 0 < got["radius"] < 2
    if name.endswith("kcenter"):
        assert got["radius"] == pytest.approx(pool_run.contend("k_center", CASE)["radius"], rel=1e-5)


def test_the_two_files_name_the_same_contenders():
    assert pool.contenders([]) == [*pool_run.OURS, *pool_run.PEERS] == [*RULES, "badge_own_head", *pool.PEERS]
    assert pool.contenders(["badge", "mass"]) == ["mass", "badge"]
    with pytest.raises(SystemExit, match="--only: best does not exist; use some of "):
        pool.contenders(["best", "mass"])


def test_the_last_line():
    rows = [{"name": name, "seconds": s, "extra_mb": mb} for name, s, mb in [
        ("mass", 1.23456, 70.0), ("kernel_mass", 2.0, 200.0), ("badge", 1.5, 123.456), ("k_center", 0.4, 1.0),
        ("skactiveml_badge", 90.123, 2700.0), ("smalltext_kcenter", 63.0, 5.0)]]
    assert pool.summary(rows) == {
        "mass_s": 1.23, "kernel_mass_s": 2.0, "badge_s": 1.5, "badge_extra_mb": 123.5, "kcenter_s": 0.4,
        "skactiveml_badge_s": 90.1, "skactiveml_badge_extra_mb": 2700.0, "smalltext_kcenter_s": 63.0}


@pytest.mark.parametrize("words", [["--n", "100"], ["--budget", "0"], ["--n", "500", "--budget", "401"],
                                   ["--repeat", "0"], ["--threads", "0"]])
def test_what_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        pool.arguments(words)
    assert "--budget from 1 to n - 100" in capsys.readouterr().err


def test_a_small_run_from_end_to_end(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pool, "PYTHON", sys.executable)
    versions = {"numpy": "2.4.6"}
    monkeypatch.setattr(pool, "pins", lambda: versions)
    pool.main(["--n", "400", "--budget", "7", "--repeat", "3", "--threads", "1", "--only", "mass", "k_center",
               "--out", str(tmp_path / "new/pool.json")])
    out, text = capsys.readouterr().out.splitlines(), (tmp_path / "new/pool.json").read_text()
    last, record = json.loads(out[-1]), json.loads(text)
    assert list(last) == ["mass_s", "kcenter_s"] and last == record["last"] and len(out) == 4
    assert [len(row["runs"]) for row in record["table"]] == [3, 3]
    assert record["setting"]["n"] == 400 and record["setting"]["threads"] == 1
    assert record["provenance"]["numpy"] == "2.4.6" and record["provenance"]["cores"] >= 1
    assert str(FOLDER.parent) not in text and sys.executable not in text and str(tmp_path) not in text


def test_a_contender_that_fails_ends_the_run(monkeypatch):
    monkeypatch.setattr(pool, "PYTHON", sys.executable)
    with pytest.raises(SystemExit, match="(?s)mass failed in .venv-pool .status 1.*whole number from 1 to 375"):
        pool.start("mass", CASE | {"n": 400, "budget": 376})
