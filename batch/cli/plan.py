"""promptmill plan: what a job would send, cost and take, before anything is sent."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import print_info, table, write_document, write_text
from batch.cli.env_files import env_option
from batch.cli.options import json_option, limit_option, overrides, set_option
from batch.cli.plan_times import times
from batch.policy.dollars import usd
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.counting import VariantEstimate
    from batch.app.estimate import Estimate
    from batch.app.estimate_grading import GradingEstimate
    from batch.app.steps import PlannedStep
    from batch.policy.estimates import Range
    from batch.settings import Price

_HEAD = ("model", "requests", "tokens in", "tokens out", "cost", "Batch API")
_LABEL_WIDTH = 10
_WIDEST = 140


@click.command("plan")
@click.argument("job", metavar="JOB.toml")
@limit_option
@set_option
@env_option
@click.option("--retry-failed", is_flag=True, help="Assume that rows that failed before are sent again.")
@json_option
def plan_command(job: str, limit: int | None, settings: tuple[str, ...], retry_failed: bool, as_json: bool) -> None:
    """Show what a job would send, what it would cost and how long it would take.

    Sends nothing. Finished rows are subtracted. Tokens are estimated from characters,
    or, once the run has some answers, from those. Costs are from a dated price list inside
    the program, or from the price in the job file; the rest is shown as unknown. After a run
    with --limit 20, plan knows how long answers are. A job that builds on others is planned
    with them, by the answers that they have.

    \b
    Examples:
      promptmill plan jobs/tickets.toml
      promptmill plan jobs/tickets.toml --set model.max_tokens=300
    """
    from batch.app.steps import plan_steps, steps_of
    from batch.job import load

    given = overrides(settings, {"limit": limit})
    planned = plan_steps(steps_of(load(job, given), given), retry_failed=retry_failed)
    for warning in (warning for each in planned for warning in each.warnings):
        print_info(f"promptmill: warning: {one_line(warning)}")
    if as_json:
        *before, last = map(_plan_json, planned)
        write_document({**last, "steps": before} if before else last)
    else:
        # Longer lines are hard to read, whatever the terminal has.
        width = min(_WIDEST, shutil.get_terminal_size().columns)
        write_text("\n\n\n".join(step_text(each, width) for each in planned))


def step_text(planned: PlannedStep, width: int) -> str:
    """The plan of a job, or of one of the steps before it, for people."""
    coming = f"{planned.coming:,} requests before it are still to be answered"
    if planned.estimate is None:
        return f"{one_line(planned.name)}: its rows are the answers of {one_line(planned.before or '')}, which has none yet: {coming}"
    text = plan_text(planned.estimate, width)
    if not planned.coming:
        return text
    note = f"the figures are for the answers that there are: {coming}"
    return f"{text}\n{textwrap.fill(note, width, initial_indent='steps'.ljust(_LABEL_WIDTH), subsequent_indent=' ' * _LABEL_WIDTH)}"


def _plan_json(planned: PlannedStep) -> dict[str, Any]:
    found = planned.estimate
    if found is None:
        return {"name": planned.name, "directory": planned.directory, "waits_for": planned.before, "coming": planned.coming}
    figures = {**asdict(found), "cost_usd": found.cost_usd, "at_least_s": found.at_least_s, "expected_s": found.expected_s}
    return figures if planned.before is None else {**figures, "coming": planned.coming}


def plan_text(found: Estimate, width: int) -> str:
    """A plan for people, in lines of `width` columns as far as names allow."""
    parts = [_headline(found), _figures(found, width)]
    notes = [*_prices(found), *_tokens(found), *_order(found), *_kept(found), *_spending(found), *_asked(found), *_scores(found)]
    shown: list[str] = []
    before = ""
    for label, text in notes:
        indent = " " * _LABEL_WIDTH
        first = (label if label != before else "").ljust(_LABEL_WIDTH)
        lines = textwrap.wrap(one_line(text), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
        shown += lines
        before = label
    return "\n\n".join([*parts, "\n".join(shown)])


def _headline(found: Estimate) -> str:
    models = f"{len(found.variants)} model{'s' if len(found.variants) > 1 else ''}"
    times = f" × {found.repeats} repeats" if found.repeats > 1 else ""
    tasks, requests = (sum(getattr(v, name) for v in found.variants) for name in ("tasks", "requests"))
    return f"{found.name}: {found.rows:,} rows × {models}{times} = {tasks:,} tasks, {requests:,} requests to send (nothing was sent)"


def _figures(found: Estimate, width: int) -> str:
    rows = [_HEAD, *(_row(v) for v in found.variants)]
    if len(found.variants) > 1:
        requests = f"{sum(v.requests for v in found.variants):,}"
        rows.append(("all", requests, "", "", _money(found.cost_usd), _money(_sum([v.batch_cost_usd for v in found.variants]))))
    if all(row[-1] in ("Batch API", "unknown") for row in rows):
        rows = [row[:-1] for row in rows]
    return table(rows, width)


def _row(variant: VariantEstimate) -> tuple[str, ...]:
    tokens = (_span(variant.prompt_tokens, _count), _span(variant.answer_tokens, _count))
    return (variant.name, f"{variant.requests:,}", *tokens, _money(variant.cost_usd), _money(variant.batch_cost_usd))


def _prices(found: Estimate) -> Iterator[tuple[str, str]]:
    """Show what each model's tokens cost; models of one price, as in a sweep, share a line."""
    priced: dict[str, list[str]] = {}
    for v in found.variants:
        unknown = f"unknown, {found.price_list} has none; give a price = {{input = …, output = …}}"
        priced.setdefault(unknown if v.price is None else f"{_rates(v.price)} ({v.price.source})", []).append(v.name)
    for price, names in priced.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        yield "prices", f"{names[0]}{more}: {price}"
    if any(v.batch_cost_usd for v in found.variants):
        yield "", "Batch API: what it costs with --engine batch-api, by which answers may take a day."


def _rates(price: Price) -> str:
    rates = price.rates
    cached = f", ${rates.cached_input:g} cached" if rates.cached_input != rates.input else ""
    above = f", more above {price.above[0][0]:,} tokens" if price.above else ""
    each = f", and ${price.per_request:g} a request" if price.per_request else ""
    return f"${rates.input:g} in, ${rates.output:g} out a million tokens{cached}{above}{each}"


def _tokens(found: Estimate) -> Iterator[tuple[str, str]]:
    for v in found.variants:
        if v.requests and v.answers:
            yield "tokens", f"{v.name}: by {v.answers:,} answers of this run"
    if any(v.requests and not v.answers for v in found.variants):
        yield "tokens", "in: from characters, 2.5 to 6 of them a token; a few answers give better figures: promptmill run … --limit 20"
    limits = [v.answer_limit for v in found.variants if v.requests and not v.answers]
    known = sorted({limit for limit in limits if limit})
    if known:
        yield "tokens", f"out: from 1 to max_tokens each ({', '.join(f'{limit:,}' for limit in known)})"
    if None in limits:
        yield "tokens", "out: where max_tokens is not set, nothing bounds the answers, nor the cost"
    media = sum(v.media for v in found.variants)
    if media:
        yield "tokens", f"{media:,} requests have images, sound or files{_files(found)}, whose tokens cannot be estimated from characters"


def _order(found: Estimate) -> Iterator[tuple[str, str]]:
    """Warn of prompts whose long constant text no cache can reuse."""
    # Templates are slow to import: --help does not wait for them.
    from batch.prompts.prefixes import LONG

    late = [v for v in found.variants if v.requests > 1 and v.late_constant >= LONG]
    if late:
        characters = max(v.late_constant for v in late)
        seen = f"{late[0].name}: a part that varies by row stands before {characters:,} characters that are the same for all rows"
        yield "prompt", f"{seen}. Providers and servers reuse only what requests begin with: put the constant text first, best into system"


def _files(found: Estimate) -> str:
    """The files of all requests, by kind; nothing where the rows hold them as messages."""
    counts = [(sum(getattr(v, f"{kind}s") for v in found.variants), kind) for kind in ("picture", "sound", "file")]
    named = ", ".join(f"{count:,} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count)
    unpriced = any(v.cost_usd is not None and v.media and not v.answers for v in found.variants)
    return f" ({named}{'; their cost is not in the figures' if unpriced else ''})" if named else ""


def _kept(found: Estimate) -> Iterator[tuple[str, str]]:
    kept, copies = sum(v.kept for v in found.variants), sum(v.copies for v in found.variants)
    if kept:
        yield "done", f"{kept:,} tasks are done and are not counted above"
    for v in found.variants:
        if v.changed:
            yield "changed", f"{v.name}: {v.changed:,} finished rows have another request now; decide with --changed rerun or keep"
    if copies:
        saved = _sum([v.saved_usd for v in found.variants if v.copies])
        amount = "an unknown amount" if saved is None else _money(saved)
        yield "dedupe", f"{copies:,} requests equal others and are not sent, which saves {amount}"
    for v in found.variants:
        if v.refused:
            yield "refused", f"{v.name}: {v.refused:,} rows cannot be sent; for example {v.example}"


def _spending(found: Estimate) -> Iterator[tuple[str, str]]:
    if found.spent_usd:
        yield "spent", f"{usd(found.spent_usd)} by this run so far"
    if any(v.requests for v in found.variants):
        yield from _budget(found)
        yield from times(found)


def _budget(found: Estimate) -> Iterator[tuple[str, str]]:
    cap, cost = found.max_cost_usd, found.cost_usd
    if cap is None:
        return
    left, high = cap - found.spent_usd, None if cost is None else cost.high
    if cost is None or (high is None and cost.low <= left):
        ends = "it may not suffice"
    elif high is not None and high <= left:
        ends = "it suffices"
    else:
        ends = "it may not suffice" if cost.low <= left else "it does not suffice"
    yield "budget", f"run.max_cost_usd = {cap:g}, of which {usd(max(0.0, left))} is left: {ends}"


def _scores(found: Estimate) -> Iterator[tuple[str, str]]:
    if found.smallest_gap is not None:
        gap = f"gaps of {100 * found.smallest_gap:.1f} points and more"
        yield "scores", f"{found.rows:,} rows show {gap} between two models that disagree on a fifth of the rows (80 % power)"


def _asked(found: Estimate) -> Iterator[tuple[str, str]]:
    """Show the calls of scores that need a model, and what bounds their cost."""
    for each in found.asked:
        yield "grading", _asking(each)
        if each.left_out:
            rows = f"{each.left_out:,} rows have" if each.left_out > 1 else "1 row has"
            yield "grading", f"{each.score}: {rows} no right value to grade with; for example {each.left_out_example}"
    if any(each.calls.requests for each in found.asked):
        yield "grading", "promptmill score makes these calls after the run; no figure above includes them"
        if found.max_cost_usd is not None:
            more = "each of these scores may cost as much again" if len(found.asked) > 1 else "this score may cost as much again"
            yield "grading", f"run.max_cost_usd bounds the run only, {more}; bound that by promptmill score --set run.max_cost_usd=…"


def _asking(asked: GradingEstimate) -> str:
    calls = asked.calls
    graded = f"{asked.score}: {asked.model} {asked.does}"
    made = f", {calls.kept:,} are made" if calls.kept else ""
    if not calls.requests:
        return f"{graded}, 0 calls to make{made}"
    tokens = f"{_span(calls.prompt_tokens, _count)} tokens in"
    if asked.does == "judges":
        tokens += f", {_span(calls.answer_tokens, _count)} out"
    cost = f"{_money(calls.cost_usd)} at {_rates(calls.price)}" if calls.price else "cost unknown"
    return f"{graded}, {calls.requests:,} call{'s' if calls.requests > 1 else ''} to make at most{made}: {tokens}, {cost}"


def _sum(ranges: Sequence[Range | None]) -> Range | None:
    """All together; None when one is unknown."""
    total: Range | None = None
    for each in ranges:
        if each is None:
            return None
        total = each if total is None else total + each
    return total


def _money(cost: Range | None) -> str:
    return "unknown" if cost is None else _span(cost, _dollars)


def _span(found: Range, show: Callable[[float], str]) -> str:
    low = show(found.low)
    if found.high is None:
        return f"{low} or more"
    high = show(found.high)
    return low if low == high else f"{low} to {high}"


def _dollars(amount: float) -> str:
    if amount >= 100 or amount == 0:
        return f"${amount:,.0f}"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}" if amount >= 0.0001 else f"${amount:.6f}"


def _count(amount: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e4)):
        if amount >= size:
            scaled = amount / (1e3 if unit == "k" else size)
            return f"{scaled:,.1f}{unit}" if scaled < 100 else f"{scaled:,.0f}{unit}"
    return f"{amount:,.0f}"
