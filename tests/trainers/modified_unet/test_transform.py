from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.preprocessing.run import transform_cases
from autospine.preprocessing.storage import CaseStore
from autospine.preprocessing.transforms.base import (
    CaseData,
    TransformSettings,
    apply_transforms,
    make_transforms,
)
from autospine.training.trainer import Trainer
from tests.tiny import IDS, SPACING, plan_of, spine_mask
from tests.toys import QUICK, ToyTrainer
from trainers.modified_unet.transform import FilterSlices

LABELS = (1, 2, 3, 4, 5, 100, 201, 202, 203, 204, 205)


def case(mask: np.ndarray | None = None) -> CaseData:
    mask = spine_mask() if mask is None else mask  # canal on the slices 2 and 3
    image = np.zeros((1, *mask.shape), np.float32)
    return CaseData(image, mask, SPACING, scheme=SCHEMES["spider"], labels=LABELS)


def test_slices_with_all_classes_are_kept() -> None:
    done = FilterSlices().apply(case())
    assert done.slices == (2, 3)
    kept = {row[0]: row[-2] for row in done.tables[0].rows}
    assert kept["0"] == "shows no vertebra or spinal canal or disc"
    assert kept["1"] == "shows no spinal canal"
    assert kept["2"] == ""


def test_prediction_sees_all_slices() -> None:
    start = replace(case(), mask=None, scheme=None)
    assert FilterSlices().apply(start) is start


def test_slices_that_a_step_before_has_dropped_stay_away() -> None:
    done = FilterSlices().apply(replace(case(), slices=(0, 3)))
    assert done.slices == (3,)
    assert [row[0] for row in done.tables[0].rows] == ["0", "3"]


def test_classes_that_the_data_set_lacks_are_not_asked_for() -> None:
    mask = np.where(spine_mask() == 100, 0, spine_mask()).astype(np.uint8)
    without = replace(case(mask), labels=tuple(k for k in LABELS if k != 100))
    assert FilterSlices().apply(without).slices == (1, 2, 3, 4)
    assert FilterSlices().apply(case(mask)).slices == ()


def test_a_low_ratio_drops_slices() -> None:
    assert FilterSlices(max_ratio=2).apply(case()).slices == ()


def test_steps_before_count() -> None:
    steps = make_transforms(
        (TransformSettings("fit", {"rows": 300, "columns": 300}), TransformSettings("filter_slices"))
    )
    assert apply_transforms(steps, case())[0].slices == (2, 3)
    wide = make_transforms(
        (TransformSettings("pad", {"rows": 800, "columns": 800}), TransformSettings("filter_slices"))
    )
    assert apply_transforms(wide, case())[0].slices == ()  # the black around raises the background's share


def test_what_cannot_be_filtered() -> None:
    with pytest.raises(UserError, match="plan of volumes"):
        FilterSlices().apply(replace(case(), view_axis=None))
    with pytest.raises(UserError, match="no vertebra, canal or disc among the labels of scheme cord"):
        FilterSlices().apply(replace(case(), scheme=LabelScheme("cord", {1: Anatomy(Kind.CORD)}), labels=(1,)))
    with pytest.raises(UserError, match=r"transform filter_slices: max_ratio is 0\.5"):
        make_transforms((TransformSettings("filter_slices", {"max_ratio": 0.5}),))


@pytest.fixture
def trainer(tiny_work: WorkFolder) -> Trainer:
    steps = (TransformSettings("clean_masks"), TransformSettings("filter_slices"))
    return ToyTrainer(plan_of(tiny_work, 2), replace(QUICK, transforms=steps))


@pytest.fixture
def cases(tiny_work: WorkFolder, tmp_path: Path) -> Path:
    """A copy of the preprocessed cases."""
    import shutil

    return Path(shutil.copytree(tiny_work.preprocessed("2d_sagittal"), tmp_path / "cases"))


def test_tables_lie_beside_the_cases_and_the_log_says_what_they_come_to(
    trainer: Trainer, cases: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        folder = transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS[:4])
    assert CaseStore(folder, IDS[0]).record.slices == (2, 3)
    lines = "\n".join(caplog.messages)
    assert "slice filter, t1: 4 of 12 slices kept, class weight ratio" in lines
    assert "slice filter, t2: 4 of 12 slices kept" in lines
    assert "dropped: 4 show no vertebra, 8 show no spinal canal, 4 show no disc" in lines
    assert "masks cleaned (adapted rules), pixels changed: unknown 0, isolated 0" in lines
    with (folder / "filter_slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows[::6]] == list(IDS[:4])
    assert {row["kept"] for row in rows if row["slice"] in "23"} == {"yes"}
    assert (folder / "clean_masks.csv").exists()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS)  # two more: the others are not made again
    assert len((folder / "filter_slices.csv").read_text().splitlines()) == 1 + 6 * len(IDS)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ((100,), "not one shows spinal canal"),
        ((100, 201, 202, 203, 204, 205), "not one shows spinal canal or disc"),
    ],
)
def test_no_slice_left_names_the_class_every_time(
    trainer: Trainer, cases: Path, lacking: tuple[int, ...], words: str
) -> None:
    for id_ in IDS[:2]:
        store = CaseStore(cases, id_)
        mask = np.asarray(store.mask[:])
        mask[np.isin(mask, lacking)] = 0
        store.write(np.asarray(store.image[:]), mask, store.record, 0)
    for _ in range(2):
        with pytest.raises(UserError, match=rf"transform filter_slices: leaves no slice to train on: {words} \(.*csv"):
            transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS[:2])


def test_no_slice_left_because_of_the_ratio(tiny_work: WorkFolder, cases: Path) -> None:
    recipe = replace(QUICK, transforms=(TransformSettings("filter_slices", {"max_ratio": 1.5}),))
    with pytest.raises(UserError, match=r"the lowest class weight ratio is \d+\.\d, above 1\.5"):
        transform_cases(plan_of(tiny_work, 2), recipe.transforms, cases, IDS[:2])


def test_no_slice_shows_all_at_once(trainer: Trainer, cases: Path) -> None:
    store = CaseStore(cases, IDS[0])
    mask = np.asarray(store.mask[:])
    mask[:3][mask[:3] == 100] = 0
    mask[3:][mask[3:] != 100] = 0
    store.write(np.asarray(store.image[:]), mask, store.record, 0)
    with pytest.raises(UserError, match="not one shows vertebra and spinal canal and disc at once"):
        transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS[:1])


def test_another_meaning_of_the_labels_makes_the_cases_again(trainer: Trainer, cases: Path) -> None:
    folder = transform_cases(trainer.plan, trainer.recipe.transforms, cases, IDS[:1])
    before = CaseStore(folder, IDS[0]).record.key
    plan = replace(trainer.plan, scheme=replace(trainer.plan.scheme, name="another"))
    transform_cases(plan, trainer.recipe.transforms, cases, IDS[:1])
    assert CaseStore(folder, IDS[0]).record.key != before
