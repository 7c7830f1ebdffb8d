"""A scripted endpoint that answers rows and judges answers, and the job that asks it for both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.jobs import JobFolder
from tests.support.scored import ScoredJob
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error

JUDGE = "judge"
Verdict = Callable[[str], str]


def judged_parts(prompt: str) -> dict[str, str]:
    """The marked parts of what a judge is asked: QUESTION, ANSWER, ANSWER A and so on."""
    found = re.findall(
        r"^\[(?P<name>[A-Z ]+) (?P<mark>[0-9a-f]{12})\]\n(?P<text>.*?)\n\[END (?P=name) (?P=mark)\]$", prompt, re.DOTALL | re.MULTILINE
    )
    return {name: text for name, _, text in found}


class JudgedJob(ScoredJob):
    """Rows for two models, a and b, whose answers (`answers`, by model and question) a third one judges by `verdict`."""

    def __init__(
        self, path: Path, endpoint: ScriptedEndpoint, score: str, *, rows: int = 10, models: Sequence[str] = ("a", "b"), **run: Any
    ) -> None:
        super().__init__(JobFolder(path, endpoint.url, rows=rows, model=f"house/{models[0]}", **run), endpoint)
        self._models = "".join(f'\n[[model]]\nid = "house/{name}"\n' for name in models[1:])
        self._text = self.folder.job.read_text()
        self.write(score)

    def write(self, score: str) -> None:
        """Give the job this `[[score]]`, of kind judge unless it says another one."""
        kind = "" if "kind" in score else 'kind = "judge"\n'
        rubric = "" if "rubric" in score else 'rubric = "Is it right?"\n'
        self.folder.job.write_text(f'{self._text}{self._models}\n[[score]]\nname = "s"\njudge = "house/{JUDGE}"\n{kind}{rubric}{score}\n')

    def judged(self) -> list[str]:
        """What the judge was asked, so far."""
        return [received.prompt for received in self.endpoint.requests if received.body and received.json()["model"] == JUDGE]


@contextmanager
def judging(answers: Callable[[str, str], str], verdict: Callable[[str], Iterable[Action] | str]) -> Iterator[ScriptedEndpoint]:
    """An endpoint at which the models say `answers(model, question)`, and the judge `verdict(prompt)`: its text, or what happens."""

    def handler(received: Received) -> Iterable[Action]:
        if not received.body:
            return [error(404)]
        model = received.json()["model"]
        if model != JUDGE:
            return [chat_reply(answers(model, received.prompt))]
        said = verdict(received.prompt)
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.001}
        return [chat_reply(said, usage=usage)] if isinstance(said, str) else said

    with ScriptedEndpoint(handler) as endpoint:
        yield endpoint
