"""The columns that templates need."""

from __future__ import annotations

import pytest

from batch.prompts.columns import columns_of


@pytest.mark.parametrize(
    ("source", "names", "required", "everything"),
    [
        ("{{ a }} {{ b.c }} {{ row['d e'] }}", "a,b,d e", "a,b", False),
        ("{{ row[a] }}", "a,row", "a", True),
        ("{{ row | tojson }}", "row", "", True),
        ("{% for x in items %}{{ x }}{{ y }}{% endfor %}", "items,y", "items", False),
        ("{% if a is defined %}{{ a }}{% endif %}{{ b | default('-') }}{{ c }}", "a,b,c", "c", False),
        ("{% set x = a %}{{ x }}{{ self }}", "a,self", "a,self", False),
        ("{{ a if b else c }}", "a,b,c", "", False),
        ("{{ range(3) | list }}{{ 'b' }}", "range", "", False),
        ("{{ a | data_url }}{{ b | base64 }}", "a,b", "a,b", False),
        ("nothing", "", "", False),
    ],
)  # fmt: skip
def test_the_columns_of_a_template(source: str, names: str, required: str, everything: bool) -> None:
    """Each column that may be read is found, and those that each row must have; `row` alone stands for all (fault 73)."""
    found = columns_of(source)
    assert {name for name in found.names if name != "row" or everything} == {name for name in names.split(",") if name}
    assert found.required == {name for name in required.split(",") if name}
    assert found.everything == everything


@pytest.mark.parametrize(
    "source",
    ["{{ 10 ** (10 ** 9) }}", "{{ 'x' * 10 ** 10 }}", "{{ '%03000000000d' % 1 }}", "{{ 9 ** 9999 }}", "{{ 'x' | center(10 ** 10) }}"],
)
def test_no_constant_is_computed_to_find_the_columns(source: str) -> None:
    """Promise 8: what a template computes without a row, of any size, neither takes time nor memory, nor ends the command."""
    assert columns_of(f"{source}{{{{ a }}}}").names == {"a"}
