"""The settings of notifications about a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Who hears of a run's end, of a stop, and of the half of its budget.

    `webhook` is a URL that gets a POST, with its `${VAR}` as written; `command` is a command line that gets the same JSON on stdin.
    """

    webhook: str | None = None
    command: str | None = None
