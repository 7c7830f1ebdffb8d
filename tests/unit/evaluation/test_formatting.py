"""Numbers as people see them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from batch.evaluation.formatting import percent, points

BATCH = Path(__file__).parents[3] / "batch"
COMMANDS = [BATCH / "cli" / f"{name}.py" for name in ("calibrate", "comparison", "evaluation", "grading", "report")]
FILES = sorted([*(BATCH / "evaluation").rglob("*.py"), *COMMANDS])
FIXED = re.compile(r"^(?P<before>[^.]*)\.[^.]*[fF%]$")


def fixed_decimals(path: Path) -> list[tuple[int, str]]:
    """Lines and format specifications of a file that give a number a fixed number of decimals."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts)
            if FIXED.match(text):
                found.append((node.lineno, text))
    return found


def test_numbers_are_found() -> None:
    """The check below looks at something."""
    assert sum(len(fixed_decimals(path)) for path in FILES) > 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BATCH)))
def test_no_number_can_be_shown_as_a_negative_zero(path: Path) -> None:
    """Each number with a fixed number of decimals is formatted with z: a -1e-17 that one machine rounds to is shown as 0 on all."""
    assert [found for found in fixed_decimals(path) if "z" not in found[1]] == []


def test_the_report_shows_no_negative_zero() -> None:
    """The page's scripts round in one function only, which takes the sign from 0."""
    scripts = {path.name: path.read_text("utf-8") for path in (BATCH / "evaluation/report/page").glob("*.js")}
    rounding = [line for text in scripts.values() for line in text.splitlines() if ".toFixed(" in line]
    assert rounding == ["const fixed = (value, digits) => (Number(value.toFixed(digits)) || 0).toFixed(digits);"]


def test_differences_and_shares_of_almost_nothing() -> None:
    """What rounds to 0 is 0 or +0."""
    assert [points(value) for value in (-1e-17, -0.0004, 0.0, 0.0004)] == ["+0.0"] * 4
    assert points(-0.0006) == "-0.1"
    assert percent(-1e-17) == "0.0 %"
