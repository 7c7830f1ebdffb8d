"""docs/faults.md: the fault matrix by hand, each row with the tests whose docstrings name it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTES = Path(__file__).with_name("faults.notes.md")
MOST_SHOWN = 3
# "fault 5", "faults 1 and 2", "Faults 9, 14, 17 to 19"; the same for those of other languages' dashes.
_NAMED = re.compile(r"\bfaults? ((?:\d+(?: ?(?:to|-|–) ?\d+)?(?:, | and |, and )?)+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d+)(?: ?(?:to|-|–) ?(\d+))?")
_ROW = re.compile(r"^\| (\d+) \|")


def faults_page() -> str:
    """The whole page."""
    tests = named_tests()
    return "\n".join(_with_tests(line, tests) for line in NOTES.read_text(encoding="utf-8").split("\n"))


def rows() -> list[int]:
    """The numbers of the matrix."""
    return [int(found[1]) for line in NOTES.read_text(encoding="utf-8").splitlines() if (found := _ROW.match(line))]


def named_tests() -> dict[int, list[str]]:
    """For each fault the tests that name it: functions first, then files that do so as a whole."""
    functions: dict[int, list[str]] = {}
    files: dict[int, list[str]] = {}
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for number in faults_in(ast.get_docstring(tree) or ""):
            files.setdefault(number, []).append(f"`{name}`")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in faults_in(ast.get_docstring(node) or ""):
                    functions.setdefault(number, []).append(f"`{name}::{node.name}`")
    return {number: functions.get(number, []) or files.get(number, []) for number in functions.keys() | files.keys()}


def faults_in(text: str) -> Iterator[int]:
    """The faults that a docstring names, each once."""
    seen = set()
    for named in _NAMED.finditer(text):
        for found in _RANGE.finditer(named[1]):
            seen |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    yield from sorted(seen)


def _with_tests(line: str, tests: dict[int, list[str]]) -> str:
    found = _ROW.match(line)
    if found is None:
        return line
    named = tests.get(int(found[1]), [])
    shown = "<br>".join(named[:MOST_SHOWN]) or "not yet"
    more = f"<br>and {len(named) - MOST_SHOWN} more" if len(named) > MOST_SHOWN else ""
    return f"{line} {shown}{more} |"
