"""What a run directory and a job make of each other before anything is sent: what is kept, what is left, what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from batch import __version__
from batch.app.costs import UNRECORDED
from batch.app.input_checks import check_columns, input_notices
from batch.app.sharding import ShardPlan, plan_shards
from batch.engine.feed import ChangedPolicy, Feed, Plan
from batch.errors import ChangedError
from batch.job import LoadedJob
from batch.journal.index import ResumeIndex
from batch.journal.journal import Journal
from batch.journal.store_journal import StoreJournal
from batch.policy.changes import differences
from batch.prompts import RequestBuilder
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.records import Tally
from batch.rundir.local import RunDirectory
from batch.settings import Job, Variant

ROWS_NAMED = 3
# What run.json says of a race: which variants it stopped, and by which version of the score.
RACE = "race"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job with its open journals, or with the `division` of its rows, whose journals the workers open.

    `changed` tells whether requests of finished rows may differ from what was sent.
    """

    job: Job
    directory: RunDirectory
    dataset: Dataset
    journals: Mapping[str, Journal | StoreJournal]
    indexes: Mapping[str, ResumeIndex]
    tallies: dict[str, Tally]
    changed: bool
    notices: tuple[str, ...]
    division: ShardPlan | None = None


@contextmanager
def prepare(
    loaded: LoadedJob, directory: RunDirectory, *, retry_failed: bool, changed: ChangedPolicy, cluster: bool = False
) -> Iterator[Prepared]:
    """Open the journals of a job, compare it with the run that they hold, and write run.json. On a `cluster` the workers open them.

    Raises InputError, DamagedError, ChangedError (which says what differs and what can be done), StorageError.
    """
    job = loaded.job
    dataset = Dataset(job.input, columns=needed_columns(job))
    previous = directory.manifest if directory.exists else None
    # The ids of an input that is what it was have been checked: reading them again takes seconds for a million rows.
    if previous is None or previous["input"] != _input_of(dataset):
        dataset.check_ids()
    # A run that began continues with what it was started with.
    unknown = check_columns(job, dataset) if previous is None else []
    division = plan_shards(job, dataset, cluster=cluster)
    manifest = _manifest(loaded, dataset)
    notices = [*unknown, *input_notices(job, dataset, manifest["rows"])]
    with ExitStack() as stack:
        journals: dict[str, Journal | StoreJournal] = {}
        for variant in job.variants:
            if division is not None:
                notices += division.claim(variant, directory)
                continue
            journal = directory.open_journal(variant.slug, job.run)
            stack.callback(journal.close)
            journals[variant.name] = journal
            if journal.repaired:
                notices.append(journal.repaired)
        indexes = {variant.name: ResumeIndex.load(directory.journal_dir(variant.slug)) for variant in job.variants}
        tallies = {name: Tally(total=manifest["rows"] * job.run.repeats, kept_ok=i.ok, kept_failed=i.failed) for name, i in indexes.items()}
        compare = previous is not None and (changed == "rerun" or not previous.get("settled", True) or _may_differ(previous, manifest))
        settled, orphaned = True, {}
        if previous is not None and compare:
            feed = Feed(
                dataset,
                [Plan(v.name, RequestBuilder(v, stream=False), indexes[v.name]) for v in job.variants],
                repeats=job.run.repeats,
                by_id=job.input.id is not None,
                compare=True,
                changed=changed,
                retry_failed=retry_failed,
            )
            reviews = _review(feed, tallies)
            if changed == "refuse" and any(review.changed for review in reviews.values()):
                raise ChangedError(_explain(reviews, previous, manifest, by_id=job.input.id is not None))
            settled = all(review.is_settled(len(indexes[name]), changed) for name, review in reviews.items())
            orphaned = {name: review.orphaned(indexes[name]) for name, review in reviews.items() if any(review.orphaned(indexes[name]))}
        created = manifest["created"] if previous is None else previous["created"]
        kept = [UNRECORDED, *([RACE] if job.run.race is not None and changed != "rerun" else [])]
        carried = {key: previous[key] for key in kept if previous is not None and key in previous}
        directory.write_manifest({**manifest, **carried, "created": created, "settled": settled, "orphaned": orphaned})
        yield Prepared(job, directory, dataset, journals, indexes, tallies, compare, tuple(notices), division)


def _manifest(loaded: LoadedJob, dataset: Dataset) -> dict[str, Any]:
    job = loaded.job
    return {
        "promptmill": __version__,
        "name": job.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": loaded.document,
        "variants": {variant.name: _described(variant) for variant in job.variants},
        "input": _input_of(dataset),
        "rows": dataset.count(),
        "repeats": job.run.repeats,
    }


def _input_of(dataset: Dataset) -> dict[str, Any]:
    return {"files": dataset.identity(), **dataset.selection}


def _described(variant: Variant) -> dict[str, Any]:
    """What decides a variant's answers: the comparison of two of these explains why requests differ."""
    return {
        "slug": variant.slug,
        "provider": variant.provider.name,
        "model": variant.model,
        "parameters": dict(variant.parameters),
        "prompt": asdict(variant.prompt),
    }


def _may_differ(previous: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a request of a finished row could be another one now; if not, finished rows need not be rendered again."""
    kept = previous["variants"].keys() & manifest["variants"].keys()
    return (
        previous["promptmill"] != manifest["promptmill"]
        or previous["input"] != manifest["input"]
        or any(previous["variants"][name] != manifest["variants"][name] for name in kept)
    )


@dataclass(slots=True)
class Review:
    """The finished rows of one variant, held against the input as it is now."""

    kept_ok: int = 0
    kept_failed: int = 0
    changed: int = 0
    changed_failed: int = 0
    examples: list[str] = field(default_factory=list)

    def orphaned(self, index: ResumeIndex) -> tuple[int, int]:
        """How many ok and how many failed outcomes belong to no row of the input: removed, left out, or a bad line that was mended."""
        return index.ok - self.kept_ok, index.failed - self.kept_failed

    def is_settled(self, recorded: int, changed: ChangedPolicy) -> bool:
        """Whether the next session may take the `recorded` tasks for those of the input, without a review.

        Not when some are no longer in the input, nor when this session sets out to send some again: it may be cut off before it did.
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


def _explain(reviews: Mapping[str, Review], previous: Mapping[str, Any], manifest: Mapping[str, Any], *, by_id: bool) -> str:
    lines = []
    for name, review in reviews.items():
        if not review.changed:
            continue
        settings = differences(previous["variants"].get(name, {}), manifest["variants"][name])
        cause = "the input changed" if previous["input"] != manifest["input"] else "their answers are to an earlier version of this job"
        why = ", ".join(settings) if settings else f"{cause} (for example {', '.join(review.examples)})"
        lines.append(f"{review.changed:,} finished rows of {name} differ: {why}")
        if not settings and not by_id and previous["input"] != manifest["input"]:
            lines.append('rows are known by their place in the input; with [input] id = "COLUMN" they are followed when rows are inserted')
    lines.append(
        "nothing was sent; --changed rerun sends these rows again, --changed keep keeps their answers, "
        "and another [output] dir (or --fresh) begins a new run"
    )
    return "\n".join(lines)
