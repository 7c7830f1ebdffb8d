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
from batch.prompts import check_template, printing, sandbox
from batch.prompts.templates import Template
from tests.support.files import row


@pytest.mark.parametrize(
    ("source", "columns", "text"),
    [
        ("The capital of {{ country }}?\n", {"country": "France"}, "The capital of France?\n"),
        ("{{ n }} {{ d }} {{ t }} {{ x }}", {"n": 2**70, "d": Decimal("1.20"), "t": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "x": True},
         f"{2**70} 1.20 2026-01-02 00:00:00+00:00 True"),
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


ORDER = {"items": ["x"], "values": 1, "keys": "K", "copy": None, "id": 9}


@pytest.mark.parametrize(
    ("source", "columns", "text"),
    [
        ("{{ order.items }} {{ order.values }} {{ order['keys'] }}", {"order": ORDER}, "['x'] 1 K"),
        ("{% for key, value in order.items() %}{{ key }}{% endfor %}", {"order": {"a": 1, "b": 2}}, "ab"),
        ("{{ '{0.items}'.format(order) }}", {"order": ORDER}, "['x']"),
        ("{{ row['x y'] }} {{ row }}", {"row": "own", "x y": 1}, "1 own"),
        ("{{ row['a'] }}", {"row": {"a": "its own"}, "a": "column"}, "its own"),
        ("{{ self }} {{ loop }}", {"self": "s", "loop": "l"}, "s l"),
        ("{% for x in loop %}{{ loop.index }}/{{ loop.length }} {% endfor %}", {"loop": "ab"}, "1/2 2/2 "),
        ("{{ a }}{{ a | upper }}{{ [a] }}", {"a": "é".encode()}, "éÉ['é']"),
        ("{{ a | base64 }} {{ a | data_url }}", {"a": b"\xff\xd8\xff"}, "/9j/ data:image/jpeg;base64,/9j/"),
        ("{{ a | data_url('audio/wav') }}", {"a": {"bytes": b"\xff", "path": None}}, "data:audio/wav;base64,/w=="),
        ("{{ a | default('-') }}{{ b | default('-', true) }}{{ c | d('-') }}", {"a": None, "b": None, "c": float("nan")}, "---"),
        ("{{ a | default('-') }}", {"a": ""}, ""),
        ("{% if a %}{{ a }}{% else %}none{% endif %}", {"a": None}, "none"),
        ("{{ a | tojson }}", {"a": {"x": float("nan"), "y": [None, Decimal("1.0")]}}, '{"x": null, "y": [null, "1.0"]}'),
        ("{{ a | tojson }}", {"a": [b"k"]}, '["k"]'),
        ("{{ '%5.1f|%s|%d' % (a, b, 7) }}", {"a": 1.25, "b": "x"}, "  1.2|x|7"),
        ("{{ '{:>4}|{b}'.format(a, b=b) }}", {"a": 1, "b": "x"}, "   1|x"),
        ("{{ '%s-%s' | format(a, b) }}{{ [a, b] | join('+') }}", {"a": 1, "b": "x"}, "1-x1+x"),
        ("{{ l | join(', ', attribute='n') }}", {"l": [{"n": 1}, {"n": 2}]}, "1, 2"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(a) }}{{ a | indent(2) }}", {"a": "y"}, "<y>y"),
    ],
)  # fmt: skip
def test_data_is_printed_as_data(source: str, columns: dict[str, Any], text: str) -> None:
    """Keys come before methods, UTF-8 bytes are text, columns before Jinja's own names, and `default` stands in for null (fault 70)."""
    assert Template(source).render(row(**columns)) == text


@pytest.mark.parametrize(
    ("source", "columns", "code", "says"),
    [
        ("{{ order.items }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ order.items | string }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ 'x' ~ order.items }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ '%s' % order.items }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ '{}'.format(order.items) }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ [order.items] }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ [order.items] | join }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ [order.items] | tojson }}", {"order": {}}, "bad_template", "'items' is no data"),
        ("{{ range }}", {}, "bad_template", "is no data"),
        ("{{ namespace() }}", {}, "bad_template", "is no data"),
        ("{% macro m() %}{% endmacro %}{{ m }}", {}, "bad_template", "is no data"),
        ("{% for x in [1] %}{{ loop }}{% endfor %}", {}, "bad_template", "is no data"),
        ("{{ self }}", {}, "bad_template", "'self' is undefined"),
        ("{{ a }}", {"a": b"\xff\xd8"}, "bad_template", "2 bytes are not UTF-8 text; use the filter base64, or data_url"),
        ("{{ a | tojson }}", {"a": [b"\xff"]}, "bad_template", "not UTF-8"),
        ("{{ a | tojson }}", {"a": float("inf")}, "bad_template", "JSON has no infinity"),
        ("{{ a }}", {"a": None}, "missing_column", "the column 'a': a value is null"),
        ("{{ a }}", {"a": float("nan")}, "missing_column", "a value is NaN"),
        ("{{ a | upper }}", {"a": None}, "missing_column", "null"),
        ("{{ a ~ '!' }}", {"a": None}, "missing_column", "null"),
        ("{{ '%s' % a }}", {"a": None}, "missing_column", "null"),
        ("{{ '{}'.format(a) }}", {"a": None}, "missing_column", "null"),
        ("{{ [a, 1] | join(',') }}", {"a": None}, "missing_column", "null"),
    ],
)  # fmt: skip
def test_what_is_no_data_fails_the_row(source: str, columns: dict[str, Any], code: str, says: str) -> None:
    """A method, null, NaN or raw bytes never become text of a prompt, whichever way a template writes them (fault 70)."""
    with pytest.raises(RowError, match=says) as caught:
        Template(source).render(row(**columns))
    assert caught.value.code == code


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
        "{{ 'x'.ljust(n) }}",
        "{{ 'x'.rjust(n) ~ 'x'.zfill(n) }}",
        "{{ '\t'.expandtabs(n) }}",
        "{{ 'x' | center(n) }}",
        "{{ 'a\nb' | indent(n) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (n, 1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ '{:{}}'.format(1, n) }}",
        "{{ '{a:{b}}'.format_map({'a': 1, 'b': n}) }}",
        "{{ big.replace('x', big) }}",
        "{{ big | replace('x', big) }}",
        "{{ big.join(big) }}",
        "{{ big | join(big) }}",
        "{{ ([big] * 1000) | tojson }}",
        "{{ [big] * 1000 }}",
        "{{ ([big] * 1000) | pprint }}",
        "{{ [1] | batch(n, 0) | list }}",
        "{{ [1] | slice(n, 0) | list }}",
        "{{ {'a': 1} | tojson(indent=n) }}",
        "{{ n ** 99999 }}",
        "{% set ns = namespace(a='x') %}{% for i in range(40) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(40) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a=9) %}{% for i in range(60) %}{% set ns.a = ns.a * ns.a %}{% endfor %}",
        "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
        "{% for i in range(1000) %}{% for j in range(1000) %}{{ big }}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_cannot_eat_the_memory(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions, powers, ranges and long texts stop at a bound, when compiled and when rendered (promise 8)."""
    monkeypatch.setattr(printing, "MAX_TEXT_CHARACTERS", 1_000_000)
    monkeypatch.setattr(printing, "MAX_GROWN_CHARACTERS", 1_000_000)
    monkeypatch.setattr(sandbox, "MAX_STEPS", 100_000)
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
        ("{{ " + "9" * 5000 + " }}", "^line 1: a constant in it cannot be computed: Exceeds the limit"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "^line 1: it is nested too deep"),
        ("{% for i in x %}" * 25 + "{% endfor %}" * 25, "^line 1: it is nested too deep"),
    ],
)
def test_a_wrong_template_tells_its_line(source: str, says: str) -> None:
    """The job file can point at the line of the mistake."""
    with pytest.raises(ValueError, match=says):
        check_template(source)


def test_a_right_template_passes() -> None:
    """What compiles is accepted."""
    check_template("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(a) }}")


NAMES = ["{{ a }}", "{{ b }}", "{{ c }}", "{# x #}", "{% if a %}{{ a }}{% endif %}", "\n"]
PIECES = st.one_of(st.sampled_from(NAMES), st.text("xé{ '", max_size=3))
VALUES = st.one_of(st.text("a<é\ud800", max_size=4), st.none(), st.integers(0, 3), st.just(float("nan")), st.just(["x"]), st.just(b"y"))


@given(pieces=st.lists(PIECES, max_size=5), columns=st.dictionaries(st.sampled_from("abc"), VALUES))
def test_templates_without_logic_read_as_jinja_writes_them(pieces: list[str], columns: dict[str, Any]) -> None:
    """A template of text and names alone, which is filled without Jinja, gives Jinja's text, and its error where it gives one."""
    try:
        template = Template("".join(pieces))
    except ValueError:
        return

    def rendered() -> tuple[str, str]:
        try:
            return "text", template.render(row(**columns))
        except RowError as error:
            return "error", str(error)

    filled = rendered()
    template._parts = None
    assert rendered() == filled


def test_a_text_that_grows_too_long_is_refused_without_logic_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of a prompt's text holds for columns that are only joined."""
    monkeypatch.setattr(printing, "MAX_TEXT_CHARACTERS", 10)
    assert Template("{{ a }}").render(row(a="x" * 10)) == "x" * 10
    with pytest.raises(RowError, match="more than 10 characters"):
        Template("{{ a }}{{ a }}").render(row(a="x" * 6))
