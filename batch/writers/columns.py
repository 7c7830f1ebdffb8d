"""Name output columns: promptmill's own (listed only here), and those carried over."""

from __future__ import annotations

import re

_TASK = ("id", "row", "variant", "repeat")
_ANSWER = ("completion", "tool_calls", "reasoning")
VECTORS = "embedding"
"""The column of vectors."""

_RECORD = ("finish_reason", "usage", "attempts", "latency_s", "first_token_s", "cost_usd")
COMPLETION_COLUMNS = (*_TASK, *_ANSWER, *_RECORD)
EMBEDDING_COLUMNS = (*_TASK, *_ANSWER, VECTORS, *_RECORD)
"""The columns of completions where a variant may request embeddings."""

ERROR_COLUMNS = (*_TASK, "error", "attempts")
OWN_COLUMNS = frozenset((*EMBEDDING_COLUMNS, *ERROR_COLUMNS))
"""Names that carried-over columns must not have."""

SCORES = "scores"
"""The column of scores by index, where a variant asks for some; only then its name is taken."""


def completion_columns(*, embeddings: bool, scores: bool) -> tuple[str, ...]:
    """Return the columns of completions: those of vectors and of scores only where a variant may have some."""
    more = [name for name, wanted in ((VECTORS, embeddings), (SCORES, scores)) if wanted]
    return (*_TASK, *_ANSWER, *more, *_RECORD)


# The new name has no blanks, so that a column called "sold as new" needs an odd neighbour to be misread.
_RENAMED = re.compile(r"(?P<source>.*\S)\s+as\s+(?P<name>\S+)", re.DOTALL)


def parse_carried(text: str) -> tuple[str, str]:
    """Split "COLUMN as NAME" into the input's column and its name in the outputs; both are `text` where it has no "as"."""
    found = _RENAMED.fullmatch(text)
    return (found["source"], found["name"]) if found else (text, text)
