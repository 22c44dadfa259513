"""The figures of a lesson in a report: what they say to people who cannot see them, and the first as a file."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat

from stackelberg_lib.report import files

ASSETS = "assets"
KINDS = (("image/svg+xml", "svg"), ("image/png", "png"), ("image/jpeg", "jpg"))


def alternative(output: nbformat.NotebookNode, kind: str = "image/png") -> str:
    """The words that stand for a picture among the outputs of a lesson, as the lesson's own figure gave them, or ""."""
    return output.get("metadata", {}).get(kind, {}).get("alt", "")


def write_first(nb: nbformat.NotebookNode, out: Path, name: str) -> tuple[str, str]:
    """Write the first picture of the outputs to `out`/assets; return its path in `out` and its words, or two "".

    Raises InputError as `files.write`.
    """
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind, suffix in KINDS:
                if kind in data:
                    path = Path(ASSETS, f"{name}.{suffix}")
                    text = "".join(data[kind])
                    files.write(out / path, text.encode() if suffix == "svg" else base64.b64decode(text))
                    return path.as_posix(), alternative(output, kind)
    return "", ""
