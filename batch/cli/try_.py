"""promptmill try: one row, its request shown, its answer streamed to the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import json_bytes, print_error, print_info, styled, write, write_document, write_json
from batch.cli.display import check_input
from batch.cli.env_files import env_option
from batch.cli.exits import ExitCode
from batch.cli.options import job_argument, json_option, overrides, set_option
from batch.policy.terminal import one_line, visible
from batch.records import Chunk, Exchange, Task

if TYPE_CHECKING:
    from batch.app import TryResult

# Images are sent as base64 text: a person wants to see that they are there, not their content.
LONGEST_SHOWN = 2000
SHOWN_NUMBERS = 4


@click.command("try")
@job_argument
@click.option("--row", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Which row to send, from 0.")
@click.option("--variant", metavar="NAME", help="Which of the job's models to call.  [default: the first]")
@set_option
@env_option
@json_option
@click.pass_context
def try_command(ctx: click.Context, job: str, row: int, variant: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Send one row; show the request and stream the answer.

    The request is shown on stderr, the answer goes to stdout as it comes, then a line with
    finish_reason, tokens and times. Nothing is written to the run directory.

    \b
    Examples:
      promptmill try jobs/tickets.toml --row 17
      promptmill try jobs/tickets.toml --set model.temperature=1
    """
    from batch import app
    from batch.app.made_rows import rows_for_reading
    from batch.job import load

    loaded = load(job, overrides(settings, {}))
    show = _Quiet() if as_json else _Shown()
    with rows_for_reading(loaded) as readable:
        check_input(readable)
        result = app.try_row(readable, row, show.request, show.chunk, variant=variant)
    if as_json:
        write_document(_as_json(result))
    else:
        _show_end(result, streamed=show.wrote)
    if result.error is not None:
        print_error(f"{result.error.code}: {result.error.message}")
        ctx.exit(ExitCode.FAILED_ROWS)


class _Quiet:
    wrote = False

    def request(self, task: Task) -> None:
        """Shown at the end, as part of the JSON."""

    def chunk(self, chunk: Chunk) -> None:
        """Shown at the end, as part of the JSON."""


class _Shown:
    """The request and the answer as they go over the wire. Reasoning goes to stderr: it is not part of the answer."""

    def __init__(self) -> None:
        self.wrote = False
        self._reasoning = False

    def request(self, task: Task) -> None:
        import orjson

        print_info(styled(f"row {task.ordinal} (id {one_line(task.id)}) → {one_line(task.variant)}, {task.request.api}", "bold"))
        print_info(visible(json_bytes(_shortened(orjson.loads(task.request.body))).decode()), data=True)
        print_info("")

    def chunk(self, chunk: Chunk) -> None:
        if chunk.reasoning:
            print_info(styled(visible(chunk.reasoning), "dim"), end="", data=True)
            self._reasoning = True
        if chunk.text:
            if self._reasoning:
                print_info("\n")
                self._reasoning = False
            write(chunk.text, end="")
            self.wrote = True


def _show_end(result: TryResult, *, streamed: bool) -> None:
    """What was not streamed (tool calls, embeddings, plain replies), then a line of figures."""
    reply = result.exchange.reply
    if reply is not None:
        if streamed:
            write("")
        elif reply.text and result.error is None:
            write(reply.text)
        if reply.tool_calls:
            write_json(reply.tool_calls)
        if reply.embedding is not None:
            write(_embedding_text(reply.embedding, whole=sys.stdout is not None and not sys.stdout.isatty()))
    print_info(styled(figures_of(result.exchange), "dim"))


def figures_of(exchange: Exchange) -> str:
    """One line: finish_reason, tokens, time to the first token, time in all."""
    reply, took = exchange.reply, exchange.done_at - exchange.sent_at
    parts = [f"HTTP {exchange.status}"] if exchange.status not in (None, 200) else []
    if reply is not None and reply.finish_reason:
        parts.append(f"finish_reason {one_line(reply.finish_reason)}")
    usage = (reply.usage if reply is not None else None) or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(prompt, int):
        parts.append(f"{prompt:,} tokens in" + (f" + {completion:,} out" if isinstance(completion, int) else ""))
    if exchange.first_token_at is not None:
        parts.append(f"first token after {exchange.first_token_at - exchange.sent_at:.2f} s")
    parts.append(f"{took:.2f} s in all")
    writing = exchange.done_at - exchange.first_token_at if exchange.first_token_at is not None else took
    # An answer that came in one piece was written before its first token was seen.
    writing = took if writing < took / 10 else writing
    if isinstance(completion, int) and completion > 1 and writing > 0:
        parts.append(f"{completion / writing:,.0f} tokens/s")
    return ", ".join(parts)


def _as_json(result: TryResult) -> dict[str, Any]:
    import orjson

    task, exchange, reply = result.task, result.exchange, result.exchange.reply
    first = exchange.first_token_at
    return {
        "row": task.ordinal,
        "id": task.id,
        "variant": task.variant,
        "api": task.request.api,
        "request": orjson.loads(task.request.body),
        "http_status": exchange.status,
        "completion": reply.text if reply is not None else None,
        "reasoning": reply.reasoning if reply is not None else None,
        "tool_calls": reply.tool_calls if reply is not None else None,
        "embedding": reply.embedding if reply is not None else None,
        "finish_reason": reply.finish_reason if reply is not None else None,
        "usage": reply.usage if reply is not None else None,
        "first_token_s": None if first is None else round(first - exchange.sent_at, 6),
        "latency_s": round(exchange.done_at - exchange.sent_at, 6),
        "error": result.error,
    }


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"{value[:LONGEST_SHOWN]}… ({len(value):,} characters)"
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return {key: _shortened(item) for key, item in value.items()} if isinstance(value, dict) else value


def _embedding_text(embedding: list[float], *, whole: bool) -> str:
    numbers = ", ".join(map(str, embedding if whole else embedding[:SHOWN_NUMBERS]))
    return f"[{numbers}]" if whole else f"[{numbers}, …] ({len(embedding):,} numbers)"
