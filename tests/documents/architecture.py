"""docs/architecture.md: notes by hand, with the floors and the picture of the packages made from the code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTES = Path(__file__).with_name("architecture.notes.md")


def architecture_page() -> str:
    """The whole page."""
    layers = floors()
    named = {name for floor in layers for name in floor}
    arrows = reduced(imports_between(named))
    text = NOTES.read_text(encoding="utf-8")
    return text.replace("{{ floors }}", _floors(layers_of_contract())).replace("{{ graph }}", _mermaid(layers, arrows))


def layers_of_contract() -> list[str]:
    """The floors as import-linter enforces them, the highest first: "engine | results"."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")


def floors() -> list[list[str]]:
    """The packages of each floor."""
    return [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in layers_of_contract()]


def imports_between(names: set[str]) -> dict[str, set[str]]:
    """For each package the packages that it imports, those for type checking aside."""
    import grimp

    graph = grimp.build_graph("batch", exclude_type_checking_imports=True, cache_dir=None)
    for name in names:
        if graph.find_children(f"batch.{name}"):
            graph.squash_module(f"batch.{name}")
    found = {name: {each.removeprefix("batch.") for each in graph.find_modules_directly_imported_by(f"batch.{name}")} for name in names}
    return {name: (imported & names) - {name} for name, imported in found.items()}


def reduced(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The imports without those that follow from others: what B imports is no arrow of A, if A imports B."""

    def reached(name: str) -> set[str]:
        return {far for near in imports[name] for far in {near, *reached(near)}}

    return {
        name: {each for each in direct if not any(each in reached(other) for other in direct - {each})} for name, direct in imports.items()
    }


def _floors(layers: list[str]) -> str:
    lines = [f"{len(layers) - 1 - at:>2}  {layer}" for at, layer in enumerate(layers)]
    return "\n".join(["```", *lines, "```"])


def _mermaid(layers: list[list[str]], arrows: Mapping[str, set[str]]) -> str:
    lines = ["```mermaid", "flowchart TD"]
    for at, layer in enumerate(layers):
        lines.append(f"  subgraph floor{len(layers) - 1 - at} [floor {len(layers) - 1 - at}]")
        lines += [f"    {name.strip('_')}[{name}]" for name in layer]
        lines.append("  end")
    lines += [f"  {name.strip('_')} --> {each.strip('_')}" for layer in layers for name in layer for each in sorted(arrows[name])]
    return "\n".join([*lines, "```"])
