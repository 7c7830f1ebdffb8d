"""Variants: sweeps, names and folder names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.job.variants import SLUG_LENGTH, slugify
from tests.support.jobs import GOOD, loaded, problem, problems


def test_sweep(tmp_path: Path) -> None:
    """A grid in the order written; each combination has its parameters, its name and its folder."""
    text = GOOD + 'max_tokens = 5\n[model.sweep]\ntop_p = [0.9, 1]\nreasoning_effort = ["low", "high"]\n'
    variants = loaded(tmp_path, text).job.variants
    assert [(variant.name, variant.slug) for variant in variants] == [
        ("openai/gpt-5-mini top_p=0.9 reasoning_effort=low", "openai--gpt-5-mini-top_p=0.9-reasoning_effort=low"),
        ("openai/gpt-5-mini top_p=0.9 reasoning_effort=high", "openai--gpt-5-mini-top_p=0.9-reasoning_effort=high"),
        ("openai/gpt-5-mini top_p=1 reasoning_effort=low", "openai--gpt-5-mini-top_p=1-reasoning_effort=low"),
        ("openai/gpt-5-mini top_p=1 reasoning_effort=high", "openai--gpt-5-mini-top_p=1-reasoning_effort=high"),
    ]
    assert variants[3].parameters == {"max_tokens": 5, "top_p": 1, "reasoning_effort": "high"}


def test_long_values_in_names(tmp_path: Path) -> None:
    """A long value, such as a schema, is told apart by a hash instead of being spelled out."""
    text = GOOD + '[model.sweep]\nresponse_format = [{type = "json_schema", json_schema = {name = "a long one indeed"}}, {type = "text"}]\n'
    names = [variant.name for variant in loaded(tmp_path, text).job.variants]
    assert re.fullmatch(r"openai/gpt-5-mini response_format=[0-9a-f]{8}", names[0])
    assert names[1] == 'openai/gpt-5-mini response_format={"type":"text"}'


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ('id = "openai/gpt-5-mini"\ntemperature = 0.7', 'set name = "openai/gpt-5-mini temperature=0.7" here'),
        ('id = "openai/gpt-5-mini"', 'set name = "openai/gpt-5-mini 2" here'),
        ('id = "groq/x"\nname = "OpenAI/gpt-5-mini"', "the folder name of 'OpenAI/gpt-5-mini' is also that of model[0]"),
    ],
)
def test_doubled_names(tmp_path: Path, second: str, says: str) -> None:
    """Two variants of one name, or of one folder where case does not count, are refused with a name to take."""
    found = problem(tmp_path, f"{GOOD}[[model]]\n{second}\n")
    assert found.place.startswith("job.toml:1")
    assert says in str(found)


def test_too_many_variants(tmp_path: Path) -> None:
    """A sweep that explodes is refused before it is expanded."""
    values = list(range(2000))
    text = GOOD + f"[model.sweep]\nseed = {values}\nmax_tokens = {values[1:]}\ntop_p = {[1 / (1 + value) for value in values]}\n"
    assert "makes 7996000000 variants" in problem(tmp_path, text).message
    assert len(loaded(tmp_path, GOOD + f"[model.sweep]\nseed = {values[:1000]}\n").job.variants) == 1000


def test_mistakes_of_several_models(tmp_path: Path) -> None:
    """Each entry is checked, whatever is wrong with the others."""
    text = GOOD + 'seed = "x"\n[[model]]\nname = "no id"\n[[model]]\nid = "openai/c"\nn = 2\n'
    assert [item.key for item in problems(tmp_path, text)] == ["model[0].seed", "model[1].id", "model[2].n"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("openai/gpt-5-mini", "openai--gpt-5-mini"),
        ("a b/c:d", "a-b--c-d"),
        ("../../x", "x"),
        (".hidden", "hidden"),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    """A name as a folder name: nothing leads out of the folder or hides."""
    assert slugify(name) == slug


@given(st.text(min_size=1, max_size=300))
def test_any_name_makes_a_safe_folder(name: str) -> None:
    """At most 100 plain characters, never empty, hidden, or a way up; letters beyond ASCII do not make names the same."""
    slug = slugify(name)
    assert re.fullmatch(r"[A-Za-z0-9_=][A-Za-z0-9._=-]*", slug)
    assert len(slug) <= SLUG_LENGTH
    assert slugify(f"{name}é") != slugify(f"{name}è")


def test_long_names_stay_apart() -> None:
    """Names that differ only at the end have different folders."""
    assert slugify("x" * 200 + "a") != slugify("x" * 200 + "b")
