"""What the watch page reads of a run, and the commands that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batch.app.control import control
from batch.app.viewing.viewed_run import ViewedRun
from batch.rundir.opening import address_of, open_begun


class WatchedRun:
    """A run that is watched. Raises RunDirectoryError when there is none at `place`."""

    def __init__(self, place: str) -> None:
        # A place without a run is an error here, not a page that stays empty.
        directory = open_begun(place)
        self._address = address_of(directory)
        self._viewed = ViewedRun(directory)

    def look(self, after: int) -> dict[str, Any]:
        """Read what is new after a number, and describe the run. Raises StorageError, RunDirectoryError."""
        return self._viewed.look(after)

    def steer(self, command: str, words: Sequence[str]) -> str:
        """Give the run a command over its socket; returns its answer in a sentence. Raises RunDirectoryError when it is not running."""
        return str(control(self._address, command, list(words))["message"])
