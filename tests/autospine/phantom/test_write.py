"""Phantom sets on disk: SPIDER's layout, bytes that repeat, bad input."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.core.errors import UserError
from autospine.phantom.case import make_case
from autospine.phantom.series import Size
from autospine.phantom.write import write_phantom
from tests.paths import SHARED

COUNT, SEED = 7, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    write_phantom(out, COUNT, SEED, Size.SMALL)
    return out


def rows(folder: Path, name: str = "overview.csv") -> list[dict[str, str]]:
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(path: Path) -> sitk.Image:
    return sitk.ReadImage(str(path))


def test_layout_is_spiders(folder: Path) -> None:
    names = [f"{row['new_file_name']}.mha" for row in rows(folder)]
    assert len(names) == COUNT
    for kind in ("images", "masks"):
        assert sorted(p.name for p in (folder / kind).iterdir()) == sorted(names)
    assert {p.name for p in folder.iterdir()} == {
        "images", "masks", "overview.csv", "radiological_gradings.csv", "truth.csv", "phantom.json",
    }  # fmt: skip


def test_overview_counts_what_the_masks_hold(folder: Path) -> None:
    for row in rows(folder):
        mask = sitk.GetArrayFromImage(read(folder / "masks" / f"{row['new_file_name']}.mha"))
        values = np.unique(mask)
        assert int(row["num_vertebrae"]) == np.sum((values > 0) & (values < 26))
        assert int(row["num_discs"]) == np.sum(values > 200)
        assert row["sex"].strip() in ("M", "F") and row["Manufacturer"]
    assert {row["subset"] for row in rows(folder)} == {"training", "validation"}


def test_a_patient_is_in_one_subset(folder: Path) -> None:
    subsets: dict[str, set[str]] = {}
    for row in rows(folder):
        subsets.setdefault(row["new_file_name"].split("_")[0], set()).add(row["subset"])
    assert all(len(found) == 1 for found in subsets.values())


def test_gradings_name_labelled_discs(folder: Path) -> None:
    found = rows(folder, "radiological_gradings.csv")
    assert found
    most = {r["new_file_name"].split("_")[0]: int(r["num_discs"]) for r in rows(folder)}
    for row in found:
        assert 1 <= int(row["IVD label"]) <= most[row["Patient"]] + 3
        assert 1 <= int(row["Pfirrman grade"]) <= 5


def test_columns_are_those_of_the_real_table(folder: Path) -> None:
    for name in ("overview.csv", "radiological_gradings.csv"):
        real = SHARED / "data" / "spider" / name
        if not real.is_file():
            pytest.skip("the real tables in ../shared are not here")
        with open(real, encoding="utf-8-sig", newline="") as file:
            assert list(rows(folder, name)[0]) == next(csv.reader(file))


def test_image_and_mask_share_the_grid(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        image, mask = read(path), read(folder / "masks" / path.name)
        assert image.GetSize() == mask.GetSize() and image.GetSpacing() == mask.GetSpacing()
        assert image.GetOrigin() == mask.GetOrigin() and image.GetDirection() == mask.GetDirection()
        turn = np.array(image.GetDirection()).reshape(3, 3)
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0.99
        assert image.GetPixelIDTypeAsString() == "16-bit signed integer"


def test_both_orientations_lie_alike_in_space(tmp_path: Path) -> None:
    """In every file the canal lies behind the lowest vertebra's body, and higher levels lie higher."""
    write_phantom(tmp_path / "set", 12, 0, Size.SMALL)
    seen = set()
    for path in (tmp_path / "set" / "masks").iterdir():
        mask = read(path)
        seen.add(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(mask.GetDirection()))
        array = sitk.GetArrayFromImage(mask)

        def place(value: int, array: np.ndarray = array, mask: sitk.Image = mask) -> np.ndarray:
            k, j, i = np.argwhere(array == value).mean(axis=0)
            return np.array(mask.TransformContinuousIndexToPhysicalPoint((i, j, k)))

        assert place(4)[2] > place(3)[2] > place(2)[2] > place(1)[2]
        assert place(100)[1] > place(203)[1]
    assert seen == {"LPS", "PIR"}


def test_array_is_read_back_through_the_orientation(folder: Path) -> None:
    for index in range(3):
        case = make_case(SEED, index, Size.SMALL)
        turned = sitk.DICOMOrient(read(folder / "images" / f"{case.id}.mha"), "PIR")  # i back, j down, k right
        assert np.array_equal(sitk.GetArrayFromImage(turned)[::-1], case.image)


def test_same_seed_same_bytes_whatever_the_count_and_the_workers(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", 2, SEED, Size.SMALL, workers=2)
    for path in (tmp_path / "again").glob("*/*.mha"):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path / "again")).read_bytes()


def test_masks_of_a_pair_are_the_same_bytes(folder: Path) -> None:
    names = {p.stem for p in (folder / "masks").iterdir()}
    pairs = [n.split("_")[0] for n in names if n.endswith("_t1") and f"{n.split('_')[0]}_t2" in names]
    assert pairs
    for patient in pairs:
        one, two = (folder / "masks" / f"{patient}_{kind}.mha" for kind in ("t1", "t2"))
        assert one.read_bytes() == two.read_bytes()


def test_an_interrupted_run_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    write_phantom(out, 1, SEED, Size.SMALL)
    (out / "overview.csv").unlink()
    write_phantom(out, 2, SEED, Size.SMALL)
    assert [r["new_file_name"] for r in rows(out)] == [r["new_file_name"] for r in rows(folder)][:2]


@pytest.mark.parametrize(("cases", "seed", "workers"), [(0, 0, 1), (-3, 0, 1), (1, -1, 1), (1, 0, -1)])
def test_bad_numbers(tmp_path: Path, cases: int, seed: int, workers: int) -> None:
    with pytest.raises(UserError):
        write_phantom(tmp_path / "set", cases, seed, Size.SMALL, workers)
    assert not (tmp_path / "set").exists()


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    for place in (tmp_path / "set", tmp_path / "set" / "inside"):
        with pytest.raises(UserError, match="file"):
            write_phantom(place, 1, 0, Size.SMALL)
    assert (tmp_path / "set").read_text() == "mine"


def test_out_holds_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        write_phantom(tmp_path, 1, 0, Size.SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_out_holds_another_set(folder: Path) -> None:
    with pytest.raises(UserError, match="not empty"):
        write_phantom(folder, 1, SEED + 1, Size.SMALL)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_out_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="permission"):
        write_phantom(tmp_path / "set", 1, 0, Size.SMALL)
