"""A scripted endpoint that answers rows and embeds texts, and the job that asks it for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.support.jobs import JobFolder
from tests.support.scored import ScoredJob
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error, http

EMBEDDER = "embedder"
Vector = Sequence[float] | str


def embedding_reply(vector: Any, tokens: int = 4) -> bytes:
    """A whole reply of the embeddings API."""
    item = {"object": "embedding", "index": 0, "embedding": vector}
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return http(200, orjson.dumps({"object": "list", "model": EMBEDDER, "data": [item], "usage": usage}))


@contextmanager
def embedding(answers: Callable[[str, str], str], vectors: Callable[[str], Iterable[Action] | Any]) -> Iterator[ScriptedEndpoint]:
    """An endpoint at which models say `answers(model, question)`; a text's vector is `vectors(text)`, or what happens."""

    def handler(received: Received) -> Iterable[Action]:
        if not received.body:
            return [error(404)]
        if not received.path.endswith("/embeddings"):
            return [chat_reply(answers(received.json()["model"], received.prompt))]
        found = vectors(received.json()["input"])
        happens = isinstance(found, list) and bool(found) and not isinstance(found[0], int | float | str)
        return found if happens else [embedding_reply(found)]

    with ScriptedEndpoint(handler) as endpoint:
        yield endpoint


class EmbeddedJob(ScoredJob):
    """Rows for two models, a and b, whose answers are scored by embeddings against the column `right`."""

    def __init__(self, path: Path, endpoint: ScriptedEndpoint, rows: Sequence[Mapping[str, Any]], score: str = "", **run: Any) -> None:
        super().__init__(JobFolder(path, endpoint.url, rows=rows, model="house/a", **run), endpoint)
        self._text = self.folder.job.read_text() + '\n[[model]]\nid = "house/b"\ntemperature = 0\n'
        self.write(score)

    def write(self, score: str) -> None:
        """Give the job its one `[[score]]` with these keys more."""
        head = f'[[score]]\nname = "near"\nkind = "embedding"\nmodel = "house/{EMBEDDER}"\nexpected = "right"\n'
        self.folder.job.write_text(f"{self._text}\n{head}{score}\n")

    def embedded(self) -> list[str]:
        """What was to be embedded, so far."""
        return [received.json()["input"] for received in self.endpoint.requests if received.path.endswith("/embeddings")]
