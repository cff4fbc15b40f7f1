from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from autospine.core import registry
from tests.paths import ROOT
from tests.test_architecture import ORDER

PACKAGE = Path(__file__).parent / "spine_extras"


@pytest.mark.parametrize("name", ["pyproject.toml", "spine_extras/small_net.py", "spine_extras/coarse.py"])
def test_the_page_on_extending_shows_the_package_that_is_tested(name: str) -> None:
    assert (PACKAGE / name).read_text(encoding="utf-8") in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ENTRY_POINTS = {f"autospine.{group}" for group in registry.BUILT_IN}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_links_and_pictures_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [*re.findall(r"\]\(([^)#\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    assert not [target for target in targets if "://" not in target and not (page.parent / target).exists()]


@every_page
def test_headings_that_links_name_exist(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings]


@every_page
def test_paths_and_modules_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:autospine|planners|trainers|tests|benchmarks)/[\w/.]*)`", text)
    assert not [path for path in paths if not (ROOT / path).exists()]
    for module in set(re.findall(r"`((?:autospine|planners|trainers)\.[\w.]+)", text)) - ENTRY_POINTS:
        names = module.rstrip(".").split(".")
        known = [".".join(names[:k]) for k in range(1, len(names) + 1) if is_module(names[:k])]
        thing = import_module(known[-1])
        for name in names[known[-1].count(".") + 1 :]:
            thing = getattr(thing, name)


def is_module(names: list[str]) -> bool:
    path = ROOT.joinpath(*names)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@every_page
def test_python_examples_import_what_exists(page: Path) -> None:
    for example in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("spine_extras"):
                assert all(hasattr(import_module(node.module), alias.name) for alias in node.names), node.module


COMMAND = re.compile(r"^(?:    |\$ |)(autospine_\w+) (.+)$", re.MULTILINE)


@every_page
def test_every_command_line_has_only_options_that_exist(page: Path) -> None:
    shared = (ROOT / "autospine" / "commands" / "shared.py").read_text(encoding="utf-8")
    for name, words in COMMAND.findall(page.read_text(encoding="utf-8")):
        source = (ROOT / "autospine" / "commands" / f"{name.removeprefix('autospine_')}.py").read_text(encoding="utf-8")
        for option in re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", " " + words.partition("#")[0]):
            assert f'"{option}"' in source + shared, f"{name} has no {option}"


def test_the_page_on_architecture_lists_the_packages_in_their_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("   ")[1].split() for line in re.findall(r"^    \w.*$", page, re.MULTILINE)]
    assert rows == [list(row) for row in ORDER]
