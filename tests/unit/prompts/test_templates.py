"""Templates: strict, sandboxed, bounded; data is never a template."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import RowError
from batch.prompts import check_template, templates
from batch.prompts.templates import Template
from tests.support.prompts import row


@pytest.mark.parametrize(
    ("source", "columns", "text"),
    [
        ("The capital of {{ country }}?\n", {"country": "France"}, "The capital of France?\n"),
        ("{{ n }} {{ d }} {{ t }} {{ x }}", {"n": 2**70, "d": Decimal("1.20"), "t": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "x": None},
         f"{2**70} 1.20 2026-01-02 00:00:00+00:00 None"),
        ("{{ a.b[0] }}", {"a": {"b": ["x"]}}, "x"),
        ("{{ note | default('-') }}", {}, "-"),
        ("{% if note is defined %}yes{% else %}no{% endif %}", {}, "no"),
        ("{{ v | tojson }}", {"v": {"b": "<é>&'", "a": 1}}, '{"b": "<é>&\'", "a": 1}'),
        ("{% for i in range(3) %}{{ i }}{{ c }}{% endfor %}", {"c": "x"}, "0x1x2x"),
        ("{{ row['ticket id'] }}", {"ticket id": 7}, "7"),
        ("{{ row }}", {"row": "own"}, "own"),
        ("{{ range }}{{ dict }}", {"range": "own", "dict": "too"}, "owntoo"),
        ("{{ environment }}{{ self_ }}{{ context }}", {"environment": 1, "self_": 2, "context": 3}, "123"),
        ("{{ '<b>' }} {{ a }}", {"a": "<i>"}, "<b> <i>"),
        ("{{ a * 3 }}{{ 2 ** 10 }}", {"a": "x"}, "xxx1024"),
        ("{% set x = a ~ '!' %}{{ x }}", {"a": "hi"}, "hi!"),
        ("{# none #}{% raw %}{{ a }}{% endraw %}", {}, "{{ a }}"),
    ],
)  # fmt: skip
def test_templates_render(source: str, columns: dict[str, Any], text: str) -> None:
    """Jinja as its users know it, values as str() writes them."""
    assert Template(source).render(row(**columns)) == text


@given(st.text(st.sampled_from("{}%# \n'a._()") | st.characters(exclude_categories=["Cs"])))
def test_data_is_never_a_template(data: str) -> None:
    """Whatever stands in a column is put in literally (fault 54)."""
    for text in (data, "{{ 7 * 7 }}{% include 'file:///etc/passwd' %}" + data):
        assert Template("<{{ a }}>").render(row(a=text)) == f"<{text}>"


def test_constants_are_known() -> None:
    """A text without anything to fill in is rendered once."""
    assert Template("just { text }\n").constant == "just { text }\n"
    assert Template("").constant == ""
    assert Template("{{ a }}").constant is None
    assert Template("{% for x in a %}b{% endfor %}").constant is None


def test_a_missing_column_names_the_row_and_the_columns_there_are() -> None:
    """The text says where, what is missed, what was likely meant, and what there is."""
    with pytest.raises(RowError) as caught:
        Template("{{ captial }}").render(row(country="France", capital="Paris", id="FR"))
    assert str(caught.value) == (
        "countries.jsonl:17 (id FR): the prompt needs the column 'captial' (did you mean 'capital'?); the row has: country, capital, id"
    )
    assert caught.value.code == "missing_column"


def test_the_ordinal_is_not_shown_as_an_id_and_long_ids_are_cut() -> None:
    """Only an id of the user's own is shown, and not 10 kB of it (fault 49)."""
    with pytest.raises(RowError, match=r"^countries\.jsonl:17: the prompt needs"):
        Template("{{ a }}").render(row(row_id="16"))
    with pytest.raises(RowError) as caught:
        Template("{{ a }}").render(row(row_id="x" * 10_000))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "source", ["{{ a.x }}", "{{ a[5] }}", "{{ 1 / 0 }}", "{{ a + 1 }}", "{{ a.__class__.__mro__ }}", "{{ a.append(1) }}"]
)
def test_a_template_that_fails_on_a_row_is_the_rows_error(source: str) -> None:
    """Missing fields, wrong types and what the sandbox forbids fail the row, with its place, and never the run."""
    with pytest.raises(RowError, match=r"countries\.jsonl:17 \(id FR\): the prompt cannot be rendered") as caught:
        Template(source).render(row(a=[1]))
    assert caught.value.code == "bad_template"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**9 }}",
        "{{ n * 'a' }}",
        "{{ [1] * n }}",
        "{{ 2 ** n }}",
        "{{ range(n) | list }}",
        "{% for i in range(1000) %}{% for j in range(1000) %}{{ big }}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_cannot_eat_the_memory(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions, powers, ranges and long texts stop at a bound, when compiled and when rendered (promise 8)."""
    monkeypatch.setattr(templates, "MAX_TEXT_CHARACTERS", 1_000_000)
    tracemalloc.start()
    with pytest.raises(RowError) as caught:
        Template(source).render(row(n=10**9, big="x" * 10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "bad_template"
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a\n{{ b", "^line 2: "),
        ("{% if %}", "^line 1: "),
        ("a\n\n{{ b | nofilter }}", "^line 3: No filter named 'nofilter'"),
        ("x\n{% include 'x' %}", "^line 2: a prompt cannot load other templates"),
        ("{% extends 'x' %}", "^line 1: a prompt cannot load"),
    ],
)
def test_a_wrong_template_tells_its_line(source: str, says: str) -> None:
    """The job file can point at the line of the mistake."""
    with pytest.raises(ValueError, match=says):
        check_template(source)


def test_a_right_template_passes() -> None:
    """What compiles is accepted."""
    check_template("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(a) }}")
