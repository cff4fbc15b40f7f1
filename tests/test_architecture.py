"""Packages import only from those below them, and no file lies on a circle of imports.

Imports inside functions and under `TYPE_CHECKING` count as much as those at the top of a file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

# From the ground up; packages of one row do not import each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("labels", "networks", "metrics", "augmentation", "volumes"),
    ("overlay", "phantom", "models"),
    ("dataset",),
    ("fingerprint",),
    ("cleaning", "reconstruction"),
    ("preprocessing",),
    ("planning",),
    ("inference",),
    ("evaluation",),
    ("measurement",),
    ("training",),
    ("ensemble", "ablation", "slices", "viewer", "sharing"),
    ("commands",),
)
LAYER = {package: layer for layer, packages in enumerate(ORDER) for package in packages}
NOT_FOR_PLANNERS = {package for package, layer in LAYER.items() if layer > LAYER["planning"]}
NOT_FOR_TRAINERS = {"commands", "viewer"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path): path
    for top in ("autospine", "planners", "trainers")
    for path in sorted((ROOT / top).rglob("*.py"))
}


def imported(path: Path) -> Iterator[str]:
    """Yield the project's modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom) and node.module in FILES:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in FILES else node.module for name in names)


GRAPH = {module: set(imported(path)) - {module} for module, path in FILES.items()}


def package_of(module: str) -> str:
    """Return the package under `autospine`, "planners", "trainers", or "autospine" for the Python API."""
    top, _, rest = module.removesuffix(".api").partition(".")
    return rest.partition(".")[0] if top == "autospine" and rest else top


def is_upward(package: str, other: str) -> bool:
    """Whether `package` must not import `other`."""
    if package == other or package == "autospine":
        return package == "autospine" and other in ("planners", "trainers")
    if package == "planners":
        return other in NOT_FOR_PLANNERS | {"trainers", "autospine"}
    if package == "trainers":
        return other in NOT_FOR_TRAINERS | {"autospine"}
    return LAYER.get(other, len(ORDER)) >= LAYER[package]


def reachable(start: str) -> set[str]:
    """Return every module that importing `start` may import in the end."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        new = GRAPH[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def test_every_package_has_its_place_in_the_order() -> None:
    assert {package_of(module) for module in FILES} == {*LAYER, "autospine", "planners", "trainers"}


def test_packages_import_only_from_those_below() -> None:
    edges = {(module, other) for module, others in GRAPH.items() for other in others}
    assert not {(a, b) for a, b in edges if is_upward(package_of(a), package_of(b))}


def test_no_file_lies_on_a_circle() -> None:
    assert not {module for module in FILES if module in reachable(module)}


def test_the_baseline_knows_no_paper() -> None:
    assert not [module for module in reachable("trainers.unet") if module.startswith("trainers.")]
