"""The front page of a report: per lesson its title, status, minutes, parameters, first picture and link."""

from html import escape
from pathlib import Path

from stackelberg_lib.report.lessons import Lesson

STYLE = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1c2330; background: #fff; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; }
article { border-top: 1px solid #c9d0da; padding: 1rem 0; display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
article > div { flex: 1 1 18rem; min-width: 0; }
article img { flex: 0 1 24rem; width: 24rem; max-width: 100%; height: auto; align-self: flex-start; }
h2 { font-size: 1.2rem; margin: 0; }
pre { background: #f4f5f7; padding: .6rem; overflow-x: auto; font-size: .85rem; }
code { overflow-wrap: anywhere; }
.passed { color: #17623a; } .failed { color: #a11c1c; } .missing { color: #6b4a00; }
.status { font-weight: 600; }
a { color: #0b4fa8; }
"""


def write_index(out: Path, profile: str, lessons: list[Lesson], outcomes: list, interrupted=False) -> None:
    """Write `out`/index.html for the lessons of this run; those without an outcome are shown as missing.

    `outcomes` holds what `execute.run_lesson` returned so far.
    """
    done = {outcome.lesson.number: outcome for outcome in outcomes}
    failed = sum(bool(outcome.trace) for outcome in outcomes)
    missing = len(lessons) - len(outcomes)
    counts = f"{len(outcomes) - failed} passed, {failed} failed, {missing} missing"
    note = "The run was interrupted. " if interrupted else ""
    articles = "\n".join(_done(done[x.number]) if x.number in done else _missing(x) for x in lessons)
    (out / "index.html").write_text(f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Report, profile {escape(profile)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Report, profile {escape(profile)}</h1>
<p>{note}{len(lessons)} lesson{"s" if len(lessons) != 1 else ""}: {counts}.</p>
{articles}
</main>
</body>
</html>
""", encoding="utf-8")


def _done(outcome) -> str:
    name, title = outcome.lesson.name, escape(outcome.lesson.title)
    status = "failed" if outcome.trace else "passed"
    parameters = " ".join(f"<code>{escape(f'{k}={v!r}')}</code>" for k, v in outcome.parameters.items())
    trace = figure = ""
    if outcome.trace:
        trace = f"<details open><summary>Traceback</summary><pre>{escape(outcome.trace)}</pre></details>"
    if outcome.figure:
        figure = f'<img src="{escape(outcome.figure)}" alt="First picture of the lesson {title}">'
    return f"""<article>
<div>
<h2><a href="{name}.html">{title}</a></h2>
<p><span class="status {status}">{status}</span>, {outcome.minutes:.2f} minutes,
<a href="{name}.ipynb">notebook</a></p>
<p>{parameters}</p>
{trace}
</div>
{figure}
</article>"""


def _missing(lesson: Lesson) -> str:
    return f"""<article>
<div>
<h2>{escape(lesson.title)}</h2>
<p><span class="status missing">missing</span>: not run to its end</p>
</div>
</article>"""
