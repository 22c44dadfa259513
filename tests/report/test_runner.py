"""Real runs of tiny notebooks: what is written, what a failure leaves, what the footer says, what a page asks for."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from stackelberg_lib.report import provenance, runner

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
REMOTE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)\s*=\s*["']?(?:https?:)?//[^>]*>|"""
                    r"""@import\s+["']?(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//|"""
                    r"""\b(?:from\s+|import\(\s*)["']https?://""", re.I)


@pytest.fixture
def run(write_lesson, tmp_path):
    """A function that runs the lessons of the folder and returns (status, folder of the report)."""

    def go(*argv):
        out = tmp_path / "my {report}"  # spaces and braces must survive papermill's handling of paths
        return runner.main([f"--notebooks-dir={tmp_path / 'notebooks'}", f"--out={out}", *argv]), out

    return go


def text_of(nb):
    return "".join(o.get("text", "") for c in nb.cells for o in c.get("outputs", []))


def test_success(run, write_lesson, capsys):
    write_lesson("01_game", PLOT, "print(profile, seed)")
    write_lesson("04_gate", "print(profile, beta)", parameters='profile = "lab"\nbeta = 0.1')
    status, out = run("--profile=smoke", "--seed=7", "--params=beta=0.25")
    assert status == 0
    captured = capsys.readouterr()
    assert "2 passed, 0 failed" in captured.out
    assert "[1/2] 01_game" in captured.err and "[2/2] 04_gate" in captured.err  # the progress bar
    first, second = (nbformat.read(out / f"{name}.ipynb", as_version=4) for name in ("01_game", "04_gate"))
    assert "smoke 7" in text_of(first) and "smoke 0.25" in text_of(second)
    assert "seed" not in second.metadata.papermill.parameters  # handed only to the lesson that has it
    index = (out / "index.html").read_text()
    assert "2 passed, 0 failed, 0 missing" in index
    assert '<a href="01_game.html">01 Lesson &lt;game&gt;</a>' in index
    assert '<img src="assets/01_game.png" alt="First picture of the lesson 01 Lesson &lt;game&gt;">' in index
    assert (out / "assets/01_game.png").read_bytes().startswith(b"\x89PNG")
    assert "beta=0.25" in index and "seed=7" in index
    for page in sorted(out.glob("*.html")):
        assert not REMOTE.search(page.read_text()), page.name
    assert "tex-svg.js" in (out / "01_game.html").read_text() and (out / "assets/tex-svg.js").stat().st_size > 1e6


def test_a_failing_lesson_does_not_stop_the_others(run, write_lesson, capsys):
    write_lesson("01_bad", "print('before')", "1 / 0", "print('after')")
    write_lesson("04_good", "print('reached')")
    status, out = run()
    assert status == 1
    assert "1 passed, 1 failed (01)" in capsys.readouterr().out
    index = (out / "index.html").read_text()
    assert "ZeroDivisionError: division by zero" in index and "\x1b" not in index
    assert index.index('"status failed"') < index.index("04_good.html") < index.index('"status passed"')
    page = (out / "01_bad.html").read_text()
    assert "before" in page and "ZeroDivisionError" in page and provenance.HEADING in page
    assert "reached" in (out / "04_good.html").read_text()


def test_a_dead_kernel_is_a_failed_lesson(run, write_lesson):
    write_lesson("01_dead", "import os\nos._exit(3)")
    write_lesson("04_good", "x = 1")
    status, out = run()
    assert status == 1
    assert "DeadKernelError" in (out / "index.html").read_text()
    assert "the kernel died" in (out / "01_dead.html").read_text()
    assert "1 passed, 1 failed, 0 missing" in (out / "index.html").read_text()


def test_footer_says_what_was_really_used(run, write_lesson):
    """The peak counts memory that is already given back, and threads are those of the kernel, not of the runner."""
    write_lesson("01_game", "import numpy, threadpoolctl\nthreadpoolctl.threadpool_limits(1)",
                 "x = bytearray(400 * 2**20)\ndel x")
    status, out = run("--profile=smoke", "--seed=7")
    assert status == 0
    footer = nbformat.read(out / "01_game.ipynb", as_version=4).cells[-1].source
    table = dict(re.findall(r"^\| ([\w .]+) \| (.+) \|$", footer, flags=re.M))
    assert list(table) == ["commit", "requirements.lock", *provenance.ASKED, "parameters", "wall time"]
    assert table["commit"] == provenance.checkout()
    assert table["requirements.lock"] == f"sha256 {provenance.lock_hash()}"
    assert table["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert table["device"] == "cpu (torch not used)" and table["threads"] == "1"
    assert 400 < int(table["peak memory"].split()[0]) < 1000
    assert "profile=&#x27;smoke&#x27;" in table["parameters"] and "seed=7" in table["parameters"]
    assert re.fullmatch(r"\d+\.\d s", table["wall time"])
    assert provenance.HEADING in (out / "01_game.html").read_text()


def test_footer_asks_torch_when_the_lesson_uses_it(run, write_lesson):
    torch = pytest.importorskip("torch")
    write_lesson("01_game", "import torch\ntorch.set_num_threads(1)\nx = torch.ones(3)")
    _, out = run()
    footer = nbformat.read(out / "01_game.ipynb", as_version=4).cells[-1].source
    assert f"| torch | {torch.__version__} |" in footer
    assert "| device | cpu |" in footer and "| threads | 1 |" in footer


def test_checkout_states(tmp_path):
    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    assert provenance.checkout(tmp_path) == "not a git checkout"
    git("init")
    assert provenance.checkout(tmp_path) == "not a git checkout"  # no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    assert re.fullmatch(r"[0-9a-f]{40}, clean tree", provenance.checkout(tmp_path))
    (tmp_path / "a").write_text("2")
    assert provenance.checkout(tmp_path).endswith("with uncommitted changes")
    (tmp_path / "inner").mkdir()
    assert provenance.checkout(tmp_path / "inner") == "not a git checkout"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_is_finished(write_lesson, tmp_path, stop):
    write_lesson("01_game", "print('done')")
    write_lesson("04_slow", "import os, pathlib, time\npathlib.Path('started').write_text(str(os.getpid()))",
                 "time.sleep(120)")
    write_lesson("09_never", "x = 1")
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    (tmp_path / "out").mkdir()
    (out / "09_never.html").write_text("of an earlier run")
    command = [sys.executable, "-m", "stackelberg_lib.report.runner", f"--notebooks-dir={folder}", f"--out={out}"]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    started = folder / "started"
    while job.poll() is None and not (started.exists() and started.read_text()):
        time.sleep(0.05)
    job.send_signal(stop)
    try:
        err = job.communicate(timeout=60)[1]
    finally:
        job.kill()
    assert job.returncode == 130
    assert "interrupted after 1 of 3 lessons" in err and "Traceback" not in err
    index = (out / "index.html").read_text()
    assert "interrupted" in index and "1 passed, 0 failed, 2 missing" in index
    assert "done" in (out / "01_game.html").read_text() and not (out / "09_never.html").exists()
    kernel = Path(f"/proc/{started.read_text()}/stat")
    assert not kernel.exists() or ") Z " in kernel.read_text()  # the kernel is gone
