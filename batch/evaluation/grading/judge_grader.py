"""Make a judge's calls from the answers to a row. Equal answers to a row share one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batch.errors import RowError
from batch.evaluation.answers import Answer, AnswerRules, scored_text
from batch.evaluation.expected import column_or_template, expected_value
from batch.evaluation.grading.grader_calls import Call, Identity
from batch.evaluation.grading.judge_chats import AGAIN, LONGEST_REPLY, ChatMaker, ChatMessage, chat_text, preference_format, rating_format
from batch.evaluation.grading.pairs import pairs_of
from batch.evaluation.grading.pictures import PictureReader
from batch.evaluation.scorers.sample import ExpectedError
from batch.evaluation.scorers.texts import as_text
from batch.prompts.messages import messages_maker
from batch.prompts.templates import Template
from batch.readers.builders import with_files
from batch.records import CHATS, Row
from batch.settings import Job, JudgeSettings, PromptSettings, ScoreSettings, Variant

MESSAGES = "messages"
"""The column of a judge's calls that holds the chat."""


@dataclass(frozen=True, slots=True)
class Item:
    """One answer, or a pair, with the calls that judge it: one, or one for each order. No calls: the answers of the pair are equal.

    `text` is the judged text, for people; `question` and `expected` are given to the judge beside it.
    """

    answers: tuple[Answer, ...]
    texts: tuple[str, ...]
    question: str
    expected: str | None
    calls: tuple[Call, ...]


def judge_variant(settings: ScoreSettings) -> Variant:
    """Return the judge's variant, with a JSON Schema as response format where that is wanted and no other format is given."""
    judge = judge_of(settings)
    if not judge.structured or "response_format" in judge.variant.parameters:
        return judge.variant
    wanted = (
        preference_format
        if settings.kind == "pairwise"
        else lambda reasons: rating_format(judge.scale, reasons=reasons, criteria=judge.criteria)
    )
    return replace(judge.variant, parameters={**judge.variant.parameters, "response_format": wanted(reasons=judge.reasons)})


def judge_of(settings: ScoreSettings) -> JudgeSettings:
    """Return the judge of a score; only for scores that have one."""
    if settings.judge is None:
        raise ValueError(f"score {settings.name} is not judged by a model")
    return settings.judge


class JudgeGrader:
    """Makes the calls of one judged score.

    Raises:
        ValueError: a template cannot be compiled.
    """

    def __init__(self, settings: ScoreSettings, job: Job) -> None:
        judge = judge_of(settings)
        self.settings = settings
        self.rules = AnswerRules.of(settings)
        self.pairs = pairs_of([variant.name for variant in job.variants], judge.baseline)
        self._chats = ChatMaker(judge)
        self._expected = expected_value(settings)
        self._question = _question(judge, job.variants[0].prompt)
        self._identity = Identity(judge_variant(settings))
        attached = job.variants[0].prompt.attached
        self._pictures = PictureReader(judge.images, attached) if judge.images else None

    def calls(self, row: Row, answers: Sequence[Answer]) -> Iterator[tuple[Call, Sequence[str]]]:
        """Yield the calls about a row's answers, each with the variants that gave them. Raises ExpectedError."""
        for item in self.items(row, answers):
            for call in item.calls:
                yield call, [answer.variant for answer in item.answers]

    def items(self, row: Row, answers: Sequence[Answer]) -> list[Item]:
        """List the items of a row to judge: answers that failed, are missing or have no text are not among them.

        Raises:
            ExpectedError: the row has no right value, or no question, so that none of its answers can be judged.
        """
        expected = self._expected(row)
        reference = None if expected is None else as_text(expected)
        try:
            question = self._question(row)
            known = [(answer, text) for answer in answers if isinstance(text := scored_text(answer, self.rules), str)]
            if self.settings.kind == "pairwise":
                return self._pairs(row, known, question, reference)
            return [self._single(row, answer, text, question, reference) for answer, text in known]
        except RowError as error:
            raise ExpectedError(str(error)) from error

    def follow_up(self, row: Row, call: Call, reply: str | None) -> Call:
        """Make the call that asks again after an unreadable reply."""
        messages = [
            *call.columns[MESSAGES],
            # The end of the reply, where a verdict would be.
            {"role": "assistant", "content": (reply or "")[-LONGEST_REPLY:]},
            {"role": "user", "content": AGAIN},
        ]
        return self._call(row, messages)

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

    def _call(self, row: Row, messages: Sequence[ChatMessage]) -> Call:
        return self._identity.call(row, MESSAGES, messages, None if self._pictures is None else self._pictures.of(row))


def _question(judge: JudgeSettings, prompt: PromptSettings) -> Callable[[Row], str]:
    if judge.question is not None:
        value = column_or_template(judge.question)
        return lambda row: as_text(value(row))
    if prompt.api not in CHATS:
        return with_files(Template(prompt.text or "").render, prompt.attached)
    # What was asked may be the text of a file.
    messages = _stored_messages if prompt.stored else with_files(messages_maker(prompt), prompt.attached)

    def asked(row: Row) -> str:
        text = chat_text([message for message in messages(row) if isinstance(message, Mapping)])
        if text is None:
            raise ExpectedError("the chat has no user message; say in question what was asked")
        return text

    return asked


def _stored_messages(row: Row) -> Sequence[Any]:
    """Return the chat of a row that is a whole request."""
    body = row.columns.get("body")
    messages = body.get("messages") if isinstance(body, Mapping) else None
    return messages if isinstance(messages, list) else ()
