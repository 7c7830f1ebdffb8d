"""A report of many variants with long names, each asked three times: nothing is cut off, and nothing is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Opener
from tests.support.runs import ReportedRun

NAMES = [f"fireworks/accounts/fireworks/models/qwen3-235b-a22b-instruct temperature={at} reasoning_effort=low" for at in range(12)]
INPUTS = [{"text": f"Question {at}", "label": "yes", "topic": "north"} for at in range(40)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variant n is wrong on its first try at the first 3 n rows."""
    answers = {
        name: [["no" if row < 3 * variant else "yes", "yes", "yes"] for row in range(len(INPUTS))] for variant, name in enumerate(NAMES)
    }
    return ReportedRun(tmp_path_factory.mktemp("many"), INPUTS, answers).report()


@pytest.mark.parametrize("width", [390, 1280])
def test_twelve_variants_with_long_names_fit(report: Path, opened: Opener, width: int) -> None:
    """The page does not scroll sideways; on a wide screen the leaderboard needs no scrolling either; scrolled tables keep their names."""
    shown = opened(report, viewport={"width": width, "height": 900})
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator(".scroll >> visible=true").evaluate_all("boxes => boxes.map(box => [box.scrollWidth, box.clientWidth])")
    if width == 1280:
        assert boxes[0][0] == boxes[0][1]
    pairs = page.locator(".scroll:has(table.pairs) >> visible=true")
    pairs.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    assert pairs.locator("tbody .key").first.bounding_box()["x"] >= pairs.bounding_box()["x"]


def test_all_answers_are_in_view_of_the_row(report: Path, opened: Opener) -> None:
    """Twelve answers stand in rows below each other: none is out of sight to the right."""
    shown = opened(report)
    page = shown.page
    page.locator("#detail .answer").first.wait_for()
    assert page.locator("#detail .answer").count() == len(NAMES)
    assert page.locator("#detail").evaluate("box => box.scrollWidth <= box.clientWidth")
    assert page.locator("#detail .answers").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_rows_whose_tries_differ_are_explained(report: Path, opened: Opener) -> None:
    """The legend names the mark of a row whose tries ended differently, and each try is counted."""
    shown = opened(report)
    assert "tries differ" in shown.page.locator("#legend").inner_text()
    assert "try 3 of 3" in shown.page.locator("#detail .answer").first.inner_text()
