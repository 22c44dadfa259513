"""The front page of a report: what was asked, on which machine, verdict per claim, and per lesson what came out."""

from html import escape

from stackelberg_lib.report import files, provenance
from stackelberg_lib.report.arguments import Plan
from stackelberg_lib.report.frame import HEAD, THEME
from stackelberg_lib.report.lessons import Lesson
from stackelberg_lib.report.records import Outcome
from stackelberg_lib.report.verdicts import Verdict, verdicts

WORDS = {"meets": "agrees", "misses": "disagrees", "unmeasured": "not measured here"}


def write_index(checked: Plan, outcomes: list[Outcome], interrupted: bool = False) -> None:
    """Write index.html for the lessons of this run; those without an outcome are shown as missing.

    Raises InputError as `files.write`.
    """
    done = {outcome.lesson.number: outcome for outcome in outcomes}
    failed = sum(bool(outcome.trace) for outcome in outcomes)
    n = len(checked.lessons)
    counts = f"{len(outcomes) - failed} passed, {failed} failed, {n - len(outcomes)} missing"
    rows = "\n".join(_row(lesson, done.get(lesson.number)) for lesson in checked.lessons)
    articles = "\n".join(_article(done[x.number]) for x in checked.lessons if x.number in done)
    measured = {name: line for outcome in outcomes for name, line in outcome.measured.items()}
    claims = _claims(verdicts({lesson.name for lesson in checked.lessons}, measured), checked.profile,
                     {outcome.lesson.name for outcome in outcomes})
    files.write(checked.out / "index.html", f"""<!DOCTYPE html>
<html lang="en">
<head>
<title>Report, profile {escape(checked.profile)}</title>
{HEAD}
</head>
<body>
<div class="page index">
<div class="bar">{THEME}</div>
<main>
<h1>Report, profile {escape(checked.profile)}</h1>
<p>{"The run was interrupted. " if interrupted else ""}{n} lesson{"s" if n != 1 else ""}: {counts}.</p>
{_facts(checked, outcomes)}
<h2>Lessons</h2>
<table class="rows"><thead><tr><th>Lesson</th><th>Status</th><th>Time</th></tr></thead><tbody>
{rows}
</tbody></table>
{claims}
<h2>What came out</h2>
{articles}
</main>
</div>
</body>
</html>
""")


def _facts(checked: Plan, outcomes: list[Outcome]) -> str:
    given = {name: value for parameters in checked.given for name, value in parameters.items()}
    minutes = sum(outcome.minutes for outcome in outcomes)
    facts = {
        "command": f"<code>{escape(checked.asked)}</code>",
        "parameters": _codes(given) or "those of the lessons",
        "time": f"{minutes:.1f} minutes of lessons, {checked.workers} at once",
        "commit": escape(provenance.checkout()),
        **{name: escape(value) for name, value in provenance.machine().items()},
    }
    return "<dl>\n" + "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items()) + "\n</dl>"


def _codes(values: dict[str, object]) -> str:
    return " ".join(f"<code>{escape(f'{name}={value!r}')}</code>" for name, value in values.items())


def _status(outcome: Outcome | None) -> str:
    word = "missing" if outcome is None else "failed" if outcome.trace else "passed"
    return f'<span class="status {word}">{word}</span>'


def _row(lesson: Lesson, outcome: Outcome | None) -> str:
    title = escape(lesson.title)
    if outcome is None:
        return f"<tr><td>{title}</td><td>{_status(None)}: not run to its end</td><td></td></tr>"
    kept = ", by an earlier run" if outcome.kept else ""
    return (f'<tr><td><a href="{lesson.name}.html">{title}</a></td><td>{_status(outcome)}{kept}</td>'
            f"<td>{60 * outcome.minutes:.0f} s</td></tr>")


def _page(name: str, text: str, pages: set[str]) -> str:
    return f'<a href="{name}.html">{text}</a>' if name in pages else text


def _claims(found: list[Verdict], profile: str, pages: set[str]) -> str:
    if not found:
        return ""
    agree, disagree, rest = (sum(v.word == word for v in found) for word in WORDS)
    few = " Profile smoke runs few seeds, which decide little." if profile == "smoke" else ""
    rows = "\n".join(f"""<tr><td>{_page(v.lesson, f"<code>{escape(v.id)}</code>", pages)}</td>
<td>{escape(v.statement)} <small>({v.origin}; ledger: {v.status})</small></td>
<td><span class="status {v.word}">{WORDS[v.word]}</span><br>{escape(v.measured)}</td></tr>"""
                     for v in found)
    return f"""<h2>Claims</h2>
<p>What this run's lessons measured, held against the range that <code>claims.yaml</code> expects: {agree} agree,
{disagree} disagree, {rest} {"is" if rest == 1 else "are"} not measured here. A claim that no number could decide, or
that its lesson measures in another profile only, is not measured here.{few}</p>
<table class="rows claims"><thead><tr><th>Claim</th><th>Statement</th><th>This run</th></tr></thead><tbody>
{rows}
</tbody></table>"""


def _article(outcome: Outcome) -> str:
    name, title, trace, figure = outcome.lesson.name, escape(outcome.lesson.title), "", ""
    if outcome.trace:
        trace = f"<details open><summary>Traceback</summary><pre>{escape(outcome.trace)}</pre></details>"
    if outcome.figure:
        words = outcome.alt or f"First picture of the lesson {outcome.lesson.title}"
        figure = f'<div class="figure"><img src="{escape(outcome.figure)}" alt="{escape(words)}"></div>'
    return f"""<article class="lesson" id="lesson-{outcome.lesson.number}">
<div>
<h3><a href="{name}.html">{title}</a></h3>
<p>{_status(outcome)}, {outcome.minutes:.2f} minutes, <a href="{name}.ipynb">notebook</a></p>
<p>{_codes(outcome.parameters)}</p>
{trace}
</div>
{figure}
</article>"""
