from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.dataset.class_files import class_files, class_folders, class_scheme, read_labels
from autospine.labels.label_table import CLASS_FILES, LEVELS

Write = Callable[..., Path]
MASK = np.zeros((3, 12, 4), np.uint8)


def rows(first: int, last: int) -> np.ndarray:
    """A structure of these rows."""
    mask = MASK.copy()
    mask[:, first:last] = 1
    return mask


@pytest.fixture
def case(tmp_path: Path, write: Write) -> Path:
    folder = tmp_path / "case"
    for name, mask in (("vertebrae_L5", rows(6, 9)), ("vertebrae_L4", rows(2, 5)), ("sacrum", rows(9, 12))):
        write(folder / f"{name}.nii.gz", mask)
    write(folder / "liver.nii.gz", np.ones_like(MASK))
    write(folder / "vertebrae_L6.nii.gz", MASK)
    return folder


def test_files_named_after_classes_are_one_mask(case: Path) -> None:
    assert len(class_files(case)) == 4  # an organ is left out
    volume = read_labels(case)
    assert class_scheme(case) is CLASS_FILES
    shown = {CLASS_FILES.anatomies[value].key: volume.array == value for value in np.unique(volume.array)[1:]}
    assert set(shown) == {"vertebra:1", "vertebra:2", "sacrum"}  # an empty L6 raises no level
    for name, where in (("vertebra:1", rows(6, 9)), ("vertebra:2", rows(2, 5)), ("sacrum", rows(9, 12))):
        assert np.array_equal(shown[name], where == 1)
    assert volume.path == case and volume.spacing == (4, 1.5, 1.5)


def test_a_sixth_lumbar_vertebra_is_the_lowest(case: Path, write: Write) -> None:
    write(case / "vertebrae_L6.nii.gz", rows(0, 1))
    shown = CLASS_FILES.shown_by(np.unique(read_labels(case).array))
    assert [shown.anatomies[value].key for value in np.unique(read_labels(case).array)[1:]] == [
        "sacrum", "vertebra:1", "vertebra:2", "vertebra:3",
    ]  # fmt: skip


def test_overlaps_are_named_and_the_first_counts(case: Path, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write(case / "vertebrae_L4.nii.gz", rows(2, 7))
    mask = read_labels(case).array
    assert (mask[:, 6] == mask[0, 8, 0]).all()
    assert "vertebrae_L4.nii.gz: 12 voxels in vertebrae_L5 as well, which counts" in caplog.text


def test_missing_files_are_named(case: Path, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    inner = case.parent / "other" / "segmentations"  # as in TotalSegmentator's own data set
    for name in ("vertebrae_L5", "vertebrae_L3", "spinal_cord"):
        write(inner / f"{name}.nii.gz", rows(0, 1))
    (case.parent / "empty").mkdir()
    with caplog.at_level(logging.WARNING):
        assert class_folders(case.parent) == {"case": case, "other": inner}
    assert [record.getMessage() for record in caplog.records] == [
        f"{case}: has no file of spinal_cord, vertebrae_L3; taken for empty",
        f"{inner}: has no file of sacrum, vertebrae_L6, vertebrae_L4; taken for empty",
    ]


def test_files_on_different_grids_are_refused(case: Path, write: Write) -> None:
    write(case / "vertebrae_L4.nii.gz", np.zeros((3, 11, 4), np.uint8))
    with pytest.raises(UserError, match=r"vertebrae_L4.nii.gz: lies on another grid than .*sacrum.nii.gz"):
        read_labels(case)


def test_other_masks_are_read_as_they_are(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "1_t2.nii.gz", rows(0, 3) * 7)
    assert class_scheme(path) is None and set(np.unique(read_labels(path).array)) == {0, 7}


def test_levels_run_from_the_lowest_up() -> None:
    assert LEVELS[0] == "vertebrae_L5" and LEVELS[5] == "vertebrae_T12" and LEVELS[-1] == "vertebrae_C1"
