"""The table of input formats."""

from __future__ import annotations

from typing import get_args

from batch.readers.formats import FORMATS
from batch.settings import InputFormat


def test_every_format_of_the_job_file_is_a_row_of_the_table() -> None:
    """The names that a job file may give are those that can be read, and each row's module offers what readers need."""
    assert set(get_args(InputFormat)) == {"auto", *FORMATS}
    for entry in FORMATS.values():
        module = entry.load()
        assert callable(module.read)
        assert callable(module.marks)
        assert callable(module.count)
        assert callable(getattr(module, "schema", None)) == entry.typed
