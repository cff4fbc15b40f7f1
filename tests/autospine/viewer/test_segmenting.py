from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.viewer.models import PageModels, load_models
from autospine.viewer.segmenting import SegmentedScan, segment_upload
from autospine.volumes import read_image, read_mask
from tests.tiny import spine_mask

FORMATS = [".nii.gz", ".nii", ".mha", ".nrrd"]


@pytest.fixture
def loaded(tmp_path: Path, bright) -> PageModels:
    return load_models([bright(tmp_path / "model").folder], "cpu")


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def saved(folder: Path, found: SegmentedScan) -> tuple[Path, Path]:
    for file in (found.mask, found.report):
        (folder / file.name).write_bytes(file.content)
    return folder / found.mask.name, folder / found.report.name


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_mask_lies_on_the_scans_grid_in_its_format(tmp_path, loaded, scan, suffix: str) -> None:
    found = segment_upload(f"5_t2{suffix}", scan(f"5_t2{suffix}"), loaded)
    mask, report = saved(tmp_path, found)
    assert mask.name == f"5_t2_mask{suffix}"
    image = read_image(tmp_path / "scans" / f"5_t2{suffix}")
    read = read_mask(mask)
    assert read.geometry.difference(image.geometry) is None
    assert set(np.unique(read.array)) == {0, 100}
    assert np.array_equal(read.array, found.segmentation.mask)
    assert (read.array[spine_mask() == 100] == 100).mean() > 0.9
    assert report.name == "5_t2.json"
    assert json.loads(report.read_text()) == found.segmentation.to_dict()


def test_the_overlay_is_a_picture(loaded, scan) -> None:
    assert segment_upload("5_t2.mha", scan("5_t2.mha"), loaded).overlay.startswith(b"\x89PNG")


def test_files_are_gone_afterwards(loaded, scan, nothing_left: Path) -> None:
    content = scan("5_t2.mha")
    segment_upload("5_t2.mha", content, loaded)
    with pytest.raises(UserError):
        segment_upload("5_t2.mha", content[:600], loaded)
    assert list(nothing_left.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("notes.txt", "notes.txt: has no suffix of a volume; give a "),
        ("scan.mhd", "scan.mhd: is a header whose voxels lie in another file; convert it"),
        ("SCAN.MHA", "SCAN.MHA: is not a readable .mha file"),
        ("broken.mha", "broken.mha: "),
        ("broken.nii.gz", "broken.nii.gz: "),
        ("broken.nrrd", "broken.nrrd: "),
    ],
)
def test_a_wrong_or_damaged_file_is_one_line_that_names_it_as_its_owner_does(
    loaded, nothing_left: Path, name: str, line: str
) -> None:
    with pytest.raises(UserError) as caught:
        segment_upload(name, b"nothing of a scan", loaded)
    assert str(caught.value).startswith(line)
    assert str(nothing_left) not in str(caught.value)


def test_a_truncated_scan_is_said_to_be_one_in_the_readers_words(tmp_path, loaded, scan) -> None:
    content = scan("5_t2.nii.gz")[:2000]
    with pytest.raises(UserError) as caught:
        segment_upload("5_t2.nii.gz", content, loaded)
    (tmp_path / "5_t2.nii.gz").write_bytes(content)
    with pytest.raises(UserError) as told:
        read_image(tmp_path / "5_t2.nii.gz")
    assert str(caught.value) == str(told.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", ["../../5_t2.mha", "C:\\scans\\5_t2.mha", "/etc/5_t2.mha"])
def test_a_name_does_not_lead_out_of_the_temporary_folder(
    tmp_path, loaded, scan: Callable[[str], bytes], nothing_left: Path, name: str
) -> None:
    before = set(tmp_path.rglob("*"))
    content = scan("5_t2.mha")
    assert segment_upload(name, content, loaded).id == "5_t2"
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "scans", tmp_path / "scans" / "5_t2.mha"}
