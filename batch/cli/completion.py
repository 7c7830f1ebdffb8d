"""promptmill completion: the shell's own script that completes commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from batch.cli.console import write

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and files in your shell.

    \b
    Examples:
      promptmill completion fish | source     fish, in ~/.config/fish/config.fish
      eval "$(promptmill completion bash)"    bash, in ~/.bashrc
      eval "$(promptmill completion zsh)"     zsh, in ~/.zshrc, after compinit
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(f"click completes no {shell}")
    write(kind(ctx.find_root().command, {}, "promptmill", "_PROMPTMILL_COMPLETE").source().rstrip())
