"""The cost that a record says."""

from __future__ import annotations

import re

from batch.journal.lines import OK_AT

_COST = re.compile(rb'[01],"row":\d+,"repeat":\d+,"cost_usd":(null|[-+.\deE]+)(?:,"extra_usd":([-+.\deE]+))?[,}]')


def dollars(line: bytes | memoryview, start: int = 0) -> float:
    """Read the US dollars of the record that begins at byte `start`; 0 where that is no whole head."""
    found = _COST.match(line, start + OK_AT)
    if found is None:
        return 0.0
    cost, extra = found.groups()
    return (0.0 if cost == b"null" else float(cost)) + (float(extra) if extra else 0.0)
