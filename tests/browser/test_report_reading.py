"""Reading a report in a browser: prompts folded, answers in view, formatted texts, differences, addresses, hidden parts, exports."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from batch.settings import ScoreSettings
from tests.browser.conftest import Opener
from tests.support.browser import OpenReport
from tests.support.runs import ReportedRun

LABELS = ["billing", "bug"]
LONG = "\n".join(f"Line {at} of a long ticket." for at in range(80))
INPUTS = [{"text": f"Ticket {at}.\n{LONG}", "label": LABELS[at % 2], "topic": "north" if at % 4 else "south"} for at in range(40)]
MARKDOWN = (
    "## What I see\n\n- **one** item\n- `code`\n\n| step | what |\n|---|---|\n| 1 | <b>read</b> |\n\n"
    '```json\n{"a": [1, "x"]}\n```\n\nAs $\\frac{1}{2} \\le x^2$, the category is: **billing**'
)
ENDING = "So the category is: bug"
NAMES = [f"fireworks/accounts/fireworks/models/qwen3-235b temperature={at / 10} reasoning=low" for at in range(3)]
SCORE = ScoreSettings(name="category", kind="label", expected="label", slices=("topic",), options={"labels": LABELS})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants: the first writes Markdown in row 0, the second calls rows 0 to 4 a bug, the third cannot say in row 6."""
    right = [f"Category: {row['label']}" for row in INPUTS]
    first, second, third = list(right), list(right), list(right)
    first[0] = MARKDOWN
    second[0:5] = [ENDING] * 5
    third[6] = "=I cannot say."
    answers = dict(zip(NAMES, (first, second, third), strict=True))
    return ReportedRun(tmp_path_factory.mktemp("reading"), INPUTS, answers, scores=(SCORE,)).report()


@pytest.fixture
def shown(report: Path, opened: Opener) -> OpenReport:
    return opened(report)


def test_answers_are_in_view_and_the_prompt_stays_as_it_was_left(shown: OpenReport) -> None:
    """The answers of a long prompt are above the fold; a prompt that is unfolded stays so from row to row, and folded again too."""
    page = shown.page
    page.locator("#samples").scroll_into_view_if_needed()
    box, said = page.locator("#detail").bounding_box(), page.locator("#detail .said").first.bounding_box()
    assert box is not None
    assert said is not None
    assert said["y"] + said["height"] < box["y"] + box["height"]
    page.locator("#detail .prompt summary").click()
    page.locator("#list").focus()
    page.keyboard.press("j")
    page.locator("#detail h3", has_text="1").wait_for()
    assert page.locator("#detail .prompt").evaluate("one => one.open")
    page.locator("#detail .prompt summary").click()
    page.locator("#list").focus()
    page.keyboard.press("j")
    page.locator("#detail h3", has_text="2").wait_for()
    assert not page.locator("#detail .prompt").evaluate("one => one.open")


def test_what_was_scored_is_marked_in_the_text(shown: OpenReport) -> None:
    """The part that was extracted is marked where it stands last in the answer."""
    marks = shown.page.locator("#detail .said .extracted").all_inner_texts()
    assert marks == ["billing", "bug", "billing"]


def test_texts_are_formatted_on_request_and_never_as_markup(shown: OpenReport) -> None:
    """Markdown, formulas and JSON become elements of the page's own; tags in a text stay text; the choice stays from row to row."""
    page = shown.page
    first = page.locator("#detail .answer").first
    assert "## What I see" in first.locator(".said").inner_text()
    page.locator("#view-formatted").click()
    said = first.locator(".said")
    assert said.locator(".heading").inner_text() == "What I see"
    assert said.locator("td").last.inner_text() == "<b>read</b>"
    assert said.locator("td b").count() == 0
    assert said.locator(".formula").inner_text() == "1⁄2 ≤ x2"
    assert said.locator(".json").inner_text().split() == ["{", '"a":', "[", "1,", '"x"', "]", "}"]
    assert said.locator("strong").all_inner_texts() == ["one", "billing"]
    assert page.evaluate("document.activeElement.id") == "view-formatted"
    page.locator("#view-text").click()
    assert "## What I see" in first.locator(".said").inner_text()


def test_the_difference_of_two_answers(shown: OpenReport) -> None:
    """Words of the first alone are struck out, words of the second alone are underlined, and equal ones stand once."""
    page = shown.page
    page.locator("#diff-0").select_option(label="B")
    page.locator("#diff-1").select_option(label="C")
    said = page.locator("#detail .difference .said")
    assert said.locator("del").all_inner_texts() == ["So the category is", "bug"]
    assert said.locator("ins").all_inner_texts() == ["Category", "billing"]
    page.locator("#list").focus()
    page.keyboard.press("End")
    page.locator("#detail .difference", has_text="Both say the same.").wait_for()


def test_an_address_holds_row_filters_and_hidden_variants(shown: OpenReport) -> None:
    """What is chosen goes into the address, and the address leads back to it; the link of a row is that address."""
    from playwright.sync_api import expect

    page = shown.page
    page.locator("#variant").select_option(label="B temperature=0.1")
    page.locator("#state").select_option(label="wrong")
    shown.count("3 of 40 rows")
    page.locator("#list").focus()
    page.keyboard.press("j")
    # The page's policy forbids the evaluation of texts, which wait_for_function would need.
    expect(page).to_have_url(re.compile("#row-2&"))
    address = page.evaluate("location.hash")
    assert page.locator("#detail .link").get_attribute("href") == address
    page.goto("about:blank")
    page.goto(f"{shown.address}{address}&hide=C")
    shown.count("3 of 40 rows")
    assert page.locator("#list [aria-selected=true] .id").inner_text() == "2"
    assert page.locator("#detail .answer").count() == 2
    assert page.locator(".board tbody tr >> visible=true").count() == 2
    shown.requests[1:] = []


def test_the_confusion_matrix_leads_to_the_samples_behind_a_cell(shown: OpenReport) -> None:
    """A count shows its rows, and the filters say how they were chosen; so do the columns of what could not be scored."""
    page = shown.page
    page.locator("details.of-variant").nth(1).locator("summary").click()
    page.locator("details.of-variant").nth(1).locator("td button.behind").click()
    shown.count("3 of 40 rows")
    assert shown.ids == ["0", "2", "4"]
    assert page.locator("#given option:checked").inner_text() == "bug"
    assert page.locator("#expected option:checked").inner_text() == "billing"
    page.locator(".board button.show").click()
    shown.count("1 of 40 rows")
    assert shown.ids == ["6"]


def test_tables_are_sorted_and_columns_and_variants_hidden_by_keyboard(shown: OpenReport) -> None:
    """Heads sort by their column and back; menus hide columns of a table and variants everywhere, and Escape closes them."""
    page = shown.page
    letters = page.locator(".board tbody .key")
    before = letters.all_inner_texts()
    page.locator(".board .sort", has_text="Variant").focus()
    page.keyboard.press("Enter")
    assert letters.all_inner_texts() == ["A", "B", "C"]
    page.keyboard.press("Enter")
    assert letters.all_inner_texts() == ["C", "B", "A"]
    assert page.locator(".board [aria-sort]").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert letters.all_inner_texts() == before
    columns = page.locator(".score .menu")
    columns.locator("summary").focus()
    page.keyboard.press("Enter")
    columns.get_by_label("Coverage").focus()
    page.keyboard.press("Space")
    assert not page.locator(".board th", has_text="Coverage").is_visible()
    page.keyboard.press("Escape")
    assert not columns.evaluate("one => one.open")
    variants = page.locator("#tools .menu")
    variants.locator("summary").click()
    variants.get_by_label("B temperature=0.1").focus()
    page.keyboard.press("Space")
    assert page.locator(".board tbody .key >> visible=true").all_inner_texts() == [one for one in before if one != "B"]
    assert page.locator("#detail .answer h4 .key").all_inner_texts() == ["A", "C"]
    assert page.locator("#row-0 .mark").count() == 2


def test_filtered_rows_are_exported(shown: OpenReport) -> None:
    """Ids, or a CSV with a line for each answer: whole texts, and nothing that a spreadsheet would run."""
    page = shown.page
    page.locator("#state").select_option(label="unscored")
    shown.count("1 of 40 rows")
    with page.expect_download() as ids:
        page.locator("#export-ids").click()
    assert Path(ids.value.path()).read_text() == "6\n"
    with page.expect_download() as table:
        page.locator("#export-csv").click()
    lines = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text())))
    assert [(line["id"], line["variant"], line["state"]) for line in lines] == [
        ("6", name, state) for name, state in zip(NAMES, ("right", "right", "unscored"), strict=True)
    ]
    assert lines[2]["answer"] == "'=I cannot say."
    assert (lines[0]["category"], lines[0]["category extracted"], lines[0]["category expected"], lines[0]["topic"]) == (
        "1",
        "billing",
        "billing",
        "north",
    )
    shown.requests[1:] = []


def test_long_names_show_the_part_that_differs(shown: OpenReport) -> None:
    """What all names share is said once; what differs is whole, and the title has the whole name."""
    page = shown.page
    names = page.locator(".board tbody .name")
    assert sorted(names.all_inner_texts()) == [f"temperature={at / 10}" for at in range(3)]
    assert sorted(names.evaluate_all("all => all.map(one => one.title)")) == NAMES
    page.locator("#evaluated summary").click()
    about = page.locator("#evaluated").inner_text()
    assert "fireworks/accounts/fireworks/models/qwen3-235b reasoning=low" in about
    assert "label against label" in about
