"""Texts of a model, an endpoint or an input that try to become markup or script: they are shown as texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.records import ErrorInfo, ErrorKind
from tests.browser.conftest import Opener
from tests.support.runs import ReportedRun
from tests.support.stores import answer, outcome

HOSTILE = [
    "<script>window.hacked = 1</script>",
    '<img src="x" onerror="window.hacked = 2">',
    "</script><script>window.hacked = 3</script>",
    '<a href="javascript:window.hacked = 4">click</a>',
    "<svg onload='window.hacked = 5'>",
    '"><iframe srcdoc="<script>parent.hacked = 6</script>">',
    "<!-- texts --><script>window.hacked = 7</script>",
    "<style>body { display: none }</style>",
    '<link rel="stylesheet" href="https://example.com/x.css"><img src="https://example.com/x.png">',
    "{{ 7 * 7 }} ${window.hacked = 8} $script",
    "\u202emirrored\u0000 and \u001b[31mred",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hostile text as prompt, label, slice value, answer, reasoning, tool call, finish reason and error; some as variants' names."""
    from dataclasses import replace

    rows = [{"text": text, "label": text, "topic": text} for text in HOSTILE]
    errors = [ErrorInfo(ErrorKind.API, "server_error", text, 500) for text in HOSTILE]
    replies = [replace(outcome(at), response=_reply(text), finish_reason=text) for at, text in enumerate(HOSTILE)]
    answers: dict[str, Any] = {HOSTILE[0]: list(HOSTILE), HOSTILE[1]: errors, HOSTILE[5]: replies}
    return ReportedRun(tmp_path_factory.mktemp("report"), rows, answers, columns=("topic", "text")).report()


def _reply(text: str) -> bytes:
    import orjson

    body = orjson.loads(answer(text))
    body["choices"][0]["message"] |= {"reasoning": text, "tool_calls": [{"id": text, "function": {"name": text, "arguments": text}}]}
    body["choices"][0]["finish_reason"] = text
    return orjson.dumps(body)


def test_nothing_of_it_runs_or_is_asked_for(report: Path, opened: Opener) -> None:
    """All rows are looked at with everything unfolded; no script of theirs ran, no element of theirs exists, nothing was asked for."""
    shown = opened(report)
    page = shown.page
    page.locator("#list").focus()
    foreign = page.locator("#detail").locator("script, img, iframe, a:not(.link), svg, style, link")
    for row, text in enumerate(HOSTILE):
        page.locator("#detail h3", has_text=str(row)).wait_for()
        page.locator("#view-formatted").click()
        assert foreign.count() == 0
        page.locator("#view-text").click()
        page.locator("#list").focus()
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        detail = page.locator("#detail").evaluate("one => one.textContent")
        # prompt, expected, carried over twice, answer, error, reasoning, tool call, answer beside it
        assert detail.count(text) >= 8, text
        assert foreign.count() == 0
        assert (page.locator("#detail a.link").get_attribute("href") or "").startswith(f"#row-{row}")
        page.keyboard.press("j")
    assert page.evaluate("window.hacked") is None
    assert page.locator("body script:not([type]), iframe, img, link").count() == 1
    assert page.locator("h1").is_visible()


def test_searched_and_marked_it_is_still_a_text(report: Path, opened: Opener) -> None:
    """A hostile text can be searched for, and its marked places are texts."""
    shown = opened(report)
    shown.page.locator("#search").fill("<script>window.hacked = 1</script>")
    shown.page.locator("#detail mark").first.wait_for()
    assert shown.page.locator("#detail mark").first.inner_text() == "<script>window.hacked = 1</script>"
    assert shown.page.evaluate("window.hacked") is None


def test_the_page_could_not_run_it_if_it_tried(report: Path, browser: Any) -> None:
    """A script put into the page by hand does not run, its text cannot be made markup, and no address is reached: the policy holds."""
    from tests.support.browser import OpenReport

    shown = OpenReport(browser, report)
    refused = shown.page.evaluate("""async () => {
        const outcomes = [];
        try { document.body.innerHTML = "<b>x</b>"; outcomes.push("markup"); } catch { outcomes.push("refused"); }
        const script = document.createElement("script");
        try { script.textContent = "window.hacked = 9"; document.body.append(script); } catch { }
        outcomes.push(window.hacked === undefined ? "refused" : "ran");
        try { await fetch("https://example.com/"); outcomes.push("fetched"); } catch { outcomes.push("refused"); }
        return outcomes;
    }""")
    shown.close()
    assert refused == ["refused", "refused", "refused"]
    assert shown.requests == [shown.address]
