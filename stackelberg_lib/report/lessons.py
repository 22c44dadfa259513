"""What the runner knows about a lesson before it runs: file, title, parameters. Standard library only."""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from stackelberg_lib.errors import InputError

FILE_NAME = re.compile(r"(\d\d)_\w+\.ipynb")


@dataclass(frozen=True)
class Lesson:
    """One numbered notebook; `defaults` maps each parameter to its value (or source text, if no literal)."""

    number: str
    path: Path
    title: str
    defaults: dict[str, object]

    @property
    def name(self) -> str:
        """File name without suffix, the stem of everything that is written about the lesson."""
        return self.path.stem


def read_lesson(path: Path) -> Lesson:
    """Read one notebook. Raises InputError if it is no notebook or has no cell tagged `parameters`."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is not a notebook ({type(error).__name__}); restore it") from None
    code = [c for c in cells if c["cell_type"] == "code"]
    tagged = [c for c in code if "parameters" in c.get("metadata", {}).get("tags", [])]
    if not tagged:
        raise InputError(f"{path.name} has no code cell tagged `parameters`; tag its first code cell")
    try:
        defaults = _assigned("".join(tagged[0]["source"]))
    except SyntaxError as error:
        raise InputError(f"{path.name}: the cell tagged `parameters` is not Python ({error.msg})") from None
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    heading = re.search(r"^# +(.+)$", text, flags=re.MULTILINE)
    title = heading.group(1).replace("*", "").replace("`", "").strip() if heading else path.stem
    return Lesson(path.name[:2], path, title, defaults)


def _assigned(source: str) -> dict[str, object]:
    """Names assigned at the top level of the parameters cell, with their values."""
    found: dict[str, object] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except ValueError:
                    found[target.id] = ast.unparse(node.value)
    return found


def select(folder: Path, wanted: str | None) -> list[Lesson]:
    """The lessons of `folder`, all or those in `wanted` ("04 09"), in order. Raises InputError."""
    paths = {p.name[:2]: p for p in sorted(folder.glob("[0-9][0-9]_*.ipynb")) if FILE_NAME.fullmatch(p.name)}
    if not paths:
        raise InputError(f"notebooks-dir={folder} holds no notebook named like 01_title.ipynb; give another")
    numbers = sorted(paths)
    if wanted is not None:
        asked = [w.zfill(2) for w in wanted.replace(",", " ").split()]
        for number in asked or [wanted]:
            if number not in paths:
                raise InputError(f"NOTEBOOKS: no lesson {number!r}; there are: {', '.join(numbers)}")
        numbers = sorted(set(asked))
    return [read_lesson(paths[number]) for number in numbers]
