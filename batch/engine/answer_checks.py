"""Checks answers against a schema; one that does not fit is requested again, up to `repair` times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batch.engine.work import Work
from batch.policy.usage import added
from batch.prompts import AnswerSchema
from batch.prompts.schemas import fault_of, is_enforced, is_mendable, mending
from batch.records import ErrorInfo, Exchange
from batch.settings import RunSettings, Variant


@dataclass(frozen=True, slots=True)
class AnswerSchemaCheck:
    """The schema for one variant's answers, and how often an answer that does not fit is requested again."""

    document: Mapping[str, Any]
    schema: AnswerSchema
    repairs: int

    def fault(self, exchange: Exchange) -> ErrorInfo | None:
        """Return why the answer does not fit; None if it fits."""
        return None if exchange.reply is None else fault_of(self.schema, exchange.reply)

    def repair(self, work: Work, exchange: Exchange, error: ErrorInfo) -> bool:
        """Change `work` to a request that names the fault to the model. Returns False if no repairs are left or possible."""
        reply = exchange.reply
        if reply is None or work.repairs >= self.repairs or not is_mendable(reply):
            return False
        work.repairs += 1
        work.mended = mending(work.request, reply.text or "", error.message, self.document)
        work.used = added(work.used, reply.usage)
        # A repair is no retry after a fault of the endpoint: the retry budget does not pay for it.
        work.charged_retry = False
        return True


def answer_checks_of(variants: Iterable[Variant], run: RunSettings) -> dict[str, AnswerSchemaCheck]:
    """Return the checks by variant; a variant without a schema, or without `check`, has none."""
    answer_checks = {}
    for variant in variants:
        prompt = variant.prompt
        if prompt.schema is not None and prompt.check_schema:
            promised = is_enforced(prompt, variant.provider.json_schema)
            repairs = run.repair if run.repair is not None else 0 if promised else 1
            answer_checks[variant.name] = AnswerSchemaCheck(prompt.schema, AnswerSchema(prompt.schema), repairs)
    return answer_checks
