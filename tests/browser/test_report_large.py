"""How large a report becomes, and how fast it is: 5 × 500 rows in every run, 5 × 10,000 in the long one, with its figures printed."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from batch.evaluation.report.page import write_report
from tests.browser.conftest import Opener
from tests.support.runs import NOW, large_run

MIB = 1 << 20


@pytest.mark.parametrize("rows", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_large_report_opens_fast(rows: int, tmp_path: Path, opened: Opener) -> None:
    """5 × 10,000 rows are at most 40 MB; every row can be found, and every filter is right at that size."""
    reported = large_run(tmp_path, rows)
    run = reported.make()
    evaluated = reported.evaluated(run)
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = write_report(run.stored, evaluated, NOW)
    made, more = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    size = path.stat().st_size
    assert size <= 40e6 * rows / 10_000 + 200_000

    shown = opened(path)
    page = shown.page
    ready = page.evaluate("performance.getEntriesByName('ready')[0].startTime")
    parsed = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    filters = []
    for change in (
        lambda: page.locator("#disagree").click(),
        lambda: page.locator("#disagree").click(),
        lambda: page.locator("#state").select_option("failed"),
        lambda: page.locator("#variant").select_option("0"),
    ):
        change()
        filters.append(shown.measured("filter"))
    failed = sum(not isinstance(one, str) for one in reported.answers["model 0"])
    shown.count(f"{failed:,} of {rows:,} rows")
    page.locator("#reset").click()
    page.locator("#search").fill(f"row {rows - 1}:")
    shown.count(f"1 of {rows:,} rows")
    assert shown.ids == [str(rows - 1)]
    heap = page.evaluate("performance.memory.usedJSHeapSize")
    print(
        f"\n5 x {rows:,} rows: {size / 1e6:.1f} MB, written in {made:.1f} s with {more / 1024:.0f} MiB more; "
        f"usable after {ready:.0f} ms, parsed whole after {parsed:.0f} ms, filters {min(filters):.1f} to {max(filters):.1f} ms, "
        f"search of all texts {shown.measured('search'):.0f} ms, heap {heap / MIB:.0f} MiB"
    )


def test_a_row_that_comes_late_is_not_shown(tmp_path: Path, opened: Opener) -> None:
    """When a row has been left before its chunk was unpacked, the row that was gone to stays."""
    shown = opened(large_run(tmp_path, 500).report())
    page = shown.page
    page.locator("#detail h3", has_text="0").wait_for()
    page.evaluate("""() => {
        window.seen = [];
        const detail = document.getElementById("detail");
        new MutationObserver(() => window.seen.push(detail.querySelector("h3")?.textContent)).observe(detail, { childList: true });
        const list = document.getElementById("list");
        for (const key of ["End", "Home"]) list.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }""")
    page.locator("#search").fill("row 0:")  # goes through all chunks, so that the last one is unpacked when it is done
    shown.count("1 of 500 rows")
    assert set(page.evaluate("window.seen")) <= {"0", None}
