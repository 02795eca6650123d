"""Files stay short enough to read, functions short and flat enough to see whole."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("worker", "models", "tests")

LINES_OF_A_FILE = 300
LINES_OF_A_FUNCTION = 40
"""From `def` to the last line: a command's options above it are a table."""

NESTING = 3
COMPILED_NESTING = 4
"""Numba's loops over arrays are written out, axis by axis."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)


def excesses(text):
    """What of a module is beyond a limit."""
    lines = text.count("\n")
    if lines > LINES_OF_A_FILE:
        yield f"{lines} lines"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, FUNCTIONS):
            continue
        long, deep = node.end_lineno - node.lineno + 1, nesting(node)
        if long > LINES_OF_A_FUNCTION:
            yield f"{node.name}: {long} lines"
        compiled = any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
        if deep > (COMPILED_NESTING if compiled else NESTING):
            yield f"{node.name}: {deep} blocks deep"


def nesting(node):
    """Depth of the blocks in a node; an elif is as deep as its if, inner functions start anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def test_nothing_is_too_long_or_too_deep():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 300
    found = {str(path.relative_to(ROOT)): list(excesses(path.read_text())) for path in files}
    assert {path: what for path, what in found.items() if what} == {}


LOOPS = "for i in x:\n        for j in x:\n            for k in x:\n                "


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * 300, []),
        ("x = 1\n" * 301, ["301 lines"]),
        ("@option\ndef f():\n" + "    x = 1\n" * 39, []),
        ("def f():\n" + "    x = 1\n" * 40, ["f: 41 lines"]),
        (f"def f():\n    {LOOPS}x = 1", []),
        (f"def f():\n    {LOOPS}if x: pass\n                elif y: pass", ["f: 4 blocks deep"]),
        (f"@numba.njit(cache=True)\ndef f():\n    {LOOPS}if x: pass", []),
    ],
)  # fmt: skip
def test_an_excess_is_found(text, found):
    assert list(excesses(text)) == found
