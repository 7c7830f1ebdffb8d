"""From the answers to a row to what a judge is asked about them, each question once: equal answers to a row are judged together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from batch.errors import RowError
from batch.evaluation.answers import Answer
from batch.evaluation.expected import column_or_template, expected_value
from batch.evaluation.judges.chats import ChatMaker, Message, plain_text, preference_format, rating_format
from batch.evaluation.judges.pairs import pairs_of
from batch.evaluation.scorers.sample import ExpectedError, Sample
from batch.evaluation.scorers.texts import answer_text, as_text
from batch.evaluation.table import Cell
from batch.prompts.messages import messages_maker
from batch.prompts.templates import Template
from batch.records import Row
from batch.settings import Job, JudgeSettings, PromptSettings, ScoreSettings, Variant
from batch.writers.values import json_bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a judge. `id` begins with the row's and hashes everything that decides the judge's answer."""

    id: str
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Item:
    """One answer, or a pair of them, with the calls that judge it: one, or one for each order. None: the answers are equal.

    `text` is what is judged, for people; `question` and `expected` are what the judge is told beside it.
    """

    answers: tuple[Answer, ...]
    texts: tuple[str, ...]
    question: str
    expected: str | None
    calls: tuple[Call, ...]


def judge_variant(settings: ScoreSettings) -> Variant:
    """What a judge's requests are made of: its own parameters, and a JSON Schema where that is wanted and no other format is."""
    judge = judge_of(settings)
    if not judge.structured or "response_format" in judge.variant.parameters:
        return judge.variant
    wanted = preference_format if settings.kind == "pairwise" else lambda reasons: rating_format(judge.scale, reasons=reasons)
    return replace(judge.variant, parameters={**judge.variant.parameters, "response_format": wanted(reasons=judge.reasons)})


def judge_of(settings: ScoreSettings) -> JudgeSettings:
    """The judge of a score that has one."""
    if settings.judge is None:
        raise ValueError(f"score {settings.name} is not judged by a model")
    return settings.judge


class Asker:
    """Makes the questions of one judged score about the answers of a run.

    Raises:
        ValueError: a template cannot be compiled.
    """

    def __init__(self, settings: ScoreSettings, job: Job) -> None:
        judge = judge_of(settings)
        self.settings = settings
        self.pairs = pairs_of([variant.name for variant in job.variants], judge.baseline)
        self._chats = ChatMaker(judge)
        self._expected = expected_value(settings)
        self._question = _question(judge, job.variants[0].prompt)
        variant = judge_variant(settings)
        decided = [_sent_to(variant), dict(variant.parameters)]
        self._identity = blake2b(json.dumps(decided, sort_keys=True).encode(), digest_size=16)

    def items(self, row: Row, answers: Sequence[Answer]) -> list[Item]:
        """What is to be judged of a row: nothing that failed, is missing or has no text.

        Raises:
            ExpectedError: the row has no right value, or no question, so that none of its answers can be judged.
        """
        expected = self._expected(row)
        reference = None if expected is None else as_text(expected)
        try:
            question = self._question(row)
            known = [(answer, text) for answer in answers if isinstance(text := judged_text(answer), str)]
            if self.settings.kind == "pairwise":
                return self._pairs(row, known, question, reference)
            return [self._single(row, answer, text, question, reference) for answer, text in known]
        except RowError as error:
            raise ExpectedError(str(error)) from error

    def _single(self, row: Row, answer: Answer, text: str, question: str, expected: str | None) -> Item:
        call = self._call(row, self._chats.rating(row, question, text, expected))
        return Item((answer,), (text,), question, expected, (call,))

    def _pairs(self, row: Row, known: Sequence[tuple[Answer, str]], question: str, expected: str | None) -> list[Item]:
        by_task = {(answer.variant, answer.repeat): (answer, text) for answer, text in known}
        items = []
        for repeat in sorted({answer.repeat for answer, _ in known}):
            for one, other in self.pairs:
                first, second = by_task.get((one, repeat)), by_task.get((other, repeat))
                if first is None or second is None:
                    continue
                texts = (first[1], second[1])
                orders = (texts, texts[::-1]) if texts[0].strip() != texts[1].strip() else ()
                calls = tuple(self._call(row, self._chats.preference(row, question, *order, expected)) for order in orders)
                items.append(Item((first[0], second[0]), texts, question, expected, calls))
        return items

    def _call(self, row: Row, messages: Sequence[Message]) -> Call:
        digest = self._identity.copy()
        digest.update(json_bytes(messages))
        return Call(f"{row.id} {digest.hexdigest()}", messages)


def _sent_to(variant: Variant) -> list[str | None]:
    """Which model it is. Not the base URL: a server may move, and the embedded one always does."""
    embedded = variant.provider.embedded
    return [variant.provider.name, variant.model, *((embedded.model_path, embedded.chat_template) if embedded else ())]


def judged_text(answer: Answer) -> str | Cell | None:
    """The text that is judged, without thinking; a cell that says why there is none; None for a task without an answer."""
    if answer.missing or answer.failure is not None:
        return None
    return answer_text(Sample(answer.text, tool_calls=answer.tool_calls))


def _question(judge: JudgeSettings, prompt: PromptSettings) -> Callable[[Row], str]:
    if judge.question is not None:
        value = column_or_template(judge.question)
        return lambda row: as_text(value(row))
    if prompt.api != "chat/completions":
        return Template(prompt.text or "").render
    messages = messages_maker(prompt)

    def asked(row: Row) -> str:
        text = plain_text([message for message in messages(row) if isinstance(message, Mapping)])
        if text is None:
            raise ExpectedError("the chat has no user message; say in question what was asked")
        return text

    return asked
