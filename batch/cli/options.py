"""Options that several commands share, and the overrides that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import click
from click.shell_completion import CompletionItem

from batch.cli.env_files import env_option, env_words
from batch.cli.job_files import run_argument
from batch.settings import InputSettings, RunSettings

if TYPE_CHECKING:
    from batch import app
    from batch.cli.engine_options import EngineFlags


@dataclass(frozen=True, slots=True)
class SettingOption:
    """An option that is short for one setting of the job: its name, type and key are those of the field `name` of `settings`."""

    section: Literal["input", "run"]
    settings: type[InputSettings | RunSettings]
    name: str
    metavar: str
    help: str

    @property
    def key(self) -> str:
        """The setting as `--set` names it."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """The option as it is written."""
        return f"--{self.name.replace('_', '-')}"

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Add the option to a command."""
        # A setting that may also be text is checked by the job, which names what it takes.
        whole = str not in get_args(get_type_hints(self.settings)[self.name])
        kind = click.IntRange(min=1) if whole else None
        return click.option(self.flag, self.name, type=kind, metavar=self.metavar, help=self.help)(function)


limit_option = SettingOption("input", InputSettings, "limit", "N", "Take only the first N rows of the input.")
_MAX_FAILURES = "Stop when more rows than this failed: a number, or a share of the outcomes. As --set run.max_failures."
SETTING_OPTIONS = (limit_option, SettingOption("run", RunSettings, "max_failures", "N|N%", _MAX_FAILURES))

LogLevel = Literal["debug", "info", "warning", "off"]
ChangedOption = Literal["rerun", "keep"] | None
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of the job, as in --set run.concurrency=16. Repeatable.",
)
scores_job_option = click.option(
    "--job", "job", metavar="JOB.toml", help="Take [[score]] and [[gate]] from this file, not from the run's own job."
)
junit_option = click.option("--junit", metavar="FILE.xml", help="Write the gates, or scores, as JUnit XML for a CI system.")
markdown_option = click.option("--markdown", metavar="FILE.md", help="Write a summary in Markdown, for a CI system's job page.")
family_option = click.option(
    "--family",
    type=click.Choice(["score", "all"]),
    default="score",
    show_default=True,
    help="Correct p (Holm) over the comparisons of each score, or of all scores together.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")


ALL_FAILURES = "*"
retry_option = click.option(
    "--retry-failed",
    metavar="[=CODE,...]",
    help="Send rows again that failed before: all, or those with these codes, as in --retry-failed=timeout_idle,server_error.",
)


class RetryCommand(click.Command):
    """A command whose --retry-failed may stand alone: click would take the next word as its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a bare --retry-failed means all failures."""
        return super().parse_args(ctx, [f"--retry-failed={ALL_FAILURES}" if arg == "--retry-failed" else arg for arg in args])


def split_codes(given: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of options that each name several, divided by commas. Raises UsageError where one is empty."""
    codes = tuple(dict.fromkeys(code.strip() for text in given for code in text.split(",")))
    if not all(codes):
        raise click.UsageError("A code is empty; `promptmill status RUN_DIR` shows the codes, such as rate_limit or timeout_idle.")
    return codes


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Let the shell complete names of files."""
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Let the shell complete names of folders."""
    return [CompletionItem(incomplete, type="dir")]


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Complete names of providers."""
    from batch.providers.presets import PRESETS

    return [CompletionItem(name, help=preset.title) for name, preset in PRESETS.items() if name.startswith(incomplete)]


# Of a plain text click completes nothing, not even names of files.
job_argument = click.argument("job", metavar="JOB.toml", shell_complete=files)
directory_argument = click.argument("directory", metavar="RUN_DIR", shell_complete=folders, callback=run_argument)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """The values of the options that run and resume share; `short` are those of SETTING_OPTIONS, by name."""

    short: Mapping[str, Any]
    settings: tuple[str, ...]
    retry_failed: str | None
    variants: tuple[str, ...]
    changed: ChangedOption
    quiet: bool
    verbose: bool
    log_level: LogLevel
    as_json: bool

    @property
    def retry_codes(self) -> tuple[str, ...]:
        """Return the codes of the failures to send again; empty for all."""
        return () if self.retry_failed in (None, ALL_FAILURES) else split_codes([self.retry_failed or ""])

    def options(self, engine: EngineFlags, *, fresh: bool = False) -> app.RunOptions:
        """Return the options of the run. Raises UsageError for a combination that means nothing."""
        from batch import app

        if self.retry_codes and self.changed == "rerun":
            raise click.UsageError("--retry-failed=CODE and --changed rerun both choose what is sent again; give them in two runs.")
        retry = self.retry_failed is not None
        level: LogLevel = "debug" if self.verbose else self.log_level
        changed = self.changed or "refuse"
        return app.RunOptions(
            retry, fresh, changed, engine.engine, engine.ray_address, engine.batch(), self.retry_codes, self.variants, level
        )

    def overrides(self) -> list[str]:
        """Return KEY=VALUE overrides for the job loader."""
        return overrides(self.settings, self.short)

    def words(self) -> list[str]:
        """Return the options that a command line must repeat to continue the run."""
        given = [(option.flag, str(value)) for option in SETTING_OPTIONS if (value := self.short[option.name]) is not None]
        pairs = [*(("--set", setting) for setting in self.settings), *given, *(("--variant", pattern) for pattern in self.variants)]
        pairs += [("--changed", self.changed)] if self.changed else []
        retry = [] if self.retry_failed is None else ["--retry-failed" + (f"={','.join(self.retry_codes)}" if self.retry_codes else "")]
        return [*(word for pair in pairs for word in pair), *retry, *env_words()]


# What a run reports, and where.
_TELLING_OPTIONS: Sequence[Decorator] = (
    click.option("--verbose", "-v", is_flag=True, help="Log the counts each second, as --log-level debug."),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "off"]),
        default="info",
        help="What run.log.jsonl in the run directory gets.  [default: info]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write the run's events to stdout, a JSON line each."),
    click.option("--quiet", "-q", is_flag=True, help="No progress, and no summary of a run without failures."),
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that run and resume share; the command gets them as `flags`."""
    decorators: Sequence[Decorator] = (
        limit_option,
        set_option,
        env_option,
        retry_option,
        *(option for option in SETTING_OPTIONS if option is not limit_option),
        click.option(
            "--changed",
            type=click.Choice(["rerun", "keep"]),
            help="For finished rows whose request has changed: rerun them, or keep the old answers. Without this: refuse.",
        ),
        click.option(
            "--variant",
            "variants",
            multiple=True,
            metavar="PATTERN",
            help="Send only models whose name matches, as in --variant '*mini*'. Repeatable.",
        ),
        *_TELLING_OPTIONS,
    )

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        short = {option.name: options.pop(option.name) for option in SETTING_OPTIONS}
        flags = RunFlags(short=short, **{each.name: options.pop(each.name) for each in fields(RunFlags) if each.name != "short"})
        return function(*args, flags=flags, **options)

    decorated: Callable[..., Any] = command
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated


def overrides(settings: Sequence[str], short: Mapping[str, Any]) -> list[str]:
    """Return KEY=VALUE overrides for the job loader, with the options that are short for one, given by name."""
    given = ((option.key, short.get(option.name)) for option in SETTING_OPTIONS)
    return [*settings, *(f"{key}={value}" for key, value in given if value is not None)]
