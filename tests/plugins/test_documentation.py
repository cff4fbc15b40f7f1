from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGE = Path(__file__).parent / "spine_extras"


@pytest.mark.parametrize("name", ["pyproject.toml", "spine_extras/small_net.py", "spine_extras/coarse.py"])
def test_the_page_on_extending_shows_the_package_that_is_tested(name: str) -> None:
    assert (PACKAGE / name).read_text(encoding="utf-8") in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_and_pictures_exist(page: Path) -> None:
    places = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")) + re.findall(
        r'src="([^"]+)"', page.read_text(encoding="utf-8")
    )
    missing = [each for each in places if "://" not in each and not (page.parent / each).exists()]
    assert not missing


COMMAND = re.compile(r"^(?:    |\$ |)(autospine_\w+) (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_every_command_line_has_only_options_that_exist(page: Path) -> None:
    from importlib import import_module

    for name, words in COMMAND.findall(page.read_text(encoding="utf-8")):
        source = Path(import_module(f"autospine.commands.{name.removeprefix('autospine_')}").__file__).read_text(
            encoding="utf-8"
        )
        shared = (ROOT / "autospine" / "commands" / "shared.py").read_text(encoding="utf-8")
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", " " + words.partition("#")[0]):
            assert f'"{option}"' in source + shared, f"{name} has no {option}"
