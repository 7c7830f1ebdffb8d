"""The user's own providers: `[provider.NAME]` tables in providers.toml, for all jobs.

The file is $XDG_CONFIG_HOME/promptmill/providers.toml, by default ~/.config/promptmill/providers.toml. A job's table of the same name
overrides it, key by key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batch.job.layers import FileLayer, read_file
from batch.job.model import ProviderSection
from batch.job.problems import Loading
from batch.job.schema import shown
from batch.job.sections import validated
from batch.providers.presets import PRESETS


@dataclass(frozen=True, slots=True)
class OwnProvider:
    """One of the user's providers as `promptmill providers` shows it; URLs as written."""

    name: str
    file: str
    urls: tuple[str, ...]
    api_key_env: str | None
    preset: str | None

    @property
    def described_urls(self) -> str:
        """The URLs in one line."""
        return ", ".join(self.urls)


def own_providers_in(environ: Mapping[str, str]) -> dict[str, OwnProvider]:
    """Return the user's own providers by name. Raises JobError."""
    layer = read_user_file(environ)
    found = {}
    for name, section in sections_in(layer).items():
        preset = PRESETS.get(section.preset or name)
        urls = section.base_url or (preset.base_url if preset else "")
        key = section.api_key_env or (preset.api_key_env if preset else None)
        label = "" if layer is None else layer.label
        found[name] = OwnProvider(name, label, (urls,) if isinstance(urls, str) else tuple(urls), key, preset.name if preset else None)
    return found


def providers_file(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the file, which may not exist; None without a home directory."""
    config, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if Path(config).is_absolute():
        folder = Path(config)
    elif home:
        folder = Path(home) / ".config"
    else:
        return None
    return folder / "promptmill" / "providers.toml"


def read_user_file(environ: Mapping[str, str]) -> FileLayer | None:
    """Read the file as a layer below a job's; None when there is no file. Raises JobError."""
    path = providers_file(environ)
    if path is None or not path.exists():
        return None
    layer = read_file(path)
    loading = Loading.of([layer], {})
    for key in layer.document:
        if key != "provider":
            loading.add((key,), "does not belong here", "this file holds [provider.NAME] tables only")
    tables = layer.document.get("provider", {})
    if not isinstance(tables, dict):
        loading.add(("provider",), f"must be tables such as [provider.house], not {shown(tables)}")
    loading.problems.raise_found()
    return layer


def layer_of(layer: FileLayer | None, names: Collection[str]) -> list[FileLayer]:
    """Reduce the user's file to the providers `names` that a job uses: a mistake elsewhere in the file is no mistake of the job."""
    tables = {} if layer is None else {name: table for name, table in layer.document.get("provider", {}).items() if name in names}
    # A mistake in a provider that the job does not use is none of the job's.
    return [] if layer is None or not tables else [replace(layer, document={"provider": tables})]


def names_in(layer: FileLayer | None) -> tuple[str, ...]:
    """Return the names of the user's providers."""
    return () if layer is None else tuple(layer.document.get("provider", {}))


def sections_in(layer: FileLayer | None) -> dict[str, ProviderSection]:
    """Return the user's providers. Raises JobError."""
    if layer is None:
        return {}
    loading = Loading.of([layer], {})
    tables: Mapping[str, Any] = layer.document.get("provider", {})
    sections = {name: validated(ProviderSection, table, ("provider", name), loading) for name, table in tables.items()}
    loading.problems.raise_found()
    return {name: section for name, section in sections.items() if section is not None}


def used_names(document: Mapping[str, Any]) -> set[str]:
    """Return the names of the providers that the models of a job and of its scores use."""
    ids = [
        entry.get(key)
        for section, key in (("model", "id"), ("score", "judge"), ("score", "model"))
        for entry in _entries(document, section)
    ]
    # A score may have several judges.
    names = [name for each in ids for name in (each if isinstance(each, list) else [each])]
    return {name.partition("/")[0] for name in names if isinstance(name, str)}


def _entries(document: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    entries = document.get(section)
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
