"""Rows that begin alike are sent one after the other, to the same endpoint of a pool."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from batch.engine.prefix_order import PrefixAffinity, in_prefix_order
from batch.engine.work import Work
from batch.records import Request, Task
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import ScriptedEndpoint, answer

DOCUMENTS = [f"{letter * 2000}" for letter in "abcd"]


def rows() -> list[dict[str, str]]:
    """Forty questions about four documents, in turn."""
    return [{"id": f"r{number}", "text": f"{DOCUMENTS[number % 4]} {number:02}"} for number in range(40)]


def letters(endpoint: ScriptedEndpoint) -> list[str]:
    """The document of each request, in the order in which they came."""
    return [received.prompt[0] for received in endpoint.requests if received.body]


def test_rows_of_one_document_are_sent_together(tmp_path: Path) -> None:
    """With order = "prefix" each document's rows come in one row; outputs stay in the order of the input, and nothing is sent twice."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows(), order="prefix", concurrency=1)
        assert folder.call().returncode == 0
        assert [letter for letter, _ in groupby(letters(endpoint))] == ["a", "b", "c", "d"]
        assert ids(folder.completions()) == [f"r{number}" for number in range(40)]
        assert folder.call().returncode == 0
        assert len(letters(endpoint)) == 40


def test_without_it_rows_go_in_the_order_of_the_input(tmp_path: Path) -> None:
    """The default order is that of the input."""
    with ScriptedEndpoint(answer) as endpoint:
        assert JobFolder(tmp_path, endpoint.url, rows=rows(), concurrency=1).call().returncode == 0
        assert letters(endpoint) == list("abcd") * 10


def test_a_pool_gets_each_document_at_one_endpoint(tmp_path: Path) -> None:
    """Of two equal endpoints each is sent what begins as its last request did, as long as it has room."""
    with ScriptedEndpoint(answer) as one, ScriptedEndpoint(answer) as two:
        folder = JobFolder(tmp_path, one.url, rows=rows(), order="prefix", concurrency=1)
        folder.job.write_text(folder.job.read_text().replace(json.dumps(one.url), json.dumps([one.url, two.url])))
        assert folder.call().returncode == 0
        seen = [letters(endpoint) for endpoint in (one, two)]
        # Where the fitting endpoint is busy, the other one takes the row.
        changes = sum(len(list(groupby(each))) for each in seen)
    assert sum(map(len, seen)) == 40
    assert changes <= 16


def work(text: str) -> Work:
    """A piece of work with this body."""
    return Work(Task(0, "0", "v", 0, Request("chat/completions", text.encode(), bytes(16))))


def test_windows_are_sorted_and_nothing_is_lost() -> None:
    """All items come out, each window sorted; what cannot be sent comes at once."""
    batches = [[work("b"), "unsendable", work("a")], [], [work("c"), work("a")]]
    found = list(in_prefix_order(batches))
    assert found[:3] == [["unsendable"], [], []]
    assert [item.task.request.body for item in found[3]] == [b"a", b"a", b"b", b"c"]


def test_the_endpoint_with_the_longest_common_beginning_is_found() -> None:
    """The shared beginning is counted in steps; without a last request it is none."""
    affinity, one, two = PrefixAffinity(), object(), object()
    affinity.sent(one, b"a" * 1000)
    shared = affinity.shared_by(b"a" * 600 + b"b" * 600)
    assert (shared(one), shared(two)) == (2, 0)
