"""Words the pauses and outages of an endpoint for people. Pure: times are monotonic seconds, given by the caller."""

from __future__ import annotations

import math

from batch.policy.waits import MAX_WAIT_S

# Pauses up to this long are reported once in this time: a busy endpoint asks for one every few seconds.
SHORT_PAUSE_S, SHORT_PAUSE_INTERVAL_S = 10.0, 60.0
SHORTEST_S = 1.0


class PauseNotices:
    """The notices of one endpoint's pauses."""

    def __init__(self) -> None:
        self._quiet_until = -math.inf

    def notice(self, name: str, wait: float, code: str, now: float) -> str | None:
        """Return the sentence about a pause of `wait` seconds for the error `code`; None for one that is not worth it."""
        if wait < SHORTEST_S:
            return None
        if wait <= SHORT_PAUSE_S:
            if now < self._quiet_until:
                return None
            self._quiet_until = now + SHORT_PAUSE_INTERVAL_S
        verb = "parked" if wait > MAX_WAIT_S else "paused"
        return f"{name} {verb} for {wait:,.0f} s ({code})"


def outage_words(name: str, silent_s: float, asked_s: float, patience_s: float, reason: str, *, too_long: bool) -> str:
    """Return, in one sentence, why an endpoint is given up that has served nothing for `silent_s` seconds.

    `asked_s` is the wait that it still asks for, `too_long`: beyond the deadline; `patience_s` is run.outage_timeout_s.
    """
    if asked_s > patience_s:
        limit = in_seconds(patience_s)
        return f"{name} asks to wait for {in_seconds(asked_s)}, and run.outage_timeout_s is {limit}: {reason}"
    silent = f"{name} has served nothing for {in_seconds(silent_s)}"
    if too_long:
        return f"{silent} and asks to wait for {in_seconds(asked_s)} more, beyond run.outage_timeout_s: {reason}"
    return f"{silent} (run.outage_timeout_s): {reason}"


def in_seconds(seconds: float) -> str:
    """Format seconds for people: tenths only below ten."""
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
