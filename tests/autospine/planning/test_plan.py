from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.planning.plan import VERSION, Plan, Plans
from autospine.preprocessing.grid import Grid
from tests.contracts.planner import LARGE, fingerprint, some_cases
from tests.tiny import tiny_shape


@pytest.fixture(scope="module")
def plan() -> Plan:
    return registry.load("planners", "2d_sagittal")(fingerprint(*some_cases()), LARGE).plan()


def test_plans_are_saved_and_loaded(plan: Plan, tmp_path: Path) -> None:
    both = Plans((plan, replace(plan, name="other")))
    both.save(tmp_path / "plans.json")
    assert Plans.load(tmp_path / "plans.json") == both
    assert both.get("other", "plans.json").name == "other"


def test_a_plan_that_is_not_there_lists_those_that_are(plan: Plan) -> None:
    with pytest.raises(UserError, match=r"w/plans\.json: holds no plan '3d'; choose from 2d_sagittal, or plan"):
        Plans((plan,)).get("3d", "w/plans.json")
    with pytest.raises(UserError, match="choose from none"):
        Plans().get("3d", "w/plans.json")


@pytest.mark.parametrize("inside", [False, True], ids=["of the file", "of one plan"])
def test_a_newer_version_says_to_update(plan: Plan, tmp_path: Path, inside: bool) -> None:
    path = tmp_path / "plans.json"
    Plans((plan,)).save(path)
    data = read_json(path)
    (data["plans"][0] if inside else data)["version"] = VERSION + 1
    write_json(path, data)
    with pytest.raises(UserError, match=r"plans\.json: was made by a newer AutoSpine.*; update AutoSpine"):
        Plans.load(path)


def test_an_older_version_says_to_plan_again(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    write_json(path, {"version": VERSION - 1, "plans": []})
    with pytest.raises(UserError, match=r"plans\.json: .*; run autospine_plan again"):
        Plans.load(path)


@pytest.mark.parametrize("content", [[], {}, {"plans": {}}, {"plans": [3]}, {"plans": [{}]}, "text", None])
def test_anything_else_is_an_error_that_names_the_file(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "plans.json", content)
    with pytest.raises(UserError, match=r"plans\.json"):
        Plans.load(tmp_path / "plans.json")


def test_a_missing_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run autospine_plan first"):
        Plans.load(tmp_path / "plans.json")


@pytest.mark.parametrize(
    ("own", "chosen"),
    [
        ((4.0, 0.6, 0.6), (4.0, 0.6, 0.6)),
        ((3.0, 0.6, 0.6), (3.0, 0.6, 0.6)),  # exactly a quarter off
        ((5.0, 0.61, 0.6), (5.0, 0.61, 0.6)),
        ((5.1, 0.62, 0.58), (4.0, 0.6, 0.6)),
        ((0.9, 0.9, 0.6), (4.0, 0.6, 0.6)),
    ],
)
def test_a_grid_keeps_spacings_within_its_tolerance(
    own: tuple[float, float, float], chosen: tuple[float, float, float]
) -> None:
    assert Grid((4.0, 0.6, 0.6)).spacing_for(own) == chosen


def test_a_grid_without_a_target_keeps_everything() -> None:
    assert Grid((None, None, None)).spacing_for((9.0, 2.0, 0.1)) == (9.0, 2.0, 0.1)


def test_axes_and_patch_of_the_network(plan: Plan) -> None:
    assert (plan.dimension, plan.network_axes) == (2, (1, 2))
    assert plan.network_patch == plan.patch[1:]
    volume = replace(plan, view_axis=None, network=tiny_shape(3, plan.encoding.channels))
    assert (volume.dimension, volume.network_patch) == (3, plan.patch)
