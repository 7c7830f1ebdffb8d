"""The job file: TOML in, frozen settings or every mistake at once out.

pydantic and tree-sitter live only in this package.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.job.columns import check_columns as check_columns
from batch.job.judge_panels import with_entries as with_entries
from batch.job.loading import LoadedJob as LoadedJob
from batch.job.loading import load_document, load_file, load_preset, load_score
from batch.job.schema import json_schema as json_schema
from batch.job.secrets import readable as readable
from batch.job.secrets import without_secrets as without_secrets
from batch.job.user_providers import OwnProvider as OwnProvider
from batch.job.user_providers import own_providers_in
from batch.settings import ProviderSettings, ScoreSettings

__all__ = [
    "LoadedJob",
    "OwnProvider",
    "check_columns",
    "from_document",
    "json_schema",
    "load",
    "own_providers",
    "provider_settings",
    "readable",
    "score_settings",
    "with_entries",
    "without_secrets",
]


def load(path: str | Path, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> LoadedJob:
    """Load a job file and apply `--set` texts ("run.concurrency=64").

    Raises:
        JobError: with every mistake, each with file and line.
    """
    return load_file(Path(path), overrides, environ)


def from_document(
    document: Mapping[str, Any], overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ, *, source: str | None = None
) -> LoadedJob:
    """Load a job from the document of an earlier LoadedJob, as run.json stores it.

    A `source` marks a document made by hand: it names the document in mistakes, and the user's own providers apply to it.

    Raises:
        JobError: with every mistake.
    """
    return load_document(document, overrides, environ, source)


def own_providers(environ: Mapping[str, str] = os.environ) -> dict[str, OwnProvider]:
    """Read the user's own providers from ~/.config/promptmill/providers.toml, by name.

    Raises:
        JobError: with every mistake in that file.
    """
    return own_providers_in(environ)


def provider_settings(name: str, environ: Mapping[str, str] = os.environ) -> ProviderSettings:
    """Return the settings of an unchanged preset, for `promptmill models PROVIDER`.

    Raises:
        JobError: when there is no such preset, or a variable that its URL needs is not set.
    """
    return load_preset(name, environ)


def score_settings(entry: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> ScoreSettings:
    """Return the settings of a score outside a job file, from the keys of a `[[score]]` entry.

    Raises:
        JobError: with every mistake.
    """
    return load_score(entry, environ)
