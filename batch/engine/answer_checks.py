"""Answers held to a schema: each is checked as it comes, and one that does not fit is asked for again, a few times at most."""

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
    """What the answers of one variant must fit, and how often one that does not is asked for again."""

    document: Mapping[str, Any]
    schema: AnswerSchema
    repairs: int

    def fault(self, exchange: Exchange) -> ErrorInfo | None:
        """Why the answer does not do; None when it does."""
        return None if exchange.reply is None else fault_of(self.schema, exchange.reply)

    def repair(self, work: Work, exchange: Exchange, error: ErrorInfo) -> bool:
        """Make `work` one that asks again, telling the model what was wrong; False when it was asked often enough, or it is no use."""
        reply = exchange.reply
        if reply is None or work.repairs >= self.repairs or not is_mendable(reply):
            return False
        work.repairs += 1
        work.mended = mending(work.request, reply.text or "", error.message, self.document)
        work.used = added(work.used, reply.usage)
        work.charged_retry = False
        return True


def answer_checks_of(variants: Iterable[Variant], run: RunSettings) -> dict[str, AnswerSchemaCheck]:
    """The demands by variant; those without a schema, or whose answers are not to be checked, have none."""
    answer_checks = {}
    for variant in variants:
        prompt = variant.prompt
        if prompt.schema is not None and prompt.check_schema:
            promised = is_enforced(prompt, variant.provider.json_schema)
            repairs = run.repair if run.repair is not None else 0 if promised else 1
            answer_checks[variant.name] = AnswerSchemaCheck(prompt.schema, AnswerSchema(prompt.schema), repairs)
    return answer_checks
