"""Find the outcomes of rows whose requests equal other rows': a run defers such rows until all others are sent (run.dedupe)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from batch.errors import RowError
from batch.journal.index import ResumeIndex
from batch.journal.reading import RecordReader
from batch.policy.dedupe import is_repeatable, may_share, shares_outcome
from batch.prompts import RequestBuilder
from batch.readers.builders import request_builder
from batch.records import BadRow, Request
from batch.results.join import Result
from batch.settings import Job


class EqualRequests:
    """Finds shared outcomes in the journals of one job; none where the job shares no answers."""

    def __init__(self, job: Job) -> None:
        # Streaming is not part of a request's key.
        self._builders = {v.name: request_builder(v, stream=False) for v in job.variants if may_share(job, v)}

    def opened(self, indexes: Mapping[str, ResumeIndex], stack: ExitStack) -> OpenedRequests:
        """Open the journals as they are now. `indexes` are by variant; `stack` closes the readers."""
        readers = {name: stack.enter_context(RecordReader(index.segments)) for name, index in indexes.items() if name in self._builders}
        return OpenedRequests(self._builders, indexes, readers)


class OpenedRequests:
    """A snapshot of the journals."""

    def __init__(
        self, builders: Mapping[str, RequestBuilder], indexes: Mapping[str, ResumeIndex], readers: Mapping[str, RecordReader]
    ) -> None:
        self._builders = builders
        self._indexes = indexes
        self._readers = readers

    def filled(self, of_row: Sequence[Result]) -> list[Result]:
        """Return a row's results; those without an outcome get that of an equal request, if there is one."""
        return [self._with_outcome(result) if result.outcome is None else result for result in of_row]

    def _with_outcome(self, result: Result) -> Result:
        request = self._request(result)
        if request is None:
            return result
        name = result.variant.name
        (outcome,) = self._readers[name].read(self._indexes[name].find_requests([request.key]))
        return replace(result, outcome=outcome) if outcome is not None and shares_outcome(outcome, request) else result

    def _request(self, result: Result) -> Request | None:
        """Return a task's request if an equal one has the same answer."""
        builder = self._builders.get(result.variant.name)
        if builder is None or isinstance(result.row, BadRow):
            return None
        try:
            request = builder.build(result.row)
        except RowError:
            return None
        return request if is_repeatable(result.variant, request) else None
