"""Functions of a user as scorers: what they are given, what they may give, and what makes their scores out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from batch.evaluation.scorers import scorer_version
from batch.evaluation.scorers.sample import Sample
from batch.evaluation.scorers.user_function import python
from batch.settings import ScoreSettings


def written(folder: Path, source: str, name: str = "mine.py") -> str:
    """A file with this source, as a function's address."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(source)
    return f"{folder / name}:score"


NUMBERS: list[tuple[str, float | None]] = [
    ("np.float64(0.25)", 0.25),
    ("np.float32(0.5)", 0.5),
    ("np.int64(1)", 1),
    ("np.bool_(True)", 1),
    ("np.array(0.25)", 0.25),
    ("np.array([0.75])", 0.75),
    ("(np.float64(0.25), 'why')", 0.25),
    ("np.float64('nan')", None),
    ("np.array([0.1, 0.2])", None),
]


@pytest.mark.parametrize(("given", "value"), NUMBERS)
def test_numbers_of_numpy_are_numbers(tmp_path: Path, given: str, value: float | None) -> None:
    """A metric computed with NumPy needs no conversion; NaN and arrays of several numbers are no scores."""
    function = written(tmp_path, f"import numpy as np\ndef score(answer, expected, row):\n    return {given}\n")
    assert python(function=function)(Sample("x")).value == value


def test_an_async_function_is_awaited_in_one_loop(tmp_path: Path) -> None:
    """What it keeps for its loop, such as a client, serves from call to call; what it raises leaves the answer unscored."""
    source = (
        "import asyncio\nloops = set()\n"
        "async def score(answer, expected, row):\n"
        "    await asyncio.sleep(0)\n    loops.add(asyncio.get_running_loop())\n"
        "    if answer is None: raise ValueError('empty')\n"
        "    return len(loops) == 1, str(len(loops))\n"
    )
    scorer = python(function=written(tmp_path, source))
    assert [scorer(Sample("x")).value for _ in range(3)] == [1, 1, 1]
    assert scorer(Sample(None)).reason == "score raised ValueError: empty"


def test_what_is_known_of_an_answer_is_given_by_name(tmp_path: Path) -> None:
    """Log probabilities, usage and finish_reason reach a function that has parameters for them, and no other one."""
    tokens = [{"token": "x", "logprob": -0.5}]
    sample = Sample("x", usage={"completion_tokens": 3}, finish_reason="stop", logprobs=tokens)
    some = "def score(answer, expected, row, usage, finish_reason, logprobs):\n    return 1, f'{usage} {finish_reason} {logprobs}'\n"
    assert python(function=written(tmp_path, some))(sample).reason == f"{sample.usage} stop {tokens}"
    everything = "def score(answer, expected, row, **more):\n    return 1, ' '.join(sorted(more))\n"
    assert python(function=written(tmp_path, everything))(sample).reason == "finish_reason logprobs tool_calls usage"


def test_modules_beside_the_file_are_imported_and_in_no_ones_way(tmp_path: Path) -> None:
    """Two scorers may each have a module of the same name, also imported within the function; neither stays behind."""
    source = "from helper import VALUE\ndef score(answer, expected, row):\n    import late\n    return VALUE * late.FACTOR\n"
    scorers = []
    for name, value in (("one", 0.5), ("two", 0.25)):
        function = written(tmp_path / name, source)
        written(tmp_path / name, f"VALUE = {value}\n", "helper.py")
        written(tmp_path / name, "FACTOR = 1.0\n", "late.py")
        scorers.append(python(function=function))
    path = list(sys.path)
    assert [scorer(Sample("x")).value for scorer in scorers * 2] == [0.5, 0.25, 0.5, 0.25]
    assert sys.path == path
    assert not {"helper", "late"} & set(sys.modules)


def version(function: str, **options: Any) -> str:
    """The version of a python score."""
    return scorer_version(ScoreSettings(name="a", kind="python", options={"function": function, **options}))


@pytest.mark.parametrize("changed", ["helper.py", "deep/inner.py", "deep/__init__.py", "late.py"])
def test_what_a_function_imports_decides_its_scores_too(tmp_path: Path, changed: str) -> None:
    """A change in a module beside the file, in a package, or in what these import makes stored scores out of date."""
    function = written(tmp_path, "import helper\ndef score(answer, expected, row):\n    from late import x\n    return 1\n")
    written(tmp_path, "from deep import inner\n", "helper.py")
    written(tmp_path / "deep", "", "__init__.py")
    written(tmp_path / "deep", "import helper\n", "inner.py")
    written(tmp_path, "x = 1\n", "late.py")
    written(tmp_path, "other = 1\n", "unrelated.py")
    before = version(function)
    written(tmp_path, "other = 2\n", "unrelated.py")
    assert version(function) == before
    (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n# changed\n")
    assert version(function) != before
