"""`plan`: estimate what a job would send, its cost and its duration. Nothing is sent, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch.app.counting import RequestCounts, VariantEstimate
from batch.app.stored import stored_run
from batch.engine.feed import Candidate, Feed, FeedOptions, Plan
from batch.evaluation.statistics.paired import smallest_gap
from batch.executors.costs import run_spent_usd
from batch.job import LoadedJob
from batch.journal.index import ResumeIndex
from batch.policy.estimates import Range
from batch.providers.prices import list_name
from batch.readers.builders import request_builder
from batch.rundir.opening import open_run_directory
from batch.settings import Job

if TYPE_CHECKING:
    from batch.app.estimate_grading import GradingEstimate

# The share of rows on which two models of a kind disagree; the gap that rows can show depends on it.
DISCORDANT = 0.2


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a job. `smallest_gap` is what its scores can show between two models, from 0 to 1; None without scores.

    `spent_usd` is what the run has cost so far. `price_list` names the list and its date. `asked` are the scores that need
    a model, which `promptmill score` calls once the rows are answered; they are in no other figure.
    """

    name: str
    directory: str
    rows: int
    repeats: int
    variants: tuple[VariantEstimate, ...]
    price_list: str
    spent_usd: float
    max_cost_usd: float | None
    smallest_gap: float | None
    asked: tuple[GradingEstimate, ...] = ()

    @property
    def cost_usd(self) -> Range | None:
        """US dollars for all variants; None when one of them is unknown."""
        total = Range(0.0, 0.0)
        for variant in self.variants:
            if variant.cost_usd is None:
                return None
            total += variant.cost_usd
        return total

    @property
    def at_least_s(self) -> float | None:
        """The least seconds that the job's rates allow; None without rates."""
        return _longest([(variant.endpoint, variant.at_least_s) for variant in self.variants])

    @property
    def expected_s(self) -> float | None:
        """The seconds it takes if answers take as long as so far; None where that is unknown."""
        return _longest([(variant.endpoint, variant.expected_s) for variant in self.variants])


def _longest(seconds: Sequence[tuple[str, float | None]]) -> float | None:
    """Sum the seconds of each endpoint's variants, which share its limits, and take the longest endpoint."""
    by_endpoint: dict[str, float] = {}
    for endpoint, each in seconds:
        if each is None:
            return None
        by_endpoint[endpoint] = by_endpoint.get(endpoint, 0.0) + each
    return max(by_endpoint.values(), default=None)


def estimate(loaded: LoadedJob, *, retry_failed: bool = False) -> Estimate:
    """Read the input and the journals of a job, and estimate what is left to do. Raises InputError, DamagedError, RunDirectoryError."""
    from batch.app.estimate_grading import estimate_grading  # what scores loads pyarrow, which runs do without

    job = loaded.job
    run = stored_run(open_run_directory(job.output.dir), job)
    directory, dataset = run.directory, run.dataset
    dataset.check_ids()
    counts = [RequestCounts(job, variant, ResumeIndex.load(directory.journal_dir(variant.slug))) for variant in job.variants]
    feed = Feed(
        dataset,
        [Plan(each.variant.name, request_builder(each.variant, stream=False), each.index) for each in counts],
        FeedOptions(job.run.repeats, job.input.id is not None, compare=True, retry_failed=retry_failed),
    )
    by_name = {each.variant.name: each for each in counts}
    rows = 0
    for batch in feed.candidates():
        rows += len({candidate.task.ordinal for candidate in batch})
        for name, of_variant in _by_variant(batch):
            by_name[name].add(of_variant, [feed.wants(candidate) for candidate in of_variant])
    now = datetime.now(UTC)
    variants = tuple(each.estimate(now) for each in counts)
    return Estimate(
        name=job.name,
        directory=str(directory.place),
        rows=rows,
        repeats=job.run.repeats,
        variants=variants,
        price_list=list_name(),
        spent_usd=run_spent_usd(directory),
        max_cost_usd=job.run.max_cost_usd,
        smallest_gap=_gap(job, rows),
        asked=estimate_grading(run, variants, now, retry_failed=retry_failed),
    )


def _by_variant(batch: Sequence[Candidate]) -> Iterator[tuple[str, list[Candidate]]]:
    found: dict[str, list[Candidate]] = {}
    for candidate in batch:
        found.setdefault(candidate.task.variant, []).append(candidate)
    yield from found.items()


def _gap(job: Job, rows: int) -> float | None:
    """The smallest gap between two of the job's models that its rows can show, each pair tested at its share of 5 % (Holm's first step)."""
    pairs = len(job.variants) * (len(job.variants) - 1) // 2
    return smallest_gap(rows, DISCORDANT, alpha=0.05 / pairs) if job.scores and pairs and rows else None
