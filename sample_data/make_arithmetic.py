"""Makes sample_data/arithmetic.parquet: the same 200 questions each time. Run it from anywhere with promptmill's Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_QUESTIONS_OF_A_KIND = 40
_THINGS = ("apples", "stamps", "marbles", "pencils", "tickets", "shells", "buttons", "walnuts")
_SCHEMA = pa.schema([("id", pa.int64()), ("question", pa.string()), ("answer", pa.int64()), ("kind", pa.string())])


def questions() -> Iterator[tuple[str, str, int]]:
    """(kind, question, answer); the answers are whole numbers from 0 up."""
    draw = random.Random(2).randint
    for _ in range(_QUESTIONS_OF_A_KIND):
        a, b = draw(11, 499), draw(11, 499)
        yield "addition", f"What is {a} + {b}?", a + b
        a, b = sorted((draw(11, 499), draw(11, 499)), reverse=True)
        yield "subtraction", f"What is {a} - {b}?", a - b
        a, b = draw(3, 30), draw(3, 30)
        yield "multiplication", f"What is {a} × {b}?", a * b
        a, b = draw(3, 30), draw(3, 30)
        yield "division", f"What is {a * b} ÷ {a}?", b
        boxes, each, given = draw(3, 9), draw(4, 12), draw(2, 11)
        thing = _THINGS[draw(0, len(_THINGS) - 1)]
        text = f"Mia has {boxes} boxes with {each} {thing} each. She gives {given} {thing} away. How many {thing} does she have left?"
        yield "word problem", text, boxes * each - given


def table() -> pa.Table:
    """The questions with their ids from 1."""
    rows = [{"id": number, "question": text, "answer": answer, "kind": kind} for number, (kind, text, answer) in enumerate(questions(), 1)]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


if __name__ == "__main__":
    pq.write_table(table(), Path(__file__).with_name("arithmetic.parquet"), row_group_size=50)
