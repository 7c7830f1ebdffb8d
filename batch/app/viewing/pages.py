"""What the live page's addresses give: the page, its files, and the runs as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any

from batch.app.look import show
from batch.app.viewing.viewed_run import ViewedRun, open_viewed
from batch.errors import PromptmillError
from batch.evaluation.report.page import SHARED_SCRIPTS, static
from batch.results.listing import RunEntry, list_runs
from batch.results.showing import row_document
from batch.writers.values import json_bytes

# To list the runs, their journals are read: not more often than this.
LIST_INTERVAL_S = 10.0
_HTML, _CSS, _JS, _JSON = "text/html", "text/css", "text/javascript", "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """A reply of the server."""

    content_type: str
    body: bytes
    status: int = 200


@dataclass(slots=True)
class Viewer:
    """The runs below `folder`, or the one at `only`, for the pages of the server. Its methods may be called from several threads."""

    folder: Path
    only: str | None = None
    _runs: dict[str, ViewedRun] = field(default_factory=dict)
    _listed: tuple[float, list[RunEntry]] = (-LIST_INTERVAL_S, [])
    _lock: Lock = field(default_factory=Lock)

    def page(self, path: str, query: Mapping[str, str]) -> Page | None:
        """Return what the address below the token gives; None for an unknown one."""
        found: dict[str, Callable[[], Page]] = {
            "": lambda: Page(_HTML, _own("view.html")),
            "view.css": lambda: Page(_CSS, static("page.css").encode() + _own("view.css")),
            "view.js": lambda: Page(_JS, _script()),
            "api/runs": lambda: _json({"format": 1, "runs": self._run_list()}),
            "api/run": lambda: _json(self._run(query).look(_number(query.get("after")))),
            "api/row": lambda: self._row(query),
        }
        make = found.get(path)
        if make is None:
            return None
        try:
            return make()
        except PromptmillError as error:
            return _json({"error": str(error)}, 422)
        except KeyError as error:
            return _json({"error": f"there is no run {error.args[0]!r} here"}, 404)

    def _run_list(self) -> list[dict[str, Any]]:
        return [
            {
                "run": name,
                "name": entry.name,
                "state": entry.state,
                "done": entry.ok + entry.failed,
                "failed": entry.failed,
                "total": entry.total,
                "cost_usd": entry.cost_usd,
                "bytes": entry.bytes,
                "started": entry.started,
            }
            for name, entry in self._entries().items()
        ]

    def _entries(self) -> dict[str, RunEntry]:
        with self._lock:
            at, entries = self._listed
            if time.monotonic() - at > LIST_INTERVAL_S:
                entries = list_runs(self.folder)
                self._listed = time.monotonic(), entries
            return {str(entry.path.relative_to(self.folder)): entry for entry in entries}

    def _place(self, query: Mapping[str, str]) -> str:
        """Return the place of a run that is named; only those that are listed, and the one that was given, can be. Raises KeyError."""
        name = query.get("run", "")
        if not name and self.only is not None:
            return self.only
        entries = self._entries()
        if not name and entries:
            name = next(iter(entries))
        return str(entries[name].path)

    def _run(self, query: Mapping[str, str]) -> ViewedRun:
        place = self._place(query)
        with self._lock:
            if place not in self._runs:
                self._runs[place] = open_viewed(place)
            return self._runs[place]

    def _row(self, query: Mapping[str, str]) -> Page:
        shown = show(self._place(query), query.get("id", ""))
        return _json({"error": "there is no such row"}, 404) if shown is None else _json(row_document(shown, shown.tasks))


def _script() -> bytes:
    parts = [*map(static, SHARED_SCRIPTS), _own("view.js").decode()]
    return ('"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();").encode()


def _own(name: str) -> bytes:
    return files("batch.app.viewing").joinpath("page", name).read_bytes()


def _json(document: Mapping[str, Any], status: int = 200) -> Page:
    return Page(_JSON, json_bytes(document), status)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 16 else 0
