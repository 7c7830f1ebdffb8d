"""A newcomer's mistakes: each message says what is wrong, where, and how to mend it; nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.cli.exits import ExitCode
from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint

HEAD = '[input]\npath = "test.csv"\n'

# The command, the text that replaces the job (or what is replaced in it), and what the message must contain: what, where, how to mend.
MISTAKES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a column of the prompt": ("run job.toml", "{{ text }} > {{ txet }}", ("no column 'txet'", "job.toml:5", "did you mean text?")),
    "a column of the output": (
        "run job.toml",
        '[run] > [output]\ncolumns = ["labl"]\n[run]',
        ("no column 'labl'", "job.toml:12", "output.columns[0]", "did you mean label?"),
    ),
    "a setting as an option": ("run job.toml --concurrency 4", "", ("--concurrency", "--set run.concurrency=4")),
    "its name elsewhere": ("plan job.toml --workers=8", "", ("--workers", "--set run.concurrency=8")),
    "a parameter as an option": ("run job.toml --temperature 0.5", "", ("--temperature", "--set model.temperature=0.5")),
    "a text with spaces": ("run job.toml --system-prompt 'x'", "", ("--system-prompt", "--set", "prompt.system=")),
    "a key as an option": ("run job.toml --api-key sk-1", "", ("--api-key", "read from the environment", "promptmill providers")),
    "--set without a table": ("run job.toml --set concurrency=4", "", ("concurrency", "--set concurrency=4", "belongs in [run]")),
    "--set without a value": ("run job.toml --set run.stream", "", ("has no value", "--set run.stream", "--set KEY=VALUE")),
    "a misspelt option": ("run job.toml --limt 3", "", ("No such option '--limt'", "--limit", "promptmill run --help")),
    "a misspelt command": ("rum job.toml", "", ("no command 'rum'", "Did you mean run?")),
    "a misspelt job": ("run jb.toml", "", ("no such file", "jb.toml", "did you mean job.toml?")),
    "a misspelt job of a run": ("status jb.toml", "", ("no such file", "jb.toml", "did you mean job.toml?")),
    "a job that has not run": ("status job.toml", "", ("has not begun", "runs/job/run.json", "promptmill run job.toml")),
    "a score of what has not run": ("score job.toml", "", ("has not begun", "job.toml", "promptmill run job.toml")),
    "resume of a job": ("resume job.toml", "", ("is a job file", "resume takes a run directory", "promptmill run job.toml")),
    "a misspelt provider": ("models opnai", "", ("no provider 'opnai'", "did you mean openai?")),
    "a misspelt model's provider": ("run job.toml", "house/x > huose/x", ("huose", "job.toml:10", "did you mean house/x?")),
    "an input that was moved": (
        "run job.toml",
        "test.csv > tset.csv",
        ("no such file", "tset.csv", "did you mean test.csv?", "--set input.path="),
    ),
    "a key twice": (
        "plan job.toml",
        "[run] > [run]\nattempts = 1\nattempts = 2",
        ("run.attempts is set twice", "job.toml:13", "in line 12", "keep one"),
    ),
    "a table twice": (
        "plan job.toml",
        "[run] > [input]\nlimit = 3\n[run]",
        ("[input] is written twice", "job.toml:11", "line 1", "one heading"),
    ),
    "one model, then several": (
        "plan job.toml",
        '[[model]] > [model]\nid = "house/y"\n[[model]]',
        ("[model] and [[model]]", "job.toml:11", "[[model]] in both"),
    ),
    "quotes inside a text": ("plan job.toml", '"{{ text }}" > "Say "{{ text }}" now"', ('has a " inside', "job.toml:5", "user = '…'")),
    "an apostrophe inside a text": ("plan job.toml", "\"{{ text }}\" > 'it's {{ text }}'", ("has a ' inside", "job.toml:5", 'user = "…"')),
    "a text over two lines": ("plan job.toml", '"{{ text }}" > "a\n{{ text }}"', ("does not end on its line", "job.toml:5", '"""…"""')),
    "typographic quotes": ("plan job.toml", '"{{ text }}" > “{{ text }}”', ("typographic", "job.toml:5", "straight quotes")),
    "a path of Windows": ("plan job.toml", '"test.csv" > "C:\\data\\test.csv"', ("backslash", "job.toml:2", "path = '…'")),
    "a text without quotes": ("plan job.toml", '"test.csv" > test.csv', ("invalid value", "job.toml:2", 'path = "test.csv"')),
    "a comma at the end": ("plan job.toml", '"test.csv" > "test.csv",', ("without a comma", "job.toml:2", 'path = "test.csv"')),
    "a setting of YAML": ("plan job.toml", "path = > path:", ("YAML", "job.toml:2", 'path = "test.csv"')),
    "a table of YAML": ("plan job.toml", "[input] > input:", ("YAML", "job.toml:1", "[input]")),
    "a list of YAML": ("plan job.toml", "[[model]] > - model", ("YAML", "job.toml:9", "[[model]]")),
    "True of Python": ("plan job.toml", "[run] > [run]\nstream = True", ("'True' is no value", "job.toml:12", "stream = true")),
    "yes of YAML": ("plan job.toml", "[run] > [run]\nstream = yes", ("'yes' is no value", "job.toml:12", "stream = true")),
    "None of Python": ("plan job.toml", "[run] > [run]\nmax_cost_usd = None", ("no 'None'", "job.toml:12", "remove max_cost_usd")),
    "a job of JSON": ("plan job.toml", '[input] > {"input": {}}', ("is JSON", "job.toml:1", "[input]")),
    "a comment of C": ("plan job.toml", "[run] > // how\n[run]", ("job.toml:11", "a comment begins with #")),
    "rows as the job": ("run test.csv", "", ("is a file of rows", "test.csv", "promptmill init test.csv")),
    "a brace too few": ("plan job.toml", '{{ text }}" > {{ text }"', ("not a template", "job.toml:5", "two braces each: {{ column }}")),
    "a misspelt filter": (
        "plan job.toml",
        "{{ text }} > {{ text | uper }}",
        ("No filter named 'uper'", "job.toml:5", "did you mean upper?"),
    ),
    "a filter that is none": ("plan job.toml", "{{ text }} > {{ text | zzz }}", ("No filter named 'zzz'", "{{ column }} without |zzz")),
    "a webhook without a scheme": (
        "plan job.toml",
        '[run] > [notify]\nwebhook = "hooks.example.org/x"\n[run]',
        ("notify.webhook", "job.toml:12", "https://"),
    ),
    "a port alone": ("plan job.toml", '[run] > [run]\nmetrics = "9464"', ("run.metrics", "job.toml:12", "127.0.0.1:9464")),
    "a folder as the job": ("run .", "", ("Is a directory", "give the job file in it")),
    "a command without its run": ("status", "", ("RUN_DIR is missing", "latest", "promptmill runs")),
    "a command without its job": ("run", "", ("JOB.toml is missing", "promptmill init")),
    "a row without its id": ("show latest", "", ("ID is missing", "its number from 0")),
    "no format for an export": ("export runs/job", "", ("--format is missing", "choose from jsonl, parquet, csv")),
    "a number that is none": ("run job.toml --limit ten", "", ("--limit", "'ten' is no whole number")),
    "a number too small": ("run job.toml --limit 0", "", ("--limit", "must be at least 1, not 0")),
    "a port too large": ("view --port 99999", "", ("--port", "must be from 0 to 65535, not 99999")),
    "two jobs": ("run job.toml job2.toml", "", ("unexpected extra argument (job2.toml)", "run takes JOB.toml", "--set KEY=VALUE")),
    "a command of ctl": ("pause runs/job", "", ("no command 'pause'", "promptmill ctl RUN_DIR pause")),
    "a command of another program": ("logs runs/job", "", ("no command 'logs'", "promptmill tail RUN_DIR --follow")),
    "a command for help": ("help run", "", ("no command 'help'", "promptmill COMMAND --help")),
    "capitals in a name": ("run JOB.TOML", "", ("no such file", "did you mean job.toml?")),
    "another name altogether": ("run zzz", "", ("no such file", "job files there: job.toml, test.toml")),
    "rows as a run": ("status test.csv", "", ("test.csv", "it is a file", "its job file")),
    "no such folder of runs": ("runs elsewhere", "", ("elsewhere", "there is no such folder", "./runs")),
    "init of what is not there": ("init tset.csv", "", ("tset.csv: no such file", "did you mean test.csv?")),
    "a workbook": ("plan job.toml", "test.csv > table.xlsx", ("table.xlsx", "is a workbook", "save the table as CSV")),
    "a price as a number": (
        "plan job.toml",
        '"house/x" > "house/x"\nprice = 3',
        ("model[0].price", "job.toml:11", "{input = 0.25, output = 2.0}"),
    ),
    "other names in a price": (
        "plan job.toml",
        '"house/x" > "house/x"\nprice = {input = 3, out = 4}',
        ("model[0].price.out: is not a known setting", "job.toml:11", "did you mean output?"),
    ),
    "another program's name of a setting": ("plan job.toml", "[run] > [run]\nrpm = 5", ("run.rpm", "did you mean requests_per_minute?")),
    "a text for a list": (
        "plan job.toml",
        '[run] > [output]\ncolumns = "label"\n[run]',
        ("output.columns: must be a list", "job.toml:12", '["label"]'),
    ),
    "a parent that is not there": (
        "plan job.toml",
        '[input] > extends = "jb.toml"\n[input]',
        ("jb.toml: there is no such file", "job.toml:1"),
    ),
    "no such variables": ("run job.toml --env-file .env", "", ("no such file", ".env", "working directory")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_newcomers_mistake(name: str, endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Each mistake ends with 2 before anything is sent, and its message says what is wrong, where, and how to mend it."""
    words, change, says = MISTAKES[name]
    text = f"""{HEAD}
[prompt]
user = "{{{{ text }}}}"
[provider.house]
base_url = "{endpoint.url}"

[[model]]
id = "house/x"
[run]
"""
    old, arrow, new = change.partition(" > ")
    assert not arrow or old in text
    job = JobFolder(tmp_path, endpoint.url, rows=1)
    (tmp_path / "test.csv").write_text("text,label\na,b\n")
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    (tmp_path / "job.toml").write_text(text.replace(old, new, 1) if arrow else text)
    result = job.call(*words.replace("'", "").split())
    assert (result.returncode, result.stdout) == (ExitCode.UNUSABLE, ""), result.stderr
    assert not [part for part in says if part not in result.stderr], result.stderr
    assert "Traceback" not in result.stderr
    assert not [request for request in endpoint.requests if request.method == "POST"]


@pytest.mark.parametrize("words", ["status test.toml", "tail test.toml", "show test.toml r1", "verify test.toml", "score test.toml"])
def test_a_job_file_stands_for_its_run(words: str, endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Commands that look into a run take its job file; score takes the scores that the file has now."""
    job = JobFolder(tmp_path, endpoint.url, rows=3)
    assert job.call().returncode == 0
    with job.job.open("a") as file:
        file.write('\n[[score]]\nkind = "contains"\nexpected = "{{ text }}"\n')
    result = job.call(*words.split())
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_a_run_instead_of_a_job_and_parts_of_a_row_that_are_not_there(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`run` of a run directory names `resume`; `show` of a model or repeat that the row lacks names those that it has."""
    job = JobFolder(tmp_path, endpoint.url, rows=1)
    assert job.call().returncode == 0
    for words, says in (
        ("run runs/test", "promptmill resume runs/test continues it"),
        ("show latest r0 --variant gpt", "it has house/test-model"),
        ("show latest r0 --repeat 2", "repeats from 1 to 1"),
        ("status latst", "did you mean latest?"),
    ):
        result = job.call(*words.split())
        assert (result.returncode, result.stdout) == (ExitCode.UNUSABLE, "")
        assert says in result.stderr


def test_the_run_that_was_meant(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A misspelt run, the folder of runs and a folder within a run each name the run."""
    job = JobFolder(tmp_path, endpoint.url, rows=1)
    assert job.call().returncode == 0
    for place, says in (
        ("runs/tets", "did you mean runs/test?"),
        ("tst", "did you mean runs/test?"),
        ("runs", "the runs in it are runs/test"),
        ("runs/test/journal", "it is in the run directory runs/test"),
        ("elsewhere", "promptmill runs DIR"),
    ):
        for command in ("status", "score", "verify", "resume", "tail"):
            result = job.call(command, place)
            assert result.returncode == ExitCode.UNUSABLE
            assert says in result.stderr


def test_providers_and_models_of_a_job(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job file stands for its providers; a secret in a URL's variable is not shown."""
    job = JobFolder(tmp_path, endpoint.url, rows=1)
    text = job.job.read_text()
    job.job.write_text(text.replace(endpoint.url, "${MISTAKES_URL}"))
    environ = {"MISTAKES_URL": endpoint.url}
    shown = job.call("providers", "test.toml", environ=environ)
    assert shown.returncode == 0, shown.stderr
    assert "house" in shown.stdout
    assert "${MISTAKES_URL}" in shown.stdout
    assert endpoint.url not in shown.stdout
    assert '"name": "house"' in job.call("providers", "test.toml", "--json", environ=environ).stdout
    listed = job.call("models", "test.toml", environ=environ)
    assert listed.returncode == 0, listed.stderr


def test_an_input_that_was_moved_is_exported(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`export` names --set input.path for an input that is gone, and takes it."""
    job = JobFolder(tmp_path, endpoint.url, rows=2)
    assert job.call().returncode == 0
    (rows,) = tmp_path.glob("*.jsonl")
    rows.rename(tmp_path / "moved.jsonl")
    refused = job.call("export", "runs/test", "--format", "csv")
    assert refused.returncode == ExitCode.UNUSABLE
    assert "--set input.path=" in refused.stderr
    done = job.call("export", "runs/test", "--format", "csv", "--set", "input.path=moved.jsonl")
    assert done.returncode == 0, done.stderr
    assert len((job.directory / "completions.csv").read_text().splitlines()) == 3
