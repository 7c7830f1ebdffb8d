"""The cost of a journal: of all records, including those that newer ones replaced, since they were paid for too."""

from __future__ import annotations

import re
from pathlib import Path

from batch.journal.disk import storage_errors
from batch.journal.lines import HEAD_BYTES, decode
from batch.journal.segments import lines, segments

_RESPONSE = b',"response":'
# promptmill's own fields are between usage and response; a quote within a text would be escaped.
_COST = re.compile(rb'"cost_usd":(null|[-+.\deE]+)(?:,"doubled":\d+)?(?:,"extra_usd":([-+.\deE]+))?(?=[,}])')


def spent_usd(directory: Path, before: int | None = None) -> float:
    """Sum the US dollars of all records of the journal in `directory`, with what repeated attempts may have cost at most.

    `before` leaves out the journal's files from that number on. Reads about as fast as the disk. Skips a torn tail; detecting damage is
    left to the resume index. Raises StorageError.
    """
    with storage_errors(directory):
        paths = [each.path for each in segments(directory) if before is None or each.name.number < before]
        return sum(_spent(line) for path in paths for _, line in lines(path, path.stat().st_size))


def _spent(line: bytes) -> float:
    place = line.find(_RESPONSE, HEAD_BYTES)
    own = line[HEAD_BYTES:place] + b"}" if place >= 0 else line[HEAD_BYTES:]
    found = _COST.findall(own)
    if found:
        # The last match: usage comes before, and may contain anything.
        cost, extra = found[-1]
        return (0.0 if cost == b"null" else float(cost)) + (float(extra) if extra else 0.0)
    try:
        outcome = decode(line)
    except ValueError:
        return 0.0
    return (outcome.cost_usd or 0.0) + outcome.extra_usd
