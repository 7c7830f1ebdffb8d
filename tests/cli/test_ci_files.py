"""JUnit XML and Markdown of score and compare."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from click.testing import CliRunner, Result

from batch.app.evaluate import EvaluationReport
from batch.cli.ci_files import write_junit
from batch.cli.group import promptmill
from batch.evaluation.gates import GateResult
from batch.settings import GateSettings
from tests.support.two_files import SCORING, old_and_new

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
