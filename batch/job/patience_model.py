"""The settings of patience: how long cheap requests are waited for, and what is done about slow ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from batch.job.section import Absent, Seconds
from batch.settings import RunSettings
from batch.settings.tiers import FLEX_TIMEOUTS

_RUN = RunSettings()


def seconds(name: str, meaning: str) -> Seconds:
    """Make the field of a time-out, whose default is longer where a model has the flex tier."""
    default = getattr(_RUN, name)
    longer = f' {FLEX_TIMEOUTS[name]:g} by default where a model has service_tier = "flex".' if name in FLEX_TIMEOUTS else ""
    field: Seconds = Field(default=default, description=f"{meaning}{longer}")
    return field


FLEX_FALLBACK: bool = Field(
    default=_RUN.flex_fallback,
    description='Whether a row is sent at the standard tier, at its price, once service_tier = "flex" has used up run.attempts.',
)
HedgeAfter = Seconds | Annotated[str, Field(pattern=r"^p([5-9]\d|99\.9)$", examples=["p99"])]
HEDGE_AFTER: HedgeAfter | Absent = Field(
    default=_RUN.hedge_after,
    description='Send a second request beside one that lasts longer than this: seconds, or a quantile of the answers so far, as "p99".'
    " The first answer counts; the other may be billed too. At most a twentieth of the requests in flight.",
)
