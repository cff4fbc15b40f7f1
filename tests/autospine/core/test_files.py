from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autospine.core import files
from autospine.core.errors import UserError
from autospine.preprocessing.storage import CaseRecord, CaseStore
from tests.paths import ROOT

RECORD = CaseRecord("1_t2", "1", "t2", (4, 500, 500), (4.0, 0.6, 0.6), (), None, "key")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    files.write_json(path, {"a": [1, 2.5, None, "ä"]})
    assert files.read_json(path) == {"a": [1, 2.5, None, "ä"]}
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("9" * 5000, "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("\xe9", "is not valid JSON"),
    ],
)
def test_json_that_is_none_is_one_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "a.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=words):
        files.read_json(tmp_path / "a.json")


def test_names_that_are_not_utf_8_can_be_written_about(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.csv", os.fsdecode(b"caf\xe9,1\n"))
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "caf\\udce9,1\n"


def test_only_regular_files_are_opened_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "circle.json").symlink_to("circle.json")
    for name, words in (("pipe", "no regular file"), ("zero", "no regular file"), ("circle", "cannot be read")):
        with pytest.raises(UserError, match=words):
            files.read_json(tmp_path / f"{name}.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, 1)
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == 1
    assert names(tmp_path) == ["a.json"]


def test_the_temporary_file_keeps_the_suffixes(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path
        temporary.touch()


def test_a_missing_file_and_broken_json_name_the_file_and_the_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plans\.json: does not exist; run autospine_plan first"):
        files.read_json(tmp_path / "plans.json", "run autospine_plan first")
    (tmp_path / "half.json").write_text('{"a": [1,')
    with pytest.raises(UserError, match=r"half\.json: is not valid JSON.*; run the command"):
        files.read_json(tmp_path / "half.json")
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"):
        files.write_json(tmp_path / "work" / "plans.json", {})
    assert (tmp_path / "work").read_text() == "mine"


def test_a_full_disk_is_said_and_nothing_is_left(small_disk: Path) -> None:
    files.write_json(small_disk / "small.json", [1])
    with pytest.raises(UserError, match=r"large\.json: the disk is full; free some space") as error:
        files.write_json(small_disk / "large.json", "x" * 10**6)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"small\.json: the disk is full"):
        files.write_json(small_disk / "small.json", "x" * 10**6)
    assert names(small_disk) == ["small.json"]
    assert files.read_json(small_disk / "small.json") == [1]


def test_a_case_on_a_full_disk_is_not_done(small_disk: Path) -> None:
    store = CaseStore(small_disk, "1_t2")
    noise = np.random.default_rng(0).normal(size=(1, 4, 500, 500)).astype(np.float32)
    with pytest.raises(UserError, match=r"1_t2\.image\.b2nd: the disk is full"):
        store.write(noise, np.zeros((4, 500, 500), np.uint8), RECORD, 0)
    assert not store.done("key")
    assert names(small_disk) == []


def test_blocks_are_taken_ahead_or_refused(small_disk: Path) -> None:
    for name, size in (("small", 10**5), ("large", 10**6)):
        with open(small_disk / name, "wb") as file:
            file.truncate(size)
    files.allocate(small_disk / "small")
    assert (small_disk / "small").stat().st_size == 10**5
    assert (small_disk / "small").stat().st_blocks * 512 >= 10**5
    with pytest.raises(OSError, match="No space left"):
        files.allocate(small_disk / "large")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_a_disk_that_takes_no_blocks_ahead_is_none_the_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "not here")

    if number is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    (tmp_path / "file").write_bytes(b"12")
    files.allocate(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"12"


def test_a_read_only_disk_is_said(read_only_disk: Path) -> None:
    for path in (read_only_disk / "a.json", read_only_disk / "new" / "a.json"):
        with pytest.raises(UserError, match=r"a\.json: cannot be written \(no permission\); choose another"):
            files.write_json(path, {})
    with pytest.raises(UserError, match="no permission"):
        files.check_writable(read_only_disk)


def test_no_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(UserError, match=r"no permission.*choose another output folder"):
        files.write_json(tmp_path / "a.json", {})
    assert names(tmp_path) == []


def test_checking_a_folder_makes_it_and_leaves_it_empty(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: is a file"):
        files.check_writable(tmp_path / "file")
    assert names(tmp_path / "new") == []


KILLED = """
import os, signal, sys
from autospine.core import files

with files.replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def abandon(path: Path) -> str:
    """Let a process be killed while it writes a file; return the name of what it left."""
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    (left,) = [name for name in names(path.parent) if ".partial." in name and path.name in name]
    return left


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_a_running_one_writes_stays(
    tmp_path: Path,
) -> None:
    left = abandon(tmp_path / "1.b2nd")
    assert left.endswith(".partial.1.b2nd")
    (tmp_path / ".mine.partial.txt").touch()
    with files.replacing(tmp_path / "2.b2nd") as temporary:
        assert names(tmp_path) == sorted([temporary.name, ".mine.partial.txt"])
        files.remove_abandoned(tmp_path)
        temporary.write_text("whole")
    assert names(tmp_path) == [".mine.partial.txt", "2.b2nd"]
    files.remove_abandoned(tmp_path / "nowhere")


def test_two_writers_of_one_file_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two containers do, whose processes bear equal numbers."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with files.replacing(tmp_path / "a") as first, files.replacing(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"
    assert names(tmp_path) == ["a"]


def test_without_locks_only_what_is_old_counts_as_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr("fcntl.flock", unable)
    for name in ("0" * 16, "1" * 16):
        (tmp_path / f".{name}.partial.a").touch()
    os.utime(tmp_path / f".{'0' * 16}.partial.a", (0, 0))
    files.write_text(tmp_path / "b", "whole")
    assert names(tmp_path) == [f".{'1' * 16}.partial.a", "b"]


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / ("a" * 248 + ".nii.gz"), "whole")
    assert names(tmp_path) == ["a" * 248 + ".nii.gz"]


def test_removing_what_is_not_there_is_fine_and_a_folder_is_not(tmp_path: Path) -> None:
    files.remove(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError):
        files.remove(tmp_path / "folder")


def test_a_key_given_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": {"1": "canal", "1": "cord"}, "channels": ["T1"]}')
    with pytest.raises(UserError, match=r"dataset.json: gives the key '1' twice; keep one of them"):
        files.read_json(tmp_path / "dataset.json")


def test_files_are_written_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    files.write_text(tmp_path / "report.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]
