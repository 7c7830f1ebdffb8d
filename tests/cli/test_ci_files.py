"""Files that score and compare write for other programs: JUnit XML, Markdown, samples, Every Eval Ever."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow.parquet as pq
from click.testing import CliRunner, Result

from batch.app.evaluate import EvaluationReport
from batch.cli.ci_files import write_junit
from batch.cli.group import promptmill
from batch.evaluation.gates import GateResult
from batch.settings import GateSettings
from tests.support.files import SCORING, old_and_new

HOSTILE = "m|<b>&\x0b*x*"


def call(*arguments: str | Path) -> Result:
    """Call `promptmill ARGUMENTS` in this process."""
    return CliRunner().invoke(promptmill, [str(each) for each in arguments], catch_exceptions=False)


def test_scores_as_junit_and_markdown(tmp_path: Path) -> None:
    """Without gates a test case for each variant; names of models are text, never markup, in either file."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": at, "model": HOSTILE, "output": str(at), "gold": 1}) + "\n" for at in range(4)))
    done = call("score", path, *SCORING, "--junit", tmp_path / "j.xml", "--markdown", tmp_path / "s.md")
    assert done.exit_code == 0, done.stderr
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("1", "0")
    assert suite[0].attrib == {"classname": "number", "name": HOSTILE.replace("\x0b", "\ufffd")}
    assert suite[0][0].text == "score 25.0 % [4.6, 69.9]"
    summary = (tmp_path / "s.md").read_text()
    assert "| model | score | scored | failed | unscored |" in summary
    assert "m\\|\\<b\\>" in summary
    assert "<b>" not in summary
    row = next(line for line in summary.splitlines() if "25.0 %" in line and line.startswith("|"))
    assert row.replace("\\|", "").count("|") == 6


def test_gates_as_junit(tmp_path: Path) -> None:
    """A test case for each gate and variant: a failed one has a failure with the gate's sentence."""
    settings = GateSettings(score="s", minimum=0.9)
    gates = (GateResult(settings, "a", True, None, "a keeps it"), GateResult(settings, "b", False, None, 'b < "0.9"'))
    write_junit(EvaluationReport("run", (), (), gates, (), None), tmp_path / "j.xml")
    suites = ET.parse(tmp_path / "j.xml").getroot()
    assert suites.attrib["failures"] == "1"
    passed, failed = suites[0]
    assert (passed.attrib["name"], passed[0].tag) == ("a: strict (min 0.9)", "system-out")
    assert (failed[0].tag, failed[0].attrib["message"]) == ("failure", 'b < "0.9"')


def test_changes_as_markdown(tmp_path: Path) -> None:
    """What changed between two runs as a table, with the rows that changed; JUnit is refused there."""
    old, new = old_and_new(tmp_path)
    assert call("compare", old, new, *SCORING, "--markdown", tmp_path / "c.md").exit_code == 0
    text = (tmp_path / "c.md").read_text()
    assert "| score | change | better rows | worse rows |" in text
    assert "| 10 | 30 |" in text
    assert "30 rows went from right to wrong: q0, q1" in text
    assert "--junit is for one run" in call("compare", old, new, *SCORING, "--junit", tmp_path / "j.xml").stderr


def test_samples_have_extracted_answers_and_reasons(tmp_path: Path) -> None:
    """Of files, each score with what was found in the answer and why, as lines of JSON or as Parquet; another ending is refused."""
    old, _ = old_and_new(tmp_path)
    for name in ("s.jsonl", "s.parquet"):
        assert call("score", old, *SCORING, "--samples", tmp_path / name).exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "s.parquet").to_pylist() == lines
    assert (lines[3]["id"], lines[3]["value"], lines[3]["extracted"]) == ("q3", 1.0, "3")
    assert (lines[100]["value"], lines[100]["extracted"]) == (0.0, "-1")
    refused = call("score", old, *SCORING, "--samples", tmp_path / "s.txt")
    assert (refused.exit_code, "must end with .jsonl or .parquet" in refused.stderr) == (2, True)


def test_every_eval_ever_goes_out_and_in(tmp_path: Path) -> None:
    """What is written has the schema's required keys, and read again it scores the same."""
    old, _ = old_and_new(tmp_path)
    done = call("score", old, *SCORING, "--every-eval", tmp_path / "eee")
    assert done.exit_code == 0, done.stderr
    (path,) = (tmp_path / "eee" / "data" / "old.jsonl" / "unknown" / "m").glob("*[0-9a-f].json")
    document = json.loads(path.read_text())
    # The schema's form of the address of the samples, relative to the folder (eval.schema.json 0.3.0).
    beside = document["detailed_evaluation_results"]["file_path"]
    assert re.fullmatch(
        r"data/[^/]+/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}_samples\.jsonl", beside
    )
    assert document["model_info"]["additional_details"].keys() == {"deployment_type", "model_availability"}
    samples = tmp_path / "eee" / beside
    assert document.keys() >= {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library"}
    (result,) = document["evaluation_results"]
    assert result.keys() >= {"evaluation_name", "source_data", "metric_config", "score_details"}
    assert (result["score_details"]["score"], result["metric_config"]["score_type"]) == (0.845, "binary")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == document["detailed_evaluation_results"]["total_rows"] == 2000
    required = {"schema_version", "evaluation_id", "model_id", "evaluation_name", "sample_id", "interaction_type", "input", "evaluation"}
    assert all(line.keys() >= {*required, "answer_attribution", "output"} for line in lines)
    assert {line["evaluation_id"] for line in lines} == {document["evaluation_id"]}
    assert (lines[3]["input"]["reference"], lines[3]["evaluation"]) == (["3"], {"score": 1.0, "is_correct": True})
    again = call("score", samples, "--kind", "number", "--expected", "reference", "--json")
    assert json.loads(again.stdout)["scores"][0]["findings"]["standings"][0]["summary"]["strict"]["estimate"] == 0.845
