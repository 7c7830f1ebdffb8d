"""Find the endpoint of a model for `Endpoint`: by base URL, by preset, or by the user's own provider, with its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from batch.errors import JobError, SetupError
from batch.providers.presets import PRESETS
from batch.providers.urls import normalise_base_url
from batch.settings import ProviderSettings


def resolve(model: str, base_url: str | None, api_key: str | None, environ: Mapping[str, str]) -> tuple[ProviderSettings, str, str | None]:
    """Return (endpoint, the model's own name, the key's value or None).

    `model` is "PROVIDER/MODEL" with the name of a preset or of one of the user's own providers; with `base_url` it is the model's own
    name. Without `api_key` the key is read from the variable that the provider names. An endpoint given by URL then gets none.

    Raises:
        SetupError: an unknown provider, or a URL or key that is not set or cannot be used.
    """
    if base_url is not None:
        return ProviderSettings(name="endpoint", base_url=_normalised(base_url)), model, api_key
    name, _, own_name = model.partition("/")
    settings = _provider(name, model, environ) if own_name else None
    if settings is None:
        raise SetupError(f"{model!r} names no provider: write PROVIDER/MODEL with one of {', '.join(PRESETS)}, or give base_url")
    if settings.embedded is not None:
        raise SetupError("the embedded model runs in a server of its own: start `promptmill serve` and give its URL as base_url")
    if api_key is not None:
        return replace(settings, auth="bearer" if settings.auth == "none" else settings.auth), own_name, api_key
    return settings, own_name, _key(settings, environ)


def _provider(name: str, model: str, environ: Mapping[str, str]) -> ProviderSettings | None:
    """The settings that a job would use for the provider; None when there is no such provider."""
    from batch.job import own_providers, provider_settings  # pydantic loads slowly; an Endpoint given by URL needs none of it

    try:
        if name not in PRESETS and name not in own_providers(environ):
            return None
        return provider_settings(name, environ)
    except JobError as error:
        raise SetupError(f"{model}: {error}") from None


def _key(provider: ProviderSettings, environ: Mapping[str, str]) -> str | None:
    if provider.api_key_env is None:
        return None
    key = environ.get(provider.api_key_env, "").strip()
    if not key:
        raise SetupError(f"{provider.api_key_env} (the key of provider {provider.name}) is not set; export it, or give api_key")
    return key


def _normalised(url: str) -> str:
    try:
        return normalise_base_url(url)
    except ValueError as error:
        raise SetupError(f"base_url: {error}") from None
