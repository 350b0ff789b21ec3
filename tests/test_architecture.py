"""What docs/architecture.md promises of the package: no import circles, no private names across modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("vqcodec", "bitstream")
    for path in (ROOT / package).rglob("*.py")
}


def imports(name: str) -> Iterator[tuple[str, str, bool]]:
    """Module, name and whether it is at the top level, of every import of our own outside `if TYPE_CHECKING`."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    top = set(tree.body)
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in MODULES:
            for alias in node.names:
                if node not in hidden:
                    yield node.module, alias.name, node in top


def test_there_are_no_import_circles() -> None:
    graph = {
        name: {
            f"{module}.{part}" if f"{module}.{part}" in MODULES else module
            for module, part, top in imports(name)
            if top
        }
        - {name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_private_name_is_imported() -> None:
    taken = [
        f"{name} takes {part} of {module}"
        for name in MODULES
        for module, part, _ in imports(name)
        if part.startswith("_") and not part.startswith("__")
    ]
    assert not taken


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("bitstream", "vqcodec"),
        ("vqcodec.model", "vqcodec.runtime"),
        ("vqcodec.entropy", "vqcodec.codec"),
        ("vqcodec.generate", "vqcodec.codec"),
        ("vqcodec.codec", "vqcodec.training"),
        ("vqcodec.codec", "vqcodec.evaluation"),
    ],
)
def test_rooms_keep_their_direction(room: str, never: str) -> None:
    inside = [name for name in MODULES if name == room or name.startswith(f"{room}.")]
    assert inside
    for name in inside:
        for module, part, _ in imports(name):
            assert not f"{module}.{part}".startswith(f"{never}."), f"{name} imports {module}"
