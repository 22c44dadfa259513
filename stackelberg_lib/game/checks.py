"""Checks at the door of the game: each raises one line that names argument, value and fix."""

from __future__ import annotations

import math
import operator

from stackelberg_lib.errors import InputError


def whole(name: str, value, low: int, high: int | None = None) -> int:
    """The integer `value` if low <= value <= high (no upper end when None); else InputError."""
    wanted = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name}={value!r} is not an integer: give {wanted}") from None
    if isinstance(value, bool) or number < low or (high is not None and number > high):
        raise InputError(f"{name}={value!r} is out of range: give {wanted}")
    return number


def real(name: str, value, *, above: float | None = None, at_least: float | None = None,
         below: float | None = None) -> float:
    """The finite number `value` inside the stated open or closed ends; else InputError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} is not a number: give a finite number") from None
    ends = [(above, lambda end: number > end, "above"), (at_least, lambda end: number >= end, "at least"),
            (below, lambda end: number < end, "below")]
    wanted = " and ".join(f"{word} {end:g}" for end, _, word in ends if end is not None) or "of any size"
    if not math.isfinite(number) or any(end is not None and not inside(end) for end, inside, _ in ends):
        raise InputError(f"{name}={value!r} is out of range: give a finite number {wanted}")
    return number
