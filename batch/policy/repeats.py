"""Makes one notice of many that say the same. Pure: times are monotonic seconds, given by the caller."""

from __future__ import annotations

import re

QUIET_S = 60.0
MOST_KINDS = 500
_NUMBERS = re.compile(r"\d[\d.,]*")


class Repeats:
    """Lets a notice through once a minute, whatever numbers it holds, and counts the others."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._kept: dict[str, tuple[str, int]] = {}

    def passes(self, text: str, now: float) -> bool:
        """Return whether to show a notice now; one that is not shown is counted."""
        kind = _NUMBERS.sub("#", text)
        since = self._since.get(kind)
        if since is not None and now - since < QUIET_S:
            self._kept[kind] = text, self._kept.get(kind, (text, 0))[1] + 1
            return False
        if len(self._since) >= MOST_KINDS:
            self._since.clear()
        self._since[kind] = now
        return True

    def due(self, now: float, *, ended: bool = False) -> list[str]:
        """Return the newest of each kind that was not shown, with its count, once its minute is over or the run `ended`."""
        kinds = [kind for kind in self._kept if ended or now - self._since.get(kind, now) >= QUIET_S]
        shown = []
        for kind in kinds:
            text, count = self._kept.pop(kind)
            self._since[kind] = now
            shown.append(text if count == 1 else f"{text} (the last of {count:,} such notices)")
        return shown
