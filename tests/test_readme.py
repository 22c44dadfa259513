"""What README.md tells people to type works: make targets and variables exist, Python blocks run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md is not written yet")


def blocks(*languages):
    """Contents of the fenced blocks in one of `languages`."""
    fenced = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [body for language, body in fenced if language in languages]


def make_commands():
    """Every `make ...` in a shell block, or between backticks in the prose, without what follows it in the shell."""
    text = README.read_text(encoding="utf-8")
    lines = "\n".join(blocks("", "sh", "bash", "shell", "console")).splitlines() + re.findall(r"`(make [^`]+)`", text)
    parts = (part.strip().removeprefix("$ ") for line in lines for part in re.split(r"&&|;|\|", line.split(" #")[0]))
    return sorted({part for part in parts if re.match(r"make\s+\S", part)})


def test_readme_names_the_two_commands():
    targets = {shlex.split(command)[1] for command in make_commands()}
    assert {"report", "test"} <= targets


def test_make_commands_exist():
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    for command in make_commands():
        dry = ["make", "-n", *shlex.split(command)[1:]]
        done = subprocess.run(dry, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_python_blocks_run(tmp_path):
    """In the order of the page, as one program, in a folder of their own."""
    program = "\n".join(blocks("python", "py"))
    if not program:
        pytest.skip("README.md has no Python block")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
