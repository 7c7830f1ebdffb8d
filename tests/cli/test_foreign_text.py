"""What an endpoint, a file or a library wrote is shown on a terminal and never obeyed: one filter at every mouth."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.cli import console
from batch.clock import SystemClock
from batch.events import Notice
from batch.policy.terminal import one_line, visible, without_url_secrets
from batch.progress import BarDisplay, LineDisplay
from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint, answer, error
from tests.support.streams import sse_text

# Title and clipboard by OSC, clear by CSI, CSI as a C1 character, a carriage return, an override of direction, forged lines.
ATTACK = (
    "\x1b]0;title\x07 \x1b]52;c;aGk=\x07 \x1b[2J \x9b2J \roverwritten \u202egnihtyna\u2066 \u2028"
    "promptmill: all rows done\npromptmill: error: forged"
)
BIDI = [0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
STEERING = [chr(code) for code in [*range(32), *range(127, 160), *BIDI] if code != 10]


def steers(text: str) -> bool:
    """Whether a terminal would obey anything in the text."""
    return any(sign in text for sign in STEERING)


@given(st.text())
def test_the_filter_leaves_nothing_that_steers(text: str) -> None:
    """Of any text only line breaks and tabs stay, and not even these on one line; all other text is unchanged."""
    assert not steers(visible(text).replace("\t", ""))
    assert not steers(one_line(text).replace("\t", "").replace("\n", "\x00"))
    if text.isprintable() and not any(0xFDD0 <= ord(sign) < 0xFDD8 for sign in text):
        assert visible(text) == text


@pytest.mark.parametrize("bars", [False, True])
def test_a_notice_is_one_line_without_control(bars: bool) -> None:
    """A notice with an endpoint's words begins one line and holds no escape sequence, in lines and above bars."""
    stream = io.StringIO()
    display = BarDisplay(stream, SystemClock()) if bars else LineDisplay(stream, SystemClock())
    display.notify(Notice(ATTACK))
    # Lines begin with the date and time.
    assert stream.getvalue()[0 if bars else 20 :].startswith("promptmill: \\x1b]0;title\\x07")
    assert not steers(stream.getvalue().removesuffix("\n").replace("\r", "") if bars else stream.getvalue())
    assert stream.getvalue().count("\n") == 1


def test_a_refusal_cannot_write_lines_of_ours(tmp_path: Path) -> None:
    """The words of an endpoint that refuses a key, and of one that refuses rows, come out on lines of the program's own making."""
    with ScriptedEndpoint(lambda received: [error(401, {"error": {"message": ATTACK}})]) as endpoint:
        stopped = JobFolder(tmp_path, endpoint.url).run()
    assert stopped.returncode == 5
    assert not steers(stopped.stderr)
    assert not any(line.startswith(("promptmill: all rows done", "promptmill: error: forged")) for line in stopped.stderr.splitlines())


def test_status_shows_what_failed_without_obeying_it(tmp_path: Path) -> None:
    """Messages and ids of failed rows are in status, on the line that they belong to."""
    refused = {"error": {"message": ATTACK, "code": "context_length_exceeded"}}
    with ScriptedEndpoint(lambda received: [error(400, refused) if received.body else answer(received)]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2, max_failures="100%")
        folder.call()
        shown = folder.call("status", "runs/test").stdout
    assert "all rows done" in shown
    assert not steers(shown)
    assert not any(line.startswith("promptmill:") for line in shown.splitlines())


def test_a_tried_answer_is_visible_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the answer's control characters are spelled out; in --json they are escaped, which means the same."""
    with ScriptedEndpoint(lambda received: [sse_text("a\x9b2Jb\u202ec")] if received.body else answer(received)) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        screen, line = os.openpty()
        subprocess.run(job.command("try", "test.toml"), cwd=tmp_path, stdout=line, stderr=subprocess.DEVNULL, check=True)
        assert os.read(screen, 1000).decode() == "a\\x9b2Jb\\u202ec\r\n"
        os.close(line)
        os.close(screen)
        written = job.call("try", "test.toml", "--json").stdout
    assert not steers(written)
    assert json.loads(written)["completion"] == "a\x9b2Jb\u202ec"


def test_cells_and_errors_stay_on_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A name in a table keeps to its row; a further line of an error is indented, so that it is none of the program's own."""
    assert console.table([("model", "ok"), ("a\nb", "1")]) == "model  ok\na b     1"
    assert len(console.table([("model", "ok"), (ATTACK, "1")]).splitlines()) == 2
    console.print_error(f"refused: {ATTACK}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("promptmill: error: refused")
    assert all(line.startswith("  ") for line in lines[1:])


def test_marks_of_style_in_foreign_text_are_no_style() -> None:
    """The signs by which the console marks its own styles are spelled out where foreign text holds them."""
    assert visible(console.styled("x", "red")) == "\\ufdd3x\\ufdd5"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("refused by https://host:8443/t0k3n-9f8e7d6c5b/v1: 401", "refused by https://host:8443/[redacted]/v1: 401"),
        ("http://user:secret@host/v1 is out of order", "http://[redacted]@host/v1 is out of order"),
        ("https://host/v1?api-version=1&key=abc gone", "https://host/v1?api-version=[redacted]&key=[redacted] gone"),
        ("https://generativelanguage.googleapis.com/v1beta/openai and http://gpu-7:8000/v1", None),
        ("runs/2026-11-27-a1b2c3d4e5f6 and s3://bucket/a1b2c3d4e5f6a7b8", None),
        ("https://host/data-2024-01-part7.parquet", None),
    ],
)
def test_a_secret_in_a_url_is_hidden(text: str, shown: str | None) -> None:
    """User, password, values of the query and path segments that look like a token are hidden; plain addresses are not (promise 12)."""
    assert without_url_secrets(text) == (text if shown is None else shown)


def test_a_secret_in_the_path_of_base_url_is_in_no_message(tmp_path: Path) -> None:
    """An endpoint whose address holds a token, down or refusing, is named without it (promise 12)."""
    token = "k3y-0123456789abcdef"
    with ScriptedEndpoint(lambda received: [error(500, {"error": {"message": "down"}})]) as endpoint:
        folder = JobFolder(tmp_path, f"{endpoint.url.removesuffix('/v1')}/{token}/v1", outage_timeout_s=0.2, attempts=2)
        result = folder.run()
    assert result.returncode in (1, 5), result.stderr
    assert token not in result.stderr


def test_a_request_is_shown_as_it_is_sent(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Addresses in one's own data are no secrets of an endpoint: `try` shows the request with them."""
    address = "https://user:word@host/a1b2c3d4e5f6a7?key=value"
    shown = JobFolder(tmp_path, endpoint.url, rows=[{"id": "a", "text": address}]).call("try", "test.toml").stderr
    assert address in shown


def test_a_text_of_spaces_takes_no_time() -> None:
    """The filter's time grows with the text, whatever is in it: a megabyte of spaces, breaks or halves of addresses is done at once."""
    for text in (" " * 1_000_000, " \n" * 500_000, "http://" * 140_000, "https://a@" * 100_000, "\x1b" * 1_000_000):
        assert "\n" not in without_url_secrets(one_line(text))
