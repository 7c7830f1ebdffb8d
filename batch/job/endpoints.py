"""From a provider's name to its endpoint: the job's own table over the preset, variables filled in, the URL normalised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from batch.job.model import ProviderSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading, nearest
from batch.providers.batch_apis import FAMILIES
from batch.providers.presets import PRESETS, Preset
from batch.providers.urls import normalise_base_url
from batch.settings import AuthHeader, ProviderSettings
from batch.settings.batch_api import BatchApi
from batch.settings.embedded import EmbeddedModelSettings

_EMBEDDED_ONLY = ("model_path", "chat_template", "parallel", "context", "threads", "embedding")
_REMOTE_ONLY = ("base_url", "api_key_env", "auth", "headers", "query", "stream_usage", "json_schema", "exact_url", "batch")
# What a preset and an endpoint's settings both have, but for what is merged below: a new quirk is a field in each of the two.
_MERGED = {"name", "base_url", "api_key_env", "auth", "headers", "query", "renames", "batch"}
_QUIRKS = {each.name for each in fields(Preset)} & {each.name for each in fields(ProviderSettings)} - _MERGED
_SECRET_HEADERS = {"authorization", "api-key", "x-api-key", "x-goog-api-key"}


@dataclass(frozen=True, slots=True)
class JobEndpoint:
    """A provider of the job: its settings and the request parameters that it takes beyond the common ones."""

    settings: ProviderSettings
    options: frozenset[str]


@dataclass(slots=True)
class Endpoints:
    """The providers of one job. Each is resolved when it is first used, so an unused provider needs no variables."""

    tables: Mapping[str, ProviderSection | None]
    embedded_files: Mapping[str, Mapping[str, str]]
    loading: Loading
    user_names: tuple[str, ...] = ()
    _made: dict[str, JobEndpoint | None] = field(default_factory=dict)

    def get(self, name: str, used_at: KeyPath) -> JobEndpoint | None:
        """Return the provider's endpoint; None when a mistake in it is reported. `used_at` is the setting that names it."""
        if name not in self._made:
            self._made[name] = self._make(name, used_at)
        return self._made[name]

    @property
    def options(self) -> frozenset[str]:
        """Request parameters of any provider beyond the common ones, for models whose provider is unknown."""
        presets = {option for preset in PRESETS.values() for option in preset.options}
        return frozenset(presets | {option for table in self.tables.values() if table for option in table.options})

    @property
    def names(self) -> list[str]:
        """All providers that a model may name. The tables include the used ones of `user_names`."""
        return list(dict.fromkeys([*self.tables, *PRESETS, *self.user_names]))

    def _make(self, name: str, used_at: KeyPath) -> JobEndpoint | None:
        table = self.tables.get(name, ProviderSection())
        place = ("provider", name)
        if table is None:
            return None
        preset = PRESETS.get(table.preset or name)
        if preset is None and table.preset is not None:
            near = nearest(table.preset, PRESETS)
            hint = f"did you mean {near}?" if near else None
            self.loading.add((*place, "preset"), f"there is no preset '{table.preset}'", hint or f"presets: {', '.join(PRESETS)}")
            return None
        _check_secrets(table, place, self.loading)
        options = frozenset(preset.options if preset else ()) | frozenset(table.options)
        renames = {**(preset.renames if preset else {}), **table.renames}
        if preset is not None and preset.name == "local":
            _refuse(table, _REMOTE_ONLY, place, "is not a setting of the embedded model", self.loading)
            return JobEndpoint(self._embedded(name, table, renames), options)
        _refuse(table, _EMBEDDED_ONLY, place, 'is only for the embedded model (preset = "local")', self.loading)
        settings = self._remote(name, table, preset, renames, used_at)
        return JobEndpoint(settings, options) if settings else None

    def _embedded(self, name: str, table: ProviderSection, renames: Mapping[str, str]) -> ProviderSettings:
        embedded = EmbeddedModelSettings(
            **self.embedded_files.get(name, {}),
            parallel=table.parallel,
            context=table.context,
            threads=table.threads,
            embedding=table.embedding,
        )
        return ProviderSettings(name=name, base_url="", auth="none", renames=renames, json_schema="enforced", embedded=embedded)

    def _remote(
        self, name: str, table: ProviderSection, preset: Preset | None, renames: Mapping[str, str], used_at: KeyPath
    ) -> ProviderSettings | None:
        place = ("provider", name)
        urls = self._base_urls(name, table, preset, used_at)
        query = {}
        for key, value in {**(preset.query if preset else {}), **table.query}.items():
            at = (*place, "query", key) if key in table.query else used_at
            # A variable of the preset is missed where the model is named, one of the job where it stands.
            query[key] = self.loading.fill(value, at, f"[provider.{name}]") or ""
        headers = {}
        for key, value in {**(preset.headers if preset else {}), **table.headers}.items():
            headers[key] = self.loading.fill(value, (*place, "headers", key), f"[provider.{name}]") or ""
        if not urls:
            return None
        api_key_env, auth = _authentication(table, preset)
        return ProviderSettings(
            name=name,
            base_url=urls[0],
            more_urls=tuple(urls[1:]),
            api_key_env=api_key_env,
            auth=auth,
            headers=headers,
            query=query,
            renames=renames,
            batch=_batch_api(table, preset),
            **_quirks(table, preset),
        )

    def _base_urls(self, name: str, table: ProviderSection, preset: Preset | None, used_at: KeyPath) -> list[str]:
        """Return the normalised URLs; none when one of them is reported."""
        place: KeyPath = ("provider", name, "base_url")
        if isinstance(table.base_url, list):
            sources = [(text, (*place, index)) for index, text in enumerate(table.base_url)]
        elif table.base_url is not None:
            sources = [(table.base_url, place)]
        elif preset is not None:
            sources = [(preset.base_url, used_at)]
        else:
            if not self.loading.reported(place) and not self.loading.reported(("provider", name, "preset")):
                self.loading.add(place, "is missing", f"[provider.{name}] needs a base_url, or a preset to build on")
            return []
        urls: list[str] = []
        for source, at in sources:
            url = self._base_url(name, source, at, preset, exact=table.exact_url)
            if url in urls:
                self.loading.add(at, f"duplicate {url}", "list each endpoint of a pool once")
            if url is not None:
                urls.append(url)
        return urls if len(urls) == len(sources) else []

    def _base_url(self, name: str, source: str, place: KeyPath, preset: Preset | None, *, exact: bool) -> str | None:
        text = self.loading.fill(source, place, f"provider {name}", preset.note if preset else "")
        if text is None:
            return None
        try:
            return normalise_base_url(text, exact=exact)
        except ValueError as error:
            by = f" (from {source})" if "${" in source else ""
            self.loading.add(place, f"{error}{by}")
            return None


def unknown_provider(name: str, model_id: str, names: list[str]) -> tuple[str, str]:
    """Explain a model id whose first part is not a provider: (message, hint)."""
    listed = f"providers: {', '.join(names)}"
    provider, slash, model = model_id.partition("/")
    # Stricter than for settings: meta-llama is not ollama.
    near = nearest(re.split(r"[-_.:]", name)[0] if not slash else name, names, 0.7)
    if not slash:
        example = f"{near or 'openai'}/{model_id}"
        return "names no provider; an id is PROVIDER/MODEL", f"{'did you mean' if near else 'such as'} {example}? {listed}"
    own = f"If '{model_id}' is the model's own name, put its provider before it. "
    if near:
        # Owners of models have names like those of providers: mistralai, deepseek-ai.
        return f"there is no provider '{provider}'", f"did you mean {near}/{model}? {own if provider.startswith(near) else ''}{listed}"
    return f"there is no provider '{provider}'", f"{own}{listed}"


def preset_settings(name: str, own: Mapping[str, ProviderSection], loading: Loading) -> ProviderSettings | None:
    """Return the settings of a preset, or of one of the user's `own` providers, without a job."""
    known = list(dict.fromkeys([*PRESETS, *own]))
    if name not in known:
        near = nearest(name, known)
        loading.add((), f"there is no provider '{name}'", (f"did you mean {near}? " if near else "") + f"providers: {', '.join(known)}")
        return None
    endpoint = Endpoints(own, {}, loading).get(name, ())
    return endpoint.settings if endpoint else None


def _quirks(table: ProviderSection, preset: Preset | None) -> dict[str, Any]:
    """Return what the job says of the endpoint's quirks, else its preset; without either the defaults of ProviderSettings apply."""
    sources = (table, preset)
    said = {name: [value for source in sources if (value := getattr(source, name, None)) is not None] for name in _QUIRKS}
    return {name: values[0] for name, values in said.items() if values}


def _batch_api(table: ProviderSection, preset: Preset | None) -> BatchApi | None:
    """Return the row of the preset's Batch API, or that of the family which the job names."""
    own = preset.batch if preset is not None else None
    return own if table.batch is None or (own is not None and own.family == table.batch) else FAMILIES[table.batch]


def _authentication(table: ProviderSection, preset: Preset | None) -> tuple[str | None, AuthHeader]:
    """Return the key's variable and header. A key named in the job is sent even if the preset needs none."""
    api_key_env = table.api_key_env or (preset.api_key_env if preset else None)
    auth = table.auth or (preset.auth if preset else "bearer")
    if api_key_env is None or table.auth == "none":
        return None, "none"
    return api_key_env, "bearer" if auth == "none" else auth


def _refuse(table: ProviderSection, keys: tuple[str, ...], place: KeyPath, message: str, loading: Loading) -> None:
    for key in keys:
        if key in table.model_fields_set:
            loading.add((*place, key), message)


def _check_secrets(table: ProviderSection, place: KeyPath, loading: Loading) -> None:
    if table.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", table.api_key_env):
        loading.add((*place, "api_key_env"), "must be the name of an environment variable, not a key", 'such as "HOUSE_KEY"')
    for header, value in table.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header) or not (value.isascii() and value.isprintable()):
            loading.add((*place, "headers", header), "is not a header that can be sent", "names and values are plain ASCII on one line")
        if header.lower() in _SECRET_HEADERS:
            loading.add((*place, "headers", header), "a key must not be in the job file", "name its variable in api_key_env")
