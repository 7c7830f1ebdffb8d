"""The rounds of a run whose input has equal requests: see engine/duplicates.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from batch.app.prepare import Prepared
from batch.engine.dedupe import Deferred, Duplicates
from batch.engine.feed import Plan
from batch.engine.session import EndpointQueue
from batch.engine.stop import Stop
from batch.journal.index import ResumeIndex
from batch.journal.keys import KeySet
from batch.policy.dedupe import may_share


def duplicates_of(prepared: Prepared) -> dict[str, Duplicates]:
    """What finds the equal requests of each variant; those completed before count. Nothing where none are wanted."""
    if not may_share(prepared.job):
        return {}
    return {v.name: Duplicates(v, KeySet(prepared.indexes[v.name].completed_keys())) for v in prepared.job.variants}


async def in_rounds(
    prepared: Prepared,
    lanes: Sequence[EndpointQueue],
    plans: Sequence[Sequence[Plan]],
    duplicates: Mapping[str, Duplicates],
    execute: Callable[[Sequence[EndpointQueue]], Awaitable[Stop | None]],
    notice: Callable[[str], None],
) -> Stop | None:
    """Execute the lanes, then those rounds that equal requests make necessary; `plans` are those of the lanes. Gives why it ended early."""
    stop = await execute(lanes)
    if any(each.is_full for each in duplicates.values()):
        notice("there are so many different requests that equal ones among the later of them were all sent (run.dedupe)")
    for last in (False, True):
        if stop is not None or not any(map(len, duplicates.values())):
            break
        sources = [_held_back(prepared, own, duplicates, last=last) for own in plans]
        duplicates = {name: each for source in sources for name, each in source.duplicates.items()}
        stop = await execute([replace(lane, feed=source) for lane, source in zip(lanes, sources, strict=True)])
    return stop


def _held_back(prepared: Prepared, plans: Sequence[Plan], before: Mapping[str, Duplicates], *, last: bool) -> Deferred:
    variants = {variant.name: variant for variant in prepared.job.variants}

    def load(name: str) -> ResumeIndex:
        return ResumeIndex.load(prepared.directory.journal_dir(variants[name].slug))

    return Deferred(prepared.dataset, plans, variants, before, load, last=last)
