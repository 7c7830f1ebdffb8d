"""[[score]] and [[gate]]: what becomes of them, and every mistake in them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from batch.errors import JobError
from batch.evaluation.panel import PANEL
from batch.evaluation.scorers import EMBEDDING, KINDS
from batch.job import from_document, score_settings
from batch.job.score_base import ComparingSection, ScoreSection
from batch.job.score_model import SCORES
from batch.settings import GateSettings, ScoreSettings
from tests.support.jobs import GOOD, loaded, problem, problems

SCORED = GOOD + (
    '[[score]]\nkind = "exact"\nexpected = "capital"\n'
    '[[score]]\nkind = "number"\nname = "sum"\nexpected = "{{ a + b }}"\ntolerance = 1\nslices = ["level"]\ncluster = "sheet"\n'
    '[[gate]]\nscore = "sum"\nmin = 0.9\n'
)


def test_scores_and_gates(tmp_path: Path) -> None:
    """Entries become settings; options that are not given are not among them; the name is the kind by default."""
    job = loaded(tmp_path, SCORED).job
    assert job.scores == (
        ScoreSettings(name="exact", kind="exact", expected="capital"),
        ScoreSettings(name="sum", kind="number", expected="{{ a + b }}", cluster="sheet", slices=("level",), options={"tolerance": 1}),
    )
    assert job.gates == (GateSettings(score="sum", minimum=0.9),)


def test_a_job_without_scores(tmp_path: Path) -> None:
    """Scores and gates may be absent."""
    job = loaded(tmp_path, GOOD).job
    assert (job.scores, job.gates) == ((), ())


def test_files_are_relative_to_the_job_file_and_survive_resuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of scorers are absolute in settings and document, so that a run directory can be scored from anywhere (promise 9)."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = GOOD + '[[score]]\nkind = "python"\nfunction = "mine.py:good"\n[[score]]\nkind = "json_schema"\nschema = "../a.json"\n'
    job = loaded(tmp_path, text)
    assert [score.options for score in job.job.scores] == [
        {"function": f"{tmp_path}/mine.py:good"},
        {"schema": f"{tmp_path.parent}/a.json"},
    ]
    monkeypatch.chdir("/")
    assert from_document(job.document).job.scores == job.job.scores


MISTAKES = [
    ('kind = "exakt"\nexpected = "x"', "score[0].kind", "'exakt' is not a kind of score", "did you mean exact?"),
    ('expected = "x"', "score[0].kind", "is missing", "choose from exact"),
    ("kind = 3", "score[0].kind", "3 is not a kind of score", "choose from exact"),
    ('kind = "exact"', "score[0].expected", "is missing", "The column with the right value"),
    ('kind = "exact"\nexpected = "x"\ntolerance = 1', "score[0].tolerance", "is not a known setting", "choose from"),
    (
        'kind = "exact"\nexpected = "x"\ncase_sensitiv = true',
        "score[0].case_sensitiv",
        "is not a known setting",
        "did you mean case_sensitive?",
    ),
    ('kind = "number"\nexpected = "x"\ntolerance = -1', "score[0].tolerance", "must be a number, at least 0, not -1", None),
    ('kind = "number"\nexpected = "x"\ntolerance = "1"', "score[0].tolerance", "must be a number, at least 0, not '1'", "without quotes"),
    ('kind = "number"\nexpected = "x"\nwhich = "best"', "score[0].which", 'must be one of "last", "first", "only", not \'best\'', None),
    ('kind = "exact"\nexpected = "{{ x"', "score[0].expected", "not a template", None),
    ('kind = "regex"\npattern = "("', "score[0].pattern", "is not a regular expression", None),
    (
        'kind = "choice"\nexpected = "x"\nlabels = "AAB"',
        "score[0].labels",
        "must be letters, each once",
        'write labels = "ABCD"',
    ),
    ('kind = "json"\nname = "a/b"', "score[0].name", "'a/b' cannot be a score's name", "use letters"),
    ('kind = "python"\nfunction = "mine.py"', "score[0].function", "is not a function in a file", "write function"),
    ('kind = "python"', "score[0].function", "is missing", None),
    ('kind = "json"\n[[score]]\nkind = "json"\nname = "JSON"', "score[1].name", "'JSON' names two scores", "another name"),
    ('kind = "json"\n[[gate]]\nscore = "jsom"\nmin = 1', "gate[0].score", "there is no score 'jsom'", "did you mean json?"),
    ('kind = "json"\n[[gate]]\nscore = "json"', "gate[0]", "has neither min nor max", "set a bound"),
    ('kind = "json"\n[[gate]]\nscore = "json"\nmin = 90', "gate[0].min", "must be a number from -1 to 1, not 90", None),
    ('kind = "json"\n[[gate]]\nscore = "json"\nmin = -0.1', "gate[0].min", "must be a number from 0 to 1, not -0.1", "only a difference"),
    (
        'kind = "json"\n[[gate]]\nscore = "json"\nmin = 0\nvariant = "x"',
        "gate[0].variant",
        "there is no variant 'x'",
        "choose from openai/gpt-5-mini",
    ),
    (
        'kind = "json"\n[[gate]]\nscore = "json"\nmin = 0\nmetric = "difference"',
        "gate[0].against",
        "must be set with metric",
        "name the variant",
    ),
    (
        'kind = "json"\n[[gate]]\nscore = "json"\nmin = 0\nagainst = "openai/gpt-5-mini"',
        "gate[0].against",
        "must be set with metric",
        'write metric = "difference"',
    ),
]


@pytest.mark.parametrize(("text", "key", "message", "hint"), MISTAKES)
def test_mistakes(tmp_path: Path, text: str, key: str, message: str, hint: str | None) -> None:
    """Each mistake is told once, with its key, its line and what to do."""
    found = problem(tmp_path, f"{GOOD}[[score]]\n{text}\n")
    assert found.key == key
    assert message in found.message
    assert hint is None or (found.hint is not None and hint in found.hint)
    assert found.place.startswith("job.toml:")


def test_scores_must_be_tables_in_a_list(tmp_path: Path) -> None:
    """[score] with single brackets is a mistake with its remedy."""
    found = problem(tmp_path, f'{GOOD}[score]\nkind = "json"\n')
    assert (found.key, found.message) == ("score", "must be a list of tables, not a table")
    assert found.hint == "begin each with [[score]], in double brackets"


def test_several_mistakes_at_once(tmp_path: Path) -> None:
    """A mistake in one score hides none in another, and a gate on a bad score is not complained of."""
    text = f'{GOOD}[[score]]\nkind = "exact"\n[[score]]\nkind = "jso"\n[[gate]]\nscore = "sum"\nmin = 2\n'
    assert [found.key for found in problems(tmp_path, text)] == ["score[0].expected", "score[1].kind", "gate[0].min"]


def test_a_score_of_no_job() -> None:
    """`promptmill score FILE.jsonl` takes the keys of an entry, and tells its mistakes."""
    assert score_settings({"kind": "number", "expected": "n", "tolerance": 0.5}).options == {"tolerance": 0.5}
    with pytest.raises(JobError, match=r"the score: score\[0\]\.expected: is missing"):
        score_settings({"kind": "number"})


def _of_scorers() -> list[tuple[str, type[ScoreSection]]]:
    return [(name, section) for name, section in SCORES.items() if name in KINDS]


def test_sections_and_scorers_agree() -> None:
    """Every kind of scorer has its section, and the options of the two are the same: needed ones are needed in both."""
    assert SCORES.keys() == KINDS.keys() | {"judge", "pairwise", PANEL, EMBEDDING}
    common = set(ScoreSection.model_fields) | {"kind", "expected"}
    for name, section in _of_scorers():
        known = {field.alias or key: field.is_required() for key, field in section.model_fields.items() if key not in common}
        parameters = inspect.signature(KINDS[name].make).parameters
        assert known == {key: parameter.default is parameter.empty for key, parameter in parameters.items()}, name


def test_defaults_in_the_help_are_the_scorers_own() -> None:
    """What the schema says of an option's default is what the scorer does."""
    for name, section in _of_scorers():
        parameters = inspect.signature(KINDS[name].make).parameters
        for key, field in section.model_fields.items():
            _, told, default = (field.description or "").partition("[default: ")
            if told:
                value = parameters[field.alias or key].default
                said = {"true": True, "false": False, "all": ()}.get(default.removesuffix("]"), default.removesuffix("]"))
                assert said == value or said == str(value), (name, key)


def test_comparing_kinds_need_an_expected_value() -> None:
    """What compares cannot do without."""
    assert {name for name, section in SCORES.items() if issubclass(section, ComparingSection)} == {*KINDS, EMBEDDING} - {
        "regex",
        "json",
        "json_schema",
        "python",
    }


JUDGE = '[[score]]\nkind = "judge"\njudge = "openai/gpt-5"\nrubric = "Is it right?"\n'
SECOND = '[[model]]\nid = "openai/gpt-5"\n'


def test_a_judge(tmp_path: Path) -> None:
    """A judge is a model with parameters of its own, and a schema is sent where its provider is known to take one."""
    text = JUDGE + 'scale = { 0 = "no", 1 = "yes" }\nreasons = false\nparameters = { temperature = 0, max_tokens = 64 }\n'
    (score,) = loaded(tmp_path, GOOD + text).job.scores
    assert score.options == {}
    assert score.judge is not None
    assert (score.judge.model, dict(score.judge.variant.parameters)) == ("openai/gpt-5", {"temperature": 0, "max_tokens": 64})
    assert (score.judge.scale, score.judge.reasons, score.judge.structured) == ({0: "no", 1: "yes"}, False, True)
    (score,) = loaded(tmp_path, f"{GOOD}{JUDGE}structured = false\n").job.scores
    assert score.judge is not None
    assert (score.judge.scale, score.judge.reasons, score.judge.structured) == (None, True, False)


def test_pairs_against_a_baseline(tmp_path: Path) -> None:
    """A baseline is a variant of the job."""
    text = GOOD + SECOND + JUDGE.replace('"judge"', '"pairwise"') + 'baseline = "openai/gpt-5-mini"\n'
    (score,) = loaded(tmp_path, text).job.scores
    assert score.judge is not None
    assert score.judge.baseline == "openai/gpt-5-mini"


JUDGE_MISTAKES = [
    (JUDGE.replace('rubric = "Is it right?"\n', ""), "score[0].rubric", "is missing", "describe a good answer"),
    (JUDGE.replace('judge = "openai/gpt-5"\n', ""), "score[0].judge", "is missing", "PROVIDER/MODEL"),
    (JUDGE.replace("openai/gpt-5", "opneai/gpt-5"), "score[0].judge", "there is no provider 'opneai'", "did you mean openai/gpt-5?"),
    (JUDGE.replace("right?", "{{ right"), "score[0].rubric", "not a template", None),
    (JUDGE + "parameters = { temprature = 0 }\n", "score[0].parameters.temprature", "is not a known request", "did you mean temperature?"),
    (JUDGE + 'parameters = { temperature = "0" }\n', "score[0].parameters.temperature", "must be a number", "without quotes"),
    (JUDGE + "parameters = { sweep = {} }\n", "score[0].parameters.sweep", "cannot be set here", "add a [[score]]"),
    (JUDGE + 'scale = { 1 = "only" }\n', "score[0].scale", "must be", None),
    (JUDGE + 'scale = { low = "a", high = "b" }\n', "score[0].scale", "must be", None),
    (JUDGE + 'baseline = "x"\n', "score[0].baseline", "is not a known setting", None),
    (JUDGE.replace('"judge"', '"pairwise"'), "score[0]", "needs at least two variants", "add a [[model]]"),
    (
        SECOND + JUDGE.replace('"judge"', '"pairwise"') + 'baseline = "openai/gpt-6"\n',
        "score[0].baseline",
        "there is no variant 'openai/gpt-6'",
        "did you mean openai/gpt-5",
    ),
]


@pytest.mark.parametrize(("text", "key", "message", "hint"), JUDGE_MISTAKES)
def test_mistakes_in_judges(tmp_path: Path, text: str, key: str, message: str, hint: str | None) -> None:
    """A judge's parameters are checked as those of a model are, before anything is sent."""
    found = problem(tmp_path, f"{GOOD}{text}")
    assert (found.key, message in found.message) == (key, True), found
    assert hint is None or (found.hint is not None and hint in found.hint)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "judge", "judge": "openai/gpt-5", "rubric": "r"},
        {"kind": "embedding", "model": "openai/text-embedding-3-small", "expected": "x"},
    ],
)
def test_models_are_asked_about_runs(entry: dict[str, str]) -> None:
    """Files of others are not judged or embedded: there is no run whose journal would keep what is paid for."""
    with pytest.raises(JobError, match="a score that calls a model needs a run"):
        score_settings(entry)


EMBEDS = '[[score]]\nkind = "embedding"\nmodel = "openai/text-embedding-3-small"\nexpected = "answer"\n'


def test_a_model_that_embeds(tmp_path: Path) -> None:
    """It has parameters of its own, of the embeddings API, and its price may be of the tokens that go in alone."""
    text = EMBEDS + "threshold = 0.8\nparameters = { dimensions = 256 }\nprice = { input = 0.02 }\n"
    (score,) = loaded(tmp_path, GOOD + text).job.scores
    assert (score.options, score.judge) == ({"threshold": 0.8}, None)
    assert score.embedder is score.asked is not None
    assert (score.embedder.full_name, dict(score.embedder.parameters)) == ("openai/text-embedding-3-small", {"dimensions": 256})
    assert score.embedder.price is not None
    assert score.embedder.prompt.api == "embeddings"


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        (EMBEDS.replace('expected = "answer"\n', ""), "score[0].expected", "is missing", "right value"),
        (EMBEDS.replace('model = "openai/text-embedding-3-small"\n', ""), "score[0].model", "is missing", "PROVIDER/MODEL"),
        (EMBEDS.replace("openai/", "opneai/"), "score[0].model", "there is no provider 'opneai'", "did you mean"),
        (EMBEDS + "parameters = { max_tokens = 5 }\n", "score[0].parameters.max_tokens", "not a request parameter of the embeddings", None),
        (EMBEDS + "threshold = 2\n", "score[0].threshold", "must be", None),
        (
            EMBEDS.replace("openai/text-embedding-3-small", "local/smollm2"),
            "score[0].model",
            "not set up for embeddings",
            "embedding = true",
        ),
    ],
)
def test_mistakes_in_models_that_embed(tmp_path: Path, text: str, key: str, message: str, hint: str | None) -> None:
    """They are told with the key that is wrong, before anything is sent."""
    found = problem(tmp_path, f"{GOOD}{text}")
    assert (found.key, message in found.message) == (key, True), found
    assert hint is None or (found.hint is not None and hint in found.hint)


JUDGED = GOOD + '[[score]]\nkind = "judge"\nname = "fine"\nrubric = "r"\n'


def test_a_list_of_judges_is_a_score_for_each_and_their_panel(tmp_path: Path) -> None:
    """Names are the entry's and the model's, or the provider's too where models share a name; the document is kept as written."""
    job = loaded(tmp_path, JUDGED + 'judge = ["ollama/a", "vllm/a"]\nvote = "median"\ncluster = "sheet"\nweights = "w"\n')
    first, second, panel = job.job.scores
    assert [(each.name, each.kind) for each in (first, second, panel)] == [
        ("fine-ollama-a", "judge"),
        ("fine-vllm-a", "judge"),
        ("fine", "panel"),
    ]
    assert panel.options == {"of": ["fine-ollama-a", "fine-vllm-a"], "vote": "median", "weights": "w"}
    assert (first.cluster, panel.cluster, first.options) == ("sheet", "sheet", {})
    assert from_document(job.document).job.scores == job.job.scores


@pytest.mark.parametrize(
    ("more", "place", "message"),
    [
        ('judge = ["ollama/a", "ollama/a"]', "score[0].judge", "names a judge twice"),
        ('judge = ["ollama/a", "olama/b"]', "score[0].judge", "olama"),
        ('judge = ["ollama/a"]', "score[0].judge", "must be"),
        ('judge = ["ollama/a", 3]', "score[0].judge", "must be"),
        ('judge = "ollama/a"\nvote = "mean"', "score[0].vote", "needs several judges"),
        ('judge = ["ollama/a", "ollama/b"]\nvote = "all"', "score[0].vote", '"mean"'),
        ('judge = ["ollama/a", "ollama/b"]\nprice = { input = 1, output = 1 }', "score[0].price", "cannot be set for several judges"),
    ],
)
def test_mistakes_in_a_list_of_judges(tmp_path: Path, more: str, place: str, message: str) -> None:
    """Each mistake is reported at its key."""
    found = [str(each) for each in problems(tmp_path, JUDGED + more + "\n")]
    assert any(place in text and message in text for text in found), found
