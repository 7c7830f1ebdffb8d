"""The columns without which no row of a template can be rendered."""

from __future__ import annotations

from collections.abc import Iterator

import jinja2
from jinja2 import meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE

_PLAIN = jinja2.Environment(autoescape=True)
# What stands in one of these is not rendered for every row.
_BRANCHES = (nodes.If, nodes.CondExpr, nodes.For, nodes.Macro, nodes.And, nodes.Or)
_OPTIONAL = {"default", "d", "defined", "undefined"}


def required_columns(source: str) -> set[str]:
    """Return the names that each rendering of a template reads, but for those with a default or a test whether they are defined."""
    tree = _PLAIN.parse(source)
    optional = {
        node.node.name for node in tree.find_all((nodes.Test, nodes.Filter)) if node.name in _OPTIONAL and isinstance(node.node, nodes.Name)
    }
    return (set(_certain(tree)) & meta.find_undeclared_variables(tree)) - optional - set(DEFAULT_NAMESPACE) - {"row"}


def _certain(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Name) and node.ctx == "load":
        yield node.name
    if isinstance(node, nodes.For):
        yield from _certain(node.iter)
    elif not isinstance(node, _BRANCHES):
        for child in node.iter_child_nodes():
            yield from _certain(child)
