"""The pure parts of the benchmarks: figures, tables, nginx's configuration, and what is said of the goals."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from batch.job import load
from tests.benchmarks import endpoint, figures
from tests.benchmarks.contenders import child_environment
from tests.benchmarks.goals import findings
from tests.benchmarks.inputs import job, write_rows
from tests.benchmarks.report import comparison, document
from tests.benchmarks.samples import Sample, Samples, append


def sample(
    part: str, contender: str, rate: float, *, number: int = 0, session: str = "2026-01-01", **more: float | str | dict[str, float]
) -> Sample:
    """Rows of which 1,000 were answered at `rate`, at 100 µs each."""
    values = {"rows": 20_000, "wall_s": 2000 / rate, "cpu_s": 0.1, "peak_mb": 80.0, "answered": 1000, "sending_s": 1000 / rate, **more}
    return Sample(part, contender, session, number, **values)  # type: ignore[arg-type]


def test_ratio_is_taken_within_rounds() -> None:
    """A round in which the machine was slow for both does not change the ratio, as the ratio of two medians would."""
    ours, theirs = {0: 100.0, 1: 1000.0, 2: 500.0}, {0: 50.0, 1: 500.0, 2: 250.0}
    assert figures.paired_ratio(ours, theirs) == 2
    assert figures.paired_ratio({0: 100.0, 1: 10.0}, {0: 50.0}) == 2


def test_ratio_without_a_common_round() -> None:
    """Where no round is shared the medians are compared; where one side was not measured there is no ratio."""
    assert figures.paired_ratio({0: 1.0}, {1: 1.0}) is None
    assert figures.ratio_of_medians({0: 3.0}, {1: 2.0}) == 1.5
    assert figures.ratio_of_medians({}, {1: 2.0}) is None
    assert figures.ratio_of_medians({0: 3.0}, {0: 0.0}) is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_quantile_is_the_nearest_rank(share: float, expected: int) -> None:
    """The smallest value that this share of all do not exceed."""
    assert figures.quantile(list(range(100, 0, -1)), share) == expected


def test_quantile_of_nothing() -> None:
    """There is none."""
    with pytest.raises(ValueError, match="no values"):
        figures.quantile([], 0.5)


def test_table_is_markdown() -> None:
    """Texts stand left, figures right, and a bar in a text does not make a column."""
    assert figures.table(("what", "n"), [("a|b", figures.number(12345.6)), ("c", figures.number(None))]).splitlines() == [
        "| what | n |",
        "| --- | ---: |",
        "| a\\|b | 12,346 |",
        "| c | – |",
    ]


def test_config_has_each_site_in_strings_that_nginx_takes(tmp_path: Path) -> None:
    """All sites are there on the port given, with their delay, and no string is longer than nginx allows."""
    text = endpoint.config(12345, 12346, tmp_path)
    assert "listen 127.0.0.1:12345" in text
    assert "listen 127.0.0.1:12346 ssl" in text
    assert "echo_sleep 0.5;" in text
    assert "echo_sleep 2.0;" in text
    for site in endpoint.SITES:
        assert f"location /{site.name}/v1/chat/completions" in text
    assert max(len(line) for line in text.splitlines()) < 4096
    assert text.count("{") - text.count("}") == sum(t.count("{") - t.count("}") for t in [endpoint.reply(), *endpoint.events()])


def test_stream_is_sixty_chunks_and_whole() -> None:
    """The streamed answer has its words, a finish reason, the usage and the end, as OpenAI's protocol wants them."""
    *chunks, end = [event.removeprefix("data: ").strip() for event in endpoint.events()]
    deltas = [json.loads(chunk)["choices"] for chunk in chunks]
    assert sum(bool(choices and choices[0]["delta"].get("content")) for choices in deltas) == 60
    assert deltas[-2][0]["finish_reason"] == "stop"
    assert json.loads(chunks[-1])["usage"]["total_tokens"] == 27
    assert end == "[DONE]"


def test_log_line_gives_when_the_request_came() -> None:
    """Nginx logs when it replied and how long that took."""
    assert endpoint.log_line("1763832000.500 0.250 200\n") == (1763832000.25, 1763832000.5, 200)


def test_job_is_one_that_promptmill_takes(tmp_path: Path) -> None:
    """The job file is valid, and its input is the rows that were made."""
    rows = write_rows(tmp_path / "rows.jsonl", 3)
    path = tmp_path / "job.toml"
    path.write_text(job(rows, "http://127.0.0.1:1/fast/v1", tmp_path / "run", connections=7, stream=True))
    loaded = load(path).job
    assert (loaded.run.concurrency, loaded.run.stream) == (7, True)
    assert tomllib.loads(path.read_text())["input"]["path"] == str(rows)
    assert [json.loads(line)["id"] for line in rows.read_text().splitlines()] == ["r0", "r1", "r2"]


def test_contenders_use_no_proxy_and_send_no_telemetry(tmp_path: Path) -> None:
    """What the machine's environment says of proxies and bytecode does not reach a contender, and telemetry is off."""
    environment = child_environment({"https_proxy": "x", "HTTP_PROXY": "x", "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin"}, tmp_path)
    assert not {"https_proxy", "HTTP_PROXY", "PYTHONDONTWRITEBYTECODE"} & environment.keys()
    assert (environment["PATH"], environment["TELEMETRY_ENABLED"]) == ("/bin", "false")


def test_samples_come_back_and_only_the_newest_session_counts(tmp_path: Path) -> None:
    """A part measured again replaces its earlier figures, and no other part's."""
    path = tmp_path / "samples.jsonl"
    kept = [sample("fast", "promptmill", 100), sample("slow", "promptmill", 50), sample("fast", "promptmill", 200, session="2026-01-02")]
    for one in kept:
        append(path, one)
    samples = Samples.load(path)
    assert samples.newest("fast") == kept[2:]
    assert samples.newest("slow") == kept[1:2]
    assert samples.newest("crowd") == []


def test_goals_are_judged_by_what_was_measured() -> None:
    """Reached, not reached and not measured are told apart; a run that failed counts for nothing."""
    samples = Samples(
        [
            sample("fast", "promptmill", 4000),
            sample("fast", "engine", 5000),
            sample("fast", "loop", 2500),
            sample("fast", "openai", 1000),
            sample("fast", "curator", 3999, failure="kept 0 of 1000 results"),
            sample("slow", "promptmill", 1900),
            sample("crowd", "promptmill", 1700),
            sample("open", "promptmill", 4000),
            sample("secure", "promptmill", 2500),
            sample("pace", "promptmill", 1, extra={"queues": 0.95, "refuses": 0.89}),
        ]
    )
    verdicts = {finding.name: finding.reached for finding in findings(samples)}
    assert (verdicts["P1"], verdicts["P2"], verdicts["P3"]) == (True, False, False)
    assert (verdicts["P5"], verdicts["P9"], verdicts["P12"]) == (None, False, True)
    others = [sample("fast", name, 10, rows=4000) for name in ("openai", "loop")]
    small = Samples([sample("fast", "promptmill", 9000, rows=4000), *others])
    assert next(finding for finding in findings(small) if finding.name == "P2").reached is None
    assert list(verdicts) == [f"P{number}" for number in range(1, 14)]


def test_a_lost_row_or_a_late_first_part_is_no_goal_reached() -> None:
    """P13 is reached with nothing lost and nothing doubled at 10 million rows alone; P6 fails where the first part comes late."""

    def verdict(name: str, *samples: Sample) -> bool | None:
        return next(found.reached for found in findings(Samples(samples)) if found.name == name)

    counts = {"kills": 2.0, "lost": 0.0, "doubled": 0.0, "sent_again": 9.0}
    many = sample("killed", "processes-2", 4000, rows=10_000_000, extra=counts)
    assert verdict("P13", many)
    assert verdict("P13", replace(many, extra={**counts, "lost": 1.0})) is False
    assert verdict("P13", replace(many, rows=1_000_000)) is None
    late = sample("first-part", "processes-1", 4000, extra={"first_part_share": 0.2, "after_last_answer_s": 1.0})
    assert verdict("P6", late) is False
    assert verdict("P6", replace(late, extra={**late.extra, "first_part_share": 0.05})) is None


def test_memory_that_grows_with_the_rows_is_told() -> None:
    """A peak below its bound does not reach the goal when it grows with the rows."""
    few = sample("memory64", "promptmill", 4000, rows=1000, peak_mb=60.0)
    grown = [few, sample("memory64", "promptmill", 4000, rows=201_000, peak_mb=80.0)]
    flat = [few, sample("memory64", "promptmill", 4000, rows=201_000, peak_mb=70.0)]
    verdicts = [next(f for f in findings(Samples(samples)) if f.name == "P4") for samples in (grown, flat)]
    assert [finding.reached for finding in verdicts] == [False, True]
    assert "100 bytes a row" in verdicts[0].measured


def test_loop_of_ones_own_is_told_beside_the_peers() -> None:
    """The goal against peers is judged by peers, but a faster loop that keeps its answers is never left out of what is said."""
    samples = Samples([sample("fast", "promptmill", 6000), sample("fast", "openai", 500), sample("fast", "loop", 4000)])
    finding = next(finding for finding in findings(samples) if finding.name == "P2")
    assert finding.reached
    assert "12.0 × OpenAI SDK" in finding.measured
    assert "1.5 × a hand-written" in finding.measured


def test_document_says_what_was_cut_and_what_failed() -> None:
    """A contender cut at the time limit is marked, one that failed is listed with its reason, and a busy machine is told."""
    samples = Samples(
        [
            sample("fast", "promptmill", 4000, load=50.0),
            sample("fast", "inspect", 20, load=50.0, cut=True),
            sample("fast", "curator", 1, load=50.0, failure="exit code 1: no route"),
            sample("fast", "lm-eval", 1, load=50.0, cut=True, answered=0, sending_s=0.0),
        ]
    )
    text = document(samples, "make bench")
    assert "| inspect_ai † |" in text
    assert "- curator, fast: exit code 1: no route" in text
    assert "- lm-eval, local-chat-completions, fast: cut at the time limit before its first answer" in text
    assert "shared" in text
    assert comparison(samples) in text
