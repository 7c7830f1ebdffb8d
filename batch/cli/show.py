"""promptmill show: one row of a run with its request, all its attempts and its outcomes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import json_bytes, print_error, styled, terminal_width, write_json, write_text
from batch.cli.exits import ExitCode
from batch.cli.options import directory_argument, json_option
from batch.policy.dollars import usd
from batch.policy.terminal import one_line, visible

if TYPE_CHECKING:
    from batch.journal.attempts import FailedAttempt
    from batch.records import Outcome
    from batch.results.showing import ShownRow, ShownTask

_LONGEST_TEXT = 4000
_LONGEST_ANSWER = 1000


@click.command("show")
@directory_argument
@click.argument("row", metavar="ID")
@click.option("--variant", metavar="NAME", help="Only variants with this text in their name.")
@click.option("--repeat", type=click.IntRange(min=1), metavar="N", help="Only this repeat, counted from 1.")
@json_option
@click.pass_context
def show_command(ctx: click.Context, directory: str, row: str, variant: str | None, repeat: int | None, as_json: bool) -> None:
    """Show one row: its columns, its request, each attempt, and the outcome.

    ID is the row's id, or its number from 0 where no row has that id. Failed attempts are shown
    with time, endpoint, status, wait, request id, and the answer that was refused; the oldest
    of a long run are dropped. Works at any time, also during the run.

    \b
    Examples:
      promptmill show runs/tickets T-51234
      promptmill show latest 51234 --json
    """
    from batch.app.look import show
    from batch.results.showing import row_document

    shown = show(directory, row)
    if shown is None:
        print_error(f"{directory}: no row has the id or the number {row!r}; ids are in completions and errors, or see promptmill tail")
        ctx.exit(ExitCode.UNUSABLE)
    tasks = [task for task in shown.tasks if (variant or "") in task.variant.name and repeat in (None, task.repeat + 1)]
    if not tasks and shown.tasks:
        names = ", ".join(dict.fromkeys(one_line(task.variant.name) for task in shown.tasks))
        print_error(f"{directory}: no such model or repeat of this row: it has {names}; repeats from 1 to {_repeats(shown)}")
        ctx.exit(ExitCode.UNUSABLE)
    if as_json:
        write_json(row_document(shown, tasks))
    else:
        write_text("\n".join(_text(shown, tasks)))


def _repeats(shown: ShownRow) -> int:
    return max(task.repeat for task in shown.tasks) + 1


def _text(shown: ShownRow, tasks: list[ShownTask]) -> Iterator[str]:
    from batch.records import BadRow, place

    row = shown.row
    where = f" · {place(row.file, row.line)}" if row is not None else ""
    yield styled(f"row {shown.ordinal:,} · id {one_line(shown.id)}{one_line(where)}", "bold")
    if shown.problem is not None:
        yield f"  {one_line(shown.problem)}"
    if isinstance(row, BadRow):
        yield f"  {one_line(row.message)}"
    elif row is not None:
        width = max(map(len, row.columns), default=0)
        for name, value in row.columns.items():
            yield from _block(f"  {one_line(name).ljust(min(width, 20))}  ", _plain(value))
    prompts: list[bytes] = []
    for task in tasks:
        yield ""
        repeat = f", repeat {task.repeat + 1}" if len({each.repeat for each in tasks}) > 1 else ""
        yield styled(f"{one_line(task.variant.name)}{repeat}", "bold", "underline")
        yield from _request(task, prompts)
        yield from _attempts(task)
        yield from _outcome(task)


def _request(task: ShownTask, prompts: list[bytes]) -> Iterator[str]:
    if task.request_error is not None:
        yield from _block("  request   none: ", task.request_error)
        return
    if task.request is None:
        return
    body = task.request.body
    if body in prompts:
        yield "  request   as above"
        return
    prompts.append(body)
    yield f"  request   {task.request.api}, key {task.request.key.hex()}"
    document = json.loads(body)
    # Instructions of the Responses API and of Anthropic's come before what they are about, as in a chat.
    for name in ("instructions", "system"):
        if name in document:
            yield from _block(f"    {name}: ", _content(document.pop(name)))
    for name in ("messages", "input", "prompt"):
        if name in document:
            yield from _messages(name, document.pop(name))
    for name, value in document.items():
        yield from _block(f"    {one_line(name)} = ", _plain(value))


def _messages(name: str, found: Any) -> Iterator[str]:
    """Lay out the turns of a request; a text alone, as completions and embeddings have it, under its key."""
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        yield from _block(f"    {name}: ", _plain(found))
        return
    for each in found:
        # A call of a tool or its result has a type instead of a role.
        role = each.get("role") or each.get("type") or "?"
        rest = {key: value for key, value in each.items() if key not in {"role", "content"} and (key, value) != ("type", "message")}
        content = each.get("content")
        text = _content(content) if content is not None else ""
        more = _plain(rest) if rest else ""
        yield from _block(f"    {one_line(str(role))}: ", "\n".join(filter(None, (text, more))))


def _content(content: Any) -> str:
    """Return the text of a message's content: of a list, the texts of its parts, and other parts as JSON."""
    if not isinstance(content, list):
        return _plain(content)
    parts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        parts.append(text if isinstance(text, str) else _plain(part))
    return "\n".join(parts)


def _attempts(task: ShownTask) -> Iterator[str]:
    for attempt in task.attempts:
        yield click.wrap_text(_attempt_head(attempt), max(20, terminal_width() - 1), subsequent_indent="      ")
        yield from _block(f"      {styled(attempt.code, 'red')}: ", attempt.message)
        if attempt.answer and attempt.answer.strip() != attempt.message:
            yield from _block("      it said: ", attempt.answer[:_LONGEST_ANSWER])
    if task.in_flight is not None:
        since = time.time() - float(task.in_flight.get("since") or time.time())
        number, endpoint = task.in_flight.get("attempt"), one_line(str(task.in_flight.get("endpoint")))
        yield f"  attempt {number} is in flight for {since:.1f} s, to {endpoint}"
    outcome = task.outcome
    kept = len([attempt for attempt in task.attempts if attempt.then != "test"])
    if outcome is not None and (missing := outcome.attempts - outcome.ok - kept) > 0 and outcome.copy_of is None:
        yield f"  {missing:,} more failed {'attempt is' if missing == 1 else 'attempts are'} not kept"


def _attempt_head(attempt: FailedAttempt) -> str:
    status = f"HTTP {attempt.status}" if attempt.status is not None else "no reply"
    parts = [_clock(attempt.time), one_line(attempt.endpoint), status, f"after {attempt.took_s:.2f} s"]
    if attempt.asked_wait_s is not None:
        parts.append(f"it asked for {attempt.asked_wait_s:,.1f} s")
    if attempt.then == "retried":
        parts.append(f"sent again {attempt.wait_s or 0:,.1f} s later")
    else:
        parts.append({"failed": "the row failed", "set aside": "set aside until it is clear what is at fault"}.get(attempt.then, "a test"))
    if attempt.request_id is not None:
        parts.append(f"request id {one_line(attempt.request_id)}")
    return f"  attempt {attempt.number}  " + ", ".join(parts)


def _outcome(task: ShownTask) -> Iterator[str]:
    from batch.results.readable import answer_text

    outcome = task.outcome
    if outcome is None:
        yield "  outcome   none yet"
        return
    yield f"  outcome   {', '.join(_facts(outcome))}"
    if task.is_changed:
        yield "            of another request: the job or the row has changed since"
    if outcome.error is not None:
        yield from _block(f"    {styled(outcome.error.code, 'red')}: ", outcome.error.message)
    if text := answer_text(outcome):
        yield from _block("    ", text)


def _facts(outcome: Outcome) -> Iterator[str]:
    from batch.results.readable import first_token_seconds, seconds

    yield styled("ok", "green") if outcome.ok else styled("failed", "red")
    if outcome.copy_of is not None:
        yield f"taken from the equal request of row {outcome.copy_of:,}"
    if outcome.done is not None:
        yield _clock(outcome.done)
    if outcome.finish_reason is not None:
        yield f"finish_reason {one_line(outcome.finish_reason)}"
    if (took := seconds(outcome)) is not None:
        yield f"{took:.2f} s"
    if (first := first_token_seconds(outcome)) is not None:
        yield f"first token after {first:.2f} s"
    usage = outcome.usage or {}
    if isinstance(usage.get("prompt_tokens"), int):
        yield f"{usage['prompt_tokens']:,} tokens in + {usage.get('completion_tokens') or 0:,} out"
    if outcome.cost_usd is not None:
        yield usd(outcome.cost_usd)
    yield f"{outcome.attempts:,} {'attempt' if outcome.attempts == 1 else 'attempts'}"


def _block(head: str, text: str) -> Iterator[str]:
    """Lay a text out behind its head; further lines are indented, and a long text is cut."""
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text):,} characters)"
    first, *rest = visible(shown).splitlines() or [""]
    width = max(20, terminal_width() - 6)
    lines = click.wrap_text(head + first, width, subsequent_indent="      ") if len(head + first) > width else head + first
    yield lines
    for line in rest:
        yield click.wrap_text(line, width, initial_indent="      ", subsequent_indent="      ") if line.strip() else ""


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return json_bytes(value, indented=False).decode()


def _clock(time_: float) -> str:
    return f"{datetime.fromtimestamp(time_).astimezone():%Y-%m-%d %H:%M:%S}"
