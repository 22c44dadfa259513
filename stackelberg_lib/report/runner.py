"""Execute the lessons with chosen parameters and write a report.

    python -m stackelberg_lib.report.runner --profile smoke --notebooks "04 09" --budget 100 --workers 2

Writes, for each lesson, NN_name.ipynb, NN_name.html and, last, its record NN_name.json, and an index.html over all.
With --resume 1 lessons stay that an earlier run into the folder finished: passed, with the same parameters, commit and
contents of lesson, library and results; every other lesson runs anew. Exit status: 0 passed, 1 a lesson failed,
2 refused before anything ran, or the folder cannot be written any more (one line on stderr), 130 interrupted.
"""

import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from stackelberg_lib.errors import InputError
from stackelberg_lib.report import files, records
from stackelberg_lib.report.arguments import Plan, plan
from stackelberg_lib.report.index import write_index
from stackelberg_lib.report.records import Outcome


def main(argv: list[str]) -> int:
    """Check `argv`, run what it asks for, and return the exit status."""
    try:
        checked = plan(argv)
        with files.locked(checked.out):
            return run(checked)
    except InputError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2


def run(checked: Plan) -> int:
    """Run the lessons; the index is written after each, so that it is true whenever the run ends."""
    # seconds of imports, so only once there is something to run
    from stackelberg_lib.report import pages

    out, lessons = checked.out, checked.lessons
    sources = records.source_key()
    keys = [records.key(lesson, given, sources) for lesson, given in zip(lessons, checked.given, strict=True)]
    outcomes = _kept(checked, keys)
    pages.copy_assets(out)
    write_index(checked, outcomes)
    try:
        _run_missing(checked, keys, outcomes)
    except KeyboardInterrupt:
        pages.link(out, [outcome.lesson for outcome in _in_order(outcomes)])
        write_index(checked, outcomes, interrupted=True)
        print(f"report: interrupted after {len(outcomes)} of {len(lessons)} lessons, RESUME=1 keeps them: "
              f"{out / 'index.html'}", file=sys.stderr)
        return 130
    pages.link(out, lessons)
    failed = [outcome.lesson.number for outcome in _in_order(outcomes) if outcome.trace]
    names = f" ({', '.join(failed)})" if failed else ""
    print(f"report: {len(lessons) - len(failed)} passed, {len(failed)} failed{names}: {out / 'index.html'}")
    return 1 if failed else 0


def _in_order(outcomes: list[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: outcome.lesson.number)


def _kept(checked: Plan, keys: list[str]) -> list[Outcome]:
    """What an earlier run has finished, if it was asked for; what is left of every other lesson is removed."""
    kept = []
    for lesson, key in zip(checked.lessons, keys, strict=True):
        outcome = records.finished(lesson, checked.out, key) if checked.resume else None
        if outcome:
            kept.append(outcome)
        else:
            records.remove(lesson, checked.out)
    if kept:
        print(f"report: kept, finished before: {', '.join(o.lesson.number for o in kept)}", file=sys.stderr)
    return kept


def _run_missing(checked: Plan, keys: list[str], outcomes: list[Outcome]) -> None:
    """Run the lessons without an outcome in so many threads as there are workers, each with its own kernel."""
    from stackelberg_lib.report import execute

    kernels, done = execute.Kernels(), {outcome.lesson.number for outcome in outcomes}
    jobs = [job for job in zip(checked.lessons, checked.given, keys, strict=True) if job[0].number not in done]
    alone = checked.workers == 1
    if not alone:
        jobs.reverse()  # the last lessons take longest: no worker waits for one of them at the end
    with ThreadPoolExecutor(checked.workers) as pool:
        futures: dict[Future, str] = {}
        try:
            for lesson, given, key in jobs:
                label = f"[{len(done) + len(futures) + 1}/{len(checked.lessons)}] {lesson.name}"
                futures[pool.submit(_one, execute, kernels, checked, lesson, given, key, label)] = label
            for future in as_completed(futures):
                outcomes.append(future.result())
                write_index(checked, outcomes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            kernels.stop()
            raise


def _one(execute, kernels, checked: Plan, lesson, given: dict, key: str, label: str) -> Outcome:
    alone = checked.workers == 1
    if not alone:
        print(f"{label}: started", file=sys.stderr, flush=True)
    outcome = execute.run_lesson(lesson, given, checked.out, kernels, threads=None if alone else checked.threads,
                                 bar=label if alone else "")
    records.write(outcome, checked.out, key)
    if not alone:
        state = "failed" if outcome.trace else "passed"
        print(f"{label}: {state} in {60 * outcome.minutes:.0f} s", file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    # a terminated job ends as cleanly as Ctrl-C does, and one that a shell started in the background can be interrupted
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
