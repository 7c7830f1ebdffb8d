"""What a usage error means: a setting of the job given as an option, an argument that is missing, a command of another program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

import click

from batch.policy.terminal import one_line

_KEYS = frozenset({"api-key", "api_key", "apikey", "key", "token"})
_RUNS = "the folder of a run, its job file, or latest; promptmill runs lists the runs in ./runs"
# What stands for an argument in a command's help, and what to give.
_ARGUMENTS = {
    "RUN_DIR": _RUNS,
    "DIR...": "the folders of runs, or latest; promptmill runs lists the runs in ./runs",
    "RUN_DIR | ANSWERS.jsonl...": f"{_RUNS}; or files of answers",
    "RUN_DIR|FILE...": f"{_RUNS}; or files of answers",
    "RUN|FILE [RUN|FILE]": f"{_RUNS}; or files of answers",
    "RUN_DIR | JOB.toml | ANSWERS.jsonl": f"{_RUNS}; or files of answers",
    "JOB.toml": "the path of a job file; promptmill init ROWS.csv makes a first one",
    "ID": "the id of a row, or its number from 0; promptmill tail shows some",
    "FILE": "a file of rows: .jsonl, .csv or .parquet",
    "PROVIDER | JOB.toml": "a provider, or a job file; promptmill providers lists the providers",
}
# What other programs call what a command here does.
_COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("pause", "stop", "kill", "limit", "set", "retry", "poll"), "promptmill ctl RUN_DIR pause (or stop, set, retry)"),
    **dict.fromkeys(("list", "ls", "ps"), "promptmill runs"),
    **dict.fromkeys(("check", "validate", "lint", "estimate", "cost", "dry-run"), "promptmill plan JOB.toml"),
    **dict.fromkeys(("start", "submit", "continue"), "promptmill run JOB.toml"),
    **dict.fromkeys(("log", "logs", "follow"), "promptmill tail RUN_DIR --follow"),
    **dict.fromkeys(("ui", "web", "dashboard", "open"), "promptmill view"),
    **dict.fromkeys(("clean", "clear", "delete", "rm"), "promptmill prune RUN_DIR"),
    **dict.fromkeys(("info", "stats", "progress"), "promptmill status RUN_DIR"),
    **dict.fromkeys(("eval", "evaluate"), "promptmill score RUN_DIR"),
    **dict.fromkeys(("new", "create"), "promptmill init ROWS.csv"),
    "convert": "promptmill export RUN_DIR --format FORMAT",
    "help": "promptmill --help, or promptmill COMMAND --help",
    "version": "promptmill --version",
}
# click's words for a value, and plainer ones.
_PLAINER = (
    (re.compile(r"is not a valid integer(?: range)?\.$"), "is no whole number."),
    (re.compile(r"is not a valid float(?: range)?\.$"), "is no number."),
    (re.compile(r"(\S+) is not in the range x>=(\S+)\.$"), r"must be at least \2, not \1."),
    (re.compile(r"(\S+) is not in the range (\S+)<=x<=(\S+)\.$"), r"must be from \2 to \3, not \1."),
)


def meant_by(name: str) -> str | None:
    """Return the command that does what other programs call `name`."""
    return _COMMANDS.get(name)


def reported(error: click.ClickException, args: Sequence[str]) -> str:
    """Return what is wrong with a command line, and what to write instead."""
    if isinstance(error, click.MissingParameter):
        return _missing(error)
    if (unexpected := _unexpected(error)) is not None:
        return unexpected
    hint = mended(error, args)
    # Without click's own proposal, which knows options only.
    text = f"{error.message} ({hint})" if hint else error.format_message()
    for pattern, plainer in _PLAINER:
        text = pattern.sub(plainer, text)
    return text


def _missing(error: click.MissingParameter) -> str:
    if error.param is None:
        return error.format_message()
    kind, name = error.param.type, error.param_hint or error.param.get_error_hint(error.ctx or click.Context(click.Command(None)))
    if isinstance(kind, click.Choice):
        return f"{_one(name)} is missing: choose from {', '.join(kind.choices)}"
    what = _ARGUMENTS.get(error.param.metavar or "")
    return f"{_one(name)} is missing" + (f": give {what}" if what else "")


def _one(name: str | Sequence[str]) -> str:
    return (name if isinstance(name, str) else " / ".join(name)).strip("'")


def _unexpected(error: click.ClickException) -> str | None:
    """Say what a command takes that was given more."""
    if type(error) is not click.UsageError or error.ctx is None or not error.message.startswith("Got unexpected extra"):
        return None
    params = error.ctx.command.params
    arguments = [param.metavar or param.human_readable_name for param in params if isinstance(param, click.Argument)]
    takes = f"{error.ctx.info_name} takes {' '.join(arguments) or 'options only'}"
    return f"{error.message}: {takes}" + (
        "; a setting is given as --set KEY=VALUE" if any("--set" in param.opts for param in params) else ""
    )


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
