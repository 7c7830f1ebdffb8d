"""Single lines for the terminal: cut to a width, and with the time of day."""

from __future__ import annotations

from datetime import datetime

from batch.policy.terminal import one_line


def fitted(text: str, width: int) -> str:
    """Cut a line to a width, with a sign where it was cut; control characters are made visible."""
    shown = one_line(text)
    return shown if len(shown) <= width else shown[: max(0, width - 1)] + "…"


def time_of_day(moment: float | None) -> str:
    """Format a moment, in seconds since 1970, as the time of day here; as dashes where it is unknown."""
    return "--:--:--" if moment is None else f"{datetime.fromtimestamp(moment).astimezone():%H:%M:%S}"
