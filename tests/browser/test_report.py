"""The report in a browser: filters, search, keyboard, samples, themes and widths."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from batch.records import ErrorInfo, ErrorKind
from batch.settings import ScoreSettings
from tests.browser.conftest import Opener
from tests.support.runs import EXACT, ReportedRun

ROWS = 120
LABELS = [f"city {at % 3}" for at in range(ROWS)]
INPUTS = [{"text": f"Question {at} about ümlauts", "label": LABELS[at], "topic": "north" if at % 4 else "south"} for at in range(ROWS)]
LIMITED = ErrorInfo(ErrorKind.API, "rate_limited", "Slow down, please", 429)
SAYS_ONE = ScoreSettings(name="says-one", kind="contains", expected="{{ 'city 1' }}")


def wrong_at(*places: int) -> list[str | ErrorInfo | None]:
    return [f"other {at}" if at in places else label for at, label in enumerate(LABELS)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants over 120 rows: `steady` is wrong on rows 3 and 4; `shaky` on 4, 8 and 12, failed on 20, not done on 30."""
    shaky = wrong_at(4, 8, 12)
    shaky[20], shaky[30] = LIMITED, None
    run = ReportedRun(tmp_path_factory.mktemp("report"), INPUTS, {"steady": wrong_at(3, 4), "shaky": shaky}, scores=(EXACT, SAYS_ONE))
    return run.report()


def test_disagreements_are_the_first_filter(report: Path, opened: Opener) -> None:
    """The button comes first; it leaves rows on which marks differ, not those that both lose or of which one has no mark."""
    shown = opened(report)
    shown.count("120 of 120 rows")
    assert shown.page.locator("#filters > *").first.inner_text() == "Models disagree"
    shown.page.locator("#disagree").click()
    shown.count("3 of 120 rows")
    assert shown.ids == ["3", "8", "12"]
    shown.page.locator("#disagree").click()
    shown.count("120 of 120 rows")


@pytest.mark.parametrize(
    ("variant", "state", "ids"),
    [
        ("", "wrong", ["3", "4", "8", "12"]),
        ("A steady", "wrong", ["3", "4"]),
        ("B shaky", "failed", ["20"]),
        ("B shaky", "not done", ["30"]),
        ("B shaky", "not right", ["4", "8", "12", "20"]),
        ("A steady", "failed", []),
    ],
)
def test_variant_and_state(report: Path, opened: Opener, variant: str, state: str, ids: list[str]) -> None:
    """A state is looked for in the chosen variant, or in any."""
    shown = opened(report)
    shown.page.locator("#variant").select_option(label=variant or "any")
    shown.page.locator("#state").select_option(label=state)
    shown.count(f"{len(ids)} of 120 rows")
    assert shown.ids == ids


def test_slices_endings_and_reset(report: Path, opened: Opener) -> None:
    """Slice values and finish reasons filter, filters add up, and Reset takes all away."""
    shown = opened(report)
    shown.page.locator("#slice").select_option(label="south")
    shown.count("30 of 120 rows")
    shown.page.locator("#disagree").click()
    shown.count("2 of 120 rows")
    assert shown.ids == ["8", "12"]
    shown.page.locator("#reset").click()
    shown.count("120 of 120 rows")
    shown.page.locator("#variant").select_option(label="B shaky")
    shown.page.locator("#finish").select_option(label="stop")
    shown.count("118 of 120 rows")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("QUESTION 17 ABOUT", ["17"]),
        ("other 8", ["8"]),
        ("slow down", ["20"]),
        ("ÜMLAUTS", None),
        ('"', []),
        ("null", []),
        ("user", []),
        ("],[", []),
        ("nowhere", []),
    ],
)
def test_search_goes_through_all_texts(report: Path, opened: Opener, words: str, ids: list[str] | None) -> None:
    """Prompts, answers and errors are searched, whatever the case; signs of the data's own format are not found."""
    shown = opened(report)
    shown.page.locator("#search").fill(words)
    shown.count(f"{120 if ids is None else len(ids)} of 120 rows")
    if ids is not None:
        assert shown.ids == ids


def test_search_and_filters_add_up(report: Path, opened: Opener) -> None:
    """A filter narrows what was found, and clearing the search keeps the filter."""
    shown = opened(report)
    shown.page.locator("#search").fill("other")
    shown.count("4 of 120 rows")
    shown.page.locator("#variant").select_option(label="A steady")
    shown.page.locator("#state").select_option("wrong")
    shown.count("2 of 120 rows")
    assert shown.page.locator("#detail mark").first.inner_text() == "other"
    shown.page.locator("#search").fill("")
    shown.count("2 of 120 rows")
    assert shown.ids == ["3", "4"]


def test_keyboard(report: Path, opened: Opener) -> None:
    """/ searches, Enter goes to the list, j, k and arrows move, Enter reads, Escape goes back; letters in the search are letters."""
    shown = opened(report)
    page = shown.page
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    assert page.locator("#search").input_value() == "jk/"
    page.keyboard.press("Escape")
    assert page.locator("#search").input_value() == ""
    page.keyboard.press("Enter")
    chosen = page.locator("#list [aria-selected=true] .id")
    for key, identifier in [
        ("j", "1"),
        ("ArrowDown", "2"),
        ("k", "1"),
        ("End", "119"),
        ("j", "119"),
        ("Home", "0"),
        ("ArrowUp", "0"),
        ("j", "1"),
    ]:
        page.keyboard.press(key)
        assert chosen.inner_text() == identifier
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    page.keyboard.press("j")
    page.locator("#detail h3", has_text="2").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"
    assert page.locator("#list").get_attribute("aria-activedescendant") == "row-2"


def test_a_row_is_shown_whole(report: Path, opened: Opener) -> None:
    """Prompt, expected value, both answers with marks and reasons, and a failure with its code and message stand side by side."""
    shown = opened(report)
    page = shown.page
    page.locator("#search").fill("Question 20 about")
    shown.count("1 of 120 rows")
    detail = page.locator("#detail")
    assert "Question 20 about ümlauts" in detail.locator(".prompt").inner_text()
    assert "city 2" in detail.locator(".facts").first.inner_text()
    steady, shaky = detail.locator(".answer").all()
    assert "right" in steady.inner_text()
    assert steady.locator(".said").inner_text() == "city 2"
    assert "rate_limited (api, HTTP 429): Slow down, please" in shaky.inner_text()
    assert steady.bounding_box()["y"] == shaky.bounding_box()["y"]


def test_a_failure_and_a_weak_slice_lead_to_their_rows(report: Path, opened: Opener) -> None:
    """The error's button filters the samples to the rows that have it."""
    shown = opened(report)
    shown.page.locator(".errors button", has_text="rate_limited").click()
    shown.count("1 of 120 rows")
    assert shown.ids == ["20"]
    assert shown.page.evaluate("document.activeElement.id") == "list"


def test_rows_won_lead_to_their_samples(report: Path, opened: Opener) -> None:
    """A cell's counts of rows won and lost show just these rows, and say in the filters how they were chosen."""
    shown = opened(report)
    steady = shown.page.locator("table.pairs >> visible=true").locator("tbody tr").first
    won, lost = steady.locator("button.show").all()
    assert (won.inner_text(), lost.inner_text()) == ("3", "1")
    won.click()
    shown.count("3 of 120 rows")
    assert shown.ids == ["8", "12", "20"]
    assert shown.page.locator("#rightBy option:checked").inner_text() == "A steady"
    lost.click()
    shown.count("1 of 120 rows")
    assert shown.ids == ["3"]
    shown.page.locator("#reset").click()
    shown.count("120 of 120 rows")


def test_score_tabs_change_the_marks(report: Path, opened: Opener) -> None:
    """Choosing another score shows its section alone, and its marks in the list."""
    shown = opened(report)
    page = shown.page
    assert page.locator("#score-0").is_visible()
    assert not page.locator("#score-1").is_visible()
    page.locator("#tab-0").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#score-1").is_visible()
    assert not page.locator("#score-0").is_visible()
    assert page.locator("#tab-1").get_attribute("aria-selected") == "true"
    page.locator("#variant").select_option(label="A steady")
    page.locator("#state").select_option("right")
    shown.count("39 of 120 rows")


def test_only_rows_in_view_are_in_the_document(report: Path, opened: Opener) -> None:
    """The list holds a few dozen rows at a time, and the right ones wherever it is scrolled to."""
    shown = opened(report)
    assert len(shown.ids) < 40
    shown.page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    shown.page.locator("#row-119").wait_for()
    assert shown.ids[-1] == "119"
    assert len(shown.ids) < 40


def test_an_address_leads_to_a_row(report: Path, browser: object, opened: Opener) -> None:
    """The link #row-57 opens that row."""
    shown = opened(report)
    shown.page.goto("about:blank")
    shown.page.goto(f"{shown.address}#row-57")
    shown.page.locator("#detail h3", has_text="57").wait_for()
    assert shown.page.locator("#list [aria-selected=true] .id").inner_text() == "57"
    shown.requests[1:] = []


def test_light_and_dark(report: Path, opened: Opener) -> None:
    """The system's scheme is followed, the button changes it, and says which is on."""
    colours = {}
    for scheme in ("light", "dark"):
        shown = opened(report, color_scheme=scheme)
        ground = "getComputedStyle(document.body).backgroundColor"
        colours[scheme] = shown.page.evaluate(ground)
        shown.page.locator("#theme").click()
        colours[f"{scheme} changed"] = shown.page.evaluate(ground)
        assert shown.page.locator("#theme").get_attribute("aria-pressed") == str(scheme == "light").lower()
    assert colours["light"] == colours["dark changed"] != colours["dark"] == colours["light changed"]


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_scrolls_sideways(report: Path, opened: Opener, width: int) -> None:
    """The page fits its window; wide tables scroll inside their own boxes."""
    shown = opened(report, viewport={"width": width, "height": 800})
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        board = shown.page.locator(".board").first
        assert board.evaluate("table => table.parentElement.scrollWidth > table.parentElement.clientWidth")


def test_on_a_narrow_screen_a_row_covers_the_list(report: Path, opened: Opener) -> None:
    """A tap opens the row over the whole window, Back closes it."""
    shown = opened(report, viewport={"width": 390, "height": 800}, has_touch=True)
    page = shown.page
    assert not page.locator("#detail").is_visible()
    page.locator("#row-2").tap()
    box = page.locator("#detail").bounding_box()
    assert box is not None
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 800)
    page.locator("#detail .close").click()
    assert not page.locator("#detail").is_visible()


def test_it_can_be_printed(report: Path, opened: Opener, tmp_path: Path) -> None:
    """In print all scores show, and the samples, which are no use on paper, do not."""
    shown = opened(report)
    shown.page.emulate_media(media="print")
    assert shown.page.locator("#score-0").is_visible()
    assert shown.page.locator("#score-1").is_visible()
    assert not shown.page.locator("#samples").is_visible()
    assert shown.page.pdf()[:5] == b"%PDF-"


def test_everything_has_a_name_for_those_who_hear_it(report: Path, opened: Opener) -> None:
    """Charts, controls and options have names, headings go down by one level at a time, and ids are unique."""
    shown = opened(report)
    nameless = """[...document.querySelectorAll("svg, button, select, input, [role=option], [role=img], [role=region]")].filter((one) =>
        !(one.getAttribute("aria-label") || one.textContent.trim() || one.closest("label")?.textContent.trim())
    ).map((one) => one.outerHTML)"""
    assert shown.page.evaluate(nameless) == []
    levels = shown.page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert shown.page.evaluate("(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(one => one.id))") == 0


def test_repeats_stand_below_each_other(tmp_path: Path, opened: Opener) -> None:
    """A row that was asked twice shows both answers of a variant; where they ended differently the list shows it as partly right."""
    twice = [[label, label] for label in LABELS]
    twice[1] = ["wrong answer", LABELS[1]]
    shown = opened(ReportedRun(tmp_path, INPUTS, {"steady": twice, "shaky": [[label, label] for label in LABELS]}).report())
    shown.page.locator("#variant").select_option(label="A steady")
    shown.page.locator("#state").select_option(label="wrong")
    shown.count("1 of 120 rows")
    assert shown.ids == ["1"]
    assert shown.page.locator("#row-1 .mark").evaluate_all("marks => marks.map(one => one.className)") == ["mark partial", "mark right"]
    assert shown.page.locator(".answer").first.locator(".said").all_inner_texts() == ["wrong answer", "city 1"]


def test_a_run_without_scores(tmp_path: Path, opened: Opener) -> None:
    """Without scores the samples can be browsed too: answered or failed, and rows whose answers differ."""
    path = ReportedRun(tmp_path, INPUTS, {"steady": wrong_at(3), "shaky": [*LABELS[:-1], LIMITED]}, scores=()).report()
    shown = opened(path)
    shown.page.locator("#disagree").click()
    shown.count("1 of 120 rows")
    shown.page.locator("#reset").click()
    shown.page.locator("#state").select_option(label="failed")
    shown.count("1 of 120 rows")
    assert shown.page.locator("#detail .badge").all_inner_texts() == ["answered", "failed"]


def test_one_variant_and_no_rows(tmp_path: Path, opened: Opener) -> None:
    """A report of one variant has nothing to compare and hides those filters; one without rows says so."""
    (tmp_path / "one").mkdir()
    shown = opened(ReportedRun(tmp_path / "one", INPUTS, {"only": wrong_at(3)}).report())
    assert not shown.page.locator("#disagree").is_visible()
    shown.count("120 of 120 rows")
    (tmp_path / "none").mkdir()
    empty = opened(ReportedRun(tmp_path / "none", [], {"only": []}, scores=()).report())
    empty.count("0 of 0 rows")
    assert "No row passes" in empty.page.locator("#detail").inner_text()
