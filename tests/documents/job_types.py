"""Makes batch/app/job_types.py from the job file's schema: the same tables as TypedDicts, for editors and type checkers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch.job import json_schema

HEAD = '''"""The tables of a job as TypedDicts, for editors and type checkers. Made by `make docs` from the job file's schema: do not edit.

What each key means stands in docs/job-file.md. Request parameters of one provider alone go beside those of ModelDict, or into extra_body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Required, TypedDict

'''
FUNCTION = "PromptFunction"
OF_SCORES = {"GateDict", "PriceDict", "ScoreDict", "StandardDict"}
# The keys whose values may be functions of a row in a job from Python.
FUNCTIONS = {("PromptDict", "messages"), ("PromptDict", "user"), ("PromptDict", "text"), ("JobDict", "prompt"), ("ModelDict", "prompt")}
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


def job_types_module() -> str:
    """The module of all tables but those of scores."""
    tables = {name: text for name, text in _classes().items() if name not in OF_SCORES}
    used = [name for name in sorted(OF_SCORES) if any(name in text for text in tables.values())]
    imports = f"from batch.app.score_types import {', '.join(used)}\n\n"
    return formatted(f"{HEAD}{imports}{FUNCTION} = Callable[[dict[str, Any]], Any]\n\n\n", tables)


def score_types_module() -> str:
    """The module of the tables of scores."""
    tables = {name: text for name, text in _classes().items() if name in OF_SCORES}
    return formatted(HEAD.replace("from collections.abc import Callable\n", "").replace("of a job", "of a job's scores", 1), tables)


def _classes() -> dict[str, str]:
    classes: dict[str, str] = {}
    typed("JobDict", json_schema(), classes, {})
    return classes


def formatted(head: str, classes: Mapping[str, str]) -> str:
    """The text of a module, formatted as all code is."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", "batch/app/job_types.py", "-"],
        input=head + "\n\n".join(classes.values()),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout


def typed(name: str, node: Mapping[str, Any], classes: dict[str, str], known: dict[str, str]) -> str:
    """Add the class of a table, and those of the tables in it, before it; returns its name. Equal tables are one class."""
    text = json.dumps([node.get("properties"), node.get("required")], sort_keys=True)
    if text in known:
        return known[text]
    known[text] = name
    required = set(node.get("required", ()))
    lines = []
    for key, value in node["properties"].items():
        if name == "ModelDict" and not value.keys() - {"description"}:
            continue  # an option of some provider, whose values this program does not know
        kind = type_of(f"{key.removesuffix('s').title().replace('_', '')}Dict", value, classes, known)
        kind = f"{kind} | {FUNCTION}" if (name, key) in FUNCTIONS else kind
        lines.append(f"    {key}: {f'Required[{kind}]' if key in required else kind}\n")
    description = node.get("description") or "A table."
    description += "" if description.endswith(".") else "."
    classes[name] = f'class {name}(TypedDict, total=False):\n    """{description}"""\n\n{"".join(lines)}'
    return name


def type_of(name: str, node: Mapping[str, Any], classes: dict[str, str], known: dict[str, str]) -> str:
    """The type of a value; `name` is that of the class that a table gets."""
    if "anyOf" in node:
        if all("properties" in each for each in node["anyOf"]) and len(node["anyOf"]) > 1:
            return typed(name, merged(node["anyOf"]), classes, known)
        choices = [choice for each in node["anyOf"] if (choice := each.get("enum", [each["const"]] if "const" in each else None))]
        if len(choices) == len(node["anyOf"]):
            return type_of(name, {"enum": list(dict.fromkeys(choice for each in choices for choice in each))}, classes, known)
        return " | ".join(dict.fromkeys(type_of(name, each, classes, known) for each in node["anyOf"]))
    if "const" in node or "enum" in node:
        return f"Literal[{', '.join(json.dumps(each) for each in node.get('enum', [node.get('const')]))}]"
    kind = node.get("type")
    if name == "ParameterDict":
        return "dict[str, Any]"  # as those of a model
    if kind == "array":
        return f"list[{type_of(name, node.get('items', {}), classes, known)}]"
    if kind == "object":
        if node.get("properties"):
            is_column = set(node["properties"]) == {"column"}
            return typed("ColumnDict" if is_column else name, node, classes, known)
        more = node.get("additionalProperties")
        return f"dict[str, {type_of(name, more, classes, known) if isinstance(more, Mapping) and more else 'Any'}]"
    return PLAIN.get(str(kind), "Any")


def merged(tables: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One table of several kinds: each key may have the types that it has in any of them."""
    properties: dict[str, list[Any]] = {}
    for table in tables:
        for key, value in table["properties"].items():
            plain = {name: each for name, each in value.items() if name not in ("description", "default", "examples")}
            found = properties.setdefault(key, [])
            if plain not in found:
                found.append(plain)
    required = set.intersection(*(set(table.get("required", ())) for table in tables))
    description = "How the answers are judged: the keys of all kinds of scores."
    return {
        "properties": {key: found[0] if len(found) == 1 else {"anyOf": found} for key, found in properties.items()},
        "required": sorted(required),
        "description": description,
    }
