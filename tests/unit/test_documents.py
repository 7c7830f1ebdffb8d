"""README.md and docs/: links lead somewhere, commands and keys are there, made pages are those that the program makes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from batch.cli.group import COMMANDS, promptmill
from batch.job import json_schema, load
from batch.providers.presets import PRESETS
from tests.documents import MADE, ROOT
from tests.documents.architecture import floors
from tests.documents.faults import faults_in, named_tests, rows

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
# What stands behind a comment, a pipe or the end of a command is no part of it.
COMMAND = re.compile(r"(?<![\w/'\[.-])promptmill ([a-z][^\n|#;)&\\]*)")


def short(path: Path) -> str:
    """A test's name for a page."""
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """The words of all promptmill commands in a page's code, in blocks and in lines."""
    text = page.read_text()
    # Of a console, what was typed.
    typed = [block for kind, block in FENCE.findall(text) if kind == "sh"]
    typed += [line for kind, block in FENCE.findall(text) if kind == "console" for line in block.splitlines() if line.startswith("$ ")]
    for code in [*typed, *INLINE.findall(FENCE.sub("", text))]:
        yield from (found[1].split() for found in COMMAND.finditer(code))


@pytest.mark.parametrize("name", MADE)
def test_made_pages_have_not_drifted(name: str) -> None:
    """The page is what the program makes now; `make docs` mends it."""
    assert (ROOT / name).read_text(encoding="utf-8") == MADE[name]()


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is to a file that is there, and to a heading that it has."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_index() -> None:
    """docs/README.md links every page of docs/, and README.md links it."""
    linked = set(LINK.findall((ROOT / "docs" / "README.md").read_text()))
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= linked
    assert "docs/README.md" in LINK.findall((ROOT / "README.md").read_text())


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_commands_are_there(page: Path) -> None:
    """Each command that a page names exists and has the options that it is given."""
    context = click.Context(promptmill)
    wrong = []
    for words in commands(page):
        command = promptmill.get_command(context, words[0])
        if command is None:
            wrong.append(words)
            continue
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
        wrong += [words for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    assert not wrong


def test_commands_are_found_in_texts() -> None:
    """The search for commands finds those in consoles and in backticks: the tutorial has most of them."""
    named = {words[0] for words in commands(ROOT / "docs" / "tutorial.md")}
    assert {"try", "plan", "run", "status", "verify", "compare", "score", "report", "export"} <= named
    assert {words[0] for words in commands(ROOT / "docs" / "ci.md")} >= {"run", "score", "report"}
    assert {words[0] for page in PAGES for words in commands(page)} >= {name for _, name, _, _ in COMMANDS}


@pytest.mark.parametrize("page", [page for page in PAGES if "```toml" in page.read_text()], ids=short)
def test_keys_are_there(page: Path) -> None:
    """Each example of a job file is TOML and has no key that the schema does not know."""

    def walk(value: Any, node: dict[str, Any], place: str) -> Iterator[str]:
        if isinstance(value, list) and "items" in node:
            for item in value:
                yield from walk(item, node["items"], place)
        elif isinstance(value, dict) and "anyOf" in node:
            kinds = {name: child for branch in node["anyOf"] for name, child in branch.get("properties", {}).items()}
            yield from walk(value, {"properties": kinds} if kinds else {}, place)
        elif isinstance(value, dict) and "properties" in node:
            yield from (f"{place}.{key}" for key in value if key not in node["properties"])
            for key in value.keys() & node["properties"].keys():
                yield from walk(value[key], node["properties"][key], f"{place}.{key}")
        elif isinstance(value, dict) and isinstance(node.get("additionalProperties"), dict):
            for key, item in value.items():
                yield from walk(item, node["additionalProperties"], f"{place}.{key}")

    for kind, text in FENCE.findall(page.read_text()):
        if kind == "toml":
            assert not list(walk(tomllib.loads(text), json_schema(), ""))


def test_the_tutorial_s_job_loads(tmp_path: Path) -> None:
    """The job of the tutorial, as it is at first and with what is appended later, is one that promptmill takes."""
    first, appended, step = (text for kind, text in FENCE.findall((ROOT / "docs" / "tutorial.md").read_text()) if kind == "toml")
    (tmp_path / "capitals.jsonl").symlink_to(ROOT / "sample_data" / "capitals.jsonl")
    path = tmp_path / "capitals.toml"
    for text, names in ((first, ["plain"]), (first + "\n" + appended, ["plain", "two examples"])):
        path.write_text(text, encoding="utf-8")
        assert [variant.name for variant in load(path).job.variants] == names
    assert all(line in (ROOT / "jobs" / "steps-reply.toml").read_text() for line in step.splitlines())


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_has_a_section(name: str) -> None:
    """docs/providers.md has a section for each preset with its variable, its URL and its own parameters."""
    section = (ROOT / "docs" / "providers.md").read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    preset = PRESETS[name]
    assert preset.title in section
    assert preset.base_url in section
    assert preset.api_key_env is None or preset.api_key_env in section
    assert all(f"`{option}`" in section for option in preset.options)


def test_the_map_names_modules_that_are_there() -> None:
    """Each module and package that the page of the architecture names exists, and each package of the code is on a floor."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in INLINE.findall(FENCE.sub("", text)) if re.fullmatch(r"[a-z_]+/[a-z_/]*(\.py)?", name)}
    assert {"engine/feed.py", "job/model.py", "readers/"} <= named
    assert not [name for name in named if not (ROOT / "batch" / name).exists()]
    there = {path.stem for path in (ROOT / "batch").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == {name for floor in floors() for name in floor}


def test_the_matrix_of_faults_has_no_gap() -> None:
    """Rows 1 to 76 are there once each, and no test names a fault that has no row."""
    assert rows() == list(range(1, 77))
    assert set(named_tests()) <= set(rows())


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("it is kept (fault 39).", [39]),
        ("Faults 9, 14, 15, 17 to 19 and 28 on the wire", [9, 14, 15, 17, 18, 19, 28]),
        ("Promises 1, 2, 4; fault 36: killed", [36]),
        ("by default, 4 faults in a row", []),
    ],
)
def test_faults_are_found_in_docstrings(text: str, numbers: list[int]) -> None:
    """As tests write them: one, several, ranges; numbers of other things are not taken for them."""
    assert list(faults_in(text)) == numbers


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_tests_that_are_named_are_there(page: Path) -> None:
    """Each test file that a page names exists, and has the test that is named after it."""
    missing = []
    path = ""
    for name, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", page.read_text(encoding="utf-8")):
        path = name or path
        if name and not (ROOT / name).is_file():
            missing.append(name)
        elif test and f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8"):
            missing.append(f"{path}::{test}")
    assert not missing
