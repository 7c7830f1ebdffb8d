"""Scripted endpoints that answer, judge and embed, the jobs that ask them, and synthetic benchmarks with known truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from click.testing import Result

from batch.evaluation.table import ScoreTable, ScoreValue, State
from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error, http


class ScoredJob:
    """A folder whose job has one `[[score]]`, and the endpoint that it asks."""

    def __init__(self, folder: JobFolder, endpoint: ScriptedEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint

    def run(self) -> None:
        """Send the rows."""
        done = self.call("run", "test.toml")
        assert done.exit_code in {0, 1}, done.stderr

    def call(self, *arguments: str, **options: Any) -> Result:
        """Call `promptmill ARGUMENTS` in this process."""
        return called(self.folder, *arguments, **options)

    def score(self, *options: str) -> Result:
        """Call `promptmill score` with the job file as it is."""
        return self.call("score", "runs/test", "--job", "test.toml", *options)

    def compared(self) -> dict[str, Any]:
        """The one score of `promptmill compare --json`."""
        done = self.call("compare", "runs/test", "--job", "test.toml", "--json")
        assert done.exit_code == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document["scores"][0]

    def counts(self) -> dict[str, dict[str, int]]:
        """Scored, unscored, failed and missing tasks by variant."""
        standings = self.compared()["findings"]["standings"]
        return {one["summary"]["variant"]: one["summary"]["counts"] for one in standings}


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


def table_of(
    values: np.ndarray, *, binary: bool = True, clusters: Sequence[str] | None = None, variants: Sequence[str] | None = None
) -> ScoreTable:
    """A table of (variants, rows[, repeats]) values, all scored but for NaN, which failed."""
    cube = np.array(values, dtype=np.float64)
    cube = cube[:, :, np.newaxis] if cube.ndim == 2 else cube
    states = np.where(np.isnan(cube), State.FAILED, State.SCORED).astype(np.uint8)
    names = tuple(variants or "ABCDEFGHIJ"[: len(cube)])
    rows = tuple(str(row) for row in range(cube.shape[1]))
    return ScoreTable("exact", binary, names, rows, None if clusters is None else tuple(clusters), cube, states)


def benchmark(
    seed: int, scores: Sequence[float], *, rows: int = 1000, cluster_size: int = 5, failing: float = 0.02, repeats: int = 1
) -> ScoreTable:
    """Right/wrong marks of models whose true scores are about `scores`; equal numbers are equal models.

    Rows differ in difficulty, clusters of rows too, for all models alike; `failing` is the share of calls that fail.
    """
    rng = np.random.default_rng(seed)
    difficulty = np.repeat(rng.normal(0, 1, rows // cluster_size), cluster_size) + rng.normal(0, 1, rows)
    true = np.array(scores)
    logit = 1.35 * np.log(true / (1 - true))
    chance = 1 / (1 + np.exp(-(logit[:, np.newaxis] + difficulty)))
    values = (rng.random((len(scores), rows, repeats)) < chance[:, :, np.newaxis]).astype(np.float64)
    values[rng.random(values.shape) < failing] = np.nan
    clusters = None if cluster_size == 1 else [str(row // cluster_size) for row in range(rows)]
    return table_of(values, clusters=clusters)


class TableBuilder:
    """Collects marks in any order; what is never put stays missing. 5 × 10,000 marks take a tenth of a second or less."""

    def __init__(
        self,
        scorer: str,
        *,
        binary: bool,
        variants: Sequence[str],
        row_ids: Sequence[str],
        repeats: int = 1,
        clusters: Sequence[str] | None = None,
    ) -> None:
        self._head: dict[str, Any] = {"scorer": scorer, "binary": binary, "variants": tuple(variants), "row_ids": tuple(row_ids)}
        self._clusters = None if clusters is None else tuple(clusters)
        shape = (len(variants), len(row_ids), repeats)
        self._values = np.full(shape, np.nan)
        self._states = np.zeros(shape, dtype=np.uint8)

    def put(self, variant: int, row: int, repeat: int, cell: ScoreValue) -> None:
        """Set one mark; `variant` and `row` are indices into the names given at the start."""
        self._states[variant, row, repeat] = State[cell.state.upper()]
        self._values[variant, row, repeat] = np.nan if cell.value is None else cell.value

    def build(self) -> ScoreTable:
        """The table of all marks so far. Raises ValueError as `ScoreTable` does."""
        return ScoreTable(**self._head, clusters=self._clusters, values=self._values.copy(), states=self._states.copy())
