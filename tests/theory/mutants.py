"""Break every constant of the theory by a factor 2, up and down, and see that the checks turn red.

Run it with `python tests/theory/mutants.py` (half a minute of CPU); `test_mutants` does the same. A constant is any
number in the source of the modules `MUTATED`, except those that `PASSED_OVER` names with the reason.
"""

import ast
import importlib
import inspect
import sys

import bound_checks
import chain_checks
import numpy as np
import pool_checks

from stackelberg_lib.errors import InputError

MODULES = [importlib.import_module(f"stackelberg_lib.theory.{name}") for name in
           ("radii", "potential", "bounds", "trajectory", "chains", "pools", "pool_chains", "stop_chains")]
# each after those it imports
MUTATED = ("radii", "potential", "bounds", "chains", "pools", "pool_chains", "stop_chains")
PASSED_OVER = {
    "checks of an argument's range": lambda node: isinstance(node, ast.Call) and
    getattr(node.func, "id", "") in ("whole", "real"),
    "an axis": lambda node: isinstance(node, ast.keyword) and node.arg == "axis",
    "a position": lambda node: isinstance(node, ast.Subscript),
    "room for rounding": lambda node: (isinstance(node, ast.Assign) and "ROUNDING" in ast.unparse(node.targets[0])) or
    (isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant) and node.right.value == 1e-12),
    "how a proof is stored and typeset": lambda node: getattr(node, "name", "") in ("Evaluated", "Chain", "chain_of"),
}


def numbers(tree):
    """The constants to break, as nodes of the tree; a zero stays zero."""
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        if any(skip(node) for skip in PASSED_OVER.values()):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            found += [node] if node.value else []
        todo += ast.iter_child_nodes(node)
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def load(changed=None, tree=None):
    """Give every module its code anew, `changed` that of the tree: whoever imports a function gets the new one."""
    for module in MODULES:
        code = tree if module is changed else ast.parse(inspect.getsource(module))
        exec(compile(code, module.__file__, "exec"), module.__dict__)


def check(plays, pools):
    """All checks that a mutant must face."""
    bound_checks.check_all()
    pool_checks.check(pools)
    for chain, sides in chain_checks.all_chains():
        met = 0
        for p in plays:
            try:
                steps = chain.evaluate(p)
            except InputError:
                continue
            met += 1
            for k, step in enumerate(steps):
                for got, wanted in ((step.left, sides(p)[k]), (step.right, sides(p)[k + 1])):
                    np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), rtol=1e-12, atol=1e-14)
        assert met, chain.name
    chain_checks.check_conditions(plays)


def mutants():
    """(name, module, mutated tree) for every constant, doubled and halved."""
    for module in MODULES:
        if module.__name__.rpartition(".")[2] not in MUTATED:
            continue
        source = inspect.getsource(module)
        for k, node in enumerate(numbers(ast.parse(source))):
            for factor in (2, 0.5):
                tree = ast.parse(source)
                number = numbers(tree)[k]
                number.value = number.value * factor
                line = source.splitlines()[node.lineno - 1].strip()
                yield f"{module.__name__}:{node.lineno} {node.value} * {factor}: {line}", module, tree


def survivors():
    """Names of the mutants that no check notices, and how many there were."""
    plays, pools = chain_checks.few_plays(), pool_checks.few()
    check(plays, pools)
    alive, count = [], 0
    try:
        for name, module, tree in mutants():
            count += 1
            try:
                load(module, tree)
                with np.errstate(all="ignore"):
                    check(plays, pools)
                alive.append(name)
            except Exception:  # noqa: B902, S112 - a mutant may fail in any way
                continue
    finally:
        load()
    return alive, count


if __name__ == "__main__":
    alive, count = survivors()
    print(*alive, f"{count - len(alive)} of {count} mutants noticed", sep="\n")
    sys.exit(bool(alive))
