"""The promises of DESIGN section 11, held against what a session left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batch.app.runner import RunOptions, RunReport
from batch.policy.blame import DISTINCT_RETRIED
from batch.records import Outcome
from batch.settings import Job
from tests.simulation.endpoint import Endpoint, answer_to
from tests.simulation.model import Outputs, Records, RowFilter, SegmentName, read_outputs, right_files, text_of, wanted
from tests.simulation.weather import BROKE_WORDS
from tests.simulation.world import LastWords, require

Accepted = set[tuple[SegmentName, bytes, bytes]]


@dataclass
class Before:
    """What a session found, and what it was told to do. `accepted` are answers of other requests that were told to be kept."""

    job: Job
    options: RunOptions
    records: Records
    accepted: Accepted
    outputs: Outputs
    tasks: list[RowFilter] = field(init=False)
    newest: dict[SegmentName, Outcome] = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = wanted(self.job)
        self.newest = self.records.newest()

    def is_open(self, task: RowFilter) -> bool:
        """Whether the session may send (or record) this task."""
        outcome = self.newest.get(task.name)
        if outcome is None:
            return True
        differs = outcome.key != task.key
        if outcome.ok:
            return differs and self.options.changed == "rerun"
        return differs or self.options.retry_failed

    def differing(self) -> Accepted:
        """The answers in the journal that other requests got than the ones the job would send now."""
        return {
            (task.name, outcome.key, task.key)
            for task in self.tasks
            if (outcome := self.newest.get(task.name)) is not None and outcome.ok and outcome.key != task.key
        }


def survived(before: Before, after: Records, floor: Mapping[str, int]) -> None:
    """Promises 2 and 3: the first `floor` records of each variant are there, as they were."""
    for variant, count in floor.items():
        there = after.lines.get(variant, [])
        require(len(there) >= count, "2", f"{variant}: {count} records were durable, {len(there)} are there")
        old = before.records.lines[variant][:count]
        require(there[: len(old)] == old, "2", f"{variant}: durable records are no longer what they were")


def records_are_right(before: Before, after: Records, kept: Mapping[str, int], endpoint: Endpoint) -> None:
    """Promises 1, 4, 5: each new record is the only one of its task, of a task that was open, and true."""
    tasks = {task.name: task for task in before.tasks}
    seen: set[SegmentName] = set()
    answered: Counter[str] = Counter()
    for witness in endpoint.witnesses.values():
        answered += witness.answered
    sent = {(variant, outcome.key) for variant, outcome in after.since({}) if outcome.ok and outcome.copy_of is None}
    for variant, outcome in after.since(dict(kept)):
        name = (variant, outcome.id, outcome.repeat)
        require(name not in seen, "1", f"{name} has two records of one session")
        seen.add(name)
        task = tasks.get(name)
        require(task is not None, "1", f"{name} is not in the input")
        assert task is not None
        require(before.is_open(task), "4", f"{name} was final and got another record")
        require(outcome.key == task.key, "9", f"{name} was recorded with the key of another request")
        if outcome.ok:
            right = answer_to(task.model, str(task.prompt), task.temperature)
            require(outcome.finish_reason in ("stop", "length", "content_filter"), "5", f"{name} is ok with {outcome.finish_reason}")
            require(text_of(outcome) == right, "5", f"{name} is ok with {text_of(outcome)!r} instead of {right!r}")
            if outcome.copy_of is None:
                require(answered[key_of(task)] > 0, "5", f"{name} is ok and was never answered")
            else:
                require((variant, outcome.key) in sent, "5", f"{name} is a copy of an answer that nobody got")
                require((outcome.attempts, outcome.cost_usd) == (0, 0.0), "4", f"{name} is a copy and was charged for")


def no_row_pays_for_its_endpoint(before: Before, after: Records, kept: Mapping[str, int], endpoint: Endpoint) -> None:
    """Promise 13: where a model has answered, no row that has several attempts fails by what its endpoint refuses to all.

    One or two rows that alone were sent while it refused all cannot be told from rows with a fault of their own.
    """
    refused = Counter(key.split("|")[0] for witness in endpoint.witnesses.values() for key in witness.refused_to_all)
    for variant, outcome in after.since(dict(kept)):
        answered = any(each.ok and each.copy_of is None for name, each in after.newest().items() if name[0] == variant)
        broke = outcome.error is not None and BROKE_WORDS in outcome.error.message
        require(
            not (broke and answered and before.job.run.attempts > 1 and refused[variant] >= DISTINCT_RETRIED),
            "13",
            f"{variant}, {outcome.id} failed with what its endpoint refuses to all",
        )


def nothing_final_was_sent(before: Before, endpoint: Endpoint) -> None:
    """Promise 4: no request was for a task that had its outcome, but for those that tested an endpoint after a refusal."""
    may_come = {key_of(task) for task in before.tasks if task.prompt is not None and before.is_open(task)}
    for witness in endpoint.witnesses.values():
        for key in witness.sent:
            require(
                key in may_come or witness.sent[key] == witness.tests[key],
                "4",
                f"{key} was sent although it was final (or is not in the input)",
            )


def cost_is_honest(before: Before, after: Records, kept: Mapping[str, int], endpoint: Endpoint, lost: int) -> None:
    """Promise 4: of the answers that were given, at most `lost` are not recorded."""
    given = sum(witness.answered.total() - witness.answered_tests.total() for witness in endpoint.witnesses.values())
    recorded = sum(outcome.ok and outcome.copy_of is None for _, outcome in after.since(dict(kept)))
    require(given - recorded <= lost, "4", f"{given} answers were given and {recorded} recorded; {lost} may be lost")
    del before


def allowed_to_lose(words: LastWords, durability: str) -> int:
    """What a crash may cost: what was in flight or just being written, and with the power what was not synced."""
    unsynced = sum(words.reported.values()) - sum(words.durable.values())
    if words.crash == "kill":
        return words.in_flight + 1
    return 10**9 if durability == "os" else words.in_flight + 1 + unsynced


def report_is_right(before: Before, after: Records, kept: Mapping[str, int], report: RunReport, *, signals: bool, faults: bool) -> None:
    """Promise 1: the counts add up to the input, and the exit code says which."""
    newest = after.newest()
    fresh = list(after.since(dict(kept)))
    missing = failed = 0
    for variant in before.job.variants:
        tasks = [task for task in before.tasks if task.name[0] == variant.name]
        outcomes = [newest.get(task.name) for task in tasks]
        ok = sum(outcome is not None and outcome.ok for outcome in outcomes)
        bad = sum(outcome is not None and not outcome.ok for outcome in outcomes)
        tally = report.tallies[variant.name]
        found = (tally.total, tally.kept_ok + tally.ok, tally.kept_failed + tally.failed, tally.not_attempted)
        right = (len(tasks), ok, bad, len(tasks) - ok - bad)
        require(found == right, "1", f"{variant.name} reports (rows, ok, failed, not attempted) {found}; {right} is true: {tally}")
        labels = Counter(outcome.finish_reason for name, outcome in fresh if name == variant.name and outcome.ok)
        require((tally.truncated, tally.filtered) == (labels["length"], labels["content_filter"]), "5", f"labels {labels}: {tally}")
        missing += len(tasks) - ok - bad
        failed += bad
    if report.cause is None:
        require(report.exit_code == (1 if failed else 0), "1", f"exit {report.exit_code} with {failed} failed")
        require(not missing, "1", f"the run ended as whole with {missing} tasks not attempted")
    else:
        require(report.exit_code == (130 if report.cause == "interrupted" else 5), "1", f"exit {report.exit_code} for {report.cause}")
    require(signals or report.cause != "interrupted", "1", "interrupted by nobody")
    require(faults or report.cause in (None, "interrupted"), "1", f"stopped early for nothing: {report.reason}")


def changes_were_heeded(before: Before, after: Records, report: RunReport | None) -> None:
    """Promise 9: answers of other requests are refused, or sent again, or were told to be kept."""
    differing = before.differing()
    if before.options.changed == "refuse":
        require(differing <= before.accepted, "9", f"{len(differing - before.accepted)} answers of other requests were taken over silently")
    if report is None or report.cause is not None:
        return
    newest = after.newest()
    for task in before.tasks:
        outcome, old = newest.get(task.name), before.newest.get(task.name)
        require(outcome is not None, "1", f"the run ended as whole, and {task.name} has no outcome")
        assert outcome is not None
        if before.options.changed == "rerun" or (old is not None and not old.ok):
            require(outcome.key == task.key, "9", f"{task.name} has the {'answer' if outcome.ok else 'failure'} of another request")


def outputs_are_right(before: Before, records: Records, folder: Path, *, written: bool) -> None:
    """Promise 11: derived files are whole, in input order, and say what `records` say; unless `written`, they may also be as they were.

    A part may have been written at any moment of the session: of rows that were sent again since then it has what was recorded before.
    """
    found, right = read_outputs(folder), right_files(before.job, records)
    if written:
        require(found.keys() == right.keys(), "11", f"{sorted(found)} stand there, not {sorted(right)}")
    for name, lines in found.items():
        if written:
            require(lines == right[name], "11", f"{name}: {_first_difference(lines, right[name])}")
        elif lines not in (before.outputs.get(name), right.get(name)):
            require("-of-" in name, "11", f"{name} is neither the old file nor the new one")
            rows = [line[1] for line in lines]
            require(rows == sorted(rows), "11", f"{name} is not in input order")


def parts_are_recorded(records: Records, folder: Path) -> None:
    """Promise 2: what stands in a part is in the journal, whatever the power took: a part is put in place after its records are durable."""
    known = {(name, outcome.id, outcome.repeat, _told(outcome)) for name, outcome in records.since({})}
    for name, lines in read_outputs(folder).items():
        for id_, row, variant, repeat, told, _ in lines if "-of-" in name else ():
            require((variant, id_, repeat, told) in known, "2", f"{name} has row {row}, {told!r}, which no record has")


def _told(outcome: Outcome) -> object:
    return text_of(outcome) if outcome.error is None else outcome.error.code


def key_of(task: RowFilter) -> str:
    """How the witness knows a task's request."""
    return f"{task.model}|{task.prompt}|{task.temperature}"


def _first_difference(found: list | None, right: list) -> str:
    for number, (mine, theirs) in enumerate(zip(found or [], right, strict=False)):
        if mine != theirs:
            return f"line {number + 1} is {mine}, must be {theirs}"
    return f"{None if found is None else len(found)} lines, must be {len(right)}"
