"""A plan that fits a model: its stages, widths, normalisation and, where the data allow, its spacing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.files import write_json
from autospine.core.machine import Machine
from autospine.core.serial import to_plain
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.planning.plan import Plan
from autospine.planning.start import StartingModel, starting_model
from autospine.preprocessing.grid import Grid
from autospine.preprocessing.normalisation import Normalisation
from planners.axial_2d import Axial2D
from planners.sagittal_2d import Sagittal2D
from planners.volume_3d import Volume3D
from tests.tiny import plan_of

MACHINE = Machine("cpu", 8.0, 2)


@pytest.fixture
def start(tiny_work: WorkFolder) -> Callable[..., StartingModel]:
    """A model of three stages on pixels of a size (the data's have 3 mm)."""

    def made(mm: float | None = 2.0, dimension: int = 2, **changes: object) -> StartingModel:
        plan = plan_of(tiny_work, dimension)
        kernel = (3,) * dimension
        strides = ((1,) * dimension, *((2,) * dimension,) * 2)
        shape = replace(plan.network, out_channels=3, widths=(6, 12, 24), kernels=(kernel,) * 3, strides=strides)
        plan = replace(plan, grid=Grid((None, mm, mm)), normalisation=Normalisation(1.0, 99.0))
        return StartingModel("box", plan, shape, **changes)  # type: ignore[arg-type]

    return made


def planned(work: WorkFolder, start: StartingModel | None, kind=Sagittal2D, pixel_spacing: float | None = None) -> Plan:
    planner = kind(Fingerprint.load(work.fingerprint), MACHINE)
    planner.start, planner.pixel_spacing = start, pixel_spacing
    return planner.plan()


def said(plan: Plan) -> str:
    return "\n".join(f"{reason.decision}: {reason.because}" for reason in plan.reasons)


def test_a_plan_takes_what_the_weights_know(tiny_work: WorkFolder, start) -> None:
    plan, model = planned(tiny_work, start()), start()
    assert plan.network == replace(model.shape, in_channels=1, out_channels=plan.encoding.channels)
    assert plan.normalisation == model.plan.normalisation
    assert plan.grid.spacing == (None, 2.0, 2.0)
    assert plan.coarser == ()
    assert all(size % 4 == 0 for size in plan.network_patch)
    assert "that of box, whose weights are started from; the median is 3 x 3 mm" in said(plan)
    assert "3 stages, widths 6, 12, 24, as box has them: its weights are started from" in said(plan)
    assert "intensities are normalised as for box" in said(plan)


@pytest.mark.parametrize(("mm", "taken"), [(1.2, 1.2), (1.1, 3.0), (7.5, 7.5), (8.0, 3.0), (None, 3.0)])
def test_its_spacing_is_taken_where_the_data_allow(tiny_work: WorkFolder, start, mm, taken: float) -> None:
    plan = planned(tiny_work, start(mm))
    assert plan.grid.spacing[1:] == (taken, taken)
    assert ("is too far from it" in said(plan)) == (taken == 3.0)


def test_pixels_that_are_asked_for_come_first(tiny_work: WorkFolder, start) -> None:
    plan = planned(tiny_work, start(), pixel_spacing=4.0)
    assert plan.grid.spacing[1:] == (4.0, 4.0)
    assert plan.network.widths == (6, 12, 24)


def test_a_model_of_another_view_is_refused_or_left_out(tiny_work: WorkFolder, start) -> None:
    for kind in (Volume3D, Axial2D):
        with pytest.raises(UserError, match=r"--init-from box: has learnt 2d_sagittal \(2-D\).*; plan 2d_sagittal"):
            planned(tiny_work, start(), kind)
        plan = planned(tiny_work, start(asked=False), kind)
        assert plan.network.widths != (6, 12, 24)
        assert "fresh weights: box has learnt 2d_sagittal" in said(plan)


def test_without_a_start_nothing_changes(tiny_work: WorkFolder) -> None:
    assert planned(tiny_work, None).network.widths[0] == 32


def test_a_model_is_read_from_its_folder_or_by_its_name(tiny_work: WorkFolder, start, tmp_path, own_models) -> None:
    model = start()
    assert starting_model(None) is None and starting_model("none") is None
    for folder in (tmp_path / "fold_0", own_models / "box"):
        write_json(folder / "model.json", {"plan": model.plan.to_dict(), "shape": to_plain(model.shape), "more": 1})
    assert starting_model("box") == model
    assert starting_model(str(tmp_path / "fold_0")) == replace(model, name=str(tmp_path / "fold_0"))


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(UserError, match=r"model\.json: is no model\.json"):
        starting_model(str(tmp_path))
    with pytest.raises(UserError, match="nowhere: is no single model"):
        starting_model(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="box: is no installed model"):
        starting_model("box")
