"""Three jobs that build on each other, on a scripted endpoint: extract lists, judge each element, write about those that are good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.jobs import JobFolder, lines_of
from tests.support.scripted import Action, Received, answer, chat_reply, error

ITEMS = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "string"}}}, "required": ["items"]}
VERDICT = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}


def reply(received: Received) -> Iterable[Action]:
    """Answer each step: the words of a document, whether a word is good (begins with g), a text about it."""
    if not received.body:
        return answer(received)
    step, _, text = received.prompt.partition(": ")
    if step == "extract":
        return [error(400, "refused")] if "refuse" in text else [chat_reply(json.dumps({"items": text.split()}))]
    if step == "judge":
        return [chat_reply(json.dumps({"good": text.startswith("g")}))]
    return [chat_reply(f"about {text}")]


class StepsFolder(JobFolder):
    """The jobs extract.toml, judge.toml and last.toml over `documents`: {doc, text}. `settings` are lines of each one's [input]."""

    def __init__(self, path: Path, url: str, documents: Iterable[Mapping[str, Any]], *, input_file: str = "docs.jsonl", **run: Any) -> None:
        super().__init__(path, url, rows=0)
        self.input_file = input_file
        self.documents(documents)
        self._run = "".join(f"{key} = {json.dumps(value)}\n" for key, value in run.items())
        (path / "items.json").write_text(json.dumps(ITEMS))
        (path / "verdict.json").write_text(json.dumps(VERDICT))
        self.step("extract", f'path = "{input_file}"\nid = "doc"', "extract: {{ text }}", schema="items.json")
        self.step(
            "judge", 'job = "extract.toml"\nexplode = "parsed.items"', "judge: {{ item }}", schema="verdict.json", columns=["doc", "item"]
        )
        self.step("last", "job = \"judge.toml\"\nwhere = 'parsed.good == true'", "write: {{ item }} of {{ doc }}", columns=["doc", "item"])
        self.job = path / "last.toml"

    def documents(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Give the first step other rows."""
        (self.path / self.input_file).write_text("".join(json.dumps(document) + "\n" for document in documents))

    def step(self, name: str, source: str, user: str, *, schema: str | None = None, columns: Iterable[str] = (), more: str = "") -> None:
        """Write the job file of one step; `source` are lines of [input], `more` lines at the end."""
        asked = "" if schema is None else f'schema = "{schema}"\n'
        (self.path / f"{name}.toml").write_text(
            f"[input]\n{source}\n\n[prompt]\nuser = {json.dumps(user)}\n{asked}\n"
            f'[provider.house]\nbase_url = "{self.url}"\n\n[[model]]\nid = "house/test-model"\ntemperature = 0\n\n'
            f"[run]\n{self._run}\n[output]\ncolumns = {json.dumps([*columns])}\n{more}\n"
        )

    def lines(self, name: str, kind: str = "completions") -> list[dict[str, Any]]:
        """The completions, or errors, of one step."""
        return lines_of(self.path / "runs" / name / f"{kind}.jsonl")

    def kept(self, name: str) -> list[dict[str, Any]]:
        """The rows that the run directory of one step keeps."""
        (file,) = (self.path / "runs" / name / "rows").glob("*.jsonl")
        return lines_of(file)
