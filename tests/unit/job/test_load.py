"""Good job files: what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job import from_document, load
from batch.settings import OutputSettings, RunSettings
from tests.support.jobs import GOOD, loaded, write


def test_smallest_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input beside the job file, output beside it wherever the command is given, the name from the file, everything else by default."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    job = loaded(tmp_path, GOOD).job
    assert job.name == "job"
    assert job.input.paths == (str(tmp_path / "rows.jsonl"),)
    assert job.output == OutputSettings(dir=str(tmp_path / "runs/job"))
    assert job.run == RunSettings()
    assert [variant.name for variant in job.variants] == ["openai/gpt-5-mini"]


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, globs, ~, variables and absolute paths; a folder with brackets in its name is not a glob."""
    folder = tmp_path / "set [1]"
    folder.mkdir()
    monkeypatch.setenv("HOME", "/home/someone")
    paths = '["a.jsonl", "b*.csv", "~/c.parquet", "${D}/d.csv", "/e.csv", "../f.csv"]'
    job = loaded(folder, GOOD.replace('"rows.jsonl"', paths), environ={"D": "/data"}).job
    assert job.input.paths == (
        f"{folder}/a.jsonl",
        f"{tmp_path}/set [[]1]/b*.csv",
        "/home/someone/c.parquet",
        "/data/d.csv",
        "/e.csv",
        f"{tmp_path}/f.csv",
    )


def test_prompt_of_one_model(tmp_path: Path) -> None:
    """[model.prompt] changes what it names; content of its own replaces the job's, system stays beside user."""
    text = GOOD.replace("[prompt]", '[prompt]\nsystem = "S"') + (
        '[model.prompt]\nsystem = "T"\n'
        '[[model]]\nid = "openai/b"\n[model.prompt]\nuser = "U"\n'
        '[[model]]\nid = "openai/c"\n[model.prompt]\nmessages = [{role = "user", content = "{{ q }}"}]\n'
        '[[model]]\nid = "openai/d"\n[model.prompt]\napi = "embeddings"\ntext = "{{ q }}"\n'
    )
    prompts = [variant.prompt for variant in loaded(tmp_path, text).job.variants]
    assert [(prompt.system, prompt.user, prompt.text) for prompt in prompts] == [
        ("T", "{{ question }}", None),
        ("S", "U", None),
        (None, None, None),
        (None, None, "{{ q }}"),
    ]
    assert prompts[2].messages == ({"role": "user", "content": "{{ q }}"},)
    assert prompts[3].api == "embeddings"


def test_values_are_sent_as_written(tmp_path: Path) -> None:
    """0 stays 0 and 0.0 stays 0.0: the request is what the file says."""
    text = GOOD + "temperature = 0\ntop_p = 1.0\nextra_body = {deep = {x = 1}}\nn = 1\n"
    parameters = loaded(tmp_path, text).job.variants[0].parameters
    assert json.dumps(parameters) == '{"temperature": 0, "top_p": 1.0, "n": 1, "deep": {"x": 1}}'


def test_embedded_model(tmp_path: Path) -> None:
    """A GGUF and its chat template are found relative to the job file."""
    text = GOOD.replace("openai/", "local/") + '[provider.local]\nmodel_path = "m.gguf"\nchat_template = "tools.jinja"\nparallel = 2\n'
    embedded = loaded(tmp_path, text).job.variants[0].provider.embedded
    assert embedded is not None
    files = (str(tmp_path / "m.gguf"), str(tmp_path / "tools.jinja"))
    assert (embedded.model_path, embedded.chat_template, embedded.parallel) == (*files, 2)


def test_document_gives_the_same_job_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What run.json keeps loads to the same job from any working directory, and holds URLs without their variables' values (promise 12)."""
    text = GOOD.replace("openai/", "house/") + (
        '[model.sweep]\ntop_p = [0.5, 1]\n[provider.house]\nbase_url = "${SECRET_URL}/v1"\n'
        '[provider.mine]\npreset = "local"\nmodel_path = "m.gguf"\nchat_template = "tools.jinja"\n'
    )
    environ = {"SECRET_URL": "http://hunter2"}
    first = loaded(tmp_path, text, "run.concurrency=3", "input.limit=5", environ=environ)
    kept = json.dumps(first.document)
    assert "hunter2" not in kept
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = from_document(json.loads(kept), environ=environ)
    assert again.job == first.job
    assert again.document == first.document
    assert from_document(json.loads(kept), ["run.concurrency=9"], environ).job.run.concurrency == 9


def test_problems_of_a_kept_document() -> None:
    """They name run.json, which has no lines."""
    with pytest.raises(JobError, match=r"run\.json: input: is missing"):
        from_document({"name": "x"}, environ={})


def test_extends(tmp_path: Path) -> None:
    """Tables are merged deeply, arrays replaced; paths belong to the file that they stand in; a parent's name is not inherited."""
    (tmp_path / "shared").mkdir()
    write(tmp_path, 'name = "base"\n[run]\nattempts = 2\nconcurrency = 7\n' + GOOD, "shared/base.toml")
    write(tmp_path, 'extends = "shared/base.toml"\n[run]\nconcurrency = 8\n', "middle.toml")
    child = 'extends = "middle.toml"\n[prompt]\nsystem = "S"\n[[model]]\nid = "groq/x"\n'
    job = loaded(tmp_path, child).job
    assert (job.name, job.run.attempts, job.run.concurrency) == ("job", 2, 8)
    assert job.input.paths == (str(tmp_path / "shared/rows.jsonl"),)
    assert (job.variants[0].prompt.system, job.variants[0].prompt.user) == ("S", "{{ question }}")
    assert [variant.name for variant in job.variants] == ["groq/x"]


def test_byte_order_mark(tmp_path: Path) -> None:
    """A file saved with a BOM loads."""
    path = tmp_path / "job.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path, environ={}).job.name == "job"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("run.concurrency=3", ("run", "concurrency"), 3),
        ("run.stream = true", ("run", "stream"), True),
        ("model[1].seed=5", ("model", 1, "seed"), 5),
        ('model[0].extra_body."a.b"=[1, "x"]', ("model", 0, "extra_body", "a.b"), [1, "x"]),
        ("prompt.user=What is {{ x }}?", ("prompt", "user"), "What is {{ x }}?"),
        ("prompt.user=a = 1\nb = 2", ("prompt", "user"), "a = 1\nb = 2"),
        ("prompt.user=1\nb = 2", ("prompt", "user"), "1\nb = 2"),
        ("prompt.user=", ("prompt", "user"), ""),
        ("output.columns=['a']", ("output", "columns"), ["a"]),
    ],
)
def test_set(tmp_path: Path, override: str, path: tuple[str | int, ...], value: object) -> None:
    """--set takes TOML values, else text; dots, quotes and indices address anything."""
    found: object = loaded(tmp_path, GOOD + '[[model]]\nid = "openai/b"\n', override).document
    for part in path:
        found = found[part]  # type: ignore[index]
    assert found == value


def test_set_for_all_models(tmp_path: Path) -> None:
    """model.temperature sets it in every entry; a later --set wins; a path belongs to the working directory."""
    text = GOOD + '[[model]]\nid = "openai/b"\ntemperature = 1\n'
    job = loaded(tmp_path, text, "model.temperature=0.2", "model[1].temperature=0.5", "input.path=x.jsonl").job
    assert [variant.parameters for variant in job.variants] == [{"temperature": 0.2}, {"temperature": 0.5}]
    assert job.input.paths == (str(Path.cwd() / "x.jsonl"),)
