"""Fuzzing: any template over any row gives a text or a RowError, within a time."""

from __future__ import annotations

import datetime as dt
import random
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest

from batch.errors import RowError
from batch.prompts.columns import columns_of
from batch.prompts.templates import Template
from batch.records import Row

DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]
VALUES: list[Any] = [
    *(None, True, 0, -1, 10**9, 10**30, 10**5000, 1.5, float("nan"), float("inf"), Decimal("1.10"), "", "x", "a\ud800b"),
    *("{{ 7 * 7 }}", "%s%d", "y" * 100_000, "1" * 6000, b"\xff\xfe", b"text", uuid.UUID(int=1)),
    *(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.date(2020, 1, 1), dt.timedelta(days=-1), [], [1, None, "a"], [[1], [2]]),
    *({}, {"items": 1, "keys": None}, {"a": {"b": [1]}}, {1: 2}, {"": ""}, DEEP, (1, 2)),
]
NAMES = ["a", "b", "row", "self", "loop", "items", "missing", "range"]
FILTERS = [
    *("tojson", "default('-')", "d", "join(',')", "upper", "length", "first", "last", "sort", "list", "string", "int"),
    *("float", "round", "sum", "replace('a', b)", "indent(b)", "center(b)", "truncate(b)", "wordwrap(b)", "batch(b)"),
    *("slice(b)", "format(b)", "map(attribute='a')", "selectattr('a')", "groupby('a')", "dictsort", "items", "urlencode"),
    *("xmlattr", "pprint", "base64", "data_url", "unique", "random", "safe", "tojson(b)", "attr('items')", "reverse"),
    *("min", "max", "abs", "filesizeformat", "striptags", "escape", "trim", "title", "wordcount"),
]
ENDS = [
    *(".items", ".a.b", "['a']", "[0]", "[-1]", "[b]", "[:b]", ".__class__", ".format(b)", ".ljust(b)", ".items()"),
    *(".upper()", ".split()", "()", " * b", " + b", " % b", " ** b", " ~ b", " - b", " // b", " / b", " in b", " == b"),
    *(" < b", " is none", " if b else a"),
]
FORMS = [
    *("{{{{ {0} }}}}", "x {{{{ {0} }}}} y {{{{ {1} }}}}"),
    *("{{% for i in {0} %}}{{{{ i }}}}{{{{ loop.index }}}}{{% endfor %}}",),
    *("{{% for i in range({0}) %}}{{% for j in range({1}) %}}{{% endfor %}}{{% endfor %}}",),
    *("{{% if {0} %}}{{{{ {1} }}}}{{% endif %}}", "{{% set c = {0} %}}{{{{ c }}}}{{{{ {1} }}}}"),
    *("{{% macro m(x) %}}{{{{ x }}}}{{% endmacro %}}{{{{ m({0}) }}}}", "{{% set ns = namespace(c={0}) %}}{{{{ ns.c }}}}"),
    *("{{% filter upper %}}{{{{ {0} }}}}{{% endfilter %}}",),
    *("{{% for k, v in {0} %}}{{{{ k }}}}{{% else %}}{{{{ {1} }}}}{{% endfor %}}",),
]
LONGEST_S = 60.0
"""Far above what the bounds on steps and sizes allow, on the slowest machine; without bounds a render takes hours."""


def expression(chance: random.Random) -> str:
    """A name with some filters, methods and operators behind it."""
    text = chance.choice(NAMES)
    for _ in range(chance.randint(0, 3)):
        text = f"({text}){chance.choice(ENDS)}" if chance.random() < 0.5 else f"({text}) | {chance.choice(FILTERS)}"
    return text


def check(seed: int, number: int) -> int:
    """Render drawn templates over drawn rows; how many gave a text."""
    print(f"seed {seed}")
    made = 0
    for index in range(number):
        chance = random.Random(f"{seed}:{index}")
        source = chance.choice(FORMS).format(expression(chance), expression(chance))
        columns = {name: chance.choice(VALUES) for name in chance.sample(NAMES[:6], chance.randint(2, 6))}
        started = time.monotonic()
        try:
            template = Template(source)
            columns_of(source)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}, template {index}: {source}: {type(error).__name__}: {error}") from error
        try:
            template.render(Row(0, "0", columns, "rows.jsonl", 1)).encode(errors="surrogatepass")
            made += 1
        except RowError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}, template {index}: {source}: {type(error).__name__}: {error}") from error
        finally:
            took = time.monotonic() - started
            assert took < LONGEST_S, f"seed {seed}, template {index}: {source} took {took:.0f} s"
    return made


def test_any_template_over_any_row_is_a_text_or_that_rows_error() -> None:
    """Whatever a column holds, and whatever is done with it (faults 54, 70; issue 13, part 8)."""
    assert check(20261127, 600) > 50


@pytest.mark.long
def test_any_template_over_any_row_is_a_text_or_that_rows_error_long() -> None:
    """As the short one, with many more templates and a seed of its own each time."""
    check(time.time_ns(), 30_000)
