"""Answers in packed files, tables and the logs of other evaluation tools."""

from __future__ import annotations

import gzip
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.errors import InputError
from batch.evaluation.answers import Answer
from batch.evaluation.foreign import read_foreign
from batch.records import Outcome
from batch.results.outputs import export
from tests.support.runs import FinishedRun
from tests.support.stores import outcome


def said(*texts: str | None) -> list[Outcome]:
    """Outcomes of the rows, in order; None: a failed call."""
    return [outcome(row, error="server_error") if text is None else outcome(row, text=text) for row, text in enumerate(texts)]


def facts(answers: list[Answer]) -> list[tuple[Any, ...]]:
    """Id, variant, repeat, text and failure of each."""
    return [(one.row.id, one.variant, one.repeat, one.text, one.failure) for one in answers]


LINES = "".join(json.dumps({"id": str(at), "model": "m", "output": f"answer {at}", "gold": at}) + "\n" for at in range(3)).encode()


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl", lambda data: data), ("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", lambda data: pa.compress(data, "zstd", asbytes=True))],
)
def test_packed_lines_are_read_as_plain_ones(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    """A .gz or .zst file holds the same answers; a cut one is refused by its name, not read in part."""
    path = tmp_path / name
    path.write_bytes(pack(LINES))
    assert facts(read_foreign([path])) == [(str(at), "m", 0, f"answer {at}", None) for at in range(3)]
    if name != "a.jsonl":
        path.write_bytes(pack(LINES * 500)[:-12])
        with pytest.raises(InputError, match=r"a\.jsonl\.(gz|zst): cannot be read"):
            read_foreign([path])


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_promptmills_own_exports_can_be_scored(tmp_path: Path, format_: str) -> None:
    """Completions and errors in every output format give the same answers as the run: failures, texts that look like formulas, costs."""
    rows = [{"text": f"q{at}", "right": at} for at in range(3)]
    run = FinishedRun(tmp_path, rows, {"a": said("=1+1", "two\nlines", None), "b": said("x", "", "z")})
    out = tmp_path / "out"
    out.mkdir()
    export(run.stored, format_, out)
    found = read_foreign(sorted(path for path in out.iterdir() if path.suffix == f".{format_}"))
    assert sorted(facts(found)) == [
        ("0", "a", 0, "=1+1", None),
        ("0", "b", 0, "x", None),
        ("1", "a", 0, "two\nlines", None),
        ("1", "b", 0, None if format_ == "csv" else "", None),
        ("2", "a", 0, None, "server_error"),
        ("2", "b", 0, "z", None),
    ]
    answered = next(one for one in found if one.text == "x")
    assert answered.latency_s is None or isinstance(answered.latency_s, float)
    assert isinstance(answered.usage, dict)


def eval_log(path: Path, samples: list[dict[str, Any]]) -> Path:
    """An .eval log of inspect with these samples."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("_journal/start.json", json.dumps({"version": 2, "eval": {"model": "openai/gpt-5", "task": "t"}}))
        for sample in samples:
            log.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        log.writestr("summaries.json", "[]")
        log.writestr("header.json", json.dumps({"version": 2, "status": "success", "eval": {"model": "openai/gpt-5", "task": "t"}}))
    return path


def sample(identifier: int | str, epoch: int, text: str | None) -> dict[str, Any]:
    """A sample of inspect; None: an error."""
    base = {"id": identifier, "epoch": epoch, "input": f"q{identifier}", "target": "4", "metadata": {"topic": "sums"}}
    if text is None:
        return {**base, "error": {"message": "boom", "traceback": ""}, "output": {"choices": []}}
    choice = {"message": {"role": "assistant", "content": text}, "stop_reason": "stop"}
    return {**base, "output": {"model": "gpt-5", "choices": [choice], "time": 1.5}, "scores": {"match": {"value": "C"}}}


def test_inspects_eval_logs(tmp_path: Path) -> None:
    """A zip of samples: epochs are repeats, in the order of ids as numbers; a broken file is refused."""
    log = eval_log(tmp_path / "a.eval", [sample(10, 1, "x"), sample(2, 2, "4 again"), sample(2, 1, "4"), sample(3, 1, None)])
    found = read_foreign([log])
    assert facts(found) == [
        ("2", "openai/gpt-5", 0, "4", None),
        ("2", "openai/gpt-5", 1, "4 again", None),
        ("3", "openai/gpt-5", 0, None, "error"),
        ("10", "openai/gpt-5", 0, "x", None),
    ]
    assert (found[0].row.columns["target"], found[0].row.columns["topic"], found[0].latency_s) == ("4", "sums", 1.5)
    (tmp_path / "b.eval").write_bytes(log.read_bytes()[:200])
    with pytest.raises(InputError, match=r"b\.eval: is no whole \.eval log"):
        read_foreign([tmp_path / "b.eval"])


def zstd_log(path: Path, samples: list[dict[str, Any]]) -> Path:
    """The same log with members packed by zstd, as inspect writes them since 0.3.1xx and Python's zipfile before 3.14 does not."""
    plain = eval_log(path.with_suffix(".plain"), samples)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as log:
        for name in source.namelist():
            raw = source.read(name)
            log.writestr(name, pa.compress(raw, "zstd", asbytes=True))
            packed = log.getinfo(name)
            packed.compress_type, packed.file_size, packed.CRC = 93, len(raw), zlib.crc32(raw)
    return path


def test_eval_logs_packed_by_zstd(tmp_path: Path) -> None:
    """They are read as others are, with attachments, tokens and tool calls; a damaged one is refused by its name."""
    first = {**sample(1, 1, "attachment://0abc"), "attachments": {"0abc": "a long answer"}, "choices": ["x", "y"]}
    first["output"]["usage"] = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    second = sample(2, 1, "")
    second["output"]["choices"][0]["message"]["tool_calls"] = [{"id": "c", "function": "look", "arguments": {"at": 1}, "type": "function"}]
    second["output"]["choices"][0]["stop_reason"] = "max_tokens"
    log = zstd_log(tmp_path / "z.eval", [first, second])
    one, two = read_foreign([log])
    assert (one.text, dict(one.usage), one.row.columns["choices"]) == (
        "a long answer",
        {"prompt_tokens": 7, "completion_tokens": 2},
        ["x", "y"],
    )
    assert (two.tool_calls, two.truncated, two.finish_reason) == ([{"function": {"name": "look", "arguments": {"at": 1}}}], True, "length")
    data = log.read_bytes()
    said = [refusal(tmp_path / "d.eval", data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]) for at in range(20, len(data), 7)]
    assert sum(text is not None for text in said) > 50
    assert all(text is None or "d.eval" in text for text in said)


def refusal(path: Path, data: bytes) -> str | None:
    """What is said of the file with this content; None when it can be read."""
    path.write_bytes(data)
    try:
        read_foreign([path])
    except InputError as error:
        return str(error)
    return None


def test_lm_evals_likelihoods_as_it_logs_them(tmp_path: Path) -> None:
    """Numbers are logged as texts; the likeliest choice counts, without the requests that only normalise; one alone is right if greedy."""

    def line(at: int, pairs: list[list[str]], contexts: list[str]) -> dict[str, Any]:
        requests = {f"gen_args_{n}": {"arg_0": context, "arg_1": f" c{n}"} for n, context in enumerate(contexts)}
        return {"doc_id": at, "doc": {}, "target": "1", "resps": [], "filtered_resps": pairs, "filter": "none", "arguments": requests}

    lines = [
        line(0, [["-5.5", "False"], ["-2.5", "False"], ["-6.5", "True"]], ["q", "q", "q"]),
        line(1, [["-5.5", "False"], ["-7.5", "False"], ["-1.0", "False"], ["-0.5", "False"]], ["q", "q", "", ""]),
        line(2, [["-5.5", "True"]], ["q"]),
        line(3, [["-5.5", "False"]], ["q"]),
        line(4, [["12", "13"]], ["q"]),
    ]
    path = tmp_path / "samples_t.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_foreign([path])
    assert [(one.row.id, one.text) for one in found] == [("0", "1"), ("1", "0"), ("2", "c0"), ("3", ""), ("4", "12"), ("4", "13")]
    assert found[0].row.columns["prompt"] == "q"


def test_lm_evals_samples(tmp_path: Path) -> None:
    """doc_id is the id, each filter a variant; of log-likelihoods the likeliest choice is the answer; repeats are repeats."""
    lines = [
        {"doc_id": at, "doc": {"question": f"q{at}"}, "target": "4", "resps": [["it is 4"]], "filtered_resps": [text], "filter": name}
        for at in range(2)
        for name, text in (("strict-match", "[invalid]"), ("flexible-extract", "4"))
    ]
    lines.append({"doc_id": 2, "doc": "d", "target": 1, "resps": [], "filtered_resps": [[-3.5, False], [-0.5, True]], "filter": "none"})
    lines.append({"doc_id": 3, "doc": {}, "target": 1, "resps": [], "filtered_resps": [["a", "b"]], "filter": "none"})
    path = tmp_path / "samples_gsm8k_2026.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_foreign([path])
    assert facts(found) == [
        ("0", "strict-match", 0, "[invalid]", None),
        ("0", "flexible-extract", 0, "4", None),
        ("1", "strict-match", 0, "[invalid]", None),
        ("1", "flexible-extract", 0, "4", None),
        ("2", "none", 0, "1", None),
        ("3", "none", 0, "a", None),
        ("3", "none", 1, "b", None),
    ]
    assert (found[0].row.columns["question"], found[0].row.columns["target"]) == ("q0", "4")


def test_samples_of_every_eval_ever(tmp_path: Path) -> None:
    """Single turns by their output, dialogues by the assistant's last message, errors as failed calls; references are columns."""
    base = {"schema_version": "0.2.1", "evaluation_id": "e", "model_id": "org/m", "evaluation_name": "g", "answer_attribution": []}
    lines = [
        {
            **base,
            "sample_id": "s1",
            "interaction_type": "single_turn",
            "input": {"raw": "2+2?", "reference": ["4"]},
            "output": {"raw": ["4"]},
            "evaluation": {"score": 1.0, "is_correct": True},
            "token_usage": {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6},
            "performance": {"latency_ms": 1500},
        },
        {
            **base,
            "sample_id": "s2",
            "interaction_type": "multi_turn",
            "input": {"raw": "hi", "reference": []},
            "messages": [{"turn_idx": 0, "role": "user", "content": "hi"}, {"turn_idx": 1, "role": "assistant", "content": "ho"}],
            "output": None,
            "evaluation": {"score": 0.0, "is_correct": False},
        },
        {
            **base,
            "sample_id": "s3",
            "interaction_type": "single_turn",
            "input": {"raw": "x", "reference": []},
            "output": {"raw": []},
            "error": "timeout",
            "evaluation": {"score": 0.0, "is_correct": False},
        },
    ]
    path = tmp_path / "e_samples.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read_foreign([path])
    assert facts(found) == [("s1", "org/m", 0, "4", None), ("s2", "org/m", 0, "ho", None), ("s3", "org/m", 0, None, "error")]
    assert (found[0].row.columns["reference"], found[0].latency_s, found[0].usage["prompt_tokens"]) == (["4"], 1.5, 5)


def test_any_table_with_an_answer(tmp_path: Path) -> None:
    """CSV and Parquet of other programs: columns as they are, the answer under a usual name."""
    (tmp_path / "a.csv").write_text("id,model,output,gold\n1,m,x,y\n2,m,,z\n")
    assert facts(read_foreign([tmp_path / "a.csv"])) == [("1", "m", 0, "x", None), ("2", "m", 0, "", None)]
