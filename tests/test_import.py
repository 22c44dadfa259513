"""`import stackelberg_lib` stays light: heavy modules are absent, whatever the clock says."""

import json
import statistics
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "peft", "sklearn", "scipy", "matplotlib", "pandas", "numba"}


def imported(module):
    """Top-level names in sys.modules after importing `module` in a fresh interpreter, and the seconds it took."""
    code = (f"import sys, time; start = time.perf_counter(); import {module}; t = time.perf_counter() - start; "
            "import json; print(json.dumps([sorted({m.split('.')[0] for m in sys.modules}), t]))")
    names, seconds = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    return set(names), seconds


def test_package_imports_nothing_heavy(capsys):
    """The seconds are printed for people and not asserted: they depend on the machine."""
    runs = [imported("stackelberg_lib") for _ in range(5)]
    for names, _ in runs:
        assert "stackelberg_lib" in names and not names & HEAVY
    with capsys.disabled():
        print(f"\nimport stackelberg_lib: median {statistics.median(t for _, t in runs):.3f} s of 5 (aim: below 0.3 s)")


@pytest.mark.parametrize("module", ["game", "theory", "pool", "data", "report.runner"])
def test_parts_without_torch(module):
    names, _ = imported(f"stackelberg_lib.{module}")
    assert not names & {"torch", "transformers", "peft", "sklearn", "matplotlib", "pandas", "papermill", "numba"}


def test_the_probe_sees_heavy_modules():
    assert "scipy" in imported("scipy")[0]
