"""Presets, and what becomes of them in a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job import provider_settings
from batch.providers.parameters import COMMON_PARAMETERS, PARAMETERS_OF
from batch.providers.presets import PRESETS
from batch.providers.urls import normalise_base_url
from batch.providers.variables import substitute
from batch.settings.embedded import EmbeddedModelSettings
from tests.support.jobs import GOOD, loaded, problem, problems

LOCAL_SERVERS = {"vllm", "sglang", "ollama", "llamacpp", "lmstudio", "local"}
ENVIRON = {"ANYSCALE_BASE_URL": "https://service.example.com", "AZURE_OPENAI_ENDPOINT": "https://resource.openai.azure.com/"}


def test_all_that_the_design_names() -> None:
    """Every preset of DESIGN section 3, under its own name."""
    assert set(PRESETS) == LOCAL_SERVERS | {
        *("openai", "anyscale", "azure", "together", "groq", "openrouter", "fireworks", "mistral", "deepseek", "gemini", "anthropic"),
        *("deepinfra", "doubleword"),
    }
    assert all(preset.name == name for name, preset in PRESETS.items())


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"local"}))
def test_usable(name: str) -> None:
    """A preset's URL is a normalised base URL, and only local servers need no key."""
    settings = provider_settings(name, ENVIRON)
    assert settings.base_url == normalise_base_url(settings.base_url)
    assert (settings.api_key_env is None) == (name in LOCAL_SERVERS) == (settings.auth == "none")
    assert set(PRESETS[name].options).isdisjoint(COMMON_PARAMETERS)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("anyscale", "https://service.example.com/v1"),
        ("azure", "https://resource.openai.azure.com/openai/v1"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("vllm", "http://127.0.0.1:8000/v1"),
    ],
)
def test_urls(name: str, url: str) -> None:
    """The base URL that a preset comes to."""
    assert provider_settings(name, ENVIRON).base_url == url


def test_embedded_model() -> None:
    """`local` has no URL until its server runs."""
    settings = provider_settings("local", {})
    assert settings.embedded == EmbeddedModelSettings()
    assert settings.base_url == ""


def test_unknown_preset_names_near_ones() -> None:
    """`promptmill models opnai` says what was meant, and what there is."""
    with pytest.raises(JobError, match=r"did you mean openai\?.*lmstudio"):
        provider_settings("opnai", {})


def test_missing_variable_of_a_url() -> None:
    """A URL's variable that is not set is named, with what to set it to."""
    with pytest.raises(JobError, match=r"ANYSCALE_BASE_URL, which is not set.*Query button"):
        provider_settings("anyscale", {})


def test_old_anyscale_host() -> None:
    """The retired host is explained, wherever it comes from (DESIGN section 10)."""
    with pytest.raises(JobError, match=r"ended on 2024-08-01.*\(from \$\{ANYSCALE_BASE_URL\}\)"):
        provider_settings("anyscale", {"ANYSCALE_BASE_URL": "https://api.endpoints.anyscale.com/v1"})


@pytest.mark.parametrize(
    ("text", "environ", "meant"),
    [
        ("${A}/x", {"A": "b"}, "b/x"),
        ("${A:-c}${A:-}", {}, "c"),
        ("${A:-c}", {"A": ""}, "c"),
        ("${A:-http://h:1/v1}", {}, "http://h:1/v1"),
        ("$A {{ x }}", {"A": "b"}, "$A {{ x }}"),
    ],
)
def test_substitution(text: str, environ: dict[str, str], meant: str) -> None:
    """${VAR} and ${VAR:-default}, as in a shell; nothing else is touched."""
    assert substitute(text, environ) == meant


@pytest.mark.parametrize("text", ["${A}", "${", "${1}", "${A-b}"])
def test_substitution_refused(text: str) -> None:
    """A variable without value, or something that only looks like a reference."""
    with pytest.raises(ValueError, match=r"A is not set|written \$\{NAME\}"):
        substitute(text, {"A": ""})


def test_table_of_a_preset_overrides_its_fields(tmp_path: Path) -> None:
    """[provider.openai] changes what it names and keeps the rest."""
    text = GOOD + '[provider.openai]\nbase_url = "${PROXY}/llm"\nheaders = {X-Team = "a"}\nrenames = {seed = "s"}\n'
    settings = loaded(tmp_path, text, environ={"PROXY": "http://proxy"}).job.variants[0].provider
    assert settings.base_url == "http://proxy/llm/v1"
    assert settings.api_key_env == "OPENAI_API_KEY"
    assert settings.headers == {"X-Team": "a"}
    assert settings.renames == {"max_tokens": "max_completion_tokens", "seed": "s"}


def test_custom_provider_builds_on_a_preset(tmp_path: Path) -> None:
    """A table that builds on vllm brings its options; a key that is named is sent although vLLM's preset needs none."""
    text = GOOD.replace("openai/gpt-5-mini", "house/org/m") + (
        "top_k = 1\nmy_own = 2\n"
        '[provider.house]\npreset = "vllm"\nbase_url = "http://gpu:8000"\napi_key_env = "HOUSE_KEY"\noptions = ["my_own"]\n'
    )
    variant = loaded(tmp_path, text).job.variants[0]
    assert (variant.model, variant.provider.base_url) == ("org/m", "http://gpu:8000/v1")
    assert (variant.provider.api_key_env, variant.provider.auth) == ("HOUSE_KEY", "bearer")
    assert variant.parameters == {"top_k": 1, "my_own": 2}


@pytest.mark.parametrize(
    ("table", "key", "says"),
    [
        ("", "provider.house.base_url", "is missing"),
        ('preset = "vlm"', "provider.house.preset", "there is no preset 'vlm'"),
        ('base_url = "host"', "provider.house.base_url", "begins with http"),
        ('base_url = "${HOST}"', "provider.house.base_url", "HOST, which is not set"),
        ('base_url = "http://h"\nmodel_path = "x"', "provider.house.model_path", "only for the embedded model"),
        ('preset = "local"\nbase_url = "http://h"', "provider.house.base_url", "is not a setting"),
        ('base_url = "http://h"\napi_key_env = "sk-12345"', "provider.house.api_key_env", "name of an environment variable"),
        (
            'base_url = "http://h"\nheaders = {Authorization = "sk-12345"}',
            "provider.house.headers.Authorization",
            "must not be in the job file",
        ),
        ('base_url = "http://h"\nheaders = "sk-12345"', "provider.house.headers", "must be a table"),
        ('base_url = "http://h"\nheaders = {"X: y" = "a"}', 'provider.house.headers."X: y"', "not a header"),
        ("preset = 3", "provider.house.preset", "must be non-empty text"),
        ("base_url = 3", "provider.house.base_url", "must be non-empty text"),
        ('base_url = "http://h"\napi_key = "sk-12345"', "provider.house.api_key", "not a known setting"),
    ],
)
def test_bad_provider_tables(tmp_path: Path, table: str, key: str, says: str) -> None:
    """Each mistake in a provider's table is named at its key; a key that stands in the file is never shown (promise 12)."""
    found = problem(tmp_path, GOOD.replace("openai/", "house/") + f"[provider.house]\n{table}\n")
    assert found.key == key
    assert says in found.message
    assert "sk-12345" not in str(found)


def test_query_and_usage(tmp_path: Path) -> None:
    """Query values may hold variables; stream_usage can be turned off; auth = "none" sends no key."""
    text = GOOD + '[provider.openai]\nquery = {api-version = "${V}"}\nstream_usage = false\nauth = "none"\n'
    settings = loaded(tmp_path, text, environ={"V": "2024-10-21"}).job.variants[0].provider
    assert (settings.query, settings.stream_usage) == ({"api-version": "2024-10-21"}, False)
    assert (settings.auth, settings.api_key_env) == ("none", None)
    assert problem(tmp_path, text).key == "provider.openai.query.api-version"


def test_unused_providers_need_no_variables(tmp_path: Path) -> None:
    """Only providers that the models use must be complete; a key's variable need not be set to load."""
    loaded(tmp_path, GOOD + '[provider.spare]\nbase_url = "${NOT_SET}"\n')


def test_one_complaint_for_a_provider(tmp_path: Path) -> None:
    """Two models of one provider do not say the same thing twice."""
    text = GOOD.replace("openai/", "anyscale/") + '[[model]]\nid = "anyscale/other"\n'
    assert [found.key for found in problems(tmp_path, text)] == ["model[0].id"]


def test_renames_fit_the_api(tmp_path: Path) -> None:
    """max_tokens is renamed for chat, not for completions, which have no max_completion_tokens; extra_body is sent as it is."""
    completions = GOOD.replace('user = "{{ question }}"', 'api = "completions"\ntext = "{{ question }}"')
    assert loaded(tmp_path, GOOD).job.variants[0].provider.renames == {"max_tokens": "max_completion_tokens"}
    assert loaded(tmp_path, completions).job.variants[0].provider.renames == {}
    assert loaded(tmp_path, GOOD + "extra_body = {max_tokens = 3}\n").job.variants[0].provider.renames == {}


def test_parameters_have_help_and_an_api() -> None:
    """Every parameter of an API is documented, and every documented one belongs to an API."""
    assert set().union(*PARAMETERS_OF.values()) == set(COMMON_PARAMETERS)
    assert all(text.strip() for text in COMMON_PARAMETERS.values())
