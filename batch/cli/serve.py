"""promptmill serve: the embedded model as an OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batch.cli.console import print_info, write
from batch.settings.embedded import EmbeddedModelSettings

DEFAULT_ALIAS = "smollm2-135m-instruct"
_DEFAULTS = EmbeddedModelSettings()


@click.command("serve")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The port on 127.0.0.1.  [default: a free one]")
@click.option("--model-path", metavar="FILE.gguf", help="The weights to serve.  [default: SmolLM2-135M-Instruct]")
@click.option("--chat-template", metavar="FILE.jinja", help="Template from chat to prompt.  [default: that of the weights]")
@click.option("--alias", metavar="NAME", help="The model's name in requests.  [default: after the weights]")
@click.option("--parallel", type=click.IntRange(min=1), default=_DEFAULTS.parallel, show_default=True, help="Requests at once.")
@click.option("--context", type=click.IntRange(min=64), default=_DEFAULTS.context, show_default=True, help="Tokens for each of them.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores but one]")
@click.option("--embedding", is_flag=True, help="Serve embeddings instead of answers.")
def serve_command(
    port: int | None,
    alias: str | None,
    **model: Any,
) -> None:
    """Serve the embedded local model to other programs.

    Prints the base URL to stdout when it is ready, and serves until Ctrl-C. No key is needed.

    \b
    Example:
      promptmill serve --port 8080
    """
    from batch import app

    settings = EmbeddedModelSettings(**model)
    name = alias or (Path(settings.model_path).stem if settings.model_path else DEFAULT_ALIAS)

    serving = False

    def ready(base_url: str) -> None:
        nonlocal serving
        serving = True
        write(base_url)
        print_info(f"promptmill: serving {name}; Ctrl-C stops it")

    print_info(f"promptmill: loading {name} …")
    try:
        app.serve(settings, name, port, ready)
    except KeyboardInterrupt:
        # Ctrl-C is how a server is meant to end, but not how loading is.
        if not serving:
            raise
        print_info("promptmill: stopped")
