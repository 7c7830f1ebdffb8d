"""Finds the line of each key in a TOML text. Imported only to report a mistake: tree-sitter takes time to load."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from batch.job.paths import KeyPath


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line (from 1) of each key, table and array element of valid TOML."""
    root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    return _Walk().run(root)


class _Walk:
    """One pass over the syntax tree; `arrays` counts the tables of each array of tables so far."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.arrays: dict[KeyPath, int] = {}

    def run(self, root: Node) -> Mapping[KeyPath, int]:
        for node in root.named_children:
            if node.type == "pair":
                self._pair((), node)
            elif node.type in {"table", "table_array_element"}:
                self._table(node)
        return self.lines

    def _table(self, node: Node) -> None:
        head, *pairs = [child for child in node.named_children if child.type != "comment"]
        path: KeyPath = ()
        *parents, last = _keys(head)
        for key in parents:
            path = self._enter((*path, key), head)
        path = (*path, last)
        if node.type == "table_array_element":
            self.arrays[path] = self.arrays.get(path, -1) + 1
            self.lines.setdefault(path, _line(head))
            path = (*path, self.arrays[path])
        self.lines[path] = _line(head)
        for pair in pairs:
            self._pair(path, pair)

    def _enter(self, path: KeyPath, node: Node) -> KeyPath:
        self.lines.setdefault(path, _line(node))
        return (*path, self.arrays[path]) if path in self.arrays else path

    def _pair(self, path: KeyPath, node: Node) -> None:
        head, value = [child for child in node.named_children if child.type != "comment"][:2]
        for key in _keys(head):
            path = (*path, key)
            self.lines.setdefault(path, _line(head))
        self._value(path, value)

    def _value(self, path: KeyPath, node: Node) -> None:
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "inline_table":
            for child in children:
                self._pair(path, child)
        elif node.type == "array":
            for index, child in enumerate(children):
                self.lines[*path, index] = _line(child)
                self._value((*path, index), child)


def _line(node: Node) -> int:
    return node.start_point.row + 1


def _keys(node: Node) -> list[str]:
    table: Any = tomllib.loads(f"{(node.text or b'').decode()} = 0")
    keys: list[str] = []
    while isinstance(table, dict):
        (key,) = table
        keys.append(key)
        table = table[key]
    return keys
