"""Providers in a job file and in the user's own providers.toml: pools, exact URLs, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job import from_document, provider_settings
from tests.support.jobs import GOOD, loaded, problem

HOUSE = GOOD.replace("openai/gpt-5-mini", "house/m")


def with_provider(lines: str) -> str:
    """A job whose only model is served by [provider.house]."""
    return f"{HOUSE}\n[provider.house]\n{lines}\n"


def test_a_list_of_urls_is_a_pool(tmp_path: Path) -> None:
    """Each is normalised, variables filled in; a list of one is one endpoint."""
    text = with_provider('base_url = ["${A}", "http://b:8000/"]')
    provider = loaded(tmp_path, text, environ={"A": "http://a:8000"}).job.variants[0].provider
    assert (provider.base_url, provider.more_urls) == ("http://a:8000/v1", ("http://b:8000/v1",))
    assert loaded(tmp_path, with_provider('base_url = ["http://a"]')).job.variants[0].provider.more_urls == ()


def test_what_is_wrong_with_a_pool_is_told_by_its_place(tmp_path: Path) -> None:
    """An unset variable, a URL that is none, one that stands twice, an empty list: each with line and index."""
    unset = problem(tmp_path, with_provider('base_url = ["http://a", "${B}"]'))
    assert (unset.place, unset.key) == ("job.toml:11", "provider.house.base_url[1]")
    assert "B, which is not set" in unset.message
    assert "begins with http" in problem(tmp_path, with_provider('base_url = ["a:80", "http://b"]')).message
    assert "duplicate http://a/v1" in problem(tmp_path, with_provider('base_url = ["http://a", "http://A/v1/"]')).message
    assert problem(tmp_path, with_provider("base_url = []")).key == "provider.house.base_url"


def test_pools_that_overlap_are_a_mistake(tmp_path: Path) -> None:
    """An endpoint has one pace: it belongs to one pool, under whatever names."""
    other = '[provider.other]\nbase_url = ["http://b", "http://c"]\n\n[[model]]\nid = "other/m"\n'
    found = problem(tmp_path, with_provider('base_url = ["http://a", "http://b"]') + other)
    assert found.key == "provider.other.base_url"
    assert "http://b/v1 is also in the pool of house" in found.message
    same = other.replace('["http://b", "http://c"]', '["http://b", "http://a"]')
    assert len(loaded(tmp_path, with_provider('base_url = ["http://a", "http://b"]') + same).job.variants) == 2


def test_an_exact_url_is_left_as_it_is(tmp_path: Path) -> None:
    """Services without a version in their path get none; an API path that was pasted along still goes."""
    text = with_provider('base_url = "http://a/serve/chat/completions"\nexact_url = true')
    assert loaded(tmp_path, text).job.variants[0].provider.base_url == "http://a/serve"
    assert loaded(tmp_path, text.replace("true", "false")).job.variants[0].provider.base_url == "http://a/serve/v1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The folder of the user's settings."""
    folder = tmp_path / "config" / "promptmill"
    folder.mkdir(parents=True)
    return folder


def test_the_users_own_providers_serve_all_jobs(tmp_path: Path, config: Path) -> None:
    """A provider in providers.toml is known to every job; a job's own table comes over it, key by key; the rest is not looked at."""
    (config / "providers.toml").write_text(
        '[provider.house]\nbase_url = "http://a"\napi_key_env = "HOUSE_KEY"\n\n[provider.broken]\nbase_url = 3\n'
    )
    environ = {"XDG_CONFIG_HOME": str(config.parent)}
    job = loaded(tmp_path, HOUSE, environ=environ)
    assert (job.job.variants[0].provider.base_url, job.job.variants[0].provider.api_key_env) == ("http://a/v1", "HOUSE_KEY")
    over = loaded(tmp_path, with_provider('base_url = "http://b"'), environ=environ).job.variants[0].provider
    assert (over.base_url, over.api_key_env) == ("http://b/v1", "HOUSE_KEY")
    assert from_document(job.document, environ={}).job == job.job
    home = {"HOME": str(tmp_path / "home")}
    (tmp_path / "home" / ".config").mkdir(parents=True)
    (config.parent / "promptmill").rename(tmp_path / "home" / ".config" / "promptmill")
    assert loaded(tmp_path, HOUSE, environ=home).job == job.job


def test_mistakes_in_the_users_file_have_its_name_and_line(tmp_path: Path, config: Path) -> None:
    """What is wrong with a provider that the job uses, with the file as a whole, or with its TOML, is told by file and line."""
    file = config / "providers.toml"
    environ = {"XDG_CONFIG_HOME": str(config.parent)}
    file.write_text('# mine\n[provider.house]\nbase_ulr = "http://a"\n')
    with pytest.raises(JobError) as caught:
        loaded(tmp_path, HOUSE, environ=environ)
    assert str(caught.value.problems[1]) == (f"{file}:3: provider.house.base_ulr: is not a known setting (did you mean base_url?)")
    file.write_text('[provider.house]\nbase_url = "http://a"\n\n[model]\nid = "x"\n')
    assert problem(tmp_path, HOUSE, environ=environ).place == "config/promptmill/providers.toml:4"
    file.write_text("[provider.house\n")
    assert "not valid TOML" in problem(tmp_path, HOUSE, environ=environ).message
    file.write_text('[provider.house]\nbase_url = "http://a"\n')
    typo = problem(tmp_path, HOUSE.replace("house/m", "hous/m"), environ=environ)
    assert "did you mean house/m?" in str(typo.hint)


def test_models_of_ones_own_provider(config: Path) -> None:
    """`promptmill models house` knows the user's providers too."""
    (config / "providers.toml").write_text('[provider.house]\nbase_url = "http://a"\n')
    assert provider_settings("house", {"XDG_CONFIG_HOME": str(config.parent)}).base_url == "http://a/v1"
    with pytest.raises(JobError, match="did you mean house"):
        provider_settings("hose", {"XDG_CONFIG_HOME": str(config.parent)})
