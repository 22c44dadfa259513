"""Execute the lessons with chosen parameters and write a report.

    python -m stackelberg_lib.report.runner --profile smoke --notebooks "04 09" --budget 100

Writes, for each lesson, NN_name.ipynb and NN_name.html, and an index.html over all. Exit status: 0 passed,
1 a lesson failed, 2 refused before anything ran (one line on stderr), 130 interrupted.
"""

import signal
import sys
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.report.arguments import Plan, plan
from stackelberg_lib.report.index import write_index


def main(argv: list[str]) -> int:
    """Check `argv`, run what it asks for, and return the exit status."""
    try:
        checked = plan(argv)
    except InputError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return run(checked)


def run(checked: Plan) -> int:
    """Run the lessons in order; the index is written after each, so that it is true whenever the run ends."""
    # seconds of imports, so only once there is something to run
    from stackelberg_lib.report import execute, pages

    out, lessons, outcomes = checked.out, checked.lessons, []
    profile = str(checked.given[0].get("profile", "lab"))
    _remove_old(out, checked)
    pages.copy_assets(out)
    write_index(out, profile, lessons, outcomes)
    try:
        for i, (lesson, given) in enumerate(zip(lessons, checked.given, strict=True), start=1):
            outcomes.append(execute.run_lesson(lesson, given, out, f"[{i}/{len(lessons)}] {lesson.name}"))
            write_index(out, profile, lessons, outcomes)
    except KeyboardInterrupt:
        write_index(out, profile, lessons, outcomes, interrupted=True)
        counts = f"{len(outcomes)} of {len(lessons)} lessons"
        print(f"report: interrupted after {counts}: {out / 'index.html'}", file=sys.stderr)
        return 130
    failed = [outcome.lesson.number for outcome in outcomes if outcome.trace]
    names = f" ({', '.join(failed)})" if failed else ""
    print(f"report: {len(lessons) - len(failed)} passed, {len(failed)} failed{names}: {out / 'index.html'}")
    return 1 if failed else 0


def _remove_old(out: Path, checked: Plan) -> None:
    """Pages of an earlier run must not look like results of this one."""
    for lesson in checked.lessons:
        for suffix in (".ipynb", ".html"):
            (out / f"{lesson.name}{suffix}").unlink(missing_ok=True)


if __name__ == "__main__":
    # a terminated job ends as cleanly as Ctrl-C does, and one that a shell started in the background can be interrupted
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
