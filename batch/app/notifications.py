"""Tells others of a run's end, of a stop, and of the half of its budget: a webhook, a command. Bounded; never the run's failure."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson

from batch.events import Event, Progressed, RunEnded, RunStarted
from batch.policy.terminal import without_url_secrets
from batch.settings.notify import NotifySettings
from batch.tally import sum_tallies
from batch.transport.webhook import post

TIMEOUT_S = 10.0
# The end of a run waits this much longer for both, so that what failed is reported.
MARGIN_S = 5.0
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Notifier:
    """Observes a run. `hidden` are the names of variables that the command does not get, `spent_usd` is of earlier sessions.

    `report` gets a sentence about what failed, from another thread.
    """

    def __init__(
        self,
        settings: NotifySettings,
        report: Callable[[str], None],
        *,
        max_cost_usd: float | None = None,
        spent_usd: float = 0.0,
        hidden: Collection[str] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._report = report
        self._half = None if max_cost_usd is None else max_cost_usd / 2
        self._spent_usd = spent_usd
        self._environ = {name: value for name, value in environ.items() if name not in hidden}
        self._webhook = None if settings.webhook is None else _VARIABLE.sub(lambda found: environ.get(found[1], ""), settings.webhook)
        self._started: RunStarted | None = None
        self._threads: list[threading.Thread] = []

    def notify(self, event: Event) -> None:
        """Send a notification where the event is worth one."""
        match event:
            case RunStarted():
                self._started = event
            case Progressed() if self._half is not None:
                counts = sum_tallies(event.tallies)
                spent = self._spent_usd + counts.cost_usd + counts.extra_usd
                if spent >= self._half:
                    half, self._half = self._half, None
                    self._send("half_budget", event, spent_usd=spent, max_cost_usd=2 * half)
            case RunEnded():
                self._send("ended" if event.reason is None else "stopped", event, reason=event.reason)
                for thread in self._threads:
                    thread.join(2 * TIMEOUT_S + MARGIN_S)
            case _:
                pass

    def _send(self, name: str, event: Progressed | RunEnded, **more: Any) -> None:
        counts = sum_tallies(event.tallies)
        started = self._started
        document = {
            "event": name,
            "run": "" if started is None else started.name,
            "directory": "" if started is None else without_url_secrets(started.directory),
            "ok": counts.kept_ok + counts.ok,
            "failed": counts.kept_failed + counts.failed,
            "not_attempted": counts.not_attempted,
            "cost_usd_of_session": counts.cost_usd,
            **{key: without_url_secrets(value) if isinstance(value, str) else value for key, value in more.items()},
        }
        # In a thread of its own: an observer must not block, and a webhook may.
        thread = threading.Thread(target=self._deliver, args=(document,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _deliver(self, document: Mapping[str, Any]) -> None:
        if self._webhook is not None and (problem := post(self._webhook, document, TIMEOUT_S)):
            self._report(f"the webhook of [notify] was not reached: {problem}; the run is not affected")
        if self._settings.command is not None and (problem := self._call(self._settings.command, document)):
            self._report(f"the command of [notify] failed: {problem}; the run is not affected")

    def _call(self, command: str, document: Mapping[str, Any]) -> str | None:
        try:
            ended = subprocess.run(  # noqa: S603 - the job's own command
                shlex.split(command), input=orjson.dumps(document), env=self._environ, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"it took longer than {TIMEOUT_S:g} s"
        except (OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return None if ended.returncode == 0 else f"exit code {ended.returncode}"
