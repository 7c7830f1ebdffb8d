"""What of an input is still to be sent: passing over finished rows in bulk gives what looking at each of them gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.engine.feed import Feed, FeedOptions, Lookup, Plan
from batch.journal.index import ResumeIndex
from batch.journal.lines import task_hash, task_hashes
from batch.journal.shared_index import LayeredIndex, SharedIndex
from batch.prompts import RequestBuilder
from batch.records import Outcome
from batch.settings import PromptSettings, ProviderSettings, Variant
from tests.support.files import dataset, write
from tests.support.stores import outcome, write_journal

ROWS = 40
DONE = st.lists(st.tuples(st.integers(0, ROWS + 3), st.integers(0, 2), st.booleans()), max_size=2 * ROWS)


def _variant(name: str) -> Variant:
    provider = ProviderSettings(name="house", base_url="http://127.0.0.1:1/v1")
    return Variant(name=name, slug=name, provider=provider, model=name, parameters={}, prompt=PromptSettings(user="{{ n }}"))


def _outcomes(done: Sequence[tuple[int, int, bool]], *, by_id: bool) -> list[Outcome]:
    outcomes = [(outcome(row, error=None if ok else "no", id_=f"ü{row}" if by_id else None), repeat) for row, repeat, ok in done]
    return [replace(each, repeat=repeat) for each, repeat in outcomes]


def _index(directory: Path, done: Sequence[tuple[int, int, bool]], *, by_id: bool) -> ResumeIndex:
    write_journal(directory, *_outcomes(done, by_id=by_id))
    return ResumeIndex.load(directory)


@settings(deadline=None, max_examples=80)
@given(
    first=DONE,
    second=DONE,
    by_id=st.booleans(),
    repeats=st.integers(1, 3),
    retry_failed=st.booleans(),
    skipped=st.sets(st.sampled_from(["a", "b"])),
)
def test_finished_rows_are_passed_over_and_no_others(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int, int, bool]],
    second: list[tuple[int, int, bool]],
    by_id: bool,
    repeats: int,
    retry_failed: bool,
    skipped: set[str],
) -> None:
    """With several variants and repeats, failures among the outcomes, and in any order of the journal (promise 1, promise 2)."""
    folder = tmp_path_factory.mktemp("run")
    lines = [json.dumps({"id": f"ü{row}", "n": row}) if row % 11 else "flaw" for row in range(ROWS)]
    path = write(folder / "in.jsonl", "\n".join(lines).encode())
    plans = [
        Plan(name, RequestBuilder(_variant(name), stream=False), _index(folder / name, done, by_id=by_id))
        for name, done in (("a", first), ("b", second))
    ]
    feed = Feed(
        dataset(path, id="id" if by_id else None),
        plans,
        FeedOptions(repeats, by_id, retry_failed=retry_failed),
        skipped=skipped,
    )

    passing = {candidate.task: candidate.entry for batch in feed.candidates(skip_finished=True) for candidate in batch}

    everything = [candidate for batch in feed.candidates() for candidate in batch]
    final = [c.entry is not None and (c.entry.ok or not retry_failed) for c in everything]
    assert passing == {c.task: c.entry for c, is_final in zip(everything, final, strict=True) if not is_final}


@settings(deadline=None, max_examples=60)
@given(earlier=DONE, session=DONE, with_failures=st.booleans())
def test_all_that_know_of_tasks_say_which_are_final(
    tmp_path_factory: pytest.TempPathFactory,
    earlier: list[tuple[int, int, bool]],
    session: list[tuple[int, int, bool]],
    with_failures: bool,
) -> None:
    """An index, its file that workers share, and a lease's overlay answer in bulk what they answer entry by entry (promise 2)."""
    folder = tmp_path_factory.mktemp("run")
    index, now = (_index(folder / name, done, by_id=False) for name, done in (("earlier", earlier), ("session", session)))
    index.save(folder / "known")
    known = SharedIndex(folder / "known")
    names = [str(row) for row in range(ROWS + 5)]
    for repeat in range(3):
        numbers = [task_hash(None, int(name), repeat) for name in names]
        hashes = task_hashes(names, repeat)
        assert hashes == b"".join(number.to_bytes(8) for number in numbers)
        every: list[Lookup] = [index, known, SharedIndex(None), LayeredIndex(known, now)]
        for lookup in every:
            entries = lookup.lookup(numbers)
            assert lookup.final(hashes, with_failures=with_failures) == [e is not None and (e.ok or with_failures) for e in entries]


def test_ids_that_utf8_cannot_hold_are_hashed_as_others_are() -> None:
    """A lone surrogate in one id changes nothing for the other ids that are hashed with it."""
    names = ["a", "\ud800", "ü"]
    assert task_hashes(names, 1) == b"".join(task_hash(name, 0, 1).to_bytes(8) for name in names)
