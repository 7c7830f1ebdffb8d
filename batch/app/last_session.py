"""The counts of the last session of a run, beside those of all, as its log has them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from batch.app.run_log import NAME
from batch.results.status import SessionStatus
from batch.storage import open_regular
from batch.tally import COUNTS, Tally

_STARTED = b'"event":"started"'
_COUNTS = b'"counts":{'


def last_session(folder: Path) -> SessionStatus | None:
    """Read what the log in a run directory says of the last session; None without a log, or where it is the first session."""
    began: bytes | None = None
    counted: bytes | None = None
    with suppress(OSError), open(folder / NAME, "rb", opener=open_regular) as file:
        for line in file:
            if _STARTED in line:
                began, counted = line, None
            elif _COUNTS in line and line.endswith(b"}\n"):
                counted = line
    last = _document(counted)
    with suppress(KeyError, TypeError, ValueError):
        counts = last["counts"]
        tally = Tally(**{name: counts[name] for name in COUNTS}, total=counts["total"], failures=dict(counts["failures"]))
        if tally.kept_ok + tally.kept_failed:
            ended = last["event"] == "ended"
            return SessionStatus(_document(began).get("time"), str(last["time"]), ended, last.get("reason") if ended else None, tally)
    return None


def _document(line: bytes | None) -> dict[str, Any]:
    with suppress(ValueError, TypeError):
        found = orjson.loads(line or b"")
        if isinstance(found, dict):
            return found
    return {}
