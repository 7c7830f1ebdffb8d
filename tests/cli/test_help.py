"""The command line as a newcomer meets it: help, versions, wrong words."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import click
import pytest
from click.testing import CliRunner

from batch import __version__
from batch.cli.exits import ExitCode
from batch.cli.group import COMMANDS, promptmill
from batch.cli.options import SETTING_OPTIONS, SettingOption, overrides

NAMES = [name for _, name, _, _ in COMMANDS]
HEAVY = ("pyarrow", "httpx", "numpy", "pydantic", "jinja2", "anyio", "orjson", "tqdm", "tree_sitter")


def loaded_by(code: str) -> set[str]:
    """The modules that are loaded after `code` ran in a fresh interpreter."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "code", ["import batch", "import batch.cli as c; c.main(['--help'])", "import batch.cli as c; c.main(['run', '--help'])"]
)
def test_help_loads_nothing_heavy(code: str) -> None:
    """`import batch` and help stay quick: none of the heavy libraries is loaded."""
    assert loaded_by(code).isdisjoint(HEAVY)


def test_help_loads_no_command() -> None:
    """`promptmill --help` shows every command without loading their modules."""
    modules = loaded_by("import batch.cli as c; c.main(['--help'])")
    assert modules.isdisjoint({f"batch.cli.{module}" for _, _, module, _ in COMMANDS})


def test_help_shows_all_commands_and_an_example() -> None:
    """`promptmill --help` has every command with its line, in its section, an example and the exit codes."""
    result = CliRunner().invoke(promptmill, ["--help"])
    assert result.exit_code == 0
    for section, name, _, summary in COMMANDS:
        assert f"{section}:" in result.stdout
        assert any(line.split() == [name, *summary.split()] for line in result.stdout.splitlines())
    assert "promptmill run jobs/" in result.stdout
    assert "Exit codes:" in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help(name: str) -> None:
    """Each command says what it does, in one short line and at length, in plain ASCII, and describes each option."""
    command = promptmill.get_command(click.Context(promptmill), name)
    assert command is not None
    assert command.name == name
    assert len(command.short_help or "") <= 80
    assert (command.short_help or "").endswith(".")
    assert len((command.help or "").split()) >= 15
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    for flag in ("--help", "-h"):
        result = CliRunner().invoke(promptmill, [name, flag])
        assert result.exit_code == 0
        assert result.stdout.isascii()
        assert max(map(len, result.stdout.splitlines())) <= 80


def test_no_command_shows_help_and_is_a_usage_error() -> None:
    """A bare `promptmill` explains itself on stderr, so that scripts do not take the help for data."""
    result = CliRunner().invoke(promptmill, [])
    assert (result.exit_code, result.stdout) == (ExitCode.UNUSABLE, "")
    assert result.stderr.startswith("Usage: promptmill")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum", "job.toml"], "promptmill: error: There is no command 'rum'. Did you mean run?"),
        (["run"], "promptmill: error: JOB.toml is missing: give the path of a job file"),
        (["run", "job.toml", "--limit", "0"], "promptmill: error: Invalid value for '--limit'"),
        (["run", "job.toml", "--fresh", "--changed", "keep"], "promptmill: error: --fresh starts over"),
        (["export", "runs/x", "--format", "xml"], "promptmill: error: Invalid value for '--format'"),
        (["providers", "grok"], "promptmill: error: Invalid value: there is no provider 'grok'; did you mean groq?"),
    ],
)
def test_usage_errors_are_told_like_all_others(words: list[str], message: str) -> None:
    """A wrong command, option or value ends with code 2, the reason first, and where the help is."""
    result = CliRunner().invoke(promptmill, words)
    assert (result.exit_code, result.stdout) == (ExitCode.UNUSABLE, "")
    assert result.stderr.startswith(message)
    assert "--help" in result.stderr


def test_version() -> None:
    """`promptmill --version` prints the version of the package."""
    assert CliRunner().invoke(promptmill, ["--version"]).stdout == f"promptmill {__version__}\n"


def test_python_dash_m_is_the_command() -> None:
    """`python -m batch` is the same as `promptmill`."""
    result = subprocess.run([sys.executable, "-m", "batch", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"promptmill {__version__}\n")


@pytest.mark.parametrize("name", NAMES)
def test_examples_keep_their_lines(name: str) -> None:
    """Each example of a command's help stands on a line of its own."""
    text = CliRunner().invoke(promptmill, [name, "--help"]).stdout
    assert "\\b" not in text
    assert "Examples" not in text or "\n    promptmill " in text


@pytest.mark.parametrize("option", SETTING_OPTIONS, ids=lambda option: option.flag)
def test_short_options_are_settings_of_the_job(option: SettingOption) -> None:
    """Each option that is short for a setting has its name, without a default of its own, and makes the override that --set would."""
    (setting,) = (each for each in fields(option.settings) if each.name == option.name)
    assert setting.default is None
    assert overrides(["a=b"], {option.name: 7}) == ["a=b", f"{option.section}.{option.name}=7"]
    shown = CliRunner().invoke(promptmill, ["run", "--help"]).stdout
    assert f"  {option.flag} {option.metavar} " in shown
