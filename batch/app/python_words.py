"""Messages in Python's words: what the command line calls `--changed rerun` is `changed="rerun"` in a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

from batch.errors import PromptmillError
from batch.events import Event, Notice, Observer

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# The command's options, and what a call has in their place. What has no counterpart in a call stays as it is.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"--changed[ =](rerun|keep|refuse)\b", r'changed="\1"'),
        (r"--engine[ =]([a-z-]+)", r'engine="\1"'),
        (r"--set '([^'\n]*)'", r"overrides=['\1']"),
        (r"--set ([\w.\[\]-]+=[^\s;,:]+)", r'overrides=["\1"]'),
        (r"--retry-failed\b(?!=)", "retry_failed=True"),
        (r"--fresh\b", "fresh=True"),
        (r"--job ([\w./-]+)", r'job="\1"'),
        (r"--kind (\w+) --expected (\w+)", r'score={"kind": "\1", "expected": "\2"}'),
        (r"\bscore files by --kind\b", 'score files by score={"kind": ...}'),
        (r"the run's command again with\b", "the same call again with"),
        (r"run the same command again\b", "make the same call again"),
        (r"the same command (resumes|continues)\b", r"the same call \1"),
    )
)
# A whole command in backticks is to be given to a shell.
_COMMANDS = re.compile(r"(`promptmill [^`\n]*`|\bpromptmill \w+ [^;\n]*)")


def python_words(text: str) -> str:
    """Return a message with the keywords of a call in place of the command's options; whole commands stay as they are."""
    parts = _COMMANDS.split(text)
    return "".join(part if at % 2 else _said(part) for at, part in enumerate(parts))


def _said(text: str) -> str:
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def speaking_python() -> Iterator[None]:
    """Put the text of a PromptmillError that comes out of the body into Python's words; its class and attributes stay."""
    try:
        yield
    except PromptmillError as error:
        error.args = tuple(python_words(each) if isinstance(each, str) else each for each in error.args)
        raise


def in_python_words(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap a function so that what it raises is in Python's words."""

    @wraps(function)
    def speaking(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with speaking_python():
            return function(*args, **kwargs)

    return speaking


class PythonNotices:
    """Passes a run's events on to a display, with notices in Python's words."""

    def __init__(self, display: Observer) -> None:
        self._display = display

    def notify(self, event: Event) -> None:
        """Pass an event on."""
        self._display.notify(replace(event, text=python_words(event.text)) if isinstance(event, Notice) else event)
