"""The runner's door: every argument is checked here, before papermill is imported or anything runs."""

import argparse
import ast
import math
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stackelberg_lib.errors import InputError
from stackelberg_lib.report.lessons import Lesson, select

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("smoke", "lab", "full")
LEAST = {"seed": 0, "seeds": 1}
MOST_WORKERS = 64
MOST = 2**32 - 1  # the largest seed that every library takes


@dataclass(frozen=True)
class Plan:
    """A checked run: the lessons in order, the parameters handed to each, and the folder to write to.

    asked: the command, as one types it; workers: lessons that run at once; resume: keep what is finished in the folder.
    """

    lessons: list[Lesson]
    given: list[dict[str, object]]
    out: Path
    asked: str
    profile: str
    workers: int = 1
    resume: bool = False

    @property
    def threads(self) -> int:
        """Threads for each of several lessons at once, so that they do not wait for each other."""
        return max(1, (os.cpu_count() or 1) // self.workers)


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m stackelberg_lib.report.runner`."""
    purpose = "Execute the lessons and write them as notebooks and HTML, with an index."
    p = argparse.ArgumentParser("report", usage=argparse.SUPPRESS, description=purpose, allow_abbrev=False)
    p.add_argument("--profile", default="lab", help="smoke (seconds), lab (default) or full (one GPU, hours)")
    p.add_argument("--notebooks", help='numbers of the lessons, as in "04 09"; default: all')
    p.add_argument("--out", help="folder for the report; default: reports/PROFILE")
    p.add_argument("--notebooks-dir", default=ROOT / "notebooks", type=Path, help="folder with the notebooks")
    p.add_argument("--params", default="", help='further parameters of the lessons, as in "beta=0.1"')
    p.add_argument("--workers", default="1", help="lessons that run at once, each with its share of the cores")
    p.add_argument("--resume", default="0", help="1: keep the lessons that an earlier run into the folder has finished")
    for name, text in {"data": "a known set, a file or a folder", "model": "a known model or a folder",
                       "budget": "number of labels", "seed": "whole number", "seeds": "whole number"}.items():
        p.add_argument(f"--{name}", help=f"parameter of the lessons: {text}")
    return p


def plan(argv: list[str]) -> Plan:
    """Check the command line and return what to run. Raises InputError: one line, with the fix."""
    args = parser().parse_args(argv)
    if args.profile not in PROFILES:
        raise InputError(f"PROFILE={args.profile} is unknown; the profiles are: {', '.join(PROFILES)}")
    lessons = select(args.notebooks_dir, args.notebooks)
    texts = _texts(args)
    _known(texts, lessons)
    given = []
    for lesson in lessons:
        had = {name: default for name, default in lesson.defaults.items() if name in texts}
        given.append({name: _value(name, texts[name], default) for name, default in had.items()})
        _check_learning(given[-1], lesson.defaults)
    out = Path(args.out).expanduser() if args.out else ROOT / "reports" / args.profile
    workers = _workers(args.workers)
    if args.resume not in ("", "0", "1"):
        raise InputError(f"RESUME={args.resume} is neither 0 nor 1; give 1 to keep the lessons that are finished")
    return Plan(lessons, given, _writable(out), _asked(args), args.profile, workers, args.resume == "1")


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_WORKERS):
        raise InputError(f"WORKERS={text} is out of range; give a whole number from 1 to {MOST_WORKERS}")
    return int(text)


def _asked(args: argparse.Namespace) -> str:
    """The command line as one for make, with what was left out left out."""
    told = {name: str(value) for name, value in vars(args).items() if str(value) != str(parser().get_default(name))}
    return " ".join(["make report", *(f"{name.upper()}={shlex.quote(told[name])}" for name in told
                                      if name != "notebooks_dir")])


def _texts(args: argparse.Namespace) -> dict[str, str]:
    """Everything handed to the lessons, name -> text. Raises InputError for a malformed or repeated one."""
    named = ("profile", "data", "model", "budget", "seed", "seeds")
    texts = {name: value for name in named if (value := getattr(args, name)) is not None}
    try:
        words = shlex.split(args.params)
    except ValueError as error:
        raise InputError(f"PARAMS={args.params} cannot be split ({error}); write name=value") from None
    for word in words:
        name, sign, value = word.partition("=")
        if not (sign and name.isidentifier() and value):
            raise InputError(f"PARAMS: {word!r} is not of the form name=value")
        if name in texts:
            raise InputError(f"PARAMS: {name} is given twice ({texts[name]} and {value}); give it once")
        texts[name] = value
    return texts


def _known(texts: dict[str, str], lessons: list[Lesson]) -> None:
    existing = sorted({name for lesson in lessons for name in lesson.defaults})
    for name in texts:
        if name not in existing:
            numbers = ", ".join(lesson.number for lesson in lessons)
            raise InputError(f"unknown parameter {name}={texts[name]}; the parameters of {numbers} are: "
                             f"{', '.join(existing)}")


def _value(name: str, text: str, default: object) -> object:
    """`text` as a value of the default's kind. Raises InputError if it is none."""
    if name in ("profile", "data", "model", "budget"):
        return text  # checked by their own rules
    kind = int if name in LEAST else type(default)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is str:
        return text
    if kind in (int, float, bool):
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits or value != value or abs(value) == math.inf:
            words = {int: "a whole number", float: "a number", bool: "True or False"}[kind]
            raise InputError(f"{name}={text} does not fit; give {words}, as in {name}={default}")
    if name in LEAST and not LEAST[name] <= value <= MOST:
        raise InputError(f"{name}={text} is out of range; give a whole number from {LEAST[name]} to {MOST}")
    return value


def _check_learning(values: dict[str, object], defaults: dict[str, object]) -> None:
    """Ask the readers whether data, model and budget can be used; sets absolute paths and a whole budget."""
    used = defaults | values
    if "data" in values or "budget" in values:
        from stackelberg_lib.data import sets

        pool = math.inf
        if "data" in defaults:
            pool = len(sets.load(used["data"], used.get("seed", 0)).train_texts)
        if "budget" in values:
            values["budget"] = sets.check_budget(values["budget"], pool)
        _make_absolute(values, "data", ("pocketdesk", *sets.KNOWN))
    if "model" in values:
        from stackelberg_lib.lm import registry

        registry.resolve(values["model"])
        _make_absolute(values, "model", ("pocket", "minilm"))


def _make_absolute(values: dict[str, object], name: str, known: tuple[str, ...]) -> None:
    """A lesson runs in another folder, where a relative path would mean something else; known names stay."""
    if name in values and values[name] not in known and (path := Path(values[name]).expanduser()).exists():
        values[name] = str(path.resolve())


def _writable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out.resolve()
    except OSError as error:
        raise InputError(f"OUT={out} cannot be written ({error.strerror}); give another folder") from None
