"""A run directory as promptmill leaves it after so many rows, made without sending them: `python -m tests.benchmarks.finished JOB ROWS`.

A program of its own, since it imports promptmill (see the package's docstring).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from batch.app.prepare import prepare
from batch.executors import make_executor
from batch.job import load
from batch.journal.lines import encode
from batch.journal.segments import segment_path
from batch.prompts import RequestBuilder
from batch.providers.replies import answer_within, read_reply
from batch.readers import Dataset
from batch.records import BadRow, Outcome
from batch.rundir.local import RunDirectory
from batch.settings import Job
from tests.benchmarks.endpoint import reply

SEGMENT_BYTES = 256 * 1024 * 1024


def write_journal(job: Job, rows: int) -> None:
    """Outcomes of the first `rows` rows of the job, in their order, as a journal of whole segments."""
    variant = job.variants[0]
    builder = RequestBuilder(variant, stream=False)
    folder = RunDirectory(job.output.dir).journal_dir(variant.slug)
    folder.mkdir(parents=True, exist_ok=True)
    response, usage, number = reply().encode(), {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}, 1
    file = segment_path(folder, number).open("wb")
    for batch in Dataset(job.input).batches():
        for row in batch:
            if isinstance(row, BadRow) or row.ordinal >= rows:
                file.close()
                return
            if file.tell() >= SEGMENT_BYTES:
                file.close()
                number += 1
                file = segment_path(folder, number).open("wb")
            at = 1_763_832_000 + row.ordinal / 5000
            request = builder.build(row)
            outcome = Outcome(
                row.ordinal, row.id, 0, request.key, 1, None, request.api, "stop", 200, at, None, at + 0.02, usage, None, response
            )
            outcome = replace(outcome, answer=answer_within(read_reply("chat/completions", response), response))
            file.write(encode(outcome))
    file.close()


def begin(path: Path) -> Job:
    """Begin the run, so that it has its run.json; without one, nothing says of which input the records are."""
    loaded = load(path)
    directory = RunDirectory(loaded.job.output.dir)
    with directory.lock(), prepare(loaded, directory, make_executor("live", None), retry_failed=False, changed="refuse"):
        pass
    for empty in directory.path.glob("journal/*/*.jsonl"):
        empty.unlink()
    return loaded.job


if __name__ == "__main__":
    write_journal(begin(Path(sys.argv[1])), int(sys.argv[2]))
