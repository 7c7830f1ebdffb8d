"""Which columns a job's requests and outputs need, from its templates: all others are not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.sandbox import SandboxedEnvironment

from batch.prompts.column_settings import column_templates, named_columns
from batch.prompts.filters import FILE_FILTERS, FILTERS
from batch.prompts.sandbox import ROW
from batch.settings import Job, PromptSettings


class _Unchanged(SandboxedEnvironment):
    """As sandbox.py's, before its changes: those would hide what is written. It computes no constants, which may take any memory."""

    intercepted_binops = frozenset(SandboxedEnvironment.default_binop_table)


_PLAIN = _Unchanged(autoescape=True)
# A column may have the name of one of Jinja's functions.
_PLAIN.globals.clear()
_PLAIN.filters.update(FILTERS)
_OPTIONAL_FILTERS = {"default", "d"}
_OPTIONAL_TESTS = {"defined", "undefined"}
_BRANCHES = (nodes.If, nodes.CondExpr, nodes.For, nodes.Macro, nodes.And, nodes.Or)


@dataclass(frozen=True, slots=True)
class TemplateColumns:
    """The names that a template may read; `everything` where it may read any. Each render needs the `required` ones.

    `prints` says whether anything of a row is put in at all.
    """

    names: frozenset[str]
    required: frozenset[str]
    everything: bool
    prints: bool


def parsed(source: str) -> nodes.Template:
    """Return the syntax tree of a template that compiles, as it is written."""
    return _PLAIN.parse(source)


def columns_of(source: str) -> TemplateColumns:
    """Return the columns of a template that compiles. May name too many, never too few."""
    tree = parsed(source)
    keys, dynamic = set[str](), False
    fixed: set[int] = set()
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        key = _row_key(node)
        if key is not None:
            keys.add(key)
            fixed.add(id(node.node))  # type: ignore[attr-defined]
    for name in tree.find_all(nodes.Name):
        dynamic |= name.name == ROW and id(name) not in fixed
    names = meta.find_undeclared_variables(tree) | keys | ({"self"} if any(n.name == "self" for n in tree.find_all(nodes.Name)) else set())
    required = {name for name in _certain(tree) if name in names and name != ROW}
    prints = any(not isinstance(node, nodes.TemplateData) for output in tree.find_all(nodes.Output) for node in output.nodes)
    return TemplateColumns(frozenset(names), frozenset(required - _optional(tree) - set(DEFAULT_NAMESPACE)), dynamic, prints)


def prompt_templates(prompt: PromptSettings) -> Iterator[tuple[str, str]]:
    """Yield the key and source of each template of a prompt."""
    for key in ("system", "user", "text"):
        if (source := getattr(prompt, key)) is not None:
            yield key, source
    yield from column_templates(prompt)
    if isinstance(prompt.messages, tuple):
        for number, message in enumerate(prompt.messages):
            yield from strings_in(message, f"messages[{number}]")


def reads_files(prompt: PromptSettings) -> bool:
    """Whether requests hold files that rows name: by its columns of files, or by a filter of a template."""
    if prompt.attached.columns:
        return True
    trees = [parsed(source) for _, source in prompt_templates(prompt)]
    return any(found.name in FILE_FILTERS for tree in trees for found in tree.find_all(nodes.Filter))


def needed_columns(job: Job) -> frozenset[str] | None:
    """Return the columns that the requests and outputs of a job need; None: all of them. A Dataset adds those of `id` and `where`."""
    if job.run.race is not None or any(variant.prompt.stored for variant in job.variants):
        return None
    needed = set(job.output.columns)
    for variant in job.variants:
        prompt = variant.prompt
        needed |= set(variant.row_parameters.values()) | named_columns(prompt)
        needed |= {name for name in (prompt.messages, prompt.tools, *prompt.attached.columns) if isinstance(name, str)}
        for _, source in prompt_templates(prompt):
            found = columns_of(source)
            if found.everything:
                return None
            needed |= found.names
    return frozenset(needed)


def _row_key(node: nodes.Node) -> str | None:
    match node:
        case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str() as key)):
            return key
        case nodes.Getattr(node=nodes.Name(name="row"), attr=str() as key):
            return key
        case _:
            return None


def _certain(node: nodes.Node) -> Iterator[str]:
    """The names that each render reads: those outside of branches."""
    if isinstance(node, nodes.Name) and node.ctx == "load":
        yield node.name
    if isinstance(node, nodes.For):
        yield from _certain(node.iter)
    elif not isinstance(node, _BRANCHES):
        for child in node.iter_child_nodes():
            yield from _certain(child)


def _optional(tree: nodes.Template) -> set[str]:
    """The names that may be missing: tested by `is defined`, or with a default."""
    found: set[str] = set()
    for node in tree.find_all((nodes.Test, nodes.Filter)):
        names = _OPTIONAL_TESTS if isinstance(node, nodes.Test) else _OPTIONAL_FILTERS
        if node.name in names and isinstance(node.node, nodes.Name):
            found.add(node.node.name)
    return found


def strings_in(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place and text of each string in nested lists and tables."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings_in(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from strings_in(item, f"{place}[{number}]")
