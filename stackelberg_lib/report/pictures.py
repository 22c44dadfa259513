"""Whether two pictures of a lesson show the same figure, however the letters and edges were smoothed."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

GRID = 24       # cells a side; one pixel more or less moves little ink across so coarse a grid
ALIKE = 0.85    # correlation, cell by cell; two figures of the lessons reach 0.72 at most, one moved by a pixel 0.93
STRETCH = 1.1   # fonts of another machine may widen a tightly cut picture, but not by a tenth
GREY = 1e-3     # standard deviation of the colour below which a picture has none; in the lessons 0.003 and more


class Look(NamedTuple):
    """What is compared of a picture: its size in pixels, and per cell of a coarse grid the darkness and the colour."""

    size: tuple[int, int]
    ink: np.ndarray     # (GRID, GRID), 0 white to 1 black
    colour: np.ndarray  # (GRID, GRID, 3), what red, green and blue deviate from their mean


def opened(png: str) -> Image.Image:
    """The picture in `png`, which is base64 as in a notebook."""
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(png)))


def look(picture: Image.Image) -> Look:
    """The look of a picture; transparent parts lie on white paper."""
    from PIL import Image

    picture = picture.convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    cells = 1 - np.asarray(paper.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX), float) / 255
    ink = cells.mean(axis=-1)
    return Look(picture.size, ink, cells - ink[..., None])


def alike(a: Look, b: Look) -> bool:
    """Whether two looks are of one figure: sizes within a tenth, ink in the same places, in the same colours."""
    if max(max(p, q) / min(p, q) for p, q in zip(a.size, b.size, strict=True)) > STRETCH:
        return False
    coloured = max(a.colour.std(), b.colour.std()) > GREY
    return _correlate(a.ink, b.ink) and (not coloured or _correlate(a.colour, b.colour))


def _correlate(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(x.std() and y.std() and np.corrcoef(x.ravel(), y.ravel())[0, 1] >= ALIKE)


def pngs(outputs: list) -> list[str]:
    """The pictures among the outputs of a cell, in order."""
    return ["".join(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def differences(committed: list, executed: list) -> list[str]:
    """Complaints about the pictures of one cell, whose outputs were committed and are now executed; empty if none."""
    old, new = pngs(committed), pngs(executed)
    if len(old) != len(new):
        return [f"{len(old)} pictures are committed, {len(new)} were drawn"]
    return [f"picture {k} is not the one that the cell draws" for k, pair in enumerate(zip(old, new, strict=True), 1)
            if pair[0] != pair[1] and not alike(*(look(opened(png)) for png in pair))]
