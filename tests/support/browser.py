"""Debian's Chromium, driven by playwright, on a page in a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser that asks for nothing by itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class OpenReport:
    """A report in a page of its own. `requests`, `errors` are the addresses asked for and the messages of errors since it was opened."""

    def __init__(self, browser: Browser, path: Path, **context: Any) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in {"error", "warning"} else None)
        self.address = path.absolute().as_uri()
        self.page.goto(self.address)
        self.page.locator("html[data-ready=true]").wait_for(state="attached")

    def close(self) -> None:
        """Close the page."""
        self._context.close()

    @property
    def ids(self) -> list[str]:
        """The ids of the rows in view of the list."""
        return self.page.locator("#list .entry .id").all_inner_texts()

    def count(self, text: str) -> None:
        """Wait until the line below the filters says this, and the search is done."""
        from playwright.sync_api import expect

        expect(self.page.locator("#count")).to_have_text(text)

    def measured(self, name: str) -> float:
        """Milliseconds of the last measure of that name."""
        found = self.page.evaluate("name => performance.getEntriesByName(name).at(-1)?.duration ?? NaN", name)
        return float(found)
