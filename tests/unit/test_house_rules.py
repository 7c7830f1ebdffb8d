"""The rules of CONTRIBUTING.md that no linter holds."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import distributions, metadata, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from batch.job import load

ROOT = Path(__file__).parents[2]
CODE = sorted(ROOT.glob("batch/**/*.py"))
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("jobs/*.toml"))]
TESTS = sorted(ROOT.glob("tests/**/test_*.py"))
MAX_FILE_LINES = 320
MAX_FUNCTION_LINES = 60
# Words of an old dialect that no engineer elsewhere would understand, with the field's word for each.
FORMER_WORDS = {
    "purse": "budget",
    "fleet": "endpoint pool",
    "mourn": "on exit",
    "sieve": "duplicate filter",
    "settler": "failure handler",
    "recaller": "lease recovery",
    "untold": "unreported",
    "try anew": "retry",
    "lane": "queue",
    "lanes": "queues",
    "left out": "omitted",
    "stands twice": "is repeated",
    "somebody": "the user",
    "nobody": "none",
    "whoever": "the one that",
    "so many": "the number",
    "so much": "the amount",
    "go on": "continue",
    "goes on": "continues",
    "going on": "continuing",
    "told": "reported",
    "anew": "again",
    "held": "in memory, leased, deferred or suspended",
}
# Keys and codes in files and outputs of users, which are never renamed.
SERIALISED = ('"scored_anew"', '"held"', "timeout_attempt held")
# The pages name tests, whose names are sentences of their own.
EXEMPT = re.compile("|".join((*SERIALISED, r"test_\w+")))
# Bounds on the whole of batch/: what was reached is not given up.
LONG_FUNCTION, MOST_LONG_FUNCTIONS = 40, 3
MANY_PARAMETERS, MOST_FUNCTIONS_WITH_MANY = 7, 4
LONG_FILE, MOST_LONG_FILES = 300, 0.007
FEWEST_COMMENTS = 0.015
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Put together here, so that this file does not name them.
REGISTRY_HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("anaconda", "org"), ("jsdelivr", "net"))
]
INDEX_OPTIONS = ["index" + "-url", "find" + "-links", "trusted" + "-host"]
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json", "yarn.lock", "conda-lock.yml"}


def short(path: Path) -> str:
    """A test's name for a file."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[Function]:
    """All functions of a file, methods and inner ones too."""
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function))


def find_distribution(name: str) -> bool:
    """Whether a distribution is installed; markers and platforms leave some out."""
    return next(iter(distributions(name=name)), None) is not None


def committed() -> list[Path]:
    """The files of the repository; those of the folder where there is no git, as in an unpacked source archive."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0") if listed.returncode == 0 else [short(path) for path in [*CODE, *TESTS, *ROOT.glob("*.*")]]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@pytest.mark.parametrize("path", CODE, ids=short)
def test_code_is_in_small_pieces(path: Path) -> None:
    """Files stay under about 300 lines and functions under about 40; beyond these bounds they are to be divided."""
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    long = {node.name: length for node in functions(path) if (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES}
    assert not long


def parameters(function: Function) -> int:
    """How many parameters a caller sees."""
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_functions_are_short_and_take_few_parameters() -> None:
    """Functions over 40 lines, and those with more than seven parameters, stay as few as they are."""
    found = [(f"{short(path)}: {each.name}", each) for path in CODE for each in functions(path)]
    long = [name for name, each in found if (each.end_lineno or 0) - each.lineno + 1 > LONG_FUNCTION]
    assert len(long) <= MOST_LONG_FUNCTIONS, long
    many = [name for name, each in found if parameters(each) > MANY_PARAMETERS]
    assert len(many) <= MOST_FUNCTIONS_WITH_MANY, many


def test_a_stored_run_is_passed_as_one_value() -> None:
    """In results/ and evaluation/ no function takes the parts of a stored run one by one: a StoredRun has them all."""
    parts = {"directory", "dataset"}
    found = [
        f"{short(path)}: {each.name}"
        for path in CODE
        if path.is_relative_to(ROOT / "batch/results") or path.is_relative_to(ROOT / "batch/evaluation")
        for each in functions(path)
        if parts <= {argument.arg for argument in (*each.args.args, *each.args.kwonlyargs)}
    ]
    assert not found


def test_files_are_short_and_give_reasons() -> None:
    """Files over 300 lines stay rare; the reasons of unusual code stand in comments at its lines."""
    texts = {short(path): path.read_text() for path in CODE}
    long = [name for name, text in texts.items() if len(text.splitlines()) > LONG_FILE]
    assert len(long) <= MOST_LONG_FILES * len(CODE), long
    tokens = (token for text in texts.values() for token in tokenize.generate_tokens(io.StringIO(text).readline))
    comments = sum(token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens)
    assert comments >= FEWEST_COMMENTS * sum(len(text.splitlines()) for text in texts.values())


def test_no_public_type_is_defined_twice() -> None:
    """A name stands for one thing: no two public classes of batch/ have the same."""
    names = Counter(
        node.name
        for path in CODE
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("word", FORMER_WORDS)
def test_words_of_the_old_dialect_do_not_come_back(word: str) -> None:
    """The code of batch/, the pages and the jobs speak the field's language; snake_case and CamelCase are taken apart."""
    whole = re.compile(rf"(?<![a-z]){word}(?![a-z])", re.IGNORECASE)
    found = [
        f"{short(path)}:{number}: {FORMER_WORDS[word]!r} instead of {word!r}"
        for path in [*CODE, *PAGES]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if whole.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", EXEMPT.sub("", line)))
    ]
    assert not found


@pytest.mark.parametrize("path", CODE, ids=short)
def test_modules_say_what_they_are(path: Path) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", TESTS, ids=short)
def test_tests_say_what_must_hold(path: Path) -> None:
    """Every test has a docstring."""
    assert not [node.name for node in functions(path) if node.name.startswith("test_") and not ast.get_docstring(node)]


def test_no_package_registry_is_named() -> None:
    """A checkout works with whatever registry the machine is set up for: no file names one, or an option that picks one."""
    named = [
        f"{short(path)}: {text}"
        for path in committed()
        for content in [path.read_bytes()]
        for text in REGISTRY_HOSTS + INDEX_OPTIONS
        if text.encode() in content
    ]
    assert not named


def test_no_lock_file_is_committed() -> None:
    """Versions are pinned in constraints.txt, by name and number only."""
    assert not [short(path) for path in committed() if path.name in LOCK_FILES]
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or line.count("==") == 1, line
        assert "://" not in line


def test_everything_that_is_installed_is_pinned() -> None:
    """constraints.txt pins what promptmill and all its extras bring, and what that brings in its turn, so that fresh installs are alike."""
    pins = {canonicalize_name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    seen: set[tuple[str, str]] = set()
    todo = [("promptmill", extra) for extra in ("", *metadata("promptmill").get_all("Provides-Extra", []))]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen or not find_distribution(name):
            continue
        seen.add((name, extra))
        for text in requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), wanted) for wanted in ("", *needed.extras)]
    assert not {name for name, _ in seen} - pins - {"promptmill"}


def test_readme_names_the_two_commands() -> None:
    """Somebody who comes with a fresh clone finds the demo and the tests in the README, and both are in the Makefile."""
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text().splitlines()
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert any(line.startswith(f"{target}:") for line in makefile)


def test_readme_shows_a_job_that_loads(tmp_path: Path) -> None:
    """The job in the README is one that promptmill takes, with the model, the rows and the prompt of the real quickstart."""
    shown = tmp_path / "jobs" / "quickstart.toml"
    shown.parent.mkdir()
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    shown.write_text((ROOT / "README.md").read_text().partition("```toml\n")[2].partition("```")[0])
    ours, real = (load(path).job for path in (shown, ROOT / "jobs" / "quickstart.toml"))
    assert ours.name == real.name
    for one, other in zip(ours.variants, real.variants, strict=True):
        assert (one.name, one.parameters, one.prompt) == (other.name, other.parameters, other.prompt)
    assert ours.output.columns == real.output.columns
    assert [Path(path).resolve() for path in ours.input.paths] == [Path(path) for path in real.input.paths]


def test_readme_names_a_test_for_each_promise() -> None:
    """The fourteen promises stand in the README, in order, each with a test that is there."""
    named = re.findall(r"^\| (\d+) \| \*\*.*`(tests/\S+\.py)::(test_\w+)` \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in named] == list(range(1, 15))
    for _, path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text()
