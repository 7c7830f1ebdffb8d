"""promptmill models: what an endpoint serves."""

from __future__ import annotations

import click

from batch.cli.console import print_info, write, write_document
from batch.cli.env_files import env_option
from batch.cli.job_files import is_job
from batch.cli.options import json_option, presets
from batch.policy.terminal import one_line


@click.command("models")
@click.argument("provider", metavar="PROVIDER | JOB.toml", shell_complete=presets)
@click.option("--base-url", metavar="URL", help="Use this URL instead of the provider's own.")
@env_option
@json_option
def models_command(provider: str, base_url: str | None, as_json: bool) -> None:
    """List the models that an endpoint serves, or those of a job, as a job names them.

    \b
    Examples:
      promptmill models openai
      promptmill models jobs/tickets.toml
      promptmill models vllm --base-url http://gpu-7:8000
    """
    from batch import app

    of_job = is_job(provider)
    found = app.models_of_job(provider, base_url) if of_job else [(provider, app.models(provider, base_url))]
    if as_json:
        write_document({"models": [{"provider": name, "models": names} for name, names in found]})
        return
    for name, names in found:
        if names is None:
            print_info(f"promptmill: {_endpoint(name, of_job)} has no list of models; the names in a job are sent as they are")
        elif not names:
            print_info(f"promptmill: {_endpoint(name, of_job)} serves no model")
        else:
            write("\n".join(one_line(f"{name}/{model}" if of_job else model) for model in names))


def _endpoint(name: str, of_job: bool) -> str:
    return f"the endpoint of {name}" if of_job else "this endpoint"
