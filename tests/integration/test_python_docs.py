"""The examples of docs/python.md, run as they stand."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply
from tests.support.streams import sse_text

DOCS = Path(__file__).parents[2] / "docs" / "python.md"
ROWS = '{"id": "FR", "country": "France", "capital": "Paris"}\n{"id": "IT", "country": "Italy", "capital": "Rome"}\n'


def paris(received: Received) -> Iterable[Action]:
    """The answer of the server in the documentation."""
    return [sse_text("Paris.") if received.body and received.json().get("stream") else chat_reply("Paris.")]


def test_the_examples_say_what_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example in docs/python.md runs and gives what stands there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capitals.jsonl").write_text(ROWS + '{"id": "PE", "country": "Peru", "capital": "Lima"}\n')
    with ScriptedEndpoint(paris) as endpoint:
        monkeypatch.setenv("HOUSE_URL", endpoint.url)
        results = doctest.testfile(str(DOCS), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 15
    assert results.failed == 0
