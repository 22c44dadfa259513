"""Run lessons, each in its own kernel with papermill, and write what came out as notebooks and as HTML."""

import ast
import html
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from stackelberg_lib.report import claims, figures, files, pages, provenance
from stackelberg_lib.report.lessons import Lesson
from stackelberg_lib.report.records import Outcome

ASK = "__import__('stackelberg_lib.report.provenance', fromlist=['kernel_facts']).kernel_facts()"
ANCHOR = "where-this-report-comes-from"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Stopped(Exception):
    """The run ends before this lesson did; nothing is written of it."""


class Kernels:
    """The kernels of a run, which can all be stopped from another thread than those that wait for them."""

    def __init__(self):
        self.stopped = threading.Event()
        self._processes: set[int] = set()

    def add(self, process: int) -> None:
        """Remember a kernel that has started. Raises Stopped, after ending it, if the run is being stopped."""
        self._processes.add(process)
        if self.stopped.is_set():
            self._kill(process)
            raise Stopped

    def remove(self, process: int) -> None:
        """Forget a kernel that has ended by itself."""
        self._processes.discard(process)

    def stop(self) -> None:
        """End every kernel, with what it has started."""
        self.stopped.set()
        for process in list(self._processes):
            self._kill(process)

    @staticmethod
    def _kill(process: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # a kernel leads a group of its own


class _Client(PapermillNotebookClient):
    """Asks the kernel about itself while it lives: after the last cell, or after the one that failed."""

    def papermill_execute_cells(self):
        process = self.km.provisioner.pid
        self.kernels.add(process)
        try:
            super().papermill_execute_cells()
            request = self.kc.execute("", silent=True, user_expressions={"facts": ASK})
            answer = self.wait_for_reply(request)["content"]["user_expressions"]["facts"]
            if answer["status"] == "ok":
                self.nb.metadata["facts"] = ast.literal_eval(answer["data"]["text/plain"])
        finally:
            self.kernels.remove(process)


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, execution_timeout=None, *, kernels,
                                 start, executed, **_):
        options = {"kernel_name": kernel_name, "startup_timeout": start_timeout, "timeout": execution_timeout}
        executed.append(nb_man.nb)
        client = _Client(nb_man, **options)
        client.kernels = kernels
        # a cell's stderr comes through the kernel's messages; its process's own would tear the progress bar
        client.execute(stderr=subprocess.DEVNULL, **start)


papermill_engines.register("asking", _Engine)


def run_lesson(lesson: Lesson, given: dict[str, object], out: Path, kernels: Kernels, *, threads: int | None = None,
               bar: str = "") -> Outcome:
    """Execute `lesson` with the parameters `given` and write `out`/NAME.ipynb and .html, passed or failed.

    threads: most of each numeric library in the kernel, None for all; bar: the name of a progress bar on stderr, "" for
    none. Several lessons may run at once, each in a thread. Raises Stopped once `kernels` are stopped, and InputError
    if `out` cannot be written.
    """
    start, trace, executed = time.monotonic(), "", []
    often = 0.1 if sys.stderr.isatty() else 10
    env = dict(os.environ) if threads is None else {"OMP_NUM_THREADS": str(threads), **os.environ}
    try:
        # papermill would change the directory of all threads and write half a notebook; the kernel gets its own
        papermill.execute_notebook(
            str(lesson.path).replace("{", "{{").replace("}", "}}"), None, given, engine_name="asking",
            kernel_name="python3", language="python", kernels=kernels, executed=executed,
            start={"cwd": str(lesson.path.parent), "env": env},
            progress_bar={"desc": bar, "file": sys.stderr, "mininterval": often} if bar else False)
    except Exception as error:  # a failed cell, a dead kernel ...: the other lessons still run
        trace = ANSI.sub("", "".join(traceback.format_exception_only(error)))
    if kernels.stopped.is_set():
        raise Stopped
    seconds = time.monotonic() - start
    nb = executed[0] if executed else nbformat.read(lesson.path, as_version=4)
    return _write(nb, lesson, lesson.defaults | given, seconds, trace, out)


def _write(nb: nbformat.NotebookNode, lesson: Lesson, used: dict, seconds: float, trace: str, out: Path) -> Outcome:
    _append_footer(nb, used, seconds)
    files.write(out / f"{lesson.name}.ipynb", nbformat.writes(nb))
    codes = " ".join(f"<code>{html.escape(f'{name}={value!r}')}</code>" for name, value in used.items())
    facts = f'{codes}, {seconds:.1f} s. <a href="#{ANCHOR}">{provenance.HEADING}</a>'
    files.write(out / f"{lesson.name}.html", pages.page(nb, lesson.title, facts))
    printed = "\n".join(o.text for cell in nb.cells for o in cell.get("outputs", []) if o.get("name") == "stdout")
    measured = {name: lines[-1] for name, lines in claims.measurements(printed).items()}
    return Outcome(lesson, used, seconds / 60, trace, *figures.write_first(nb, out, lesson.name), measured)


def _append_footer(nb: nbformat.NotebookNode, used: dict[str, object], seconds: float) -> None:
    silent = dict.fromkeys(provenance.ASKED, "not known: the kernel died before it could be asked")
    asked = nb.metadata.pop("facts", silent)
    parameters = ", ".join(f"<code>{html.escape(f'{name}={value!r}')}</code>" for name, value in used.items())
    facts = {"commit": provenance.checkout(), "requirements.lock": f"sha256 {provenance.lock_hash()}"}
    facts |= {name: asked[name] for name in provenance.ASKED}  # a notebook file sorts its metadata
    facts |= {"parameters": parameters, "wall time": f"{seconds:.1f} s"}
    cell = nbformat.v4.new_markdown_cell(provenance.footer(facts), metadata={"tags": ["provenance"]})
    nb.cells.append(cell)
