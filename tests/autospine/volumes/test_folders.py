from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.volumes import find_volumes, read_image, volume_id
from autospine.volumes.folders import written_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1_t2.nii.gz", "1_t2"),
        ("1_t2_SPACE.mha", "1_t2_SPACE"),
        ("a.b.nrrd", "a.b"),
        ("X.NII", "X"),
        ("series", "series"),
    ],
)
def test_ids(name, expected):
    assert volume_id(f"/some/folder/{name}") == expected


def test_volumes_are_in_natural_order(tmp_path):
    for name in (
        "10_t2.mha",
        "2_t2.nii.gz",
        "2_t1.nrrd",
        "a1.nii",
        "1_t2.mhd",
        "1_t2.raw",
        "notes.txt",
        ".9.mha",
    ):
        (tmp_path / name).touch()
    (tmp_path / "folder.mha").mkdir()
    names = [path.name for path in find_volumes(tmp_path)]
    assert names == ["1_t2.mhd", "2_t1.nrrd", "2_t2.nii.gz", "10_t2.mha", "a1.nii"]
    assert find_volumes(tmp_path / "a1.nii") == [tmp_path / "a1.nii"]


def test_two_files_of_one_id_are_refused(tmp_path):
    for name in ("1.nii.gz", "1.mha"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"holds 1\.mha and 1\.nii\.gz, which have the same id '1'; keep one"):
        find_volumes(tmp_path)


def test_folders_without_volumes_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no volumes"):
        find_volumes(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        find_volumes(tmp_path / "nowhere")


def test_dicom_folders_are_volumes(tmp_path):
    for name in ("case2", "case10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "other").mkdir()
    assert [path.name for path in find_volumes(tmp_path)] == ["case2", "case10"]
    assert find_volumes(tmp_path / "case2") == [tmp_path / "case2"]


def test_what_is_made_from_a_header_or_a_folder_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    made = [written_name(tmp_path / name) for name in ("1_t2.nii.gz", "2_t2.MHA", "3_t2.mhd", "series")]
    assert made == ["1_t2.nii.gz", "2_t2.mha", "3_t2.mha", "series.nii.gz"]


def test_what_is_called_like_a_volume_is_listed_so_that_its_case_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "1.mha").touch()
    (tmp_path / "2.mha").symlink_to("nowhere")
    os.mkfifo(tmp_path / "3.nii.gz")
    (tmp_path / "4.NII.GZ").touch()
    assert [path.name for path in find_volumes(tmp_path)] == ["1.mha", "2.mha", "3.nii.gz", "4.NII.GZ"]


def test_a_folder_that_cannot_be_opened_spares_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, listed = tmp_path / "closed", Path.iterdir
    closed.mkdir()
    (tmp_path / "1.mha").touch()

    def refusing(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    assert find_volumes(tmp_path) == [tmp_path / "1.mha", closed]
    with pytest.raises(UserError, match=r"closed: cannot be read \(Permission denied\); check its permissions"):
        read_image(closed)


def test_empty_folders_and_dangling_links_are_not_skipped_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1.mha").touch()
    (tmp_path / "2.mha").symlink_to(tmp_path / "gone")
    (tmp_path / "3").mkdir()
    (tmp_path / "4").symlink_to(tmp_path / "gone")
    assert [path.name for path in find_volumes(tmp_path)] == ["1.mha", "2.mha"]  # reading 2 tells what is wrong
    said = [f"{tmp_path / '3'}: is an empty folder; left out", f"{tmp_path / '4'}: is a link to nothing; left out"]
    assert caplog.messages == said
