"""Damaged files get one line, and no library writes to stderr on its own."""

from __future__ import annotations

import pytest

from autospine.core.errors import UserError
from autospine.volumes import read_image, read_mask

CHECKED = (".mha", ".nii", ".nii.gz", ".nrrd")


@pytest.fixture(autouse=True)
def silent(capfd):
    """Fails a test after which C++ code has written to stdout or stderr."""
    yield
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


def refused(path, words: str) -> None:
    for read in (read_image, read_mask):
        with pytest.raises(UserError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", CHECKED)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files(scan, suffix, share):
    path, _ = scan(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(len(content) * share))])
    refused(path, "truncated|damaged|impossible|values per voxel|picture")


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nii"])
def test_a_single_missing_byte(scan, suffix):
    path, _ = scan(suffix)
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "truncated")


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_flipped_bits(scan, suffix):
    path, _ = scan(suffix)
    content = bytearray(path.read_bytes())
    middle = (len(content) + 500) // 2
    content[middle : middle + 8] = bytes(byte ^ 255 for byte in content[middle : middle + 8])
    path.write_bytes(content)
    refused(path, "damaged")


@pytest.mark.parametrize("suffix", [*CHECKED, ".mhd"])
def test_empty_files(tmp_path, suffix):
    path = tmp_path / f"s{suffix}"
    path.touch()
    refused(path, "is empty")


@pytest.mark.parametrize("suffix", [*CHECKED, ".mhd"])
@pytest.mark.parametrize("content", [b"hello\n" * 200, bytes(range(256)) * 20, b"\0" * 2000, b"\x1f\x8b" * 500])
def test_junk(tmp_path, suffix, content):
    path = tmp_path / f"s{suffix}"
    path.write_bytes(content)
    refused(path, "is not a")


@pytest.mark.parametrize("suffix", CHECKED)
@pytest.mark.parametrize("wrong", CHECKED)
def test_a_wrong_suffix_is_told_with_the_right_one(scan, suffix, wrong):
    if suffix == wrong:
        return
    path, _ = scan(suffix)
    renamed = path.rename(path.with_name(f"renamed{wrong}"))
    if {suffix, wrong} == {".nii", ".nii.gz"}:  # harmless: the content says whether it is compressed
        read_image(renamed)
        return
    refused(renamed, f"is not a {wrong} file; its content looks like {suffix}; rename it")


def test_the_voxels_of_an_mhd_file_must_be_there_and_whole(scan):
    path, _ = scan(".mhd")
    data = path.with_name("scan.zraw")
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    refused(path, "truncated")
    data.unlink()
    refused(path, "voxel file scan.zraw, which is missing")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ElementSpacing", "1 0 1"),
        ("TransformMatrix", "1 0 0 0 1 0 0 0 0"),
        ("Offset", "0 nan 0"),
        ("ElementSpacing", "a b c"),
        ("DimSize", ""),
        ("DimSize", "2 -2 2"),
        ("DimSize", "99999 99999 9"),
    ],
)
def test_impossible_headers(tmp_path, key, value):
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1 1 1",
        "DimSize": "2 2 2",
        "ElementType": "MET_UCHAR",
        "ElementDataFile": "LOCAL",
        key: value,
    }
    path = tmp_path / "s.mha"
    path.write_text("".join(f"{name} = {text}\n" for name, text in lines.items()) + "12345678")
    refused(path, "impossible|truncated|damaged|picture")
