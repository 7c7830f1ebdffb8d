"""The [batch] table of a job file, as a pydantic model."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from batch.job.section import Absent, Seconds, Section, Text, Whole
from batch.settings.batch_api import BatchSettings, RestPolicy

_BATCH = BatchSettings()
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class BatchSection(Section):
    """How a provider's Batch API is used, with [run] engine = "batch-api"."""

    window: Text | Absent = Field(
        default=_BATCH.window,
        description='How long the provider may take, in its own words, such as "24h".  [default: its own]',
    )
    max_requests: Whole | Absent = Field(
        default=_BATCH.max_requests, description="The most requests of one batch.  [default: the provider's limit]"
    )
    poll_s: Seconds = Field(
        default=_BATCH.poll_s, description="Seconds between the first looks at a batch; up to 900 while nothing changes."
    )
    max_wait: Annotated[str, Field(pattern=r"^\d+(\.\d+)?[smhd]$", examples=["26h"])] | Absent = Field(
        default=None, description='Cancel a batch that takes longer than this, such as "26h" or "3d", and collect what it has done.'
    )
    rest: RestPolicy = Field(
        default=_BATCH.rest,
        description="What becomes of rows that a batch left undone: sent live, sent by the next batch, or left for a later session.",
    )
    keep_files: bool = Field(
        default=_BATCH.keep_files, description="Keep the files of requests and results in the run directory, below batches/."
    )
    webhook: Annotated[str, Field(pattern=r"^.*:\d{1,5}$", examples=["127.0.0.1:8787"])] | Absent = Field(
        default=_BATCH.webhook,
        description="HOST:PORT at which a run that waits for batches receives the provider's webhooks and then looks at once."
        "  [default: none; looks find all without]",
    )
    webhook_secret_env: Text = Field(
        default=_BATCH.webhook_secret_env, description="The variable with the webhooks' signing secret (Standard Webhooks, whsec_…)."
    )


def batch_settings(section: BatchSection) -> BatchSettings:
    """Return the settings of the table."""
    found = None if section.max_wait is None else re.fullmatch(r"([\d.]+)([smhd])", section.max_wait)
    return BatchSettings(
        window=section.window,
        max_requests=section.max_requests,
        poll_s=section.poll_s,
        max_wait_s=None if found is None else float(found[1]) * _UNITS[found[2]],
        rest=section.rest,
        keep_files=section.keep_files,
        webhook=section.webhook,
        webhook_secret_env=section.webhook_secret_env,
    )
