from __future__ import annotations

from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.overwriting import check_files, check_folders


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A scan that is listed through a link to where it lies: linked/1.mha is stored/1.mha."""
    (tmp_path / "stored").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "stored" / "1.mha").write_text("scan")
    (tmp_path / "linked" / "1.mha").symlink_to(tmp_path / "stored" / "1.mha")
    return tmp_path / "linked" / "1.mha"


@pytest.mark.parametrize("name", ["linked", "stored", "alias", "stored/../linked"])
def test_a_folder_that_holds_an_input_is_refused_whatever_its_name(scan: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "stored")
    with pytest.raises(UserError, match="holds files of the input; choose another output"):
        check_folders([tmp_path / name], [scan])


def test_another_folder_is_fine(scan: Path, tmp_path: Path) -> None:
    check_folders([tmp_path, tmp_path / "new", tmp_path / "linked" / "new"], [scan])


@pytest.mark.parametrize("name", ["series", "series/new", "series/new/er"])
def test_nothing_goes_into_a_series(tmp_path: Path, name: str) -> None:
    (tmp_path / "series").mkdir()
    with pytest.raises(UserError, match="lies in a series that is read"):
        check_folders([tmp_path / name], [tmp_path / "series"])
    check_folders([tmp_path], [tmp_path / "series"])


@pytest.mark.parametrize("name", ["linked/1.mha", "stored/1.mha", "hard.mha", "stored/1.mha/below"])
def test_a_file_that_is_an_input_is_refused_whatever_its_name(scan: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "hard.mha").hardlink_to(tmp_path / "stored" / "1.mha")
    with pytest.raises(UserError, match="would be written over an input"):
        check_files([tmp_path / name], [scan])


def test_case_folding_is_seen(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that ignores case, STORED/1.MHA is stored/1.mha: its device and inode say so."""
    found = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **_: found(Path(str(path).replace("1.MHA", "1.mha"))))
    with pytest.raises(UserError, match=r"1\.MHA: would be written over an input"):
        check_files([scan.with_name("1.MHA")], [scan])


def test_two_outputs_are_two_files(scan: Path, tmp_path: Path) -> None:
    check_files([tmp_path / "a.csv", tmp_path / "b.csv"], [scan])
    with pytest.raises(UserError, match=r"a\.csv: would be written twice"):
        check_files([tmp_path / "a.csv", tmp_path / "linked" / ".." / "a.csv"], [scan])


def test_links_that_lead_to_one_another_are_no_input(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    check_files([tmp_path / "a"], [scan])
    check_folders([tmp_path / "a"], [scan, tmp_path / "b"])
