"""docs/python.md as a notebook: each example in a cell, in a fresh kernel, where an event loop runs already."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_python_docs import DOCS, ROWS, paris
from tests.support.scripted import ScriptedEndpoint

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
# Reprs on one line, as in a console; a warning is an error, as in all tests.
BEGIN = """
import warnings
warnings.simplefilter("error")
get_ipython().display_formatter.formatters["text/plain"].pprint = False
def shown(value):
    if value is not None:
        print(repr(value))
"""
REFUSED = """
try:
    batch.run({**made, "prompt": build}, rows=rows)
except batch.errors.ChangedError as error:
    print(error)
"""
MORE = [
    # The library's own rows, in a cell; it warns of what other libraries will change.
    ("import datasets", ""),
    ("given = datasets.Dataset.from_list(rows)", ""),
    ("batch.run({**small, 'output': {'dir': 'runs/hf'}}, rows=given)", "<RunResult '.../runs/hf': 2 ok, 0 failed>"),
    ("batch.run({**small, 'output': {'dir': 'runs/hf'}}, rows=given, progress=True).tallies['house/small'].requests", "0"),
    # Threads beside the loop, each with a run.
    ("from concurrent.futures import ThreadPoolExecutor", ""),
    ("def one(n): return batch.run({**small, 'output': {'dir': f'runs/thread-{n}'}}, rows=rows).exit_code", ""),
    ("with ThreadPoolExecutor(3) as pool: codes = list(pool.map(one, range(3)))", ""),
    ("codes", "[0, 0, 0]"),
    # A function of a cell is a prompt; the cell run again with another text is another prompt.
    ("def build(row): return f\"What is {row['country']}?\"", ""),
    ("made = {**small, 'prompt': build, 'output': {'dir': 'runs/made'}}", ""),
    ("batch.run(made, rows=rows)", "<RunResult '.../runs/made': 2 ok, 0 failed>"),
    ("def build(row): return f\"Where is {row['country']}?\"", ""),
    (REFUSED, "...build ... → ..."),
    ('warnings.simplefilter("ignore")', ""),  # of the kernel's own end
]


def cells() -> Iterator[tuple[str, str]]:
    """The source and the output of each example of the page, and of more; a cell awaits what a program gives to asyncio.run."""
    for example in doctest.DocTestParser().get_examples(DOCS.read_text()):
        want = example.want if example.exc_msg is None else example.exc_msg
        yield re.sub(r"asyncio\.run\(", "await (", showing(example.source)), want
    yield from MORE


def showing(source: str) -> str:
    """A console shows the values of the statements in a block too, a notebook that of a cell's last one."""
    tree = ast.parse(source)
    for block in ast.walk(tree):
        if isinstance(block, ast.With):
            for each in block.body:
                if isinstance(each, ast.Expr):
                    each.value = ast.Call(ast.Name("shown"), [each.value], [])
    return ast.unparse(ast.fix_missing_locations(tree))


def output_of(cell: Any) -> str:
    """What a cell shows as text: what it prints, and its value, or the error it ends with."""
    parts: list[str] = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "execute_result":
            parts.append(output.data["text/plain"] + "\n")
        elif output.output_type == "error":
            parts.append(f"{output.ename}: {output.evalue}\n")
    return "".join(parts)


@pytest.mark.timeout(120)
def test_each_cell_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of docs/python.md runs in a notebook, and shows the same; so do rows of `datasets`, threads, and prompt functions."""
    (tmp_path / "capitals.jsonl").write_text(ROWS + '{"id": "PE", "country": "Peru", "capital": "Lima"}\n')
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HF_HOME"):
        (folder := tmp_path / "settings" / name).mkdir(parents=True)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    wanted = list(cells())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (BEGIN, *(source for source, _ in wanted))])
    with ScriptedEndpoint(paris) as endpoint:
        monkeypatch.setenv("HOUSE_URL", endpoint.url)
        client = nbclient.NotebookClient(
            notebook, kernel_name="python3", timeout=100, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()
    shown = [output_of(cell) for cell in notebook.cells[1:]]
    checker = doctest.OutputChecker()
    for (source, want), got in zip(wanted, shown, strict=True):
        plain = re.sub(r"^(\w+\.)+(?=\w+Error: )", "", want.strip())
        assert checker.check_output(plain + "\n", got.strip() + "\n", doctest.ELLIPSIS), f"{source}\nwanted: {want}\ngot: {got}"
