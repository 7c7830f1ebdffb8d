"""Markup and figures of the report: nothing but markup is markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.evaluation.report.formatting import known_columns, p_value, seconds, table, typeset
from batch.evaluation.report.markup import Markup, joined, tag
from batch.evaluation.report.names import VariantLetters, differing


class Parsed(HTMLParser):
    """What a browser makes of a piece of HTML: the names of its elements, their attributes, its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        self.text += data


@given(text=st.text(alphabet=st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
def test_a_text_stays_a_text(text: str) -> None:
    """Whatever is put into an element or an attribute comes out of it again, and makes no element."""
    parsed = Parsed(tag("p", text, title=text))
    assert (parsed.tags, parsed.text, parsed.attributes) == (["p"], text, [("title", text)])


def test_nested_markup_is_kept_and_attributes_are_named_as_html_names_them() -> None:
    """Elements hold elements, sequences and nothing; attribute names lose a trailing underscore, and None and False leave them out."""
    made = tag("div", [tag("b", 1), " & "], None, class_="a", aria_label='"', hidden=True, title=None, open=False)
    assert made == '<div class="a" aria-label="&quot;" hidden><b>1</b> &amp; </div>'
    assert tag("br") == "<br>"
    assert joined(Markup("<i>"), "<i>") == "<i>&lt;i&gt;"


def test_a_table_scrolls_in_a_box_that_is_named() -> None:
    """A table has a caption, column and row headings, and a box that takes the keyboard's focus."""
    made = table("Results & more", ["Name", "Score"], [["<a>", 1]])
    assert 'role="region" aria-label="Results &amp; more"' in made
    assert 'tabindex="0"' in made
    assert '<th scope="row">&lt;a&gt;</th><td>1</td>' in made


def test_letters_go_on_after_z() -> None:
    """Each variant has a letter of its own, also beyond the alphabet."""
    keys = VariantLetters(tuple(f"v{at}" for at in range(60)))
    letters = [keys.of(name) for name in keys.variants]
    assert letters[:2] + letters[25:28] + letters[51:53] == ["A", "B", "Z", "AA", "AB", "AZ", "BA"]
    assert len(set(letters)) == 60


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (0.0341, "34 ms"), (0.9996, "1.0 s"), (4.21, "4.2 s"), (99.96, "100 s"), (1234, "1,234 s")]
)
def test_seconds(value: float | None, text: str) -> None:
    """Time spans have two or three digits, and never 1000 ms."""
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("text", "set_"),
    [
        ("+4.6 pt [-0.8, +9.9]; p < 0.001", "+4.6~pt [−0.8,~+9.9]; p~<~0.001"),
        ("42.1 % [35.3 %, 49.1 %] of 195 rows", "42.1~% [35.3~%,~49.1~%] of 195 rows"),
        ("gpt-4 in 2024-08, at 1,000 rows, p = 0.02", "gpt-4 in 2024-08, at 1,000 rows, p~=~0.02"),
    ],
)
def test_figures_stay_in_one_line(text: str, set_: str) -> None:
    """Signs and intervals are not torn from their numbers, minus signs are true ones, and names stay as they are."""
    assert typeset(text) == set_.replace("~", "\N{NO-BREAK SPACE}")


NAMED: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("gpt-5", "mistral-small"), "", ("gpt-5", "mistral-small")),
    (("only/a-model-with-a-very-long-name temperature=0",), "", ("only/a-model-with-a-very-long-name temperature=0",)),
    (
        ("fireworks/accounts/f/models/qwen t=0 e=low", "fireworks/accounts/f/models/qwen t=1 e=low"),
        "fireworks/accounts/f/models/qwen e=low",
        ("t=0", "t=1"),
    ),
    (
        ("openai/gpt-5-mini-2025-08-07 t=0", "openai/gpt-5-nano-2025-08-07 t=0"),
        "openai/… t=0",
        ("gpt-5-mini-2025-08-07", "gpt-5-nano-2025-08-07"),
    ),
    (
        ("openai/gpt-5-mini-2025-08-07", "openai/gpt-5-mini-2025-08-07 t=0"),
        "openai/gpt-5-mini-2025-08-07",
        ("gpt-5-mini-2025-08-07", "t=0"),
    ),
    (("openai/gpt-5-mini-2025-08-07", "mistral/mistral-small-2506"), "", ("openai/gpt-5-mini-2025-08-07", "mistral/mistral-small-2506")),
    (
        ("a/some-model-with-a-long-name t=0", "a/some-model-with-a-long-name t=0 "),
        "",
        ("a/some-model-with-a-long-name t=0", "a/some-model-with-a-long-name t=0 "),
    ),
]


@pytest.mark.parametrize(("names", "shared", "short"), NAMED)
def test_of_long_names_the_part_that_differs_is_shown_whole(names: tuple[str, ...], shared: str, short: tuple[str, ...]) -> None:
    """What all names have in common is said once; what is left still tells them apart; short names stay as they are."""
    assert differing(names) == (shared, short)


def test_a_shortened_name_has_the_whole_one_as_its_title() -> None:
    """Nothing of a name is out of reach, and a name that is shown whole needs no title."""
    keys = VariantLetters(NAMED[2][0])
    assert f'title="{keys.variants[0]}"' in keys.named(keys.variants[0])
    assert ">t=0</span>" in keys.named(keys.variants[0])
    assert "title" not in VariantLetters(("a", "b")).named("a")
    long = "provider/some-model-of-2026-05 temperature=0"
    assert "provider/<wbr>some-model-of-2026-05 temperature=0</span>" in VariantLetters((long,)).named(long)


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    """A column goes when all its cells are unknown; one known cell keeps it, and a table without rows keeps all."""
    rows = [["A", "unknown", "unknown"], ["B", "unknown", "$1.00"]]
    assert known_columns(["Variant", "First token", "Cost"], rows) == (["Variant", "Cost"], [["A", "unknown"], ["B", "$1.00"]])
    assert known_columns(["Variant", "Cost"], [["A", "–"], ["B", "–"]]) == (["Variant"], [["A"], ["B"]])
    assert known_columns(["Variant", "Cost"], []) == (["Variant", "Cost"], [])


def test_p_values() -> None:
    """A p that would round to zero is shown as less than a thousandth."""
    assert [p_value(p) for p in (0.0004, 0.0301, 1.0)] == ["< 0.001", "0.030", "1.000"]
