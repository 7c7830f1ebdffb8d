"""List what an endpoint serves, and serve the embedded model to others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import anyio

from batch.clock import SystemClock
from batch.engine import endpoints
from batch.errors import SetupError
from batch.job import provider_settings
from batch.policy.redaction import ApiKeys
from batch.providers.urls import normalise_base_url
from batch.server.embedded import EmbeddedServer
from batch.settings import ProviderSettings, RunSettings
from batch.settings.embedded import EmbeddedModelSettings


def models(provider: str, base_url: str | None = None) -> list[str] | None:
    """Return the model ids that an endpoint lists; None when it has no list. Raises EndpointError, SetupError, JobError."""
    settings = provider_settings(provider, os.environ)
    if base_url:
        try:
            settings = replace(settings, base_url=normalise_base_url(base_url))
        except ValueError as error:
            raise SetupError(f"--base-url: {error}") from None
    return anyio.run(partial(_models, settings))


async def _models(provider: ProviderSettings) -> list[str] | None:
    if provider.embedded is not None:
        raise SetupError(f"{provider.name} is the embedded model: it is loaded when a job runs, or by `promptmill serve`")
    name = provider.api_key_env
    if name and not os.environ.get(name):
        raise SetupError(f"not set: {name} (the key of provider {provider.name}); export it and run the same command again")
    keys = ApiKeys({name: os.environ[name].strip()} if name else {})
    async with endpoints.clients([[provider]], keys, RunSettings(concurrency=1), SystemClock()) as ((client,),):
        return await client.models()


def serve(settings: EmbeddedModelSettings, alias: str, port: int | None, on_ready: Callable[[str], None]) -> None:
    """Serve the embedded model until a signal stops the process; `on_ready` gets its base URL. Raises SetupError."""

    async def forever() -> None:
        async with EmbeddedServer(settings, alias, port=port or 0) as server:
            on_ready(server.base_url)
            await server.wait()

    anyio.run(forever)
