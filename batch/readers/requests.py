"""Whether an input is a batch file of OpenAI's: JSON lines {custom_id, method, url, body}."""

from __future__ import annotations

from dataclasses import replace

from batch.errors import InputError
from batch.readers.dataset import Dataset
from batch.records import Row
from batch.settings import InputSettings

REQUEST_ID = "custom_id"
"""The column that holds the rows' ids."""

_MEMBERS = {REQUEST_ID, "method", "url", "body"}


def holds_requests(settings: InputSettings) -> bool:
    """Whether the first row that can be read has all members of a request, and says POST; False also for input that cannot be read."""
    try:
        first = next(Dataset(replace(settings, where=None, sample=None, limit=1)).batches(), [])
    except InputError:
        return False
    row = first[0] if first else None
    if not isinstance(row, Row) or not row.columns.keys() >= _MEMBERS:
        return False
    return row.columns["method"] == "POST" and isinstance(row.columns["url"], str) and isinstance(row.columns["body"], dict)
