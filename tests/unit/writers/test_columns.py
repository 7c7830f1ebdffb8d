"""Names of output columns, and columns that are carried under another name."""

from __future__ import annotations

import pytest

from batch.writers import Layout
from batch.writers.columns import COMPLETION_COLUMNS, EMBEDDING_COLUMNS, ERROR_COLUMNS, OWN_COLUMNS, parse_carried
from batch.writers.own_columns import own_fields


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("label", "label", "label"),
        ("id as conversation", "id", "conversation"),
        ("id  as\tconversation", "id", "conversation"),
        ("the good one as best", "the good one", "best"),
        ("a as b as c", "a as b", "c"),
        ("sold as brand new", "sold as brand new", "sold as brand new"),
        ("alias", "alias", "alias"),
        ("as is", "as is", "as is"),
    ],
)
def test_a_column_may_have_another_name(text: str, source: str, name: str) -> None:
    """What comes after the last "as" is the new name, if it has no blanks; else the whole text is a column (D19)."""
    assert parse_carried(text) == (source, name)


def test_each_own_column_has_a_type() -> None:
    """No own column is missing where names are checked, or types are given."""
    assert set(EMBEDDING_COLUMNS) - set(COMPLETION_COLUMNS) == {"embedding"}
    assert {*EMBEDDING_COLUMNS, *ERROR_COLUMNS} == OWN_COLUMNS
    for columns in (COMPLETION_COLUMNS, EMBEDDING_COLUMNS, ERROR_COLUMNS):
        assert [field.name for field in own_fields(Layout(columns))] == list(columns)
