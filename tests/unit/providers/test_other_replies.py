"""Replies of the responses and moderations APIs, read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types import ModerationCreateResponse
from openai.types.responses import Response

from batch.policy.verdicts import Action, judge
from batch.providers.replies import ReplyFormatError, api_of, read_reply
from batch.records import Exchange, Reply

USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "total_tokens": 5,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 1},
}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"q":1}', "status": "completed"}


def message(*parts: tuple[str, str]) -> dict[str, Any]:
    """A message item of these parts."""
    made = [
        {"type": kind, ("refusal" if kind == "refusal" else "text"): text} | ({"annotations": []} if kind == "output_text" else {})
        for kind, text in parts
    ]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": made}


def response(*output: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A response as OpenAI's documentation has it."""
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": None, "incomplete_details": None,
        "model": "gpt-5", "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": USAGE, **changes
    }  # fmt: skip


def read(document: dict[str, Any]) -> Reply:
    """The reply, of the API that the document tells."""
    return read_reply(api_of(document), orjson.dumps(document))


def test_texts_reasoning_and_usage() -> None:
    """The text is that of the SDK's output_text; usage has a chat's names beside its own, and the body stays as it is."""
    document = response(REASONING, message(("output_text", "Par"), ("output_text", "is")))
    got = read(document)
    assert got.text == Response.construct(**document).output_text == "Paris"
    assert (got.reasoning, got.finish_reason, got.model, got.tool_calls) == ("hm", "stop", "gpt-5", None)
    assert got.usage == {"prompt_tokens": 3, "completion_tokens": 2, **USAGE}


def test_function_calls_are_tool_calls() -> None:
    """In the form of a chat, so that scorers read both."""
    got = read(response(CALL))
    assert got.tool_calls == [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}]
    assert (got.finish_reason, got.text) == ("tool_calls", None)


def test_a_refusal_is_no_text() -> None:
    """As in a chat."""
    got = read(response(message(("refusal", "no"))))
    assert (got.text, got.refusal, got.finish_reason) == (None, "no", "stop")


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_incomplete_answers_are_labelled(reason: str, finish: str) -> None:
    """Promise 5: an answer cut short has the label that a chat's would have."""
    got = read(response(message(("output_text", "Pa")), status="incomplete", incomplete_details={"reason": reason}))
    assert (got.text, got.finish_reason) == ("Pa", finish)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "in_progress"},
        {"status": "queued"},
        {"status": None},
        {"status": "incomplete"},
        {"status": "incomplete", "incomplete_details": {"reason": "new"}},
    ],
)
def test_answers_that_have_not_ended_are_none(changes: dict[str, Any]) -> None:
    """Promise 5: only a terminal status is an answer."""
    with pytest.raises(ReplyFormatError, match="has not ended") as caught:
        read(response(message(("output_text", "Pa")), **changes))
    assert caught.value.code == "truncated_body"


FAILED = [
    ({"status": "failed", "error": {"code": "server_error", "message": "sorry"}}, Action.RETRY, "server_error"),
    ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, Action.RETRY, "rate_limit"),
    ({"status": "failed", "error": {"code": "invalid_prompt", "message": "no"}}, Action.FAIL, "bad_request"),
    ({"status": "failed", "error": None}, Action.RETRY, "server_error"),
    ({"status": "cancelled"}, Action.RETRY, "server_error"),
]


@pytest.mark.parametrize(("changes", "action", "code"), FAILED)
def test_a_failed_response_inside_a_200_is_a_failure(changes: dict[str, Any], action: Action, code: str) -> None:
    """Promise 5: the status in the body counts, not the 200; what cannot get better is not tried again."""
    document = response(**changes)
    verdict = judge(Exchange(200, {}, orjson.dumps(document), read(document), None, 0.0, None, 1.0), 0.0)
    assert verdict.action is action
    assert verdict.error is not None
    assert verdict.error.code == code


@pytest.mark.parametrize("document", [response(output=None), response(output=[1]), {"object": "response", "status": "completed"}])
def test_a_response_without_output_is_no_answer(document: dict[str, Any]) -> None:
    """Promise 5."""
    with pytest.raises(ReplyFormatError, match="no output"):
        read(document)


def test_moderations() -> None:
    """The result as JSON text, several as a list; no finish_reason, as with embeddings."""
    result = {"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.9}}
    document = {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}
    got = read(document)
    assert orjson.loads(got.text or "") == result
    assert (got.model, got.finish_reason, got.error) == ("omni-moderation-latest", None, None)
    assert orjson.loads(read({**document, "results": [result, result]}).text or "") == [result, result]
    assert ModerationCreateResponse.construct(**document).results[0].flagged
    for results in ([], [{}], None):
        with pytest.raises(ReplyFormatError, match="no moderation results"):
            read_reply("moderations", orjson.dumps({**document, "results": results}))
