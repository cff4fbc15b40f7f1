from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.errors import UserError
from autospine.labels.conversion import SCHEMES
from autospine.preprocessing.geometry import CentreCrop, Resize
from autospine.preprocessing.steps import (
    Prepared,
    Step,
    apply_steps,
    make_steps,
    prepared_folder,
    undo_steps,
)
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels
from autospine.recipe import StepSettings
from autospine.training.trainer import Trainer

FILL = np.array([-1.0, -2.0], np.float32)
sizes = st.integers(1, 12)
shapes = st.tuples(sizes, sizes, sizes)
shares = st.floats(0.0, 1.0)
counts = st.integers(0, 14)
steps = st.builds(CentreCrop, shares, shares, shares) | st.builds(Resize, counts, counts, counts)


def prepared(shape: tuple[int, int, int], slices: tuple[int, ...] | None = None) -> Prepared:
    random = np.random.default_rng(0)
    image = random.normal(size=(2, *shape)).astype(np.float32)
    return Prepared(image, random.integers(0, 3, shape, np.uint8), (4.0, 0.6, 0.6), slices)


@given(shapes, st.lists(steps, max_size=4))
def test_the_way_back_ends_on_the_grid_of_the_start(shape: tuple[int, int, int], chain: list[Step]) -> None:
    start = prepared(shape)
    case, way = apply_steps(chain, start)
    assert case.mask is not None
    assert case.mask.shape == case.shape
    back = undo_steps(way, case.image, FILL)
    assert back.shape == start.image.shape
    assert back.dtype == np.float32


@given(shapes, shares, shares, shares)
def test_a_crop_undone_is_the_image_inside_and_the_fill_outside(
    shape: tuple[int, int, int], slices: float, rows: float, columns: float
) -> None:
    step, start = CentreCrop(slices, rows, columns), prepared(shape)
    window = (slice(None), *step.window(shape))
    back = step.undo(step.apply(start).image, shape, FILL)
    assert np.array_equal(back[window], start.image[window])
    outside = np.ones(start.image.shape, bool)
    outside[window] = False
    expected = np.broadcast_to(FILL[:, None, None, None], start.image.shape)
    assert np.array_equal(back[outside], expected[outside])


def test_a_crop_keeps_the_middle_and_the_spacing() -> None:
    start = prepared((6, 10, 8), slices=(0, 1, 2, 5))
    case = CentreCrop(slices=0.5, rows=0.6).apply(start)
    assert case.shape == (3, 6, 8)
    assert np.array_equal(case.image, start.image[:, 1:4, 2:8])
    assert np.array_equal(case.mask, start.mask[1:4, 2:8])
    assert case.spacing == start.spacing
    assert case.slices == (0, 1)  # what were slices 1 and 2


def test_resizing_keeps_the_extent() -> None:
    case = Resize(rows=20, columns=4).apply(prepared((6, 10, 8), slices=(1, 2)))
    assert case.shape == (6, 20, 4)
    assert case.spacing == pytest.approx((4.0, 0.3, 1.2))
    assert case.slices == (1, 2)
    assert Resize(slices=3).apply(prepared((6, 10, 8), slices=(1, 2))).slices == (0,)  # from slices 0 and 1


def test_a_smooth_image_survives_there_and_back() -> None:
    waves = np.sin(np.indices((4, 40, 40)).sum(axis=0) / 8).astype(np.float32)[None]
    step, case = Resize(rows=64, columns=80), Prepared(waves, None, (4.0, 1.0, 1.0))
    back = step.undo(step.apply(case).image, (4, 40, 40), FILL[:1])
    assert back[:, :, 2:-2, 2:-2] == pytest.approx(waves[:, :, 2:-2, 2:-2], abs=0.03)


def test_prediction_has_no_mask() -> None:
    for step in (CentreCrop(rows=0.5), Resize(rows=5)):
        assert step.apply(replace(prepared((3, 10, 8)), mask=None)).mask is None


def test_steps_are_made_from_a_recipe() -> None:
    settings = (StepSettings("centre_crop", {"rows": 0.5}), StepSettings("resize", {"columns": 64}))
    assert make_steps(settings) == [CentreCrop(rows=0.5), Resize(columns=64)]


@pytest.mark.parametrize(
    ("name", "numbers", "fault"),
    [
        ("denoise_by_magic", {}, "is unknown; choose from .*centre_crop.*resize"),
        ("centre_crop", {"height": 1}, "does not take height; use columns, rows, slices"),
        ("centre_crop", {"rows": 1.5}, "rows is 1.5"),
        ("centre_crop", {"rows": -0.5}, "rows is -0.5"),
        ("resize", {"rows": -3}, "rows is -3"),
        ("resize", {"rows": 2.5}, "rows is 2.5"),
    ],
)
def test_what_a_step_cannot_do_is_named(name: str, numbers: dict[str, float], fault: str) -> None:
    with pytest.raises(UserError, match=f"step {name}: {fault}"):
        make_steps((StepSettings(name, numbers),))


@dataclass(frozen=True)
class FakeRecipe:
    steps: tuple[StepSettings, ...]

    def steps_hash(self) -> str:
        return "abc"


def trainer(*settings: StepSettings) -> Trainer:
    encoding = SimpleNamespace(values=(1, 2))
    plan = SimpleNamespace(view_axis=0, scheme=SCHEMES["semantic4"], encoding=encoding)
    return cast(Trainer, SimpleNamespace(recipe=FakeRecipe(settings), plan=plan))


def store(folder: Path, case_id: str, key: str = "key") -> CaseStore:
    case = prepared((4, 10, 8))
    assert case.mask is not None
    record = CaseRecord(case_id, "1", "t2", case.shape, case.spacing, describe_labels(case.mask), None, key)
    CaseStore(folder, case_id).write(case.image, case.mask, record, 0)
    return CaseStore(folder, case_id)


def test_without_steps_the_plans_cases_are_the_trainers(tmp_path: Path) -> None:
    assert prepared_folder(trainer(), tmp_path, ("1",)) == tmp_path


def test_steps_make_cases_of_their_own_once(tmp_path: Path) -> None:
    source, crop = store(tmp_path, "1"), trainer(StepSettings("centre_crop", {"rows": 0.5}))
    folder = prepared_folder(crop, tmp_path, ("1",))
    made = CaseStore(folder, "1")
    assert folder == tmp_path / "abc"
    assert np.array_equal(made.image[:], source.image[:, :, 2:7])
    assert made.record.shape == (4, 5, 8)
    assert made.record.labels == describe_labels(made.mask[:])
    before = made.image_path.stat().st_mtime_ns
    prepared_folder(crop, tmp_path, ("1",))
    assert made.image_path.stat().st_mtime_ns == before
    store(tmp_path, "1", key="planned again")
    prepared_folder(crop, tmp_path, ("1",))
    assert made.image_path.stat().st_mtime_ns > before
