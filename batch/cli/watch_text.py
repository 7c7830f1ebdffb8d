"""The lines of the watch page: what it says of a run, fitted to a width. Pure: the terminal is drawn elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from batch.cli.lines import fitted, time_of_day
from batch.cli.live import account_shares
from batch.policy.dollars import usd
from batch.policy.terminal import one_line

Document = Mapping[str, Any]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_NARROWEST_BAR = 10
# A rate is that of the last whole buckets, at least of these seconds.
_RATE_S = 10.0


def bar(share: float, width: int) -> str:
    """Draw a bar of blocks, to an eighth of a column."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width, "·")[:width]


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the last values as one line of bars, the highest as a full one; several share a column where they are many."""
    if not values or width < 1:
        return ""
    per_column = -(-len(values) // width)
    columns = [max(values[start : start + per_column]) for start in range(0, len(values), per_column)]
    most = max(columns) or 1.0
    return "".join(_LEVELS[min(7, int(value / most * 7.999))] for value in columns)


def head_lines(found: Document, width: int) -> list[str]:
    """Say what the run is, how far each model is, and how fast."""
    live = found["live"]
    state = "not running" if not found["running"] else "paused" if live is not None and live["paused"] else "running"
    reading = "" if found["whole"] else f", reading the journal: {found['read']:,} records so far"
    lines = [f"{found['name']} · {state}{reading}", ""]
    names = [one_line(variant["name"]) for variant in found["variants"]]
    room = min(max(map(len, names), default=0), max(12, width // 3))
    for name, variant in zip(names, found["variants"], strict=True):
        done, total = variant["ok"] + variant["failed"], variant["total"]
        counts = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        counts += f"  {variant['failed']:,} failed" if variant["failed"] else ""
        space = max(_NARROWEST_BAR, width - room - len(counts) - 4)
        lines.append(f"{_tail(name, room).ljust(room)}  {bar(done / total if total else 0.0, space)}  {counts}")
    return [fitted(line, width) for line in [*lines, "", *_figures(found), *_sparklines(found, width)]]


def _figures(found: Document) -> list[str]:
    from batch.progress import duration, rate

    timeline, live = found["timeline"], found["live"]
    rows = _recent(timeline, [ok + failed for ok, failed in zip(timeline["ok"], timeline["failed"], strict=True)])
    tokens = _recent(timeline, timeline["completion_tokens"])
    parts = []
    if found["running"]:
        parts += [f"{rate(rows)} rows/s", f"{rate(tokens)} tokens/s out"]
        left = sum(max(0, (each["total"] or 0) - each["ok"] - each["failed"]) for each in found["variants"])
        if rows and left:
            parts.append(f"{duration(left / rows)} left")
    cost = sum(timeline["cost_usd"])
    if cost:
        parts.append(usd(cost))
    lines = [" · ".join(parts)] if parts else []
    known = {name: [value for value in values if value is not None] for name, values in timeline["latency_s"].items()}
    if latest := [f"{quantile} {values[-1]:.2f} s" for quantile, values in known.items() if values]:
        lines.append(f"latency {' · '.join(latest)}")
    if live is not None:
        lines.append(f"in flight {live['in_flight']:,} of at most {live['limit']:,}, {live['waiting']:,} wait for a retry")
    if found["account"]:
        lines.append(f"time limited by {account_shares(found['account'])}")
    return lines


def _sparklines(found: Document, width: int) -> list[str]:
    timeline = found["timeline"]
    if len(timeline["start"]) < 3:
        return []
    seconds = timeline["width_s"]
    rates = [(ok + failed) / seconds for ok, failed in zip(timeline["ok"], timeline["failed"], strict=True)][:-1]
    room = max(1, width - 30)
    lines = ["", f"rows/s     {sparkline(rates, room)}  most {max(rates):,.1f}"]
    lines.append(f"in flight  {sparkline(timeline['in_flight'][:-1], room)}  most {max(timeline['in_flight']):,.0f}")
    return lines


def _tail(name: str, room: int) -> str:
    """Cut a long name to its end, where the variants of one provider differ."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def _recent(timeline: Document, column: Sequence[float]) -> float:
    """Return the amount a second over the last whole buckets."""
    width = timeline["width_s"]
    count = max(1, round(_RATE_S / width))
    values = column[-count - 1 : -1] or column
    return sum(values) / (len(values) * width) if values else 0.0


def row_line(row: Document, width: int, *, with_model: bool = False) -> str:
    """Say one outcome: when it ended, which row (and model), and the beginning of its answer, or why it failed."""
    name = f"row {row['row']:,}" + ("" if row["id"] == str(row["row"]) else f" {row['id']}")
    took = "" if row["latency_s"] is None else f"{row['latency_s']:.1f} s"
    model = f" {_tail(one_line(row['variant']), max(12, width // 4))}" if with_model else ""
    head = f"{time_of_day(row['done'])} {'ok    ' if row['ok'] else 'FAILED'} {name}{model} {took}".rstrip()
    return fitted(f"{head}: {row['text']}" if row["text"] else head, width)


def flight_lines(live: Document | None, width: int) -> list[str]:
    """Say what is in flight, the oldest first."""
    from batch.progress import duration

    if live is None or not live["oldest"]:
        return ["nothing is in flight"]
    now = time.time()
    lines = []
    for each in live["oldest"]:
        name = _tail(one_line(each["variant"]), max(12, width // 4))
        what = f"row {each['row']:,} {each['id']}, {name}, attempt {each['attempt']}, {each['endpoint']}"
        lines.append(fitted(f"{duration(max(0.0, now - each['since'])):>8}  {what}", width))
    return lines
