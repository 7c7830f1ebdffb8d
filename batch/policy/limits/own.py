"""The limit of requests in flight of an endpoint that one process sends to."""

from __future__ import annotations

from batch.policy.limits.adaptive import AdaptiveConcurrency
from batch.policy.limits.fixed import FixedConcurrency
from batch.settings import RunSettings


def own_concurrency(run: RunSettings) -> AdaptiveConcurrency | FixedConcurrency:
    """Make the limit that the settings ask for."""
    return (AdaptiveConcurrency if run.concurrency == "auto" else FixedConcurrency)(run.most_in_flight)
