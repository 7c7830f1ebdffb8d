"""Batch objects and result lines of all providers, as their documents have them."""

from __future__ import annotations

from typing import Any

import pytest

from batch.providers.batch_replies import read_batch, read_batches, read_files, read_result


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("validating", "open"),
        ("finalizing", "open"),
        ("cancelling", "open"),
        ("completed", "completed"),
        ("COMPLETED", "completed"),
        ("IN_PROGRESS", "open"),
        ("expired", "expired"),
        ("EXPIRED", "expired"),
        ("cancelled", "cancelled"),
        ("SUCCESS", "completed"),
        ("TIMEOUT_EXCEEDED", "expired"),
        ("CANCELLATION_REQUESTED", "open"),
        ("QUEUED", "open"),
        ("FAILED", "failed"),
        ("ended", "completed"),
        ("canceling", "open"),
        ("something new", "open"),
    ],
)
def test_statuses_of_all_dialects(word: str, state: str) -> None:
    """Each provider's word has its state; an unknown one is waited for."""
    name = "processing_status" if word in ("ended", "canceling") else "status"
    batch = read_batch({"id": "b", name: word})
    assert batch is not None
    assert (batch.state, batch.word) == (state, word)


@pytest.mark.parametrize("absent", [None, "", "  "])
def test_absent_files_are_no_files(absent: str | None) -> None:
    """Null and empty ids mean that there is no file; one file under both names is read once."""
    batch = read_batch({"id": "b", "status": "completed", "output_file_id": absent, "error_file_id": "e"})
    assert batch is not None
    assert batch.files == ("e",)
    same = read_batch({"id": "b", "status": "completed", "output_file_id": "e", "error_file_id": "e"})
    assert same is not None
    assert same.files == ("e",)


def test_objects_within_others_and_odd_members() -> None:
    """Together's {"job": …}, null counts, counts as floats, ISO times, milliseconds, errors as a text, a list or null."""
    batch = read_batch({"job": {"id": "b", "status": "IN_PROGRESS", "created_at": "2026-01-01T00:00:00Z", "request_counts": None}})
    assert batch is not None
    assert (batch.created_at, batch.total) == (1767225600.0, None)
    odd = read_batch({"id": 7, "status": "failed", "created_at": 1767225600000, "errors": "no", "request_counts": {"total": 3.0}})
    assert odd is not None
    assert (odd.id, odd.created_at, odd.total, odd.problems[0].message) == ("7", 1767225600.0, 3, "no")
    for document in (None, [], "x", {}, {"id": ""}, {"data": []}):
        assert read_batch(document) is None


def test_problems_name_their_lines() -> None:
    """OpenAI's errors.data, with the line where one is named; the limit of enqueued tokens is known by its code."""
    errors = {"data": [{"code": "token_limit_exceeded", "message": "Enqueued", "line": None}, {"code": "x", "message": "bad", "line": 3}]}
    batch = read_batch({"id": "b", "status": "failed", "errors": errors})
    assert batch is not None
    assert batch.is_over_limit
    assert [problem.line for problem in batch.problems] == [None, 3]


def test_lists_and_pages() -> None:
    """A list says after which batch the next page begins; what is no batch is not read."""
    found, after = read_batches({"data": [{"id": "a", "status": "x"}, {}, {"id": "b", "status": "x"}], "has_more": True})
    assert ([batch.id for batch in found], after) == (["a", "b"], "b")
    assert read_batches({"data": [], "has_more": True}) == ([], None)
    assert read_batches({"error": "no"}) == ([], None)
    assert read_files({"data": [{"id": "f", "filename": "n"}, {"filename": "m"}, 3]}) == [("f", "n")]


def line(**members: Any) -> Any:
    """A result line."""
    return read_result({"custom_id": "c", **members})


def test_result_lines() -> None:
    """A reply, one as JSON within a string (OGX), an error's status, an error without a reply, an expired request, and nothing at all."""
    assert line(response={"status_code": 200, "body": {"a": 1}}, error=None).body == {"a": 1}
    assert line(response={"status_code": 200, "body": '{"a": 1}'}).body == {"a": 1}
    assert line(response={"status_code": 429, "body": {"error": {}}}).status == 429
    assert line(response={"choices": []}).body == {"choices": []}
    refused = line(response=None, error={"code": "invalid", "message": "no"})
    assert (refused.error.code, refused.undone) == ("invalid", False)
    assert line(response=None, error={"code": "batch_expired", "message": "late"}).undone
    assert line(response=None, error=None).error is not None
    assert line().error is not None
    for odd in (None, [], "x", {}, {"custom_id": None}, {"custom_id": {"a": 1}}):
        assert read_result(odd) is None


def test_lines_of_message_batches() -> None:
    """Anthropic's four kinds of results."""
    assert line(result={"type": "succeeded", "message": {"type": "message"}}).body == {"type": "message"}
    assert line(result={"type": "expired"}).undone
    assert line(result={"type": "canceled"}).undone
    errored = line(result={"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}})
    assert (errored.error.type, errored.error.message, errored.undone) == ("invalid_request_error", "m", False)
