"""Run one lesson in its own kernel with papermill and write what came out as a notebook and as HTML."""

import ast
import html
import re
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from stackelberg_lib.report import pages, provenance
from stackelberg_lib.report.lessons import Lesson

ASK = "__import__('stackelberg_lib.report.provenance', fromlist=['kernel_facts']).kernel_facts()"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Outcome:
    """A lesson after its run; `trace` is empty if it passed, `figure` is its first picture or empty."""

    lesson: Lesson
    parameters: dict[str, object]
    minutes: float
    trace: str
    figure: str


class _Client(PapermillNotebookClient):
    """Asks the kernel about itself while it lives: after the last cell, or after the one that failed."""

    def papermill_execute_cells(self):
        super().papermill_execute_cells()
        request = self.kc.execute("", silent=True, user_expressions={"facts": ASK})
        answer = self.wait_for_reply(request)["content"]["user_expressions"]["facts"]
        if answer["status"] == "ok":
            self.nb.metadata["facts"] = ast.literal_eval(answer["data"]["text/plain"])


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, execution_timeout=None, **_):
        options = {"kernel_name": kernel_name, "startup_timeout": start_timeout, "timeout": execution_timeout}
        # a cell's stderr comes through the kernel's messages; its process's own would tear the progress bar
        _Client(nb_man, **options).execute(stderr=subprocess.DEVNULL)


papermill_engines.register("asking", _Engine)


def run_lesson(lesson: Lesson, given: dict[str, object], out: Path, label: str) -> Outcome:
    """Execute `lesson` with the parameters `given` and write `out`/NAME.ipynb and .html, passed or failed.

    `label` names it in the progress bar on stderr. KeyboardInterrupt is passed on once the kernel is stopped.
    """
    target = out / f"{lesson.name}.ipynb"
    start, trace = time.monotonic(), ""
    often = 0.1 if sys.stderr.isatty() else 10
    try:
        papermill.execute_notebook(
            _unformatted(lesson.path), _unformatted(target), given, cwd=lesson.path.parent,
            engine_name="asking", kernel_name="python3", language="python",
            progress_bar={"desc": label, "file": sys.stderr, "mininterval": often})
    except Exception as error:  # a failed cell, a dead kernel ...: the other lessons still run
        trace = ANSI.sub("", "".join(traceback.format_exception_only(error)))
    seconds = time.monotonic() - start
    used = lesson.defaults | given
    nb = nbformat.read(target, as_version=4) if target.exists() else nbformat.read(lesson.path, as_version=4)
    _append_footer(nb, used, seconds)
    nbformat.write(nb, target)
    pages.write_page(nb, out / f"{lesson.name}.html", lesson.title)
    return Outcome(lesson, used, seconds / 60, trace, pages.write_figure(nb, out, lesson.name))


def _unformatted(path: Path) -> str:
    """papermill applies str.format to paths; braces in a folder's name must survive that."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _append_footer(nb: nbformat.NotebookNode, used: dict[str, object], seconds: float) -> None:
    silent = dict.fromkeys(provenance.ASKED, "not known: the kernel died before it could be asked")
    asked = nb.metadata.pop("facts", silent)
    parameters = ", ".join(f"<code>{html.escape(f'{name}={value!r}')}</code>" for name, value in used.items())
    facts = {"commit": provenance.checkout(), "requirements.lock": f"sha256 {provenance.lock_hash()}"}
    facts |= {name: asked[name] for name in provenance.ASKED}  # a notebook file sorts its metadata
    facts |= {"parameters": parameters, "wall time": f"{seconds:.1f} s"}
    cell = nbformat.v4.new_markdown_cell(provenance.footer(facts), metadata={"tags": ["provenance"]})
    nb.cells.append(cell)
