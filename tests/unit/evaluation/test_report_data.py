"""The page's data: chunks, the index that filters need, marks read along, and texts made short."""

from __future__ import annotations

import base64
import gzip
import io
import re
from pathlib import Path

import orjson
import pytest

from batch.evaluation.parquet import SCORES_SCHEMA, ScoresReader, open_table
from batch.evaluation.report import formatting
from batch.evaluation.report.chunks import ChunkWriter, data_element
from batch.evaluation.report.index import SampleIndex, scores_disagree, state_of, texts_disagree
from batch.evaluation.table import ScoreValue
from batch.records import BadRow, Request, Row
from tests.support.stores import outcome

ELEMENT = re.compile(rb'<script type="application/x-gzip-base64" id="(texts-\d+)">([A-Za-z0-9+/=]*)</script>\n')
RIGHT, WRONG, HALF = (ScoreValue(value, "scored", None, "") for value in (1.0, 0.0, 0.5))
UNSCORED = ScoreValue(None, "unscored", None, "")


def row(ordinal: int, **columns: object) -> Row:
    return Row(ordinal, f"r{ordinal}", columns, "in.jsonl", ordinal + 1)


def test_chunks_hold_all_lines_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come back as they were, each chunk begins at the line that `starts` says, and nothing but base64 stands in the page."""
    monkeypatch.setattr("batch.evaluation.report.chunks.CHUNK_BYTES", 40)
    file, lines = io.BytesIO(), [f'["</script> {at}"]'.encode() for at in range(10)]
    writer = ChunkWriter(file)
    for line in lines:
        writer.add(line)
    writer.flush()
    found = ELEMENT.findall(file.getvalue())
    assert b"".join(b'<script type="application/x-gzip-base64" id="%s">%s</script>\n' % one for one in found) == file.getvalue()
    chunks = [gzip.decompress(base64.b64decode(data)).split(b"\n") for _, data in found]
    assert [line for chunk in chunks for line in chunk] == lines
    assert len(chunks) > 2
    starts = [sum(map(len, chunks[:at])) for at in range(len(chunks))]
    assert writer.starts == starts
    assert [name for name, _ in found] == [f"texts-{at}".encode() for at in range(len(chunks))]


def test_equal_data_make_equal_elements() -> None:
    """A report of the same data is the same file, byte for byte: no time is packed in."""
    assert data_element("index", b"abc") == data_element("index", b"abc")


def test_no_lines_make_no_chunk() -> None:
    """An empty input gives a page without texts."""
    file = io.BytesIO()
    writer = ChunkWriter(file)
    writer.flush()
    assert (file.getvalue(), writer.starts) == (b"", [])


@pytest.mark.parametrize(
    ("ended", "cell", "state"),
    [
        (outcome(0), RIGHT, "5"),
        (outcome(0), HALF, "4"),
        (outcome(0), WRONG, "3"),
        (outcome(0), UNSCORED, "2"),
        (outcome(0, error="rate_limited"), ScoreValue(None, "failed", None, ""), "1"),
        (None, ScoreValue(None, "missing", None, ""), "0"),
        (outcome(0), None, "6"),
        (outcome(0, error="rate_limited"), None, "1"),
        (None, None, "0"),
    ],
)
def test_states(ended: object, cell: ScoreValue | None, state: str) -> None:
    """A task is right only with a full score, and what is not scored keeps its own state."""
    assert state_of(ended, cell) == state  # type: ignore[arg-type]


def test_disagreement_is_of_marks() -> None:
    """Variants disagree when scored marks differ; a failed call is no opinion, and repeats are averaged first."""
    assert scores_disagree([RIGHT, WRONG, None], 1)
    assert not scores_disagree([RIGHT, RIGHT, UNSCORED], 1)
    assert not scores_disagree([None, WRONG], 1)
    assert not scores_disagree([RIGHT, WRONG, WRONG, RIGHT], 2)
    assert scores_disagree([RIGHT, RIGHT, WRONG, RIGHT], 2)


def test_disagreement_without_scores_is_of_texts() -> None:
    """Without scores answers that differ by more than case and space disagree."""
    assert not texts_disagree(["A  b", "a b\n", None])
    assert texts_disagree(["a", "b"])


def test_the_index_has_codes_for_values_and_endings() -> None:
    """Values and finish reasons are numbered as they come; a column of too many values, or of one, is no filter."""
    index = SampleIndex(["topic", "id", "same"], 1)
    for at in range(300):
        index.add_row(row(at, topic="ab"[at % 2], id=at, same=1), "p")
        index.add_finishes([outcome(at), None])
        index.add_scores(0, ["5", "0"], disagree=at == 1)
    index.add_row(BadRow(300, "in.jsonl:301 (row 300)", "bad", "in.jsonl", 301, bytes(16)), "")
    made = index.document()
    assert made["columns"] == [{"name": "topic", "values": ["a", "b"], "codes": [0, 1] * 150 + [-1]}]
    assert (made["finishes"], made["finishCodes"][:4]) == (["stop", ""], "0101")
    assert (made["states"][0][:4], made["disagree"][0][:3]) == ("5050", "010")


def test_endings_stay_apart_from_signs_that_json_doubles() -> None:
    """However many finish reasons there are, each code is one plain sign; the rarest share one."""
    from dataclasses import replace

    index = SampleIndex([], 0)
    for at in range(100):
        index.add_finishes([replace(outcome(at), finish_reason=f"reason {at}")])
    made = index.document()
    assert len(made["finishCodes"]) == 100
    assert all(sign.isascii() and sign not in '"\\' for sign in made["finishCodes"])
    assert made["finishes"][ord(made["finishCodes"][99]) - 48] == "other"


def test_marks_are_read_along(tmp_path: Path) -> None:
    """Each task gets its own mark; rows that have none, and tasks that are not asked for, do not shift the others."""
    with open_table(tmp_path / "s.parquet", SCORES_SCHEMA) as table:
        for at in (0, 2, 3):
            for name in ("a", "b"):
                table.add((at, str(at), name, 0, "scored", float(name == "a"), f"{name}{at}", "why", None))
    reader = ScoresReader(tmp_path / "s.parquet")
    found = [reader.take(at, name, 0) for at in (0, 1, 3) for name in ("a", "b")]
    assert [cell and cell.extracted for cell in found] == ["a0", "b0", None, None, "a3", "b3"]
    assert reader.take(9, "a", 0) is None


def test_texts_are_cut_with_a_note() -> None:
    """A cut text says how much is left out; one that fits is untouched."""
    assert formatting.cut("abc", 3) == "abc"
    assert formatting.cut("abcdef", 3) == "abc\n… (3 more characters)"


def test_texts_of_a_huge_run_are_cut_shorter() -> None:
    """Up to the budget all texts are whole, but for the longest; beyond it all are cut alike, never below what tells them apart."""
    assert formatting.longest_text(formatting.TEXT_BUDGET, 50_000) == formatting.LONGEST
    assert formatting.longest_text(formatting.TEXT_BUDGET + 1, 50_000) == 2_000
    assert formatting.longest_text(10**12, 10**9) == formatting.SHORTEST


def test_prompts_are_shown_as_they_are_sent() -> None:
    """Messages keep their roles; images are named, not shown; tools and tool calls are there."""
    body = (
        b'{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"look"},'
        b'{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},'
        b'{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}],"tools":[{"type":"function"}]}'
    )
    said = formatting.sent_prompt(Request("chat/completions", body, b""), 1000)
    assert said[:2] == [("system", "s"), ("user", "look\n[image: image/png;base64, 4 characters]")]
    assert said[2][0] == "assistant"
    assert '"id": "1"' in said[2][1]
    assert said[3][0] == "tools"
    assert formatting.preview(said) == "look [image: image/png;base64, 4 characters]"


@pytest.mark.parametrize("name", ["instructions", "system"])
def test_prompts_of_other_apis(name: str) -> None:
    """What stands beside the turns, in the Responses API and in Anthropic's, comes first; calls among the items are named by their type."""
    turns = [{"role": "user", "content": "q"}, {"type": "function_call_output", "call_id": "c", "output": "4"}]
    body = orjson.dumps({name: "Be brief.", "input" if name == "instructions" else "messages": turns})
    said = formatting.sent_prompt(Request("responses", body, b""), 1000)
    assert [role for role, _ in said] == ["system", "user", "function_call_output"]
    assert (said[0][1], said[1][1], '"output": "4"' in said[2][1]) == ("Be brief.", "q", True)


@pytest.mark.parametrize(("instructions", "shown"), [('"instructions":"s",', [("system", "s")]), ("", [])])
def test_prompts_of_the_responses_api(instructions: str, shown: list[tuple[str, str]]) -> None:
    """Its items are shown as messages, after the instructions as the system's, which is not there without any."""
    body = f'{{"model":"m",{instructions}"input":[{{"role":"user","content":[{{"type":"input_text","text":"look"}}]}}]}}'.encode()
    assert formatting.sent_prompt(Request("responses", body, b""), 1000) == [*shown, ("user", "look")]


def test_prompts_of_the_messages_api() -> None:
    """The system's text comes first, and pictures are named, not shown."""
    picture = '{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}'
    body = f'{{"model":"m","system":"s","messages":[{{"role":"user","content":[{{"type":"text","text":"look"}},{picture}]}}]}}'.encode()
    said = formatting.sent_prompt(Request("messages", body, b""), 1000)
    assert said == [("system", "s"), ("user", "look\n[image: image/png, 4 characters]")]


def test_prompts_that_are_no_chats() -> None:
    """A completion's prompt and an embedding's input are shown without a role."""
    for name in ("prompt", "input"):
        body = f'{{"model":"m","{name}":"a  text"}}'.encode()
        said = formatting.sent_prompt(Request("completions", body, b""), 1000)
        assert (said, formatting.preview(said)) == ([("", "a  text")], "a text")
