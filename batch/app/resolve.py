"""From a model's name to the endpoint that serves it, for `Endpoint`: presets, variables, keys."""

from __future__ import annotations

from collections.abc import Mapping

from batch.errors import SetupError
from batch.providers.presets import PRESETS, Preset
from batch.providers.urls import normalise_base_url
from batch.providers.variables import UnsetVariableError, substitute
from batch.settings import ProviderSettings


def resolve(model: str, base_url: str | None, api_key: str | None, environ: Mapping[str, str]) -> tuple[ProviderSettings, str, str | None]:
    """(endpoint, the model's own name, key's value or None).

    `model` is "PROVIDER/MODEL" with the name of a preset or, with `base_url`, the model's own name. Without `api_key` the key is
    read from the variable that the preset names; an endpoint given by URL then gets none.

    Raises:
        SetupError: an unknown provider, or a URL or key that is not set or cannot be used.
    """
    if base_url is not None:
        return ProviderSettings(name="endpoint", base_url=_normalised(base_url, "base_url")), model, api_key
    name, _, own_name = model.partition("/")
    preset = PRESETS.get(name)
    if preset is None or not own_name:
        raise SetupError(f"{model!r} names no provider: write PROVIDER/MODEL with one of {', '.join(PRESETS)}, or give base_url")
    if not preset.base_url:
        raise SetupError("the embedded model runs in a server of its own: start `promptmill serve` and give its URL as base_url")
    settings = ProviderSettings(
        name=name,
        base_url=_normalised(_filled(preset.base_url, name, environ), f"provider {name}"),
        api_key_env=preset.api_key_env,
        auth="bearer" if api_key is not None and preset.auth == "none" else preset.auth,
        headers=preset.headers,
        query={key: _filled(value, name, environ) for key, value in preset.query.items()},
        renames=preset.renames,
        stream_usage=preset.stream_usage,
        json_schema=preset.json_schema,
    )
    return settings, own_name, api_key if api_key is not None else _key(preset, environ)


def _key(preset: Preset, environ: Mapping[str, str]) -> str | None:
    if preset.api_key_env is None:
        return None
    key = environ.get(preset.api_key_env, "").strip()
    if not key:
        raise SetupError(f"{preset.api_key_env} (the key of provider {preset.name}) is not set; export it, or give api_key")
    return key


def _filled(text: str, name: str, environ: Mapping[str, str]) -> str:
    try:
        return substitute(text, environ)
    except UnsetVariableError as error:
        raise SetupError(f"provider {name} needs the environment variable {error.name}, which is not set; export it") from None


def _normalised(url: str, what: str) -> str:
    try:
        return normalise_base_url(url)
    except ValueError as error:
        raise SetupError(f"{what}: {error}") from None
