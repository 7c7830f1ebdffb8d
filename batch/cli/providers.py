"""promptmill providers: the presets and the user's own providers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import table, write_document, write_text
from batch.cli.job_files import is_job
from batch.cli.options import json_option, presets

if TYPE_CHECKING:
    from batch.job import OwnProvider
    from batch.providers.presets import Preset
    from batch.settings import ProviderSettings, SchemaSupport


@click.command("providers")
@click.argument("name", metavar="[NAME | JOB.toml]", required=False, shell_complete=presets)
@json_option
def providers_command(name: str | None, as_json: bool) -> None:
    """List the provider presets and your own providers, those of a job, or explain one.

    The part of a model's id before the first slash names the provider: id = "groq/MODEL".
    Keys are read from the variable shown, never from a file. Write your own providers as
    [provider.NAME] in a job file or, for all jobs, in
    ~/.config/promptmill/providers.toml.
    """
    from batch.job import own_providers
    from batch.providers.presets import PRESETS

    if name is not None and is_job(name):
        _write_list(_of_job(name), as_json=as_json)
        return
    own = own_providers()
    every = [(p.name, p.api_key_env, p.base_url or EMBEDDED) for p in PRESETS.values()]
    every += [(each.name, each.api_key_env, each.described_urls) for each in own.values()]
    if name is None or (as_json and name in {each[0] for each in every}):
        _write_list([each for each in every if name in (None, each[0])], as_json=as_json)
    elif name in own:
        write_text(_own_explained(own[name]))
    elif name in PRESETS:
        write_text(_explained(PRESETS[name]))
    else:
        known = [*PRESETS, *own]
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "the providers are: " + ", ".join(known)
        raise click.BadParameter(f"there is no provider {name!r}; {hint}")


EMBEDDED = "(embedded)"


def _write_list(providers: Sequence[tuple[str, str | None, str]], *, as_json: bool) -> None:
    """Write providers by name, the variable of their key and their URLs."""
    if as_json:
        keys = ("name", "api_key_env", "base_url")
        found = [{**dict(zip(keys, each, strict=True)), "key_is_set": bool(each[1] and os.environ.get(each[1]))} for each in providers]
        write_document({"providers": found})
        return
    rows = [("PROVIDER", "KEY VARIABLE", "", "BASE URL")]
    write_text(table([*rows, *((name, variable or "-", _key_state(variable), urls) for name, variable, urls in providers)]))


def _of_job(job_file: str) -> list[tuple[str, str | None, str]]:
    """Return the providers of a job's models. Raises JobError."""
    from batch.job import load

    loaded = load(job_file)
    providers = {variant.provider.name: variant.provider for variant in loaded.job.variants}
    return [(name, each.api_key_env, _urls(loaded.document, each)) for name, each in providers.items()]


def _urls(document: Mapping[str, Any], provider: ProviderSettings) -> str:
    # As the job has them: the values of variables in a URL may be secret.
    written = document.get("provider", {}).get(provider.name, {}).get("base_url")
    if written is not None:
        return ", ".join([written] if isinstance(written, str) else written)
    from batch.job import own_providers
    from batch.providers.presets import PRESETS

    if (own := own_providers().get(provider.name)) is not None:
        return own.described_urls
    preset = PRESETS.get(provider.name)
    return (preset and preset.base_url) or EMBEDDED


SCHEMA_HELP: dict[SchemaSupport, str] = {
    "enforced": "sent; the server enforces it",
    "strict": "sent; the provider enforces it with strict (prompt.schema_strict)",
    "sent": "sent; answers that do not fit are requested again (run.repair)",
    "json_object": "not accepted here, only JSON is requested: describe the form in the prompt; answers are checked anyway",
}


def _key_state(variable: str | None) -> str:
    if variable is None:
        return "no key"
    return "set" if os.environ.get(variable) else "not set"


def _own_explained(own: OwnProvider) -> str:
    facts = [("base URL", own.described_urls), ("key", f"{own.api_key_env} ({_key_state(own.api_key_env)})" if own.api_key_env else "none")]
    facts += [("builds on", own.preset)] if own.preset else []
    return "\n".join([f"Your own, in {own.file}", "", table([*facts, ("models", f'id = "{own.name}/MODEL"')])])


def _explained(preset: Preset) -> str:
    facts = [("base URL", preset.base_url or "(embedded: a server is started for the run)")]
    facts.append(("key", f"{preset.api_key_env} ({_key_state(preset.api_key_env)})" if preset.api_key_env else "none"))
    facts.append(("models", f'id = "{preset.name}/MODEL"'))
    facts.append(("prompt.schema", SCHEMA_HELP[preset.json_schema]))
    facts += [("header", f"{name}: {value}") for name, value in preset.headers.items()]
    facts += [("query", f"{name}={value}") for name, value in preset.query.items()]
    facts += [("sent as", f"{ours} → {theirs}") for ours, theirs in preset.renames.items()]
    text = [preset.title, "", table(facts)]
    if preset.note:
        text += ["", click.wrap_text(preset.note, width=80)]
    if preset.options:
        text += ["", "Request parameters beside the common ones:", table([(f"  {name}", line) for name, line in preset.options.items()])]
    return "\n".join(text)
