"""promptmill providers: the presets and the user's own providers."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from batch.cli.console import table, write_text
from batch.cli.options import presets

if TYPE_CHECKING:
    from batch.job import OwnProvider
    from batch.providers.presets import Preset
    from batch.settings import SchemaSupport


@click.command("providers")
@click.argument("name", required=False, shell_complete=presets)
def providers_command(name: str | None) -> None:
    """List the provider presets and your own providers, or explain one.

    The part of a model's id before the first slash names the provider: id = "groq/MODEL".
    Keys are read from the variable shown, never from a file. Write your own providers as
    [provider.NAME] in a job file or, for all jobs, in
    ~/.config/promptmill/providers.toml.
    """
    from batch.job import own_providers
    from batch.providers.presets import PRESETS

    own = own_providers()
    if name is None:
        rows = [("PROVIDER", "KEY VARIABLE", "", "BASE URL")]
        rows += [(p.name, p.api_key_env or "-", _key_state(p.api_key_env), p.base_url or "(embedded)") for p in PRESETS.values()]
        rows += [(each.name, each.api_key_env or "-", _key_state(each.api_key_env), each.described_urls) for each in own.values()]
        write_text(table(rows))
    elif name in own:
        write_text(_own_explained(own[name]))
    elif name in PRESETS:
        write_text(_explained(PRESETS[name]))
    else:
        known = [*PRESETS, *own]
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "the providers are: " + ", ".join(known)
        raise click.BadParameter(f"there is no provider {name!r}; {hint}")


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
