"""A job with one score, and what is asked of it: rows sent, scored and compared."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result

from tests.support.jobs import JobFolder, called
from tests.support.scripted import ScriptedEndpoint


class ScoredJob:
    """A folder whose job has one `[[score]]`, and the endpoint that it asks."""

    def __init__(self, folder: JobFolder, endpoint: ScriptedEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint

    def run(self) -> None:
        """Send the rows."""
        done = self.call("run", "test.toml")
        assert done.exit_code in {0, 1}, done.stderr

    def call(self, *arguments: str, **options: Any) -> Result:
        """Call `promptmill ARGUMENTS` in this process."""
        return called(self.folder, *arguments, **options)

    def score(self, *options: str) -> Result:
        """Call `promptmill score` with the job file as it is."""
        return self.call("score", "runs/test", "--job", "test.toml", *options)

    def compared(self) -> dict[str, Any]:
        """The one score of `promptmill compare --json`."""
        done = self.call("compare", "runs/test", "--job", "test.toml", "--json")
        assert done.exit_code == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document["scores"][0]

    def counts(self) -> dict[str, dict[str, int]]:
        """Scored, unscored, failed and missing tasks by variant."""
        standings = self.compared()["findings"]["standings"]
        return {one["summary"]["variant"]: one["summary"]["counts"] for one in standings}
