"""The settings of Batch APIs: what a provider's offers, and what a job wants of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BatchFamily = Literal["files", "inline", "jobs"]
"""How requests reach a Batch API: as an uploaded file, within the call that creates the batch, or as the file of a job."""

EngineName = Literal["live", "ray", "batch-api"]
"""What carries a run out: a key of executors.EXECUTORS."""

RestPolicy = Literal["live", "batch", "leave"]
ResultsPlace = Literal["files", "batch", "results"]
"""Where results are: in files of their own, in the batch object, or below the batch's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchApi:
    """What a provider's Batch API is like: a row of data.

    `path` is below the base URL. `urls` are the addresses of APIs as lines and batches name them, where they are not /v1/API. `apis` are
    those it takes, None: all of them. `max_requests` and `max_bytes` bound one batch. `window` is the one that is asked for by default.
    `price_share` is its price as a share of the live price. `cancels`: a batch can be cancelled. `matches`: batches name what they were
    made of (metadata, or the uploaded file), so that one whose reply was lost can be found. `body_key` is the name of a request's body in
    a line, `names_model`: the model is stated once for all of a batch.
    """

    family: BatchFamily = "files"
    path: str = "batches"
    purpose: str = "batch"
    urls: Mapping[str, str] = field(default_factory=dict)
    apis: tuple[str, ...] | None = None
    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    window: str | None = "24h"
    price_share: float = 1.0
    matches: bool = True
    cancels: bool = True
    body_key: str = "body"
    names_model: bool = False
    results: ResultsPlace = "files"

    def url_of(self, api: str) -> str:
        """Return the address by which lines name an API."""
        return self.urls.get(api, f"/v1/{api}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """How a job uses Batch APIs.

    `window` is how long the provider may take, in its own words, None: its default. `max_requests` bounds a batch below the provider's own
    limit. `poll_s` is the first time between two looks, in seconds; it grows while nothing changes. After `max_wait_s` a batch is
    cancelled, and what it has done is collected. `rest`: rows that a batch left undone are sent live, by the next batch, or not in this
    session. `keep_files` keeps the files of requests and results in the run directory. `webhook` is the HOST:PORT at which a run that
    waits receives webhooks; `webhook_secret_env` names the variable with their secret.
    """

    window: str | None = None
    max_requests: int | None = None
    poll_s: float = 60.0
    max_wait_s: float | None = None
    rest: RestPolicy = "live"
    keep_files: bool = False
    webhook: str | None = None
    webhook_secret_env: str = "OPENAI_WEBHOOK_SECRET"  # noqa: S105 - a name
