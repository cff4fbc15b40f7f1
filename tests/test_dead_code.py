"""Nothing is defined in the product that the product never uses; use by a test alone does not count."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.paths import ROOT

PRODUCT = [path for top in ("autospine", "planners", "trainers") for path in sorted((ROOT / top).rglob("*.py"))]
FOR_OTHERS = {"_end"}  # what the interpreter calls at its end


def definitions(tree: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes, methods and module-level constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not re.fullmatch(r"__\w+__", node.name):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = ast.walk(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            yield from (name.id for name in targets if isinstance(name, ast.Name) and name.id != "__all__")


def unread(tree: ast.Module) -> set[ast.AST]:
    """Return the strings that name things without using them: docstrings and `__all__`."""
    nodes = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    exports = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    return nodes | {string for node in exports for string in ast.walk(node)}


def uses(tree: ast.Module) -> Iterator[str]:
    """Yield the words that read a name: identifiers, attributes and words in strings, where a registry may name it."""
    names_only = unread(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in names_only:
            yield from re.findall(r"\w+", node.value)


def test_nothing_is_defined_without_use() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PRODUCT]
    used = {word for tree in trees for word in uses(tree)}
    assert {name for tree in trees for name in definitions(tree)} - used == FOR_OTHERS
