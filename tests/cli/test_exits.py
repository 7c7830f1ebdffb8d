"""How commands end: exit codes, messages, closed pipes, odd locales."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from batch import errors
from batch.cli import console
from batch.cli.exits import ExitCode, code_of
from batch.cli.group import CommandGroup, promptmill
from batch.records import ErrorInfo, ErrorKind

INFO = ErrorInfo(ErrorKind.API, "authentication", "the key was refused", 401)
EXAMPLES = [
    errors.JobError([errors.Problem("job.toml:3", "run.streem", "no such key", "did you mean stream?")]),
    errors.InputError("no file a.jsonl"),
    errors.FileError("missing_file", "no file a.png"),
    errors.RowError("missing_column", "no column x"),
    errors.RunDirectoryError("no run.json"),
    errors.LockedError("held by 12"),
    errors.DamagedError("journal/000001.jsonl", 7, "checksum"),
    errors.ChangedError("412 rows differ"),
    errors.StorageError("the disk is full"),
    errors.InputChangedError("rows.jsonl changed since the rows were sent"),
    errors.SetupError("no key"),
    errors.InternalError("an unexpected KeyError ended the run"),
    errors.EndpointError(INFO),
    errors.NetworkError(INFO),
    errors.APIError(INFO),
    errors.ProtocolError(INFO),
    errors.OutputError(INFO),
]


def all_errors(kind: type[Exception] = errors.PromptmillError) -> set[type[Exception]]:
    """Every class of the error tree that can be raised."""
    return {sub for child in kind.__subclasses__() for sub in {child, *all_errors(child)}}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """A command that raises what it is given."""

    def fail_with(error: BaseException) -> None:
        @click.command("fail")
        def fail() -> None:
            """Raise."""
            raise error

        monkeypatch.setattr(CommandGroup, "list_commands", lambda self, ctx: ["fail"])
        monkeypatch.setattr(CommandGroup, "get_command", lambda self, ctx, name: fail)

    return fail_with


def test_every_error_has_an_exit_code() -> None:
    """Each class of the error tree is in the table below; a new one must be put there."""
    assert {type(error) for error in EXAMPLES} == all_errors()


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_end_in_their_exit_codes(error: errors.PromptmillError, failing) -> None:
    """5 when the endpoint or the disk refused, 70 for a bug, 2 for all that must be mended first; the text is shown and no traceback."""
    failing(error)
    result = CliRunner().invoke(promptmill, ["fail"])
    stopped = isinstance(error, errors.StorageError | errors.EndpointError)
    bug = isinstance(error, errors.InternalError)
    assert result.exit_code == code_of(error) == (70 if bug else 5 if stopped else 2)
    assert result.stderr == f"promptmill: error: {error}\n"
    assert result.stdout == ""


def test_each_problem_has_its_line(failing) -> None:
    """A job file with three mistakes shows three lines, each marked as an error."""
    failing(errors.JobError([errors.Problem(f"job.toml:{line}", f"run.key{line}", "no such key") for line in (3, 5, 8)]))
    assert CliRunner().invoke(promptmill, ["fail"]).stderr.splitlines() == [
        "promptmill: error: job.toml:3: run.key3: no such key",
        "promptmill: error: job.toml:5: run.key5: no such key",
        "promptmill: error: job.toml:8: run.key8: no such key",
    ]


def test_an_interruption_is_130(failing) -> None:
    """Ctrl-C outside of a run ends with 130 and without a traceback."""
    failing(KeyboardInterrupt())
    result = CliRunner().invoke(promptmill, ["fail"])
    assert (result.exit_code, result.stderr) == (130, "promptmill: interrupted\n")


def test_a_bug_is_called_one(failing) -> None:
    """An unexpected exception is a short message and a code of its own; the traceback comes with --debug only."""
    failing(ZeroDivisionError("division by zero"))
    plain = CliRunner().invoke(promptmill, ["fail"])
    assert plain.exit_code == ExitCode.BUG
    assert plain.stderr.startswith("promptmill: error: this is a bug in promptmill: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in plain.stderr
    assert "promptmill --debug" in plain.stderr
    assert "Traceback" in CliRunner().invoke(promptmill, ["--debug", "fail"]).stderr


def test_words_of_an_endpoint_cannot_steer_the_terminal(failing) -> None:
    """Escape sequences in an error's text are shown, not obeyed."""
    failing(errors.InputError("\x1b[2J gone\u009b"))
    assert CliRunner().invoke(promptmill, ["fail"]).stderr == "promptmill: error: \\x1b[2J gone\\x9b\n"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_holds(no_color: str, coloured: bool, failing, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal errors are red, unless NO_COLOR is set."""
    failing(errors.InputError("no"))
    monkeypatch.setenv("NO_COLOR", no_color)
    stderr = CliRunner().invoke(promptmill, ["fail"], color=True).stderr
    assert ("\x1b[31m" in stderr) is coloured


def run_with(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A shell command in which $PM is promptmill."""
    environ = {**os.environ, "PM": f"{sys.executable} -m batch", **environment}
    return subprocess.run(["bash", "-c", command], capture_output=True, env=environ, check=False)


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`promptmill providers | true` is silent (fault 58)."""
    result = run_with("set -o pipefail; $PM providers | true")
    assert (result.stderr, result.stdout) == (b"", b"")
    assert result.returncode in (0, ExitCode.STDOUT_CLOSED)


def test_output_into_a_closed_pipe_ends_silently() -> None:
    """When nobody has read stdout at all, the command ends like one that SIGPIPE ended (fault 58)."""
    reader, writer = os.pipe()
    os.close(reader)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    result = subprocess.run([sys.executable, "-m", "batch", "providers"], stdout=writer, stderr=subprocess.PIPE, env=environ, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (ExitCode.STDOUT_CLOSED, b"")


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("providers", 0), ("providers nobody", 2)])
def test_closed_standard_streams_are_no_error(closed: str, words: str, code: int) -> None:
    """Commands work, and end with their own code, when stdout or stderr is not there (fault 58)."""
    result = run_with(f"$PM {words} {closed}")
    assert result.returncode == code
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_locale_will_do(encoding: str) -> None:
    """Signs that an encoding lacks are written in ASCII, never a crash (fault 58)."""
    code = "from batch.cli import console; console.prepare_streams(); console.write('a … b → c 漢'); console.print_info('wait…')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True)
    assert result.stdout.decode(encoding) == ("a … b → c 漢\n" if encoding == "utf-8" else "a ... b -> c ?\n")
    assert result.stderr.decode(encoding) == ("wait…\n" if encoding == "utf-8" else "wait...\n")


def test_json_is_utf_8_in_any_locale() -> None:
    """JSON on stdout is whole whatever the locale: it is data."""
    code = "from batch.cli import console; console.prepare_streams(); console.write_json({'a': '漢'})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)
    assert "漢" in result.stdout.decode("utf-8")


def test_tables_line_up() -> None:
    """Words stand to the left, numbers with their headings to the right."""
    assert console.table([("name", "ok"), ("a", "7"), ("longer", "1,200"), ("b", "?")]) == (
        "name       ok\na           7\nlonger  1,200\nb           ?"
    )
    assert console.table([("name", "cost"), ("a", "$1.50"), ("b", "unknown"), ("c", "")]) == (
        "name     cost\na       $1.50\nb     unknown\nc"
    )


def test_tables_too_wide_for_the_terminal_give_names_lines_of_their_own() -> None:
    """The figures stay in columns under their heads; a table that just fits is left as it is."""
    rows = [("model", "ok", "failed"), ("a-long-name", "7", "10"), ("another", "1,200", "3")]
    narrow = "     ok  failed\na-long-name\n      7      10\nanother\n  1,200       3"
    assert console.table(rows, 25) == narrow
    assert console.table(rows, 26) == console.table(rows)


def test_the_width_is_asked_of_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS decides where it is a number; something else is passed over."""
    monkeypatch.setenv("COLUMNS", "47")
    assert console.terminal_width() == 47
    monkeypatch.setenv("COLUMNS", "wide")
    assert console.terminal_width() > 0
