from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.training import checkpoint
from autospine.training.checkpoint import VERSION, load_checkpoint, restoring, save_checkpoint

CPU = torch.device("cpu")


def content() -> dict:
    return {
        "step": 3,
        "networks": {"network": {"w": torch.arange(500.0)}},
        "history": [{"a": 1.5}],
        "best": -1.0,
    }


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    loaded = load_checkpoint(path, CPU)
    assert torch.equal(loaded["networks"]["network"].pop("w"), torch.arange(500.0))
    assert loaded == {
        "version": VERSION,
        "step": 3,
        "networks": {"network": {}},
        "history": [{"a": 1.5}],
        "best": -1.0,
    }
    assert os.listdir(tmp_path) == ["checkpoint.pt"]  # noqa: PTH208


def test_one_that_is_cut_in_half_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        load_checkpoint(path, CPU)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_its_pickled_part_cuts_off_is_one_line(tmp_path: Path) -> None:
    """Such as the four bytes of an index (struct.error)."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, b"\x80\x02}r\x01" if name.endswith("data.pkl") else data)
    with pytest.raises(UserError, match="damaged or cut short"):
        load_checkpoint(path, CPU)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.binary(max_size=3))
def test_every_cut_is_a_users_error(tmp_path_factory: pytest.TempPathFactory, share: float, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("cut") / "checkpoint.pt"
    save_checkpoint(path, content())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * (len(whole) - 4))] + tail)
    with pytest.raises(UserError):
        load_checkpoint(path, CPU)


def test_a_missing_one_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(tmp_path / "checkpoint.pt", CPU)


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_one_from_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", version)
    save_checkpoint(tmp_path / "checkpoint.pt", content())
    monkeypatch.undo()
    with pytest.raises(UserError, match="another AutoSpine"):
        load_checkpoint(tmp_path / "checkpoint.pt", CPU)


class Harmful:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, save) -> None:
    mark = tmp_path / "was_run"
    save({"step": Harmful(mark)}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "checkpoint.pt", CPU)
    assert not mark.exists()


def test_a_failed_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, content())
    before = path.read_bytes()

    def full(content: dict, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="disk is full"):
        save_checkpoint(path, content())
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(small_disk: Path) -> None:
    path = small_disk / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(UserError, match=r"checkpoint\.pt: the disk is full; free some space and run the command again"):
        save_checkpoint(path, {"step": 2, "weights": torch.zeros(10**6)})
    assert load_checkpoint(path, torch.device("cpu"))["step"] == 1
    assert [file.name for file in small_disk.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("error", [KeyError("seed"), RuntimeError("size mismatch"), TypeError("a dict")])
def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UserError, match="does not fit this training"), restoring(tmp_path / "checkpoint.pt"):
        raise error
