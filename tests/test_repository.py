"""Rules for the repository as a whole: pins, sizes, arrows between packages, forbidden words."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "stackelberg_lib"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = ("stackelberg_lib", "tests", "benchmarks", "results", "models", ".ci", ".github")
# a package may import from itself, from the modules at the top, and from these
MAY_IMPORT = {
    "game": set(),
    "data": set(),
    "theory": {"game"},
    "pool": {"game", "data"},
    "lm": {"game", "data", "pool"},
    "plots": {"game", "data", "theory", "pool", "lm"},
    "report": {"game", "data", "theory", "pool", "lm", "plots"},
}
# written in two pieces, so that this file does not contain them
FORBIDDEN = {
    "a format that runs code": r"(?<!allow_)pick" + r"le\b|allow_pick" + r"le\s*=\s*True",
    "a model's own code": "trust_remote" + r"_code\s*=\s*True",
    "a global seed": r"np\.random\." + r"seed|torch\.load" + r"\(",
    "a path of one machine": r"""(?<=["'\s=(`])/(?:ro""" + r"ot|ho" + r"me|wo" + r"rk|Us" + r"ers)/",
}


def text_files():
    """Every text file that people write. Notebooks have their own checks; the lock names packages of others."""
    found = [p for p in ROOT.iterdir() if p.is_file() and p.name not in ("requirements.lock", ".git")]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    for path in sorted(found):
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def forbidden(text):
    return [rule for rule, pattern in FORBIDDEN.items() if re.search(pattern, text)]


def bad_pins(text):
    """Lines of a lock that are not `name==version`, with an environment marker or hashes at most."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    pin = re.compile(r"[\w.\-\[\]]+==[\w.!]+(\s*;.+)?(\s+--hash=sha256:[0-9a-f]{64})*")
    return [line for line in lines if line and not pin.fullmatch(line)]


def package_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def wrong_arrows(source, package):
    """Imports in `source`, a module of `package`, that go against the arrows."""
    wrong, allowed = [], MAY_IMPORT.get(package, set()) | {package}
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wrong.append(f"relative import in line {node.lineno}")
        for name in names:
            head, _, rest = name.partition(".")
            target = rest.split(".")[0]
            if head == PACKAGE.name and target in MAY_IMPORT and target not in allowed:
                wrong.append(f"{package or 'top'} imports {name}")
    return wrong


def too_long(source):
    """Complaints about the size of a module and of its functions."""
    lines = len(source.splitlines())
    found = [f"{lines} lines"] if lines > 320 else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            found += [f"{node.name}: {length} lines"] if length > 50 else []
    return found


def test_lock_is_pinned():
    assert bad_pins((ROOT / "requirements.lock").read_text()) == []


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "torch==2.13.0+cpu", "x @ file:///a.whl", "-e .", "file:a.whl"])
def test_bad_pins_are_caught(line):
    assert bad_pins(f"numpy==2.4.6\n{line}\n") == [line]


def test_minilm_is_pinned_with_hashes():
    text = (ROOT / "requirements-minilm.txt").read_text()
    assert bad_pins(text) == [] and text.count("--hash=sha256:") == len(re.findall(r"^[\w-]+==", text, re.M))


def test_lock_names_nothing_twice():
    names = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M)
    twice = [name for name, n in Counter(re.sub(r"[-_.]+", "-", name).lower() for name in names).items() if n > 1]
    assert names and twice == []


def test_environment_repeats_no_pin():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert [re.split(r"[=<>]", name)[0] for name in conda] == ["python", "pip"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    assert environment["channels"] == ["conda-forge"]


def test_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "Apache-2.0"
    paper, = citation["references"]
    assert [a["family-names"] for a in paper["authors"]] == ["Wang", "Shen", "Foster", "Karnin", "Weiss"]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2602.00952"}]


def test_nothing_forbidden():
    found = [(str(path.relative_to(ROOT)), rule) for path, text in text_files() for rule in forbidden(text)]
    assert found == []


@pytest.mark.parametrize("line", [
    "import pick" + "le", "np.load(f, allow_pick" + "le=True)", "f(trust_remote" + "_code=True)",
    "np.random." + "seed(0)", "torch.load" + "(f)", 'x = "/ho' + 'me/ann"', "cd /wo" + "rk/x",
])
def test_forbidden_is_caught(line):
    assert forbidden(line)


def test_only_conftest_looks_beside_the_repository():
    name = ".." + "/shared"
    assert [path.name for path, text in text_files() if name in text] == ["conftest.py"]


def test_ruff():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--output-format=concise", "."], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module(path):
    source = path.read_text()
    assert too_long(source) == []
    assert wrong_arrows(source, package_of(path)) == []


def test_long_code_is_caught():
    assert too_long("x = 1\n" * 321) == ["321 lines"]
    assert too_long("def f():\n" + "    x = 1\n" * 50) == ["f: 51 lines"]


@pytest.mark.parametrize(("package", "line"), [
    ("game", "import stackelberg_lib.theory.radii"), ("game", "from stackelberg_lib import pool"),
    ("data", "from stackelberg_lib.game import play"), ("pool", "def f():\n    from stackelberg_lib.lm import lora"),
    ("lm", "from stackelberg_lib.report.runner import main"), ("plots", "from stackelberg_lib.report import pages"),
    ("game", "from . import play"), ("", "from stackelberg_lib.game import play"),
])
def test_wrong_arrows_are_caught(package, line):
    assert len(wrong_arrows(line, package)) == 1


def test_every_package_has_its_arrows():
    assert {package_of(path) for path in MODULES} - {""} == set(MAY_IMPORT)
