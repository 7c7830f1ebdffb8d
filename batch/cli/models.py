"""promptmill models: what an endpoint serves."""

from __future__ import annotations

import click

from batch.cli.console import print_info, write
from batch.cli.options import presets
from batch.policy.terminal import one_line


@click.command("models")
@click.argument("provider", shell_complete=presets)
@click.option("--base-url", metavar="URL", help="Use this URL instead of the provider's own.")
def models_command(provider: str, base_url: str | None) -> None:
    """List the models that an endpoint serves.

    \b
    Examples:
      promptmill models openai
      promptmill models vllm --base-url http://gpu-7:8000
    """
    from batch import app

    names = app.models(provider, base_url)
    if names is None:
        print_info("promptmill: this endpoint has no list of models; the names in a job are sent as they are")
    elif not names:
        print_info("promptmill: this endpoint serves no model")
    else:
        write("\n".join(map(one_line, names)))
