"""What a usage error means: an option that is a setting of the job, and the option or place that was probably meant."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from batch.policy.terminal import one_line

_KEYS = frozenset({"api-key", "api_key", "apikey", "key", "token"})


def mended(error: click.ClickException, args: Sequence[str]) -> str | None:
    """Return what to write instead of the option that `error` refuses, where it is a setting of the job."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return None
    from batch.job.option_names import setting_named

    word = error.option_name.lstrip("-")
    if word in _KEYS:
        return "keys are read from the environment: promptmill providers shows each provider's variable"
    setting = setting_named(word, nearly=not error.possibilities) if len(word) > 1 else None
    if setting is None:
        return None
    value = _value_of(error.option_name, args)
    given = one_line(f"--set {setting}=…" if value is None else f"--set {shlex.quote(f'{setting}={value}')}")
    if any("--set" in option.opts for option in error.ctx.command.params):
        return f"it is a setting of the job: write {given}"
    name = error.ctx.info_name
    return f"it is a setting of the job, which {name} does not take; promptmill run takes it as {given}"


def _value_of(option: str, args: Sequence[str]) -> str | None:
    """Return the value that stands with an option, by the words of the command line; None when none does."""
    for index, arg in enumerate(args):
        if arg.startswith(f"{option}="):
            return arg.partition("=")[2]
        following = args[index + 1] if index + 1 < len(args) else ""
        if arg == option and following and not following.startswith("--") and not following.endswith(".toml"):
            return following
    return None
