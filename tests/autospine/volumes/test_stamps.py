from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.volumes.stamps import stamps


def touched(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def written(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16)), str(path))
    return path


@pytest.mark.parametrize(("name", "data"), [("a.mhd", "a.raw"), ("a.mha", None), ("a.nrrd", None), ("a.nii.gz", None)])
def test_a_change_of_header_or_voxels_is_seen_and_of_others_not(tmp_path: Path, name: str, data: str | None) -> None:
    path = written(tmp_path / name)
    written(tmp_path / f"other_{name}")
    before = stamps(path)
    assert [Path(stamp[0]).name for stamp in before] == [name, *([data] if data else [])]
    touched(tmp_path / f"other_{name}")
    assert stamps(path) == before
    for each in (name, *([data] if data else [])):
        touched(tmp_path / each)
        assert stamps(path) != before
        before = stamps(path)


def test_the_voxels_of_an_nrrd_header(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("NRRD0004\ntype: short\ndata file: voxels.raw\n\n")
    (tmp_path / "voxels.raw").write_bytes(b"12")
    before = stamps(tmp_path / "a.nrrd")
    (tmp_path / "voxels.raw").write_bytes(b"123")
    assert stamps(tmp_path / "a.nrrd") != before


def test_every_slice_of_a_dicom_folder(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dcm").write_bytes(b"slice")
    before = stamps(tmp_path)
    touched(tmp_path / "1.dcm")
    changed = stamps(tmp_path)
    assert [a == b for a, b in zip(before, changed, strict=True)] == [True, False, True]
    (tmp_path / "2.dcm").unlink()
    assert len(stamps(tmp_path)) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of the last change of an entry")
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nii.gz", "series"])
def test_other_content_of_the_same_size_with_its_time_put_back_is_seen(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "series":
        path.mkdir()
        (path / "1.dcm").write_bytes(b"slice of a series")
    else:
        written(path)
    holds_voxels = {"a.mhd": tmp_path / "a.raw", "series": path / "1.dcm"}.get(name, path)
    before, status = stamps(path), holds_voxels.stat()
    content = bytearray(holds_voxels.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)  # the clock of a file system has ticks of some ms
    holds_voxels.write_bytes(content)
    os.utime(holds_voxels, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [stamp[:3] for stamp in stamps(path)] == [stamp[:3] for stamp in before]  # size and time are the same
    assert stamps(path) != before
