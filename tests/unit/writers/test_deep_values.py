"""Values that are nested deeper than libraries and Python's own calls go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batch.writers import Layout, open_writer
from batch.writers.values import json_bytes

PAIRS = 500


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_values_of_1000_levels_are_written_as_they_are(tmp_path: Path, format_: Any) -> None:
    """Fault 71: lists and objects as deep as the reader takes them are written digit for digit, and end no finished run."""
    value: Any = 2**70
    for _ in range(PAIRS):
        value = [{"a": value}]
    text = '[{"a":' * PAIRS + str(2**70) + "}]" * PAIRS
    assert json_bytes(value).decode() == text
    path = tmp_path / f"deep.{format_}"
    with open_writer(format_, path, Layout(("id",), ("c",))) as writer:
        writer.write([{"id": "1", "c": value}])
    found = pq.read_table(path)["c"][0].as_py() if format_ == "parquet" else path.read_text()
    assert (text.replace('"', '""') if format_ == "csv" else text) in found
