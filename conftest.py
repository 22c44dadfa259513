"""Comparing the lessons' outputs: nbval looks past pictures, so they are compared here, in the same execution."""

import pytest

from stackelberg_lib.report import pictures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a cell of a notebook whose committed picture shows another figure than the one it draws."""
    result = yield
    # nbval may be absent or switched off; its items are known by what they keep of the cell
    cell, outputs = getattr(item, "cell", None), getattr(item, "test_outputs", None)
    if cell is not None and outputs is not None and item.options["check"]:
        if found := pictures.differences(cell.outputs, outputs):
            item.raise_cell_error("; ".join(found))
    return result
