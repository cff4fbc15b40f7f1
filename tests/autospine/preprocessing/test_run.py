from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.dataset.cases import Case
from autospine.labels.encoding import plain_encoding
from autospine.labels.schemes import SCHEMES
from autospine.planning.plan import Plan
from autospine.preprocessing.grid import Grid, SliceInterpolation
from autospine.preprocessing.normalisation import Normalisation
from autospine.preprocessing.run import (
    PreprocessingJob,
    _transform_case,
    preprocess,
    preprocess_case,
    preprocess_image,
    preprocessing_key,
    read_channels,
    transform_cases,
)
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels
from autospine.preprocessing.transforms.base import TransformSettings, transforms_hash
from tests.contracts.planner import LARGE, fingerprint, some_cases
from tests.transforms import noise_case

SPACING = (4.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def plan() -> Plan:
    made = registry.load("planners", "2d_sagittal")(fingerprint(*some_cases()), LARGE).plan()
    return replace(made, grid=Grid((None, 1.5, 1.5)))


@pytest.fixture
def case(tmp_path: Path, spine: Callable[..., None]) -> Case:
    spine(tmp_path, "1_t2")
    return Case("1_t2", (tmp_path / "images/1_t2.mha",), tmp_path / "masks/1_t2.mha", "1", "t2")


def test_a_case_on_the_plans_grid_keeps_its_voxels(
    case: Case, plan: Plan, tmp_path: Path, boxes: Callable[..., np.ndarray]
) -> None:
    preprocess_case(PreprocessingJob(case, (plan,), tmp_path / "p"))
    store = CaseStore(tmp_path / "p" / plan.name, "1_t2")
    mask = boxes([1, 2, 3, 4, 5])
    assert np.array_equal(store.mask[:], mask)
    assert store.image.shape == (1, *mask.shape)
    assert float(store.image[:].astype(float).mean()) == pytest.approx(0, abs=0.01)
    assert store.image[0][mask > 0].mean() > store.image[0][mask == 0].mean() + 1
    assert store.record.spacing == pytest.approx(SPACING)
    assert (store.record.patient, store.record.sequence) == ("1", "t2")
    assert [label.value for label in store.record.labels] == [1, 2, 3, 4, 5]


def test_another_grid_resamples_image_and_mask_alike(case: Case, plan: Plan, tmp_path: Path) -> None:
    fine = replace(plan, name="fine", grid=Grid((None, 0.75, 0.5)))
    preprocess_case(PreprocessingJob(case, (plan, fine), tmp_path / "p"))
    store = CaseStore(tmp_path / "p" / "fine", "1_t2")
    assert store.image.shape == (1, 6, 96, 48)
    assert store.mask.shape == (6, 96, 48)
    assert store.record.spacing == pytest.approx((4.0, 0.75, 0.5))
    coarse = CaseStore(tmp_path / "p" / plan.name, "1_t2").record
    for few, many in zip(coarse.labels, store.record.labels, strict=True):
        assert many.voxels == pytest.approx(6 * few.voxels, rel=0.05)


def test_the_way_onto_the_grid_leaves_its_input(plan: Plan) -> None:
    image = np.random.default_rng(0).normal(100, 9, (2, 4, 20, 10)).astype(np.float32)
    kept = image.copy()
    for grid in (Grid((None, None, None)), Grid((2.0, 1.5, 3.0))):
        moved = preprocess_image(image, SPACING, replace(plan, grid=grid))
        assert np.array_equal(image, kept)
        assert moved[0].mean() == pytest.approx(0, abs=0.02)
        assert moved[1].std() == pytest.approx(1, abs=0.02)
    assert moved.shape == (2, 8, 20, 5)


def test_a_second_time_nothing_is_read(case: Case, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess([case], [plan], tmp_path, 1)
    monkeypatch.setattr("autospine.preprocessing.run.read_channels", lambda _: pytest.fail("read again"))
    preprocess([case], [plan], tmp_path, 1)


def test_the_key_changes_with_files_and_rules_and_not_with_the_way_to_them(
    case: Case, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = preprocessing_key(case, plan)
    assert preprocessing_key(case, replace(plan, batch=1, reasons=())) == key
    monkeypatch.chdir(tmp_path)
    near = replace(case, images=(Path("images/1_t2.mha"),), mask=Path("masks/1_t2.mha"))
    assert preprocessing_key(near, plan) == key
    others = [
        preprocessing_key(case, replace(plan, grid=Grid((None, 1.0, 1.5)))),
        preprocessing_key(case, replace(plan, normalisation=Normalisation(1.0, 99.0))),
        preprocessing_key(case, replace(plan, view_axis=1)),
        preprocessing_key(case, replace(plan, scheme=replace(plan.scheme, ignore_label=255))),
        preprocessing_key(case, replace(plan, grid=replace(plan.grid, slice_interpolation=SliceInterpolation(1.0)))),
        preprocessing_key(case, replace(plan, grid=replace(plan.grid, slice_interpolation=SliceInterpolation(2.0)))),
        preprocessing_key(
            case, replace(plan, grid=replace(plan.grid, slice_interpolation=SliceInterpolation(1.0, "cubic")))
        ),
        preprocessing_key(replace(case, patient="7"), plan),
    ]
    for path in (case.images[0], case.mask):
        assert path is not None
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        others.append(preprocessing_key(case, plan))
    assert len({key, *others}) == 11


def test_voxels_changed_beside_their_header_are_read_again(case: Case, plan: Plan, tmp_path: Path) -> None:
    header = tmp_path / "images" / "1_t2.mhd"
    sitk.WriteImage(sitk.ReadImage(str(case.images[0])), str(header))
    case = replace(case, images=(header,))
    preprocess([case], [plan], tmp_path, 1)
    before = CaseStore(tmp_path / "preprocessed" / plan.name, "1_t2").image[:]
    voxels = header.with_suffix(".raw")
    stored = header.stat()
    times = voxels.stat()
    voxels.write_bytes(voxels.read_bytes()[::-1])
    os.utime(voxels, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert header.stat() == stored
    preprocess([case], [plan], tmp_path, 1)
    assert not np.array_equal(CaseStore(tmp_path / "preprocessed" / plan.name, "1_t2").image[:], before)


def test_a_case_that_fails_is_named_and_the_others_are_done(
    case: Case, plan: Plan, tmp_path: Path, spine: Callable[..., None]
) -> None:
    spine(tmp_path, "2_t2")
    bad = Case("2_t2", (tmp_path / "images/2_t2.mha",), tmp_path / "masks/2_t2.mha", "2", "t2")
    bad.images[0].write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"2_t2\.mha"):
        preprocess([bad, case], [plan], tmp_path, 1)
    made = sorted(path.name for path in (tmp_path / "preprocessed" / plan.name).iterdir())
    assert made == [".lock", "1_t2.image.b2nd", "1_t2.json", "1_t2.mask.b2nd"]


def test_a_case_without_a_mask_is_refused(case: Case, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1_t2: has no mask"):
        preprocess_case(PreprocessingJob(replace(case, mask=None), (plan,), tmp_path))


def test_channels_are_stacked_and_must_share_a_grid(tmp_path: Path, write: Callable[..., Path]) -> None:
    ones = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)
    first, second = write(tmp_path / "a_0000.mha", ones), write(tmp_path / "a_0001.mha", ones * 2)
    image, volume = read_channels([first, second])
    assert image.shape == (2, 3, 8, 6)
    assert np.array_equal(image[1], 2 * image[0])
    assert volume.spacing == pytest.approx(SPACING)
    other = write(tmp_path / "b.mha", ones, (4, 1.0, 1.5))
    with pytest.raises(UserError, match=r"b\.mha: lies on another grid than a_0000\.mha"):
        read_channels([first, other])


def test_what_a_killed_run_left_is_swept(case: Case, plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "preprocessed" / plan.name
    folder.mkdir(parents=True)
    (folder / ".0123456789abcdef.partial.1_t2.b2nd").touch()
    preprocess([case], [plan], tmp_path, 1)
    assert not list(folder.glob(".*.partial.*"))


ENCODING = plain_encoding(SCHEMES["semantic4"], (1, 2))
PLAN = cast(Plan, SimpleNamespace(view_axis=0, scheme=SCHEMES["semantic4"], encoding=ENCODING))
CROP = (TransformSettings("centre_crop", {"rows": 0.5}),)


def store(folder: Path, case_id: str, key: str = "key") -> CaseStore:
    case = noise_case((4, 10, 8))
    assert case.mask is not None
    record = CaseRecord(case_id, "1", "t2", case.shape, case.spacing, describe_labels(case.mask), None, key)
    CaseStore(folder, case_id).write(case.image, case.mask, record, 0)
    return CaseStore(folder, case_id)


def test_two_folds_that_start_together_make_each_case_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for case_id in ("1", "2"):
        store(tmp_path, case_id)
    made, together = [], threading.Barrier(2)

    def slowly(plan, transforms, rules, source, target) -> None:
        made.append(target.id)
        time.sleep(0.2)
        _transform_case(plan, transforms, rules, source, target)

    def fold(*ids: str) -> Path:
        together.wait()
        return transform_cases(PLAN, CROP, tmp_path, ids)

    monkeypatch.setattr("autospine.preprocessing.run._transform_case", slowly)
    with ThreadPoolExecutor(2) as folds:
        first, second = folds.submit(fold, "1", "2"), folds.submit(fold, "2", "1")
    assert first.result() == second.result()
    assert sorted(made) == ["1", "2"]


def test_without_transforms_the_plans_cases_stay(tmp_path: Path) -> None:
    assert transform_cases(PLAN, (), tmp_path, ("1",)) == tmp_path


def test_transforms_make_cases_of_their_own_once(tmp_path: Path) -> None:
    source = store(tmp_path, "1")
    folder = transform_cases(PLAN, CROP, tmp_path, ("1",))
    made = CaseStore(folder, "1")
    assert folder == tmp_path / transforms_hash(CROP)
    assert np.array_equal(made.image[:], source.image[:, :, 2:7])
    assert made.record.shape == (4, 5, 8)
    assert made.record.labels == describe_labels(made.mask[:])
    before = made.image_path.stat().st_mtime_ns
    transform_cases(PLAN, CROP, tmp_path, ("1",))
    assert made.image_path.stat().st_mtime_ns == before
    store(tmp_path, "1", key="planned again")
    transform_cases(PLAN, CROP, tmp_path, ("1",))
    assert made.image_path.stat().st_mtime_ns > before
