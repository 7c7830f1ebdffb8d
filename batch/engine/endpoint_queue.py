"""An endpoint, or several equal ones, with the work to send there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batch.clock import SystemClock
from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.feed import Source
from batch.engine.monitor import PoolMonitor
from batch.engine.refused_variants import RefusedVariants


@dataclass(frozen=True, slots=True)
class EndpointQueue:
    """An endpoint, or several equal ones, with all work to send there.

    `answer_checks` are by variant, for those whose answers must fit a schema. `refused` are the variants stopped by earlier sessions of
    the same process, to be added to; None where there is one session only. `monitor` watches its pool for people.
    """

    endpoint_pool: EndpointPool
    feed: Source
    answer_checks: Mapping[str, AnswerSchemaCheck] = field(default_factory=dict)
    refused: RefusedVariants | None = None
    monitor: PoolMonitor = field(default_factory=lambda: PoolMonitor(None, SystemClock()))
