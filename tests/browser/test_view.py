"""The live page in a browser: with a run at work, light and dark, and with texts that would be markup."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JobFolder
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error
from tests.support.scripts import for_rows, until, wait_for_requests
from tests.support.served_page import served

HOSTILE = "<img src=x onerror=alert(1)><script>document.title='owned'</script>"


class Open:
    """The page in the browser; `errors` are its own and the console's."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page = self._context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.on("pageerror", lambda found: self.errors.append(str(found)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in {"error", "warning"} else None)
        self.page.goto(address)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: object, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self.errors == []
            assert len(self.hosts) == 1


def hostile(received: Received) -> Iterable[Action]:
    """Every fourth row is refused, in markup; the others are answered in markup."""
    number = int(received.prompt.split()[-1])
    return [error(400, f"refused {HOSTILE}", {"x-request-id": "req-x"})] if number % 4 == 3 else [chat_reply(f"{HOSTILE} {number}")]


def test_a_run_at_work_is_shown_as_it_goes(tmp_path: Path, browser: Any) -> None:
    """Rows appear without a reload, what is in flight is named, and the state changes when the run ends."""
    from playwright.sync_api import expect

    go = threading.Event()

    def handler(received: Received) -> Iterable[Action]:
        if int(received.prompt.split()[-1]) >= 6:
            yield from until(go.is_set)
        number = int(received.prompt.split()[-1])
        yield from hostile(received) if number >= 6 else [chat_reply("an answer")]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, concurrency=4)
        process = folder.start(measured=False)
        try:
            wait_for_requests(endpoint, 10, process)
            with served(folder.directory) as address, Open(browser, address) as page:
                expect(page.locator("#state")).to_have_text("running")
                expect(page.locator("#oldest tr")).to_have_count(4)
                expect(page.locator("#list li")).to_have_count(6)
                go.set()
                expect(page.locator("#list li")).to_have_count(20)
                expect(page.locator("#state")).to_have_text("done, with failures")
                expect(page.locator("#summary")).to_contain_text("20 of 20 rows · 4 failed")
                expect(page.locator(".time-chart")).not_to_have_count(0)
                assert page.title() == "test · promptmill view"
        finally:
            go.set()
            process.communicate()


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[str]:
    """The address of a finished run with hostile texts."""
    with ScriptedEndpoint(for_rows(hostile)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=12, concurrency=2)
        assert folder.run().returncode == 1
    with served(folder.directory) as address:
        yield address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_light_dark_and_narrow(finished: str, browser: Any, scheme: str, width: int) -> None:
    """The system's scheme is taken, the button changes it, charts are drawn, and no width scrolls sideways."""
    with Open(browser, finished, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        page.locator("html[data-ready=true]").wait_for(state="attached")
        page.locator(".time-chart").first.wait_for()
        ground = "getComputedStyle(document.body).backgroundColor"
        assert (page.evaluate(ground) == "rgb(22, 23, 26)") == (scheme == "dark")
        page.locator("#theme").click()
        assert (page.evaluate(ground) == "rgb(22, 23, 26)") == (scheme == "light")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        titles = page.locator(".time-chart figcaption").all_inner_texts()
        assert titles[:3] == ["Rows per second", "Requests in flight", "Latency of answers"]
        assert all(page.locator("svg.over-time").nth(at).get_attribute("aria-label") for at in range(len(titles)))


def test_failures_and_a_row_in_full(finished: str, browser: Any) -> None:
    """The failures alone; a click shows the row with each attempt. Markup in texts stays text."""
    from playwright.sync_api import expect

    with Open(browser, finished) as page:
        page.locator("#failed").click()
        expect(page.locator("#list li")).to_have_count(3)
        page.locator("#list button").first.click()
        detail = page.locator("#detail")
        expect(detail).to_contain_text("attempt 1")
        expect(detail).to_contain_text("request id req-x")
        expect(detail).to_contain_text(HOSTILE)
        page.keyboard.press("Escape")
        expect(detail).to_be_hidden()
        page.locator("#find").fill("r4")
        page.keyboard.press("Enter")
        expect(detail).to_contain_text("question 4")
        assert page.locator("img, #detail script").count() == 0
        assert page.title() == "test · promptmill view"


def test_a_chart_is_read_by_pointer_and_by_keys(finished: str, browser: Any) -> None:
    """The values at a moment stand below the chart, which is reachable without a pointer."""
    with Open(browser, finished) as page:
        chart = page.locator("svg.over-time").first
        chart.hover()
        assert "ok" in page.locator(".time-chart .values").first.inner_text()
        chart.focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator("svg.over-time .cursor").first.get_attribute("visibility") == "visible"


def test_the_page_says_when_its_server_has_ended(finished: str, browser: Any, tmp_path: Path) -> None:
    """A page whose run directory is gone says so."""
    from playwright.sync_api import expect

    opened = Open(browser, finished)
    opened.page.locator("html[data-ready=true]").wait_for(state="attached")
    (tmp_path / "runs" / "test" / "run.json").unlink()
    expect(opened.page.locator("#problem")).to_contain_text("no run was begun here")
    opened._context.close()


def test_the_report_has_the_same_charts(tmp_path: Path, browser: Any) -> None:
    """Offline, in the report's file, without a request."""
    from tests.support.browser import OpenReport

    with ScriptedEndpoint(for_rows(hostile)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=12, concurrency=2)
        assert folder.run().returncode == 1
    assert folder.run("report", "runs/test").returncode == 0
    report = OpenReport(browser, folder.directory / "report.html")
    report.page.locator("#time .time-chart").first.wait_for()
    assert report.page.locator("#time figcaption").all_inner_texts()[:2] == ["Rows per second", "Requests in flight"]
    assert report.requests == [report.address]
    assert report.errors == []
    report.close()
