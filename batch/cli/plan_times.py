"""The times of a plan: how long its requests may take, live and by a Batch API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.app.counting import VariantEstimate
    from batch.app.estimate import Estimate


def times(found: Estimate) -> Iterator[tuple[str, str]]:
    """Yield lines on how long the requests may take, live and by a Batch API, each with its label."""
    from batch.progress import duration

    if found.expected_s is not None:
        yield "time", f"about {duration(found.expected_s)}, when answers take as long as they did so far"
    elif found.at_least_s is not None:
        yield "time", f"at least {duration(found.at_least_s)}, by the job's rates"
    else:
        yield "time", "unknown until there are answers: it depends on the endpoint"
    lines = dict.fromkeys(_batch_time(v) for v in found.variants if v.batches)
    for line in lines:
        yield "", f"Batch API: {line}"


def _batch_time(variant: VariantEstimate) -> str:
    """How long a Batch API may take for a variant: its batches are worked on at the same time."""
    from batch.progress import duration

    window, longest = variant.batch_window_s, variant.batch_longest_s
    count = f"{variant.batches:,} batch{'' if variant.batches == 1 else 'es'}"
    promised = "a time that the provider does not state" if window is None else f"up to {duration(window)} by the provider's window"
    return f"{count}, {promised}; cancelled after {duration(longest or 0.0)} (batch.max_wait)"
