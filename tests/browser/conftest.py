"""One browser for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import OpenReport, chromium
from tests.support.foreign import needs_module, needs_program
from tests.support.scripted import PATIENCE_S

Opener = Callable[..., OpenReport]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here need a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs_module("playwright"))
            item.add_marker(needs_program("chromium"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Headless Chromium, for these tests only: playwright keeps an event loop open in this thread, in which no other can run."""
    from playwright.sync_api import expect

    # Playwright's own 5 s are not enough beside three other workers.
    expect.set_options(timeout=PATIENCE_S * 1000)
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens reports; at the test's end none of them may have asked for anything but itself, nor met an error."""
    shown: list[OpenReport] = []

    def open_report(path: Path, **context: Any) -> OpenReport:
        shown.append(OpenReport(browser, path, **context))
        return shown[-1]

    yield open_report
    for report in shown:
        report.close()
        assert report.requests == [report.address]
        assert report.errors == []
