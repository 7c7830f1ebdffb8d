"""Line numbers of keys."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batch.job.lines import key_lines

TEXT = """\
# a comment
name = "x"
a.b."c d" = 1

[input]  # another
path = [
  "x",   # one
  "y",
]
t = {a = 1, b.c = [1, {d = 2}]}

[[model]]
id = '''
two lines'''
[model.sweep]
top_p = [1]

[[model]]
id = "é"
[[model.deep]]
x = 1
[[model.deep]]
x = 2
[x.y]
z = 1
"""


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def test_lines() -> None:
    """Tables, arrays of tables, dotted and quoted keys, inline tables and array items all have their line."""
    lines = key_lines(TEXT)
    assert set(paths(tomllib.loads(TEXT))) <= set(lines)
    expected = {
        ("name",): 2,
        ("a", "b", "c d"): 3,
        ("input",): 5,
        ("input", "path", 1): 8,
        ("input", "t", "b", "c", 1, "d"): 10,
        ("model", 0): 12,
        ("model", 0, "id"): 13,
        ("model", 0, "sweep", "top_p"): 16,
        ("model", 1, "id"): 19,
        ("model", 1, "deep", 1, "x"): 23,
        ("x", "y", "z"): 25,
    }
    assert {path: lines[path] for path in expected} == expected


keys = st.sampled_from(["a", "b", '"c d"', "'e.f'", "é1" and "x1"])


@given(st.lists(st.tuples(st.sampled_from(["[{}]", "[[{}]]"]), st.lists(keys, min_size=1, max_size=3), keys), max_size=8))
def test_every_key_has_a_line(tables: list[tuple[str, list[str], str]]) -> None:
    """Whatever valid TOML of nested tables there is, no key is without its line."""
    text = ""
    for form, path, key in tables:
        more = f"{text}{form.format('.'.join(path))}\n{key} = [1, {{z = 2}}]\n"
        try:
            tomllib.loads(more)
        except tomllib.TOMLDecodeError:
            continue
        text = more
    assert set(paths(tomllib.loads(text))) <= set(key_lines(text))
