"""What the peers' scripts share: options, rows, and the file that keeps the results, one JSON line each.

Each script runs alone in its peer's own environment (.venv-bench/NAME) and takes the way that the peer's documentation shows first
for many prompts, with the connections allowed that promptmill has. No retries are switched off, nothing is slowed down on purpose.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

KEY = "sk-none"
MODEL = "m"


def options() -> Namespace:
    """--url, --rows, --connections, --out, --stream, --http."""
    parser = ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--http", choices=["httpx", "aiohttp"], default="httpx")
    return parser.parse_args()


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows: {id, country}."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def prompt(row: dict[str, Any]) -> str:
    """The prompt of a row."""
    return f"What is the capital of {row['country']}?"


class Results:
    """Appends a line for each answer, written out as it comes."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115 - open until the script ends

    def keep(self, row: dict[str, Any], text: str | None, usage: dict[str, Any] | None = None) -> None:
        """One answer."""
        self._file.write(json.dumps({"id": row["id"], "text": text, "usage": usage}) + "\n")
