"""Rows and job files for the benchmarks."""

from __future__ import annotations

from pathlib import Path


def write_rows(path: Path, rows: int) -> Path:
    """`rows` rows {id, country}, a new file only where it is missing."""
    if not path.exists():
        with path.open("w") as file:
            file.writelines(f'{{"id": "r{number}", "country": "Country {number}"}}\n' for number in range(rows))
    return path


def job(rows: Path, url: str, directory: Path, *, connections: int, stream: bool = False, output_format: str = "jsonl") -> str:
    """The job file that sends these rows."""
    return f"""\
[input]
path = "{rows}"
id = "id"

[prompt]
user = "What is the capital of {{{{ country }}}}?"

[provider.bench]
base_url = "{url}"

[[model]]
id = "bench/m"
temperature = 0

[run]
concurrency = {connections}
stream = {str(stream).lower()}

[output]
dir = "{directory}"
format = "{output_format}"
"""
