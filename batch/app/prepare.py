"""Reconcile a job with its run directory before anything is sent: what is kept, what is left, what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from batch._version import __version__
from batch.app.earlier import continued, count_failed, settle
from batch.app.input_checks import input_notices
from batch.app.running import RunOptions
from batch.engine.feed import ChangedPolicy, Feed, FeedOptions, Plan
from batch.errors import ChangedError
from batch.executors import Executor
from batch.executors.context import PreparedRun
from batch.executors.sharding import ShardPlan
from batch.job import LoadedJob, without_secrets
from batch.journal.done import DoneTasks
from batch.journal.index import ResumeIndex
from batch.journal.writer import JournalWriter
from batch.policy.changes import differences
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.readers.builders import request_builder
from batch.readers.input_index import WORTH_ROWS, count_rows
from batch.results.output_files import warn_of_json_columns
from batch.rundir.accepted import read_accepted
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import InputRecord, Manifest, VariantRecord
from batch.rundir.stored_run import StoredRun
from batch.settings import Job
from batch.tally import Tally

ROWS_NAMED = 3


@contextmanager
def prepare(loaded: LoadedJob, directory: RunDirectory, executor: Executor, options: RunOptions) -> Iterator[PreparedRun]:
    """Open the journals of a job, compare it with the run that they hold, and write run.json. Workers open the journals of a sharded run.

    Raises InputError, DamagedError, ChangedError (which says what differs and what can be done), StorageError.
    """
    job, retry_failed, changed = loaded.job, options.retry_failed, options.changed
    dataset = Dataset(job.input, columns=needed_columns(job))
    previous = directory.manifest if directory.exists else None
    # The ids of an unchanged input have been checked: reading them again takes seconds for a million rows.
    if previous is None or previous.input != _input_of(dataset):
        dataset.check_ids(directory.path if directory.is_local else None)
    # After the ids were checked: this counts the rows, and a duplicate id is reported before a long count.
    manifest = _manifest(loaded, dataset, directory, previous)
    sharding = executor.shard(job, dataset)
    notices = [*warn_of_json_columns(job, dataset), *_excluded(previous, manifest, directory), *input_notices(job, dataset, manifest.rows)]
    with ExitStack() as stack:
        journals, repaired = _open_journals(job, directory, sharding, stack)
        compare = previous is not None and (changed == "rerun" or not previous.settled or _may_differ(previous, manifest))
        indexes: dict[str, ResumeIndex] | dict[str, DoneTasks]
        chooses = changed != "rerun" and (bool(options.retry_codes) or bool(read_accepted(directory)))
        if compare or not manifest.ordinals_hold or chooses or executor.needs_records:
            indexes = rows = {variant.name: ResumeIndex.load(directory.journal_dir(variant.slug)) for variant in job.variants}
        else:
            indexes = {variant.name: DoneTasks.load(directory.journal_dir(variant.slug)) for variant in job.variants}
            notices += _reads_again(dataset, indexes)
        tallies = {name: Tally(total=manifest.total, kept_ok=i.ok, kept_failed=i.failed) for name, i in indexes.items()}
        if previous is not None:
            manifest = continued(previous, manifest, with_race=job.run.race is not None and changed != "rerun")
            count_failed(tallies, retry_failed=retry_failed)
            if compare:
                reviews = _review(_all_tasks(job, dataset, rows, retry_failed=retry_failed, changed=changed), tallies)
                _refuse_other_job(directory, reviews, rows, previous, manifest, options)
                manifest = _unless_changed(reviews, previous, manifest, changed, by_id=job.input.id is not None)
                _count_changed(reviews, tallies, changed, retry_failed=retry_failed)
                manifest = _with_reviews(manifest, reviews, rows, changed)
        if chooses:
            settle(directory, job, rows, tallies, options)
        directory.write_manifest(manifest)
        run = StoredRun(directory, manifest, job, dataset)
        yield PreparedRun(run, journals, indexes, tallies, compare, (*notices, *repaired), sharding)


def _open_journals(
    job: Job, directory: RunDirectory, sharding: ShardPlan | None, stack: ExitStack
) -> tuple[dict[str, JournalWriter], list[str]]:
    """Open each variant's journal, or claim a number in it for the workers; returns them with sentences on what was repaired."""
    journals: dict[str, JournalWriter] = {}
    repaired: list[str] = []
    for variant in job.variants:
        if sharding is not None:
            repaired += sharding.claim(variant, directory)
            continue
        journal = directory.open_journal(variant.slug, job.run)
        stack.callback(journal.close)
        journals[variant.name] = journal
        if journal.repaired:
            repaired.append(journal.repaired)
    return journals, repaired


def _all_tasks(job: Job, dataset: Dataset, indexes: Mapping[str, ResumeIndex], *, retry_failed: bool, changed: ChangedPolicy) -> Feed:
    return Feed(
        dataset,
        [Plan(v.name, request_builder(v, stream=False), indexes[v.name]) for v in job.variants],
        FeedOptions(job.run.repeats, job.input.id is not None, True, changed, retry_failed),
    )


def _excluded(previous: Manifest | None, manifest: Manifest, directory: RunDirectory) -> Iterator[str]:
    """Name the models of an earlier run that the outputs will not contain: those of another job, or removed from this one."""
    names = [] if previous is None else [name for name in previous.variants if name not in manifest.variants]
    if previous is None or not names:
        return
    owner = "this job" if previous.name == manifest.name else f"another job, {previous.name!r}"
    yield (
        f"{directory.place} was begun by {owner} with {', '.join(names[:ROWS_NAMED])}{' and others' if len(names) > ROWS_NAMED else ''}:"
        " completions and errors are written without their rows, which stay in the journal; another [output] dir keeps both"
    )


def _reads_again(dataset: Dataset, indexes: Mapping[str, DoneTasks]) -> list[str]:
    """Say that finished rows are read again where files are unpacked as they are read."""
    finished = sum(map(len, indexes.values()))
    if finished < WORTH_ROWS or not (packed := dataset.unpacked):
        return []
    return [f"{packed[0]} is compressed: it is read again from its start to reach the rows that are left (not so unpacked, or as Parquet)"]


def _manifest(loaded: LoadedJob, dataset: Dataset, directory: RunDirectory, previous: Manifest | None) -> Manifest:
    job, now = loaded.job, _input_of(dataset)
    unchanged = previous is not None and previous.input == now
    if previous is None:
        # A journal without run.json may be of any input.
        ordinals_hold = not directory.slugs()
    else:
        by_ordinal = previous.input is not None and previous.input.selection.get("id") is None and job.input.id is None
        ordinals_hold = previous.ordinals_hold and (unchanged or by_ordinal)
    return Manifest(
        promptmill=__version__,
        name=job.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        job=without_secrets(loaded.document),
        variants={variant.name: VariantRecord.of(variant) for variant in job.variants},
        input=replace(now, origin=loaded.origin),
        rows=count_rows(dataset, directory.path, now.files, unchanged=unchanged),
        repeats=job.run.repeats,
        ordinals_hold=ordinals_hold,
    )


def _input_of(dataset: Dataset) -> InputRecord:
    return InputRecord(dataset.identity(), dataset.selection)


def _may_differ(previous: Manifest, manifest: Manifest) -> bool:
    """Whether a request of a finished row may have changed; if not, finished rows need not be rendered again."""
    kept = previous.variants.keys() & manifest.variants.keys()
    return (
        previous.promptmill != manifest.promptmill
        or previous.input != manifest.input
        or any(previous.variants[name] != manifest.variants[name] for name in kept)
    )


@dataclass(slots=True)
class Review:
    """The finished rows of one variant, compared with the input as it is now."""

    kept_ok: int = 0
    kept_failed: int = 0
    changed: int = 0
    changed_failed: int = 0
    examples: list[str] = field(default_factory=list)

    def orphaned(self, index: ResumeIndex) -> tuple[int, int]:
        """Count the ok and the failed outcomes of rows that are not in the input: removed, not selected, or a repaired bad line."""
        return index.ok - self.kept_ok, index.failed - self.kept_failed

    def is_settled(self, recorded: int, changed: ChangedPolicy) -> bool:
        """Whether the next session may count all `recorded` tasks as tasks of the input, without a review.

        Not when some are no longer in the input, nor when this session is about to send some again: it may be interrupted first.
        """
        again = self.changed_failed + (self.changed if changed == "rerun" else 0)
        return not again and self.kept_ok + self.kept_failed == recorded


def _review(feed: Feed, tallies: Mapping[str, Tally]) -> dict[str, Review]:
    """Compare the requests of all finished rows; sets the kept counts of `tallies` to what of them is still in the input."""
    reviews = {name: Review() for name in tallies}
    for batch in feed.candidates():
        for candidate in batch:
            if candidate.entry is None:
                continue
            review = reviews[candidate.task.variant]
            if not candidate.entry.ok:
                review.kept_failed += 1
                review.changed_failed += candidate.changed
                continue
            review.kept_ok += 1
            if candidate.changed:
                review.changed += 1
                if len(review.examples) < ROWS_NAMED:
                    review.examples.append(candidate.task.id)
    for name, review in reviews.items():
        tallies[name].kept_ok, tallies[name].kept_failed = review.kept_ok, review.kept_failed
    return reviews


def _with_reviews(
    manifest: Manifest, reviews: Mapping[str, Review], indexes: Mapping[str, ResumeIndex], changed: ChangedPolicy
) -> Manifest:
    orphaned = {name: review.orphaned(indexes[name]) for name, review in reviews.items()}
    return replace(
        manifest,
        settled=all(review.is_settled(len(indexes[name]), changed) for name, review in reviews.items()),
        orphaned={name: counts for name, counts in orphaned.items() if any(counts)},
    )


def _unless_changed(
    reviews: Mapping[str, Review], previous: Manifest, manifest: Manifest, changed: ChangedPolicy, *, by_id: bool
) -> Manifest:
    """Return the manifest, which remembers that changed rows are kept. Raises ChangedError where the user has not said what to do."""
    keeps = changed == "keep" or (previous.kept and not _may_differ(previous, manifest))
    if changed != "rerun" and not keeps and any(review.changed for review in reviews.values()):
        raise ChangedError(_explain(reviews, previous, manifest, by_id=by_id))
    return replace(manifest, kept=keeps)


def _count_changed(reviews: Mapping[str, Review], tallies: Mapping[str, Tally], changed: ChangedPolicy, *, retry_failed: bool) -> None:
    """Count the finished tasks that this session sends again."""
    for name, review in reviews.items():
        failed = review.kept_failed if retry_failed else review.changed_failed
        tallies[name].again = failed + (review.changed if changed == "rerun" else 0)


def _refuse_other_job(
    directory: RunDirectory,
    reviews: Mapping[str, Review],
    indexes: Mapping[str, ResumeIndex],
    previous: Manifest,
    manifest: Manifest,
    options: RunOptions,
) -> None:
    """Refuse a directory with the run of another job, none of whose rows is in this job's input. Raises ChangedError."""
    recorded = sum(len(index) for index in indexes.values())
    if previous.name == manifest.name or not recorded or options.changed != "refuse":
        return
    if not any(review.kept_ok + review.kept_failed for review in reviews.values()):
        raise ChangedError(
            f"{directory.place} has the run of another job, {previous.name!r}: none of the {recorded:,} finished rows is in this input;"
            " nothing was sent; give this job another [output] dir (or --fresh, which moves that run aside);"
            " --changed keep continues in this directory"
        )


def _cause(previous: Manifest, manifest: Manifest) -> str:
    """Say in what rows differ whose settings are the same."""
    before, now = previous.input, manifest.input
    if before is not None and now is not None and list(before.files) == list(now.files):
        if before.selection != now.selection:
            return "other rows of the input are selected"
        if previous.promptmill != manifest.promptmill:
            return f"promptmill {manifest.promptmill} makes other requests than {previous.promptmill}"
        return "their answers are to an earlier version of this job"
    origin = None if now is None else now.origin
    if origin is None or "name" not in origin:
        return "the input changed"
    return f"the answers of {origin['name']} of which they are made changed"


def _explain(reviews: Mapping[str, Review], previous: Manifest, manifest: Manifest, *, by_id: bool) -> str:
    lines = []
    for name, review in reviews.items():
        if not review.changed:
            continue
        earlier = previous.variants.get(name)
        settings = differences(asdict(earlier) if earlier else {}, asdict(manifest.variants[name]))
        cause = _cause(previous, manifest)
        why = ", ".join(settings) if settings else f"{cause} (for example {', '.join(review.examples)})"
        lines.append(f"{review.changed:,} finished rows of {name} differ: {why}")
        if not settings and not by_id and previous.input != manifest.input:
            lines.append(
                'rows are matched by their place in the input; with [input] id = "COLUMN" they are matched by id, wherever they stand'
            )
    lines.append(
        "nothing was sent; --changed rerun sends these rows again, --changed keep keeps their answers, "
        "and another [output] dir (or --fresh) begins a new run"
    )
    return "\n".join(lines)
