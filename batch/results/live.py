"""The present state of a run that is at work, and where the time of a run went."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from batch.errors import PromptmillError
from batch.journal.watching import read_samples
from batch.rundir.local import RunDirectory
from batch.rundir.running import live_states
from batch.rundir.watch_folder import fetched_watch_folder

CAUSES: Mapping[str, str] = {
    "rate": "rate limits",
    "concurrency": "concurrency",
    "server": "the server",
    "input": "the input",
    "disk": "the disk",
    "machine": "this machine",
    "paused": "a pause",
    "idle": "idle",
}
"""What can limit a pool of workers, in words, in the order in which it is shown (engine/limited_by.py)."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """A request in flight; `since` is in seconds since the epoch, `attempt` counts the task's attempts from 1."""

    variant: str
    row: int
    id: str
    repeat: int
    attempt: int
    endpoint: str
    since: float


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An endpoint as one worker sees it. `paused_s` is the rest of a wait that it asked for.

    `learned_per_minute` is the rate of requests that was learned from its refusals, None without.
    """

    name: str
    in_flight: int
    limit: int
    paused_s: float
    is_serving: bool
    learned_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that is at work, over all its workers. `oldest` has the requests longest in flight, up to 50 of each pool.

    `waiting` rows wait for a retry; `paused`: a command has paused it; `limited_by` counts the pools by what limits them at the moment.
    `account` has the seconds of this session by what limited the pools.
    """

    in_flight: int
    limit: int
    waiting: int
    limited_by: Mapping[str, int]
    endpoints: tuple[LiveEndpoint, ...]
    oldest: tuple[InFlight, ...]
    paused: bool = False
    account: Mapping[str, float] = field(default_factory=dict)


def read_live_run(directory: RunDirectory) -> LiveRun | None:
    """Read the present state; None of a run that nothing works on, or that has only begun."""
    states = live_states(directory)
    if not states:
        return None
    totals = dict.fromkeys(("in_flight", "limit", "waiting"), 0)
    causes: dict[str, int] = {}
    endpoints: list[LiveEndpoint] = []
    oldest: list[InFlight] = []
    account: dict[str, float] = {}
    for state in states:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            _add(state, totals, causes, endpoints, oldest)
            _add_seconds(state, account)
    oldest.sort(key=lambda each: each.since)
    return LiveRun(
        **totals, limited_by=causes, endpoints=_merged(endpoints), oldest=tuple(oldest), paused=_is_paused(states), account=account
    )


def _add(
    state: Mapping[str, Any], totals: dict[str, int], causes: dict[str, int], endpoints: list[LiveEndpoint], oldest: list[InFlight]
) -> None:
    for name in totals:
        totals[name] += int(state[name])
    causes[state["limited_by"]] = causes.get(state["limited_by"], 0) + 1
    endpoints += [LiveEndpoint(**each) for each in state["endpoints"]]
    oldest += [InFlight(**each) for each in state["oldest"]]


def _add_seconds(state: Mapping[str, Any], account: dict[str, float]) -> None:
    for cause, seconds in state["account"].items():
        account[cause] = account.get(cause, 0.0) + float(seconds)


def _is_paused(states: list[dict[str, object]]) -> bool:
    return all(state.get("paused") is True for state in states)


def _merged(endpoints: list[LiveEndpoint]) -> tuple[LiveEndpoint, ...]:
    """Add up what several workers see of the same endpoint."""
    merged: dict[str, LiveEndpoint] = {}
    for each in endpoints:
        other = merged.get(each.name)
        if other is None:
            merged[each.name] = each
        else:
            sums = other.in_flight + each.in_flight, other.limit + each.limit
            learned = [rate for rate in (other.learned_per_minute, each.learned_per_minute) if rate is not None]
            serving = other.is_serving and each.is_serving
            merged[each.name] = LiveEndpoint(
                each.name, *sums, max(other.paused_s, each.paused_s), serving, sum(learned) if learned else None
            )
    return tuple(merged.values())


def read_account(directory: RunDirectory) -> dict[str, float]:
    """Add up the seconds of all pools over all sessions by what limited them, as far as the samples are kept; the largest first."""
    account: dict[str, float] = {}
    with suppress(PromptmillError):
        for _, sample in read_samples(fetched_watch_folder(directory)):
            for cause, seconds in sample.seconds.items():
                account[cause] = account.get(cause, 0.0) + float(seconds)
    return dict(sorted(account.items(), key=lambda each: -each[1]))
