"""promptmill tail: the outcomes of a run, as they come."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import print_info, styled, terminal_width, write_json_line, write_text
from batch.cli.lines import fitted, time_of_day
from batch.cli.options import directory_argument, json_option
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.look import Followed

FORMAT = 1
_WIDEST = 200
_LONGEST_ID = 24
_LONGEST_NAME = 32


@click.command("tail")
@directory_argument
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, metavar="N", help="Begin with the last N.")
@click.option("--failed", is_flag=True, help="Failures only.")
@click.option("--follow", "-f", is_flag=True, help="Show what comes, until the run ends or Ctrl-C.")
@json_option
def tail_command(directory: str, count: int, failed: bool, follow: bool, as_json: bool) -> None:
    """Show the last outcomes of a run, and with --follow those that come.

    One line an outcome: when it ended, row and id, how long it took, and the beginning of the
    answer, or why it failed. --json writes each as one line of JSON, with the whole answer.
    Reads the journal only, so it works at any time, also during the run.

    \b
    Examples:
      promptmill tail latest --follow
      promptmill tail runs/tickets --failed -n 50
    """
    from batch.app.look import tail

    waits = False
    for found in tail(directory, count, failed=failed, follow=follow):
        if found is None:
            if not waits:
                waits = True
                print_info(styled("promptmill: waiting for what comes; Ctrl-C ends this, not the run", "dim"))
        elif as_json:
            write_json_line(_document(found))
        else:
            write_text(_line(found))


def _line(found: Followed) -> str:
    from batch.results.readable import answer_text, failure_text, seconds

    outcome = found.outcome
    took = seconds(outcome)
    row = f"row {outcome.ordinal:,}" + (f" {fitted(outcome.id, _LONGEST_ID)}" if outcome.id != str(outcome.ordinal) else "")
    repeat = f" #{outcome.repeat + 1}" if outcome.repeat else ""
    speed = "" if took is None else f"{took:.1f} s"
    when, model = time_of_day(outcome.done), fitted(found.variant.rpartition("/")[2], _LONGEST_NAME)
    head = f"{when} {'ok    ' if outcome.ok else 'FAILED'} {row}{repeat} {model} {speed}".rstrip()
    text = one_line(" ".join((answer_text(outcome) if outcome.ok else failure_text(outcome))[:4000].split()))
    width = terminal_width() if sys.stdout is not None and sys.stdout.isatty() else _WIDEST
    line = fitted(f"{head}: {text}" if text else head, width)
    return line if outcome.ok else line.replace("FAILED", styled("FAILED", "red"), 1)


def _document(found: Followed) -> dict[str, Any]:
    from batch.results.readable import answer_text, first_token_seconds, seconds

    outcome = found.outcome
    return {
        "format": FORMAT,
        "variant": found.variant,
        "row": outcome.ordinal,
        "id": outcome.id,
        "repeat": outcome.repeat,
        "status": "ok" if outcome.ok else "failed",
        "done": outcome.done,
        "latency_s": seconds(outcome),
        "first_token_s": first_token_seconds(outcome),
        "attempts": outcome.attempts,
        "finish_reason": outcome.finish_reason,
        "usage": outcome.usage,
        "cost_usd": outcome.cost_usd,
        "completion": answer_text(outcome) if outcome.ok else None,
        "error": outcome.error,
    }
