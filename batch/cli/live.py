"""What is in flight, and where the time of a run went, as text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from batch.cli.console import table, terminal_width
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.results.live import LiveRun

SHOWN_IN_FLIGHT = 10
_LONGEST_ID = 30
# A figure stays in one line with its sign.
_NO_BREAK = "\u00a0"


def account_shares(account: Mapping[str, float]) -> str:
    """Format what limited a run, each with its share of the time: "concurrency 71 %, the server 20 %, rate limits 9 %"."""
    from batch.results.live import CAUSES

    whole = sum(account.values()) or 1.0
    shares = [(CAUSES.get(cause, cause), seconds / whole) for cause, seconds in account.items()]
    return ", ".join(f"{cause} {100 * share:.0f} %" for cause, share in shares if share >= 0.005)


def account_line(account: Mapping[str, float]) -> str:
    """Format the account of time: "time: concurrency 71 %, the server 20 %, rate limits 9 % of 12 min 04 s"."""
    from batch.progress import duration

    shown = account_shares(account).replace(" %", f"{_NO_BREAK}%")
    text = f"time: limited by {shown}, of {duration(sum(account.values()) or 1.0)}"
    return click.wrap_text(text, max(40, terminal_width() - 1), subsequent_indent="  ").replace(_NO_BREAK, " ")


def live_lines(live: LiveRun) -> list[str]:
    """Format what is in flight, the oldest first, and what limits the run at the moment."""
    from batch.progress import duration
    from batch.results.live import CAUSES

    causes = " and ".join(CAUSES.get(cause, cause) for cause in live.limited_by)
    waiting = f", {live.waiting:,} wait for a retry" if live.waiting else ""
    lines = [f"in flight: {live.in_flight:,} of at most {live.limit:,}{waiting}; limited by {causes}"]
    for endpoint in live.endpoints:
        if endpoint.paused_s > 0:
            lines.append(f"  {one_line(endpoint.name)} asked to wait {duration(endpoint.paused_s)} more")
        elif not endpoint.is_serving:
            lines.append(f"  {one_line(endpoint.name)} is out of order, and probed until it serves again")
    if not live.oldest:
        return lines
    now = time.time()
    rows = [["for", "row", "id", "model", "attempt", "endpoint"]]
    for each in live.oldest[:SHOWN_IN_FLIGHT]:
        name = each.id if len(each.id) <= _LONGEST_ID else f"{each.id[: _LONGEST_ID - 1]}…"
        cells = [f"{each.row:,}", name, each.variant, str(each.attempt), each.endpoint]
        rows.append([duration(max(0.0, now - each.since)), *cells])
    lines += [f"  {line}" for line in table(rows, terminal_width() - 2).splitlines()]
    if (more := live.in_flight - len(rows) + 1) > 0:
        lines.append(f"  and {more:,} more")
    return lines
