"""The table of commands, their help, and how each ends. A command's module is loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from batch import __version__
from batch.cli.console import colour_wanted, flush_streams, prepare_streams, print_error, print_info
from batch.cli.exits import ExitCode, report_error
from batch.process import end_on_signals, open_missing_descriptors, tune_gc

# Section, command, module and summary: --help shows these without loading the modules.
COMMANDS = (
    ("Run a job", "init", "init", "Make a first job from a file's columns."),
    ("Run a job", "run", "run", "Run a job, or continue it."),
    ("Run a job", "resume", "resume", "Continue a run from its directory alone."),
    ("Run a job", "cancel", "cancel", "Cancel the open batches of a run; collect what was done."),
    ("Run a job", "plan", "plan", "Show what a job would send and cost; send nothing."),
    ("Run a job", "try", "try_", "Send one row; show the request and stream the answer."),
    ("Run a job", "ctl", "ctl", "Pause, resume, stop or limit a running run."),
    ("Run a job", "accept", "accept", "Take failures as final: exit code 0 from then on."),
    ("Look into a run", "status", "status", "Show counts, tokens, and what failed and why."),
    ("Look into a run", "runs", "runs", "List the runs of a folder: state, rows, cost, age and size."),
    ("Look into a run", "tail", "tail", "Show the last outcomes, and those that come."),
    ("Look into a run", "show", "show", "Show one row: its request, each attempt, the outcome."),
    ("Look into a run", "watch", "watch", "Watch a run in the terminal, redrawn each second."),
    ("Look into a run", "view", "view", "Show runs in the browser, live, with charts over time."),
    ("Look into a run", "verify", "verify", "Check input, journal and outputs against each other."),
    ("Look into a run", "export", "export", "Write completions and errors in another format."),
    ("Look into a run", "prune", "prune", "Free the disk of what a run no longer needs."),
    ("Evaluate", "score", "score", "Score the answers of a run, or of any file."),
    ("Evaluate", "compare", "compare", "Compare the models of a run, with intervals."),
    ("Evaluate", "history", "history", "Show the scores of several runs over time."),
    ("Evaluate", "calibrate", "calibrate", "Label some answers yourself; measure the judge."),
    ("Evaluate", "report", "report", "Write a run as one HTML file: verdict, charts, all samples."),
    ("Endpoints", "providers", "providers", "List the provider presets, or explain one."),
    ("Endpoints", "models", "models", "List the models that an endpoint serves."),
    ("Endpoints", "serve", "serve", "Serve the embedded local model to other programs."),
    ("Your editor and shell", "schema", "schema", "Print the JSON Schema of the job file, for editors."),
    ("Your editor and shell", "completion", "completion", "Print the completion script for bash, zsh or fish."),
)

EPILOG = """\b
Example:
  promptmill try jobs/quickstart.toml      see one answer first
  promptmill run jobs/quickstart.toml      the same command resumes

\b
Exit codes: 0 all rows done, 1 some rows failed, 2 bad job, input or usage,
3 a gate failed, 4 budget spent, 5 stopped early, 130 interrupted.
After 1, 4, 5 and 130 the same command resumes."""


class CommandGroup(click.Group):
    """The commands of COMMANDS, each loaded when it is called, with promptmill's exit codes for what they raise."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List all commands in the order of --help."""
        return [name for _, name, _, _ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load the command of that name."""
        for _, name, module, summary in COMMANDS:
            if name == cmd_name:
                command: click.Command = getattr(import_module(f"batch.cli.{module}"), f"{name}_command")
                # The table is the only place of the summary, so that --help needs no module.
                command.short_help = summary
                return command
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the called command; propose a similar name for a wrong one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            # Loaded for a wrong name only: --help and every command start faster.
            from difflib import get_close_matches

            from batch.cli.mistakes import meant_by

            nearest = get_close_matches(args[0], self.list_commands(ctx), n=1)
            meant = meant_by(args[0]) or (nearest[0] if nearest else None)
            hint = f" Did you mean {meant}?" if meant else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the sections of --help."""
        width = max(len(name) for _, name, _, _ in COMMANDS)
        for section in dict.fromkeys(section for section, _, _, _ in COMMANDS):
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), summary) for home, name, _, summary in COMMANDS if home == section])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what it raises into a message and an exit code."""
        try:
            super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place where an error can be explained
            ctx.exit(report_error(error, debug=ctx.params["debug"]))

    # click's overloads of main differ between its releases.
    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Parse, run and exit; report usage errors like all others."""
        try:
            code = super().main(args, prog_name, standalone_mode=False, color=colour_wanted(), **extra)
        except click.ClickException as error:
            code = _report_usage(error, sys.argv[1:] if args is None else args)
        except click.Abort:
            code = ExitCode.INTERRUPTED
        except OSError as error:
            # Help and version are written by click itself: into a closed pipe or onto a full disk too.
            code = report_error(error, debug=False)
        if standalone_mode:
            sys.exit(code or ExitCode.DONE)
        return code


def _report_usage(error: click.ClickException, args: Sequence[str]) -> int:
    # Loaded for a mistake only.
    from batch.cli.mistakes import reported

    print_error(reported(error, args))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        print_info(f"promptmill: for help: {error.ctx.command_path} --help")
    return ExitCode.UNUSABLE


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    subcommand_metavar="COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="promptmill", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def promptmill(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001 - CommandGroup.invoke reads it
    """Send many prompts to OpenAI-compatible endpoints: fast, resumable, losing nothing."""
    if ctx.invoked_subcommand is None:
        print_info(ctx.get_help())
        ctx.exit(ExitCode.UNUSABLE)


def run_command_line(args: Sequence[str] | None = None) -> None:
    """Run a command, and end the process with its exit code."""
    open_missing_descriptors()
    end_on_signals()
    tune_gc()
    prepare_streams()
    code = promptmill.main(args, prog_name="promptmill", standalone_mode=False) or ExitCode.DONE
    flush_streams()
    sys.exit(code)
