"""Sends the texts of several rows in one request where an API takes a list of them, and gives each row its part of the answer.

Each row stays a task of its own: with its own key, outcome and record. What is sent, paced, retried and paid for is the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from batch.engine.decisions import Decision, Fail, Retry, Warn
from batch.engine.feed import Copied, Plan, Source, Unsendable
from batch.engine.work import Bundle, Work
from batch.policy.shares import shared
from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import Api, ErrorInfo, ErrorKind, Exchange, Request, Task
from batch.settings import RunSettings
from batch.tally import Tally

# OpenAI takes 300,000 tokens in one request (API reference of POST /v1/embeddings, "input"). Four bytes of English are a token; two here.
MOST_BYTES = 600_000
# Rows whose other parameters differ cannot share a request. Those of more kinds than these are sent with what has come together.
MOST_OPEN = 64
# The members of a request and of its reply that may be lists, by API.
_LISTS: Mapping[Api, tuple[str, str]] = {"embeddings": ("input", "data")}

_Item = Work | Unsendable | Copied


@dataclass(slots=True)
class _Growing:
    """A bundle that still gets texts, encoded as JSON. `rest` is the request without them."""

    rest: bytes
    works: list[Work] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    size: int = 0


class BundledSource:
    """A source of work, bundled: up to as many rows a request as `sizes` has for the variant."""

    def __init__(self, source: Source, sizes: Mapping[str, int]) -> None:
        self._source = source
        self._sizes = sizes

    def batches(self) -> Iterator[list[_Item]]:
        """Yield the work in batches."""
        return bundled(self._source.batches(), self._sizes)

    def answered(self) -> Sequence[Task]:
        """Return a task of each variant that an earlier session answered, if one is found soon."""
        return self._source.answered()


def sizes_of(plans: Iterable[Plan]) -> dict[str, int]:
    """Return how many texts a request may have, by variant, for those that send several."""
    return {plan.variant: plan.builder.texts_per_request for plan in plans if plan.builder.texts_per_request > 1}


def bundled(batches: Iterable[Sequence[_Item]], sizes: Mapping[str, int]) -> Iterator[list[_Item]]:
    """Yield what `batches` do, with bundles in place of the work that can share a request; what is left over comes last.

    Work whose request is no single text (one with a list of its own) stays as it is.
    """
    growing: dict[tuple[str, int, bytes], _Growing] = {}
    for batch in batches:
        ready: list[_Item] = []
        for item in batch:
            limit = sizes.get(item.task.variant, 1) if isinstance(item, Work) else 1
            if not isinstance(item, Work) or limit == 1 or (parts := _taken_apart(item.task.request)) is None:
                ready.append(item)
                continue
            ready += _added(growing, item, *parts, limit)
        yield ready
    if growing:
        yield [_closed(each) for each in growing.values()]


def _added(growing: dict[tuple[str, int, bytes], _Growing], work: Work, rest: bytes, text: bytes, limit: int) -> Iterator[Work]:
    """Add work to a bundle; yields the bundles that get nothing more."""
    group = (work.task.variant, work.shard, rest)
    if (before := growing.get(group)) is not None and before.size + len(text) > MOST_BYTES:
        yield _closed(growing.pop(group))
    if len(growing) >= MOST_OPEN and group not in growing:
        yield _closed(growing.pop(next(iter(growing))))
    bundle = growing.setdefault(group, _Growing(rest))
    bundle.works.append(work)
    bundle.texts.append(text)
    bundle.size += len(text)
    if len(bundle.works) >= limit:
        yield _closed(growing.pop(group))


def _taken_apart(request: Request) -> tuple[bytes, bytes] | None:
    """Return the request without its text, and the text, both as JSON; None where it has no single text."""
    if request.api not in _LISTS:
        return None
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    text = document.pop(_LISTS[request.api][0], None)
    return (orjson.dumps(document), orjson.dumps(text)) if isinstance(text, str) and document else None


def _closed(growing: _Growing) -> Work:
    first, *others = growing.works
    if not others:
        return first
    task, (name, _) = first.task, _LISTS[first.task.request.api]
    body = b"".join((growing.rest[:-1], b',"', name.encode(), b'":[', b",".join(growing.texts), b"]}"))
    # Nothing asks for its key: what is recorded has the keys of its rows.
    whole = Task(task.ordinal, task.id, task.variant, task.repeat, Request(task.request.api, body, bytes(16)))
    return Bundle(whole, shard=first.shard, members=tuple(growing.works), weights=tuple(map(len, growing.texts)))


def divide(bundle: Bundle, exchange: Exchange) -> ErrorInfo | None:
    """Give each row its part of the answer, of its usage and of its cost; returns why that is impossible, where it is."""
    api = bundle.task.request.api
    try:
        answers = list(_answers(bundle, exchange, api))
    except (ReplyFormatError, orjson.JSONDecodeError) as error:
        code = error.code if isinstance(error, ReplyFormatError) else "not_json"
        return ErrorInfo(ErrorKind.PROTOCOL, code, f"of a request for {len(bundle.members)} texts: {error}", exchange.status)
    _hand_over(bundle)
    for work, _ in answers:
        work.endpoint, work.first_sent = bundle.endpoint, bundle.first_sent
    bundle.answers = answers
    return None


def _answers(bundle: Bundle, exchange: Exchange, api: Api) -> Iterator[tuple[Work, Exchange]]:
    name = _LISTS[api][1]
    document: dict[str, Any] = orjson.loads(exchange.body)
    items = _in_order(document.get(name), len(bundle.members))
    stated = shared(document.get("usage"), bundle.weights)
    # Not always the same: the client omits what cannot be.
    believed = shared(exchange.reply.usage if exchange.reply is not None else None, bundle.weights)
    for work, item, usage, counted in zip(bundle.members, items, stated, believed, strict=True):
        part = {**document, name: [{**item, "index": 0}]}
        if "usage" in document:
            part["usage"] = usage
        body = orjson.dumps(part)
        yield work, replace(exchange, body=body, reply=replace(read_reply(api, body), usage=counted))


def _in_order(items: Any, count: int) -> list[dict[str, Any]]:
    """Return the items of a reply in the order of the texts. Raises ReplyFormatError."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items) or len(items) != count:
        found = len(items) if isinstance(items, list) else "no"
        raise ReplyFormatError("no_choices", f"the reply holds {found} answers for {count} texts")
    places = [item.get("index") for item in items]
    if all(place is None for place in places):
        return items
    if sorted(places, key=str) != sorted(range(count), key=str):
        raise ReplyFormatError("no_choices", f"the reply's answers have no index each from 0 to {count - 1}")
    return sorted(items, key=lambda item: item["index"])


def _hand_over(bundle: Bundle) -> None:
    """Give the rows their parts of what the bundle's attempts have cost. One that may be billed twice is counted at the first row."""
    costs, extras = shared(bundle.cost_usd, bundle.weights), shared(bundle.extra_usd, bundle.weights)
    for work, cost, extra in zip(bundle.members, costs, extras, strict=True):
        work.tries += bundle.tries
        work.cost_usd = cost if work.cost_usd is None or cost is None else work.cost_usd + cost
        work.extra_usd += extra
    bundle.members[0].may_be_billed_twice += bundle.may_be_billed_twice


class OneByOne:
    """Sends the rows of a failed bundle again, each alone: one of them may be at fault for all."""

    def __init__(self, tallies: Mapping[str, Tally], run: RunSettings) -> None:
        self._tallies = tallies
        self._attempts = run.attempts
        self._reported: set[str] = set()

    def __call__(self, decisions: Iterable[Decision]) -> Iterator[Decision]:
        """Pass decisions through; in place of a bundle's failure, its rows are retried."""
        for decision in decisions:
            if isinstance(decision, Fail) and isinstance(decision.work, Bundle):
                yield from self._alone(decision.work, decision.error, decision.exchange)
            else:
                yield decision

    def _alone(self, bundle: Bundle, error: ErrorInfo, exchange: Exchange | None) -> Iterator[Decision]:
        variant = bundle.task.variant
        if variant not in self._reported:
            self._reported.add(variant)
            yield Warn(f"{variant}: a request for {len(bundle.members)} texts failed, and each is sent alone: {error.message}")
        if exchange is not None and _may_be_billed(exchange):
            bundle.may_be_billed_twice += 1
            self._tallies[variant].doubled += 1
        _hand_over(bundle)
        for work in bundle.members:
            # Whatever the bundle has used up, each row is tried once at least.
            work.attempts = min(bundle.attempts, self._attempts - 1)
            yield Retry(work, 0.0 if exchange is None else exchange.done_at)


def _may_be_billed(exchange: Exchange) -> bool:
    if exchange.fault is not None:
        return exchange.fault.sent
    return exchange.reply is not None and exchange.reply.error is None
