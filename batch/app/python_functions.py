"""Functions in a job from Python: `prompt = build`. They make a column of the rows, which is kept in the run directory with them.

So worker processes, Ray and `promptmill resume` need neither the function nor its module, and nothing is pickled. The function's name and a
hash of its source stand in the prompt (`prompt.function`) and in the key of each request: a changed function is a changed prompt.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

from batch.errors import InputError, JobError, Problem
from batch.readers import Dataset
from batch.readers.given import row_dicts
from batch.records import BadRow
from batch.settings import InputSettings

PromptFunction = Callable[[dict[str, Any]], Any]

COLUMN = "promptmill_prompt"
_CONTENT = ("messages", "user", "text")
_DIGEST_BYTES = 6


def function_name(function: Callable[..., Any]) -> str:
    """Identify a function by its name and a hash of its source, without comments and layout: another text is another prompt.

    Where no source is at hand, as in a console, its compiled code stands for it, with that of the functions within it.
    """
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    code = function if hasattr(function, "__code__") else type(function).__call__
    return f"{name} {blake2b(_source(code), digest_size=_DIGEST_BYTES).hexdigest()}"


def _source(function: Any) -> bytes:
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return _code(getattr(function, "__code__", None))
    try:
        return ast.unparse(ast.parse(text)).encode()
    except SyntaxError:  # a lambda in the middle of a statement
        return text.encode()


def _code(code: Any) -> bytes:
    if code is None:
        return b""
    parts = [_code(each) if inspect.iscode(each) else repr(each).encode() for each in code.co_consts]
    return b"\0".join((code.co_code, repr(code.co_names).encode(), *parts))


def without_functions(job: Any, load_input: Callable[[Mapping[str, Any]], InputSettings], rows: Any) -> tuple[Any, Any]:
    """Return a job without the functions in its prompts, and the rows with the columns that they make; both as they were if it has none.

    `load_input` gives the input of a job, which is read where no rows are given. Raises JobError.
    """
    if not isinstance(job, Mapping):
        return job, rows
    functions: dict[str, tuple[str, PromptFunction]] = {}
    changed = dict(job)
    if "prompt" in job:
        changed["prompt"] = _taken(job["prompt"], functions)
    if isinstance(models := job.get("model"), Sequence) and not isinstance(models, str):
        changed["model"] = [
            {**each, "prompt": _taken(each["prompt"], functions)} if isinstance(each, Mapping) and "prompt" in each else each
            for each in models
        ]
    if not functions:
        return job, rows
    for _, function in functions.values():
        _check(function)
    source = row_dicts(rows) if rows is not None else _rows_of(load_input(changed))
    return changed, _with_columns(source, functions)


def has_functions(job: Mapping[str, Any]) -> bool:
    """Whether the prompt of a job, or of one of its models, is a function."""
    functions: dict[str, tuple[str, PromptFunction]] = {}
    models = job.get("model")
    tables = [job, *(models if isinstance(models, list | tuple) else ())]
    for table in tables:
        if isinstance(table, Mapping):
            _taken(table.get("prompt"), functions)
    return bool(functions)


def _taken(prompt: Any, functions: dict[str, tuple[str, PromptFunction]]) -> Any:
    """Return a prompt whose functions are replaced by the columns that they make, and add them to `functions` by column."""
    if callable(prompt):
        prompt = {"messages": prompt}
    if not isinstance(prompt, Mapping):
        return prompt
    changed, names = dict(prompt), []
    for key in _CONTENT:
        function = prompt.get(key)
        if callable(function):
            column = COLUMN if not functions else f"{COLUMN}_{len(functions) + 1}"
            functions[column] = key, function
            names.append(function_name(function))
            changed[key] = column if key == "messages" else f"{{{{ {column} }}}}"
    return {**changed, "function": ", ".join(names)} if names else prompt


def _check(function: PromptFunction) -> None:
    """Refuse what cannot make prompts one by one. Raises JobError."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        message = f"{function_name(function)} is async or a generator"
        raise JobError([Problem("the job", "prompt", message, "a prompt function takes a row as a dict, and returns its text or messages")])
    try:
        inspect.signature(function).bind({})
    except TypeError as error:
        message = f"{function_name(function)} cannot be called with a row alone: {error}"
        raise JobError([Problem("the job", "prompt", message, "a prompt function takes one argument, the row as a dict")]) from None
    except ValueError:  # a function of C without a signature
        return


def _rows_of(settings: InputSettings) -> Iterator[dict[str, Any]]:
    for batch in Dataset(settings).batches():
        for row in batch:
            if isinstance(row, BadRow):
                raise InputError(f"{row.message}; a prompt function needs rows that can be read")
            yield dict(row.columns)


def _with_columns(source: Iterable[Mapping[str, Any]], functions: Mapping[str, tuple[str, PromptFunction]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(source):
        # The function gets a row of its own: what it changes there changes no column.
        yield {**row, **{column: _made(key, function, dict(row), number) for column, (key, function) in functions.items()}}


def _made(key: str, function: PromptFunction, row: dict[str, Any], number: int) -> Any:
    """Return what a function makes of a row: text, or for `messages` a list of them. Raises InputError."""
    name = f"the prompt function {getattr(function, '__name__', type(function).__name__)}"
    try:
        made = function(row)
    except Exception as error:
        raise InputError(f"{name} raised {type(error).__name__}: {error} for row {number}; nothing was sent") from error
    if made is None:
        return None
    gave = f"{name} gave {type(made).__name__} for row {number}"
    if key != "messages":
        if not isinstance(made, str):
            raise InputError(f"{gave}; {key} must be text")
        return made
    messages = [{"role": "user", "content": made}] if isinstance(made, str) else [made] if isinstance(made, Mapping) else made
    if not isinstance(messages, list | tuple) or not all(isinstance(each, Mapping) for each in messages):
        raise InputError(f"{gave}; it must give a text, a message {{role, content}}, or a list of messages")
    return [dict(each) for each in messages]
