"""Bad job files: every mistake at once, each with its place and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job import load
from tests.support.jobs import GOOD, loaded, problem, problems, write

FIVE_MISTAKES = """\
[input]
path = "tickets.jsonl"

[prompt]
user = "Classify {{ subject }"

[[model]]
id = "opnai/gpt-5-mini"
temprature = 0
max_tokens = "300"

[run]
concurency = 64
"""


@pytest.mark.parametrize("setting", ["output.dir=o\udcff", "input.path=r\udcff.jsonl", "model.id=openai/\udcff"])
def test_text_that_is_not_utf8_is_said_to_be_so(tmp_path: Path, setting: str) -> None:
    """Fault 74: a name of the command line with bytes that are no UTF-8 is refused for that, before anything is sent."""
    assert any(item.hint == "it has bytes that are not UTF-8" for item in problems(tmp_path, GOOD, setting))


def test_five_mistakes_are_all_shown(tmp_path: Path) -> None:
    """A wrong job file with five mistakes shows all five, with lines (issue 2)."""
    found = problems(tmp_path, FIVE_MISTAKES)
    assert [(item.place, item.key) for item in found] == [
        ("job.toml:5", "prompt.user"),
        ("job.toml:8", "model[0].id"),
        ("job.toml:9", "model[0].temprature"),
        ("job.toml:10", "model[0].max_tokens"),
        ("job.toml:13", "run.concurency"),
    ]
    hints = [item.hint or "" for item in found]
    assert hints[1].startswith("did you mean openai/gpt-5-mini? providers: openai, anyscale,")
    assert hints[2].startswith("did you mean temperature?")
    assert hints[4] == "did you mean concurrency?"


@pytest.mark.parametrize(
    ("line", "key", "message", "hint"),
    [
        ("[run]\nconcurrency = 'abc'", "run.concurrency", "must be a whole number from 1 to 100000 or \"auto\", not 'abc'", None),
        ("[run]\nconcurrency = '64'", "run.concurrency", "must be a whole number from 1 to 100000 or \"auto\", not '64'", "without quotes"),
        ("[run]\nconcurrency = true", "run.concurrency", 'must be a whole number from 1 to 100000 or "auto", not true', None),
        ("[run]\nconcurrency = 0", "run.concurrency", 'must be a whole number from 1 to 100000 or "auto", not 0', None),
        ("[run]\nstream = 1", "run.stream", "must be true or false, not 1", None),
        ("[run]\ngrace_s = -1", "run.grace_s", "must be a number, at least 0, not -1", None),
        ("[run]\nidle_timeout_s = nan", "run.idle_timeout_s", "must be a number above 0, not nan", None),
        ("[run]\ndurability = 'disk'", "run.durability", 'must be one of "row", "group", "os", not \'disk\'', None),
        ("[output]\ncolumns = 'a'", "output.columns", "must be a list of texts, not 'a'", 'in brackets: ["a"]'),
        ("[output]\ndir = 2024", "output.dir", "must be non-empty text, not 2024", 'put it in quotes: "2024"'),
        ("temperature = -1", "model[0].temperature", "must be a number, at least 0, not -1", None),
        ("max_tokens = 0", "model[0].max_tokens", "must be a whole number, at least 1, not 0", None),
        ("stop = [1]", "model[0].stop", "must be text or a list of texts, not a list", None),
        ("seed = 2024-01-01", "model[0].seed", "must be a whole number, not the date or time 2024-01-01", None),
        ("extra_body = {a = inf}", "model[0].extra_body.a", "inf cannot be sent as JSON", None),
        (
            "extra_body = {a = 2024-01-01}",
            "model[0].extra_body.a",
            "the date or time 2024-01-01 cannot be sent as JSON",
            "put it in quotes",
        ),
        ("prompt = 1", "model[0].prompt", "must be a table, not 1", None),
        ("[provider]\nx = 1", "provider.x", "must be a table, not 1", None),
        ("[run]\nlimit = 5", "run.limit", "is not a known setting", "it belongs in [input]"),
        ("[run]\nrubbish = 1", "run.rubbish", "is not a known setting", "choose from processes, concurrency, "),
        ("[provider.x]\ntoken = 1", "provider.x.token", "is not a known setting", "keys stay in the environment"),
        ("[runn]", "runn", "is not a known setting", "did you mean run?"),
        ("stream = true", "model[0].stream", "cannot be set here", "use run.stream"),
        ("base_url = 'x'", "model[0].base_url", "cannot be set here", "it belongs in [provider.NAME]"),
        ("extra_body = {messages = []}", "model[0].extra_body.messages", "cannot be set here", "the messages are made from [prompt]"),
        ("n = 3", "model[0].n", "only n = 1 can be sent: one request gives one answer", "use run.repeats for several answers to a row"),
        ("sweep = {n = [1, 2]}", "model[0].sweep.n", "only n = 1 can be sent: one request gives one answer", "use run.repeats for"),
        ("frobnicate = 1", "model[0].frobnicate", "is not a known request parameter", "put it under extra_body to send it anyway"),
        ("top_k = 1", "model[0].top_k", "is not a known request parameter", "did you mean top_p? Otherwise put it under extra_body"),
        ("dimensions = 3", "model[0].dimensions", "is not a request parameter of the chat/completions API", "put it under extra_body"),
        ("seed = 1\nextra_body = {seed = 2}", "model[0].extra_body.seed", "seed is set both in extra_body and beside it", "keep one"),
        ("seed = 1\nsweep = {seed = [2]}", "model[0].sweep.seed", "seed is set both in the sweep and beside it", "keep one"),
        ("sweep = {seed = []}", "model[0].sweep.seed", "must be a non-empty list, not an empty list", None),
        ("sweep = {seed = [1, 'x']}", "model[0].sweep.seed[1]", "must be a whole number, not 'x'", None),
        ("sweep = {seed = [1, 1]}", "model[0].sweep", "makes two variants named 'openai/gpt-5-mini seed=1'", "list each value once"),
        ("max_tokens = 1\nmax_completion_tokens = 1", "model[0].max_tokens", "is sent as max_completion_tokens, which is set too", "keep"),
        (
            "[output]\ncolumns = ['a', 'usage']",
            "output.columns[1]",
            "'usage' is the name of one of promptmill's own columns",
            "use another name",
        ),
        (
            "[output]\ncolumns = ['id']",
            "output.columns[0]",
            "'id' is the name of one of promptmill's own columns",
            "use another name",
        ),
        (
            "[output]\ncolumns = ['embedding']",
            "output.columns[0]",
            "'embedding' is the name of one of promptmill's own columns",
            "use another name",
        ),
        ("[output]\ncolumns = ['a', 'b as a']", "output.columns[1]", "duplicate 'a'", None),
        ("[output]\ncolumns = ['a', 'a']", "output.columns[1]", "duplicate 'a'", None),
    ],
)
def test_one_mistake(tmp_path: Path, line: str, key: str, message: str, hint: str | None) -> None:
    """Each mistake in plain words at its own key, with what to do."""
    found = problem(tmp_path, f"{GOOD}{line}\n")
    assert (found.key, found.message) == (key, message)
    assert (found.hint or "").startswith(hint or "")
    assert (found.hint is None) == (hint is None)
    assert found.place.startswith("job.toml:")


@pytest.mark.parametrize(
    ("prompt", "key", "message"),
    [
        ("", "prompt", "has no user or messages"),
        ('system = "S"', "prompt", "has no user or messages"),
        ('user = "u"\nmessages = "m"', "prompt.messages", "cannot be combined with user"),
        ('user = "u"\ntext = "t"', "prompt.text", "cannot be used with api = 'chat/completions'"),
        ('messages = "m"\nsystem = "S"', "prompt.system", "needs user"),
        ('api = "embeddings"', "prompt", "has no text"),
        ('api = "completions"\nuser = "u"', "prompt.user", "cannot be used with api = 'completions'"),
        ('api = "completions"\ntext = "u"\ntools = "t"', "prompt.tools", "cannot be used with api = 'completions'"),
        (
            'api = "chat"\nuser = "u"',
            "prompt.api",
            'must be one of "chat/completions", "completions", "embeddings", "messages", "responses"',
        ),
        ('messages = [{content = "x"}]', "prompt.messages[0]", "has no role"),
        (
            'messages = [{role = "user", content = [{type = "text", text = "{{ x"}]}]',
            "prompt.messages[0].content[0].text",
            "not a template",
        ),
        ("messages = 3", "prompt.messages", "must be non-empty text or a non-empty list of tables, not 3"),
        ('user = "{% if x %}"', "prompt.user", "not a template"),
        ('usr = "x"', "prompt.usr", "is not a known setting"),
    ],
)
def test_prompts(tmp_path: Path, prompt: str, key: str, message: str) -> None:
    """Exactly one of user, messages and text as fits the API; templates compile. One mistake is one problem."""
    found = problem(tmp_path, GOOD.replace('user = "{{ question }}"', prompt))
    assert found.key == key
    assert found.message.startswith(message)


def test_line_within_a_long_template(tmp_path: Path) -> None:
    """A template of several lines says in which of them the mistake is."""
    found = problem(tmp_path, GOOD.replace('"{{ question }}"', '"""\nfirst\nsecond {{ x }\n"""'))
    assert found.place == "job.toml:5"
    assert found.message.endswith("in line 2 of the text")


@pytest.mark.parametrize(
    ("model_id", "message", "hint"),
    [
        ("gpt-5-mini", "names no provider; an id is PROVIDER/MODEL", "such as openai/gpt-5-mini? providers: openai"),
        ("gemini-2.5-flash", "names no provider; an id is PROVIDER/MODEL", "did you mean gemini/gemini-2.5-flash?"),
        ("grok/x", "there is no provider 'grok'", "did you mean groq/x? providers:"),
        ("meta-llama/Llama-3", "there is no provider 'meta-llama'", "If 'meta-llama/Llama-3' is the model's own name, put its provider"),
        ("mistralai/M-7B", "there is no provider 'mistralai'", "did you mean mistral/M-7B? If 'mistralai/M-7B' is the model's own name"),
        ("openai/", "names no model; an id is PROVIDER/MODEL", "promptmill models openai lists them"),
    ],
)
def test_model_ids(tmp_path: Path, model_id: str, message: str, hint: str) -> None:
    """A wrong model id is explained, with the near presets."""
    found = problem(tmp_path, GOOD.replace("openai/gpt-5-mini", model_id))
    assert found.message == message
    assert (found.hint or "").startswith(hint)


def test_missing_parts(tmp_path: Path) -> None:
    """An empty job says all that it needs."""
    assert {item.key: item.message for item in problems(tmp_path, "")} == {"input": "is missing", "model": "is missing"}
    without_path = problems(tmp_path, GOOD.replace('path = "rows.jsonl"', "").replace('id = "openai/gpt-5-mini"', ""))
    assert [(item.place, item.key) for item in without_path] == [("job.toml:1", "input.path"), ("job.toml:7", "model[0].id")]
    assert problem(tmp_path, GOOD.replace('[prompt]\nuser = "{{ question }}"', "")).key == "prompt"


def test_single_brackets(tmp_path: Path) -> None:
    """[model] instead of [[model]] is explained."""
    assert "double brackets" in str(problem(tmp_path, GOOD.replace("[[model]]", "[model]")))


@pytest.mark.parametrize("section", ["input", "prompt", "run", "output", "provider", "model"])
def test_sections_that_are_no_tables(tmp_path: Path, section: str) -> None:
    """A section that is a bare value is one problem, at its own line."""
    text = re.sub(rf"\[+{section}\]+\n.*\n", "", GOOD)
    found = problem(tmp_path, f"{section} = 3\n{text}")
    assert (found.place, found.key) == ("job.toml:1", section)
    assert found.message.startswith("must be ")


def test_provider_that_is_no_table(tmp_path: Path) -> None:
    """It is complained of once, also when a model uses it."""
    assert problem(tmp_path, GOOD.replace("openai/", "house/") + "[provider]\nhouse = 3\n").key == "provider.house"


def test_half_a_reference_in_a_path(tmp_path: Path) -> None:
    """What only looks like a variable is explained."""
    assert "written ${NAME}" in problem(tmp_path, GOOD.replace("rows", "${DATA/rows")).message


def test_stores_that_are_not_known(tmp_path: Path) -> None:
    """An address of an unknown store is refused, not taken for a file's name; the known ones are named."""
    assert "is not read, neither by promptmill nor by fsspec" in problem(tmp_path, GOOD.replace("rows", "abcs://bucket/rows")).message
    output = GOOD + '[output]\ndir = "abfs://bucket/run"\n'
    assert "object stores are s3:// and gs://" in problem(tmp_path, output).message
    assert "must hold no key" in problem(tmp_path, GOOD.replace("rows", "s3://AK:secret@bucket/rows")).message


def test_unset_variable_in_a_path(tmp_path: Path) -> None:
    """It is named."""
    assert "environment variable DATA, which is not set" in problem(tmp_path, GOOD.replace("rows", "${DATA}/rows")).message


def test_embedded_model_of_the_wrong_kind(tmp_path: Path) -> None:
    """The embedded model either answers or embeds."""
    text = GOOD.replace("openai/", "local/").replace('user = "{{ question }}"', 'api = "embeddings"\ntext = "x"')
    assert problem(tmp_path, text).hint == "set embedding = true in [provider.local]"


def test_both_kinds_of_tools(tmp_path: Path) -> None:
    """Tools for all rows and tools by row do not go together."""
    text = GOOD.replace("[prompt]", '[prompt]\ntools = "t"') + "tools = []\n"
    assert problem(tmp_path, text).key == "model[0].tools"


@pytest.mark.parametrize(
    ("override", "place", "says"),
    [
        ("run.concurrency=abc", "--set run.concurrency=abc", "must be a whole number from 1 to 100000 or \"auto\", not 'abc'"),
        ("runn.x=1", "--set runn.x=1", "not a known setting (did you mean run?)"),
        ("model[3].seed=1", "--set model[3].seed=1", "there is no model[3]; model has 1, counted from 0"),
        ("model.seed=x", "--set model.seed=x", "model[0].seed: must be a whole number"),
        ("input.path.x=1", "--set input.path.x=1", "input.path is not a table"),
        ("input[0]=1", "--set input[0]=1", "input is not a list"),
        ("run[0].x=1", "--set run[0].x=1", "there is no run"),
        ("verbose", "--set verbose", "has no value (write --set KEY=VALUE"),
        ("=3", "--set =3", "has no key that can be read"),
        ("a..b=3", "--set a..b=3", "has no key that can be read"),
        ("extends=x.toml", "--set extends=x.toml", "can only be set in the job file"),
        ("provider.x.token=sk-12345", "--set provider.x.token=…", "not a known setting"),
        ("provider.x.api_key=sk-12345", "--set provider.x.api_key=…", "not a known setting"),
    ],
)
def test_set(tmp_path: Path, override: str, place: str, says: str) -> None:
    """What stems from --set says so; a key that was set so is not shown (promise 12)."""
    found = problem(tmp_path, GOOD, override)
    assert found.place == place
    assert says in str(found)
    assert "sk-12345" not in str(found)


def test_mistake_of_a_parent(tmp_path: Path) -> None:
    """A problem names the file and the line that it comes from; what a child replaces is no problem."""
    write(tmp_path, '[run]\nattempts = 0\nconcurrency = "x"\n[[model]]\nid = "nobody/x"\n', "base.toml")
    found = problems(tmp_path, 'extends = "base.toml"\n' + GOOD + '[run]\nconcurrency = 1\nhttp = "x"\n')
    assert [(item.place, item.key) for item in found] == [("job.toml:12", "run.http"), ("base.toml:2", "run.attempts")]


def test_mistake_in_what_a_child_replaces(tmp_path: Path) -> None:
    """A model of the child is placed in the child, also for a key that only the parent's model at that place has."""
    write(tmp_path, GOOD, "base.toml")
    found = problem(tmp_path, 'extends = "base.toml"\n\n[[model]]\nseed = 1\n')
    assert (found.place, found.key) == ("job.toml:3", "model[0].id")


@pytest.mark.parametrize(
    ("files", "place", "says"),
    [
        ({"job": 'extends = "job.toml"'}, "job.toml:1", "circle"),
        ({"job": '\nextends = "a.toml"', "a": 'extends = "job.toml"'}, "a.toml:1", "circle"),
        ({"job": '\nextends = "bse.toml"', "base": ""}, "job.toml:2", "no such file (did you mean"),
        ({"job": "extends = 3"}, "job.toml:1", "must be the path of one other job file"),
        ({"job": 'extends = "${NOT_SET}.toml"'}, "job.toml:1", "NOT_SET is not set"),
        ({"job": 'extends = "a.toml"', "a": "\n\nx ="}, "a.toml:3", "not valid TOML"),
    ],
)
def test_extends(tmp_path: Path, files: dict[str, str], place: str, says: str) -> None:
    """Circles, missing parents and bad parents are found and placed."""
    for name, text in files.items():
        write(tmp_path, text, f"{name}.toml")
    found = problem(tmp_path, files["job"])
    assert found.place == place
    assert says in str(found)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name = unquoted", 1, 'put text in quotes: name = "unquoted"'),
        ("a = 1\n\njust words\n", 3, "a setting is written key = value"),
        ("a = 1\na = 2\n", 2, "a is set twice, first in line 1"),
        ('a = "x\n', 1, "not valid TOML"),
        ("a = [1,\n2", 2, "not valid TOML"),
    ],
)
def test_syntax(tmp_path: Path, text: str, line: int, says: str) -> None:
    """A TOML mistake has its line and what stands there."""
    found = problem(tmp_path, text)
    assert found.place == f"job.toml:{line}"
    assert says in str(found)


def test_syntax_mistake_never_shows_a_key(tmp_path: Path) -> None:
    """Not even one that stands unquoted in the file (promise 12)."""
    assert "sk-12345" not in str(problem(tmp_path, "api_key = sk-12345"))


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file names near ones; a folder and bytes that are no text are told apart."""
    write(tmp_path, GOOD, "tickets.toml")
    with pytest.raises(JobError, match=r"tickts\.toml: there is no such file \(did you mean .*tickets\.toml\?\)"):
        load(tmp_path / "tickts.toml")
    with pytest.raises(JobError, match="there is no folder"):
        load(tmp_path / "nowhere/x.toml")
    with pytest.raises(JobError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(JobError, match="not UTF-8"):
        load(tmp_path / "latin.toml")


def test_name(tmp_path: Path) -> None:
    """A job's name is text."""
    assert problem(tmp_path, "name = 2024\n" + GOOD).hint == 'put it in quotes: "2024"'
    assert loaded(tmp_path, 'name = "a/b"\n' + GOOD).job.output.dir.endswith("runs/a--b")
