"""What a session makes of the answers that a run directory holds, when the one before was cut off or its rows are gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batch.app.prepare import prepare
from batch.app.running import RunOptions
from batch.engine.feed import ChangedPolicy, Feed, FeedOptions, Plan
from batch.errors import ChangedError, InputError
from batch.executors import make_executor
from batch.executors.context import PreparedRun
from batch.job import LoadedJob
from batch.journal.lines import encode
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import ErrorInfo, ErrorKind, Outcome, Row
from batch.results.status import read_status
from batch.rundir.local import RunDirectory
from batch.settings import InputSettings, Job, OutputSettings, PromptSettings, ProviderSettings, RunSettings, Variant


class Run:
    """A job over `rows` rows with ids, and its run directory."""

    def __init__(self, path: Path, rows: int) -> None:
        self.path = path
        self.temperature = 0.0
        self.selection: dict[str, Any] = {"id": "id"}
        self.directory = RunDirectory(path / "run")
        self.write(range(rows))

    def write(self, rows: range) -> None:
        """Give the input these rows."""
        (self.path / "in.jsonl").write_text("".join(json.dumps({"id": f"r{row}", "text": f"q{row}"}) + "\n" for row in rows))

    @property
    def job(self) -> Job:
        """The job as it is now."""
        provider = ProviderSettings(name="house", base_url="http://127.0.0.1:1/v1")
        prompt = PromptSettings(user="{{ text }}")
        variant = Variant(name="m", slug="m", provider=provider, model="m", parameters={"temperature": self.temperature}, prompt=prompt)
        source = InputSettings(paths=(str(self.path / "in.jsonl"),), **self.selection)
        return Job(name="t", input=source, variants=(variant,), run=RunSettings(), output=OutputSettings(dir=str(self.directory.path)))

    def session(self, changed: ChangedPolicy = "refuse", answers: int = 0, failures: int = 0) -> tuple[PreparedRun, list[str]]:
        """Prepare, answer and fail the first of what is to be sent, and end; also the ids that were to be sent."""
        loaded = LoadedJob(self.job, {}, "t")
        with prepare(loaded, self.directory, make_executor("live", None), RunOptions(changed=changed)) as prepared:
            builder = RequestBuilder(self.job.variants[0], stream=False)
            plan = Plan("m", builder, prepared.indexes["m"])
            feed = Feed(
                prepared.dataset,
                [plan],
                FeedOptions(by_id="id" in self.selection, compare=prepared.may_differ, changed=changed),
            )
            wanted = [item.task.id for batch in feed.batches() for item in batch]
            for number, id_ in enumerate(wanted[: answers + failures]):
                error = None if number < answers else ErrorInfo(ErrorKind.API, "bad_request", "no")
                prepared.journals["m"].append(encode(self._outcome(id_, error)))
        return prepared, wanted

    def _outcome(self, id_: str, error: ErrorInfo | None) -> Outcome:
        job = self.job
        row = next(row for rows in Dataset(job.input).batches() for row in rows if row.id == id_)
        assert isinstance(row, Row)
        key = RequestBuilder(job.variants[0], stream=False).build(row).key
        return Outcome(row.ordinal, row.id, 0, key, 1, error, response=None if error else b'{"choices":[]}')


def test_a_rerun_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """Promise 9, fault 46: rows that a killed --changed rerun did not reach are neither forgotten nor taken over silently."""
    run = Run(tmp_path, 5)
    run.session(answers=5)
    run.temperature = 0.7
    assert run.session("rerun", answers=2)[1] == ["r0", "r1", "r2", "r3", "r4"]

    with pytest.raises(ChangedError, match="3 finished rows"):
        run.session()
    assert run.session("rerun", answers=3)[1] == ["r2", "r3", "r4"]
    assert run.session()[1] == []


def test_rerun_after_keep(tmp_path: Path) -> None:
    """Promise 9: answers that were kept once are sent again when that is asked for later."""
    run = Run(tmp_path, 3)
    run.session(answers=3)
    run.temperature = 0.7
    assert run.session("keep")[1] == []
    assert run.session()[1] == []
    assert run.session("rerun")[1] == ["r0", "r1", "r2"]


def test_changed_failures_that_were_not_reached_are_tried_later(tmp_path: Path) -> None:
    """Promise 9: a failure of another request is tried anew, also when the first session to do so was cut off."""
    run = Run(tmp_path, 4)
    run.session(failures=4)
    run.temperature = 0.7
    assert run.session(answers=1)[1] == ["r0", "r1", "r2", "r3"]
    assert run.session()[1] == ["r1", "r2", "r3"]


def test_outcomes_of_deleted_rows_are_never_counted(tmp_path: Path) -> None:
    """Promise 1: rows in = ok + failed + not attempted, also in the sessions after the one that met the shorter input, and in `status`;
    when the rows come back, so do their outcomes.
    """  # noqa: D205 - one sentence
    run = Run(tmp_path, 6)
    run.session(answers=4, failures=2)
    run.write(range(1, 5))
    for _ in range(3):
        tally = run.session()[0].tallies["m"]
        assert (tally.total, tally.kept_ok, tally.kept_failed, tally.not_attempted) == (4, 3, 1, 0)
        (shown,) = read_status(run.directory).variants
        assert (shown.total, shown.ok, shown.failed, shown.not_attempted) == (4, 3, 1, 0)
        assert (shown.orphaned, shown.orphaned_failed) == (2, 1)
    run.write(range(6))
    assert run.session()[1] == []
    (shown,) = read_status(run.directory).variants
    assert (shown.total, shown.ok, shown.failed, shown.orphaned) == (6, 4, 2, 0)


@pytest.mark.parametrize("by_id", [True, False])
def test_another_selection_keeps_what_was_answered(tmp_path: Path, by_id: bool) -> None:
    """Promises 1 and 9: where, sample and limit may change in any way; only rows that were never answered are sent, and all adds up."""
    run = Run(tmp_path, 40)
    names = {"id": "id"} if by_id else {}
    run.selection = {**names, "where": "text in ['q3', 'q7', 'q11']"}
    prepared, wanted = run.session(answers=2)
    assert (len(wanted), prepared.tallies["m"].total) == (3, 3)
    assert [int(id_.removeprefix("r")) for id_ in wanted] == [3, 7, 11]
    for selection in ({"sample": 10}, {"sample": 20}, {"sample": 20, "limit": 15}, {"where": "text != 'q3'"}, {}):
        run.selection = {**names, **selection}
        before = _answered(run)
        prepared, wanted = run.session(answers=100)
        tally = prepared.tallies["m"]
        taken = {row.ordinal for rows in Dataset(run.job.input).batches() for row in rows}
        assert {int(id_.removeprefix("r")) for id_ in wanted} == taken - before
        assert (tally.total, tally.kept_ok) == (len(taken), len(taken & before))
    assert _answered(run) == set(range(40))


def _answered(run: Run) -> set[int]:
    lines = (line for path in run.directory.journal_dir("m").glob("*.jsonl") for line in path.read_text().splitlines())
    return {json.loads(line)["row"] for line in lines}


def test_ids_are_read_again_only_when_the_input_is_not_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 9: a session over the input of the last one does not read all its ids again; one over another input does."""
    run = Run(tmp_path, 3)
    run.session(answers=2)
    checks: list[Dataset] = []
    check_ids = Dataset.check_ids
    monkeypatch.setattr(Dataset, "check_ids", lambda dataset, folder=None: checks.append(dataset) or check_ids(dataset, folder))
    assert run.session()[1] == ["r2"]
    assert not checks
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write('{"id": "r1", "text": "once more"}\n')
    with pytest.raises(InputError, match="duplicate id r1"):
        run.session()
    with pytest.raises(InputError, match="duplicate id r1"):
        run.session()
