"""The passes of a run whose input has equal requests (see engine/dedupe.py): first all but the duplicates, then what they still need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from batch.engine.dedupe import Deferred, Duplicates
from batch.engine.endpoint_queue import EndpointQueue
from batch.engine.feed import Plan
from batch.engine.stop import Stop
from batch.executors.context import PreparedRun
from batch.journal.index import ResumeIndex
from batch.journal.keys import MOST_KEYS, KeySet
from batch.policy.dedupe import may_share


def duplicates_of(prepared: PreparedRun) -> dict[str, Duplicates]:
    """Make the duplicate filter of each variant that may share answers, with the requests completed before."""
    sharing = [variant for variant in prepared.job.variants if may_share(prepared.job, variant)]
    return {v.name: Duplicates(v, KeySet(prepared.indexes[v.name].completed_keys(MOST_KEYS))) for v in sharing}


async def in_passes(
    prepared: PreparedRun,
    queues: Sequence[EndpointQueue],
    plans: Sequence[Sequence[Plan]],
    duplicates: Mapping[str, Duplicates],
    execute: Callable[[Sequence[EndpointQueue]], Awaitable[Stop | None]],
    report: Callable[[str], None],
) -> Stop | None:
    """Execute the queues, then the passes that deferred duplicates need; `plans` are those of the queues. Returns why it ended early."""
    stop = await execute(queues)
    if any(each.is_full for each in duplicates.values()):
        report("dedupe table full: later duplicates were sent (run.dedupe)")
    for last in (False, True):
        if stop is not None or not any(map(len, duplicates.values())):
            break
        sources = [_deferred(prepared, own, duplicates, last=last) for own in plans]
        duplicates = {name: each for source in sources for name, each in source.duplicates.items()}
        stop = await execute([replace(queue, feed=source) for queue, source in zip(queues, sources, strict=True)])
    return stop


def _deferred(prepared: PreparedRun, plans: Sequence[Plan], before: Mapping[str, Duplicates], *, last: bool) -> Deferred:
    variants = {variant.name: variant for variant in prepared.job.variants}

    def load(name: str) -> ResumeIndex:
        return ResumeIndex.load(prepared.directory.journal_dir(variants[name].slug))

    return Deferred(prepared.dataset, plans, variants, before, load, last=last)
