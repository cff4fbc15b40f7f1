from __future__ import annotations

import logging
from importlib.metadata import EntryPoint

import pytest

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.planning.planner import Planner


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["planners"]))
def test_built_in_planners_bear_the_names_they_are_listed_under(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        found = registry.load("planners", name)
    assert issubclass(found, Planner)
    assert found.name == name
    assert f"planner {name} comes from " in caplog.text
    assert ".py" in caplog.text


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["trainers"]))
def test_built_in_trainers_load(name: str) -> None:
    assert registry.load("trainers", name).name == name


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["transforms"]))
def test_built_in_transforms_load(name: str) -> None:
    assert isinstance(registry.load("transforms", name), type)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="4d: is none of the planners; choose from 2d_axial, 2d_sagittal, 3d_vol"):
        registry.load("planners", "4d")


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group)] if group == "autospine.planners" else []

    monkeypatch.setattr(registry, "entry_points", points)


def test_an_installed_packages_planner_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "mine", "planners.axial_2d:Axial2D")
    assert registry.load("planners", "mine").__name__ == "Axial2D"
    assert "mine" in registry.known("planners")
    assert "mine" not in registry.known("trainers")


def test_a_built_in_name_cannot_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "2d_sagittal", "planners.axial_2d:Axial2D")
    assert registry.load("planners", "2d_sagittal").name == "2d_sagittal"


@pytest.mark.parametrize("place", ["nowhere_at_all:Planner", "planners.axial_2d:Nothing"])
def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    install(monkeypatch, "mine", place)
    with pytest.raises(UserError, match=f"{place}: cannot be loaded .*; reinstall its package"):
        registry.load("planners", "mine")
