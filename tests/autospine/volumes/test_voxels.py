"""Voxels are read from beside their header only, and decompressed to their size and no further."""

from __future__ import annotations

import gzip
import os
import resource
import zlib
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.volumes import read_header, read_image

VALUES = np.arange(24, dtype=np.uint8)
MIB = 2**20


def metaimage(path: Path, data_file: str, content: bytes = b"", **keys: str) -> Path:
    lines = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "2 3 4", "ElementType": "MET_UCHAR"}
    header = "".join(f"{key} = {value}\n" for key, value in {**lines, **keys, "ElementDataFile": data_file}.items())
    path.write_bytes(header.encode("utf-8", "surrogateescape") + content)
    return path


def nrrd(path: Path, *fields: str, content: bytes = b"", encoding: str = "raw", sizes: str = "2 3 4") -> Path:
    lines = ("NRRD0004", "type: uchar", "dimension: 3", f"sizes: {sizes}", f"encoding: {encoding}", *fields)
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n\n" + content)
    return path


def values(path: Path) -> list[int]:
    return sorted(read_image(path).array.ravel().tolist())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the scan's folder, as long as the voxels."""
    path = tmp_path / "elsewhere" / "secret"
    path.parent.mkdir()
    path.write_bytes(bytes(VALUES))
    return path


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize(
    "kind", ["absolute", "parent", "folder", "link", "link of a folder", "nul", "dots", "reversed"]
)
def test_voxels_elsewhere_are_not_read(tmp_path, secret, suffix, kind):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "inner").mkdir()
    (folder / "inner" / "x.raw").write_bytes(bytes(VALUES))
    (folder / "link.raw").symlink_to(secret)
    (folder / "away").symlink_to(secret.parent)
    name = {
        "absolute": str(secret),
        "parent": "../elsewhere/secret",
        "folder": "inner/x.raw",
        "link": "link.raw",
        "link of a folder": "away/secret",
        "nul": "x\0.raw",
        "dots": "..",
        "reversed": "..\\elsewhere\\secret",
    }[kind]
    path = folder / f"scan{suffix}"
    if suffix == ".nrrd":
        nrrd(path, f"data file: {name}")
    else:
        metaimage(path, name)
    for read in (read_header, read_image):
        with pytest.raises(UserError, match="which is no file beside it; put the voxels beside their header") as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["scan.raw", "my scan.raw", "wirbelsäule.raw", os.fsdecode(b"w\xe4rbel.raw")])
def test_voxels_beside_their_header_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(VALUES))
    assert values(metaimage(tmp_path / "scan.mhd", name)) == VALUES.tolist()
    assert values(nrrd(tmp_path / "scan.nrrd", f"data file: {name}")) == VALUES.tolist()


@pytest.mark.parametrize("name", ["LIST", "slice%03d.raw 1 4 1", "%n%n%s"])
def test_voxels_in_several_files_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="keeps its voxels in several files"):
        read_image(metaimage(tmp_path / "scan.mhd", name))


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_devices_and_pipes_are_refused_without_waiting(tmp_path, device):
    os.mkfifo(tmp_path / "pipe.raw")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    (tmp_path / "device.nii").symlink_to(device)
    with pytest.raises(UserError, match=r"pipe\.raw: is no regular file"):
        read_image(metaimage(tmp_path / "scan.mhd", "pipe.raw"))
    for name in ("pipe.nii.gz", "device.nii"):
        with pytest.raises(UserError, match=rf"{name}: is no regular file"):
            read_image(tmp_path / name)


def test_links_that_lead_in_a_circle_are_one_line(tmp_path):
    (tmp_path / "a.mha").symlink_to("b.mha")
    (tmp_path / "b.mha").symlink_to("a.mha")
    (tmp_path / "gone.mha").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"a\.mha: cannot be read"):
        read_image(tmp_path / "a.mha")
    with pytest.raises(UserError, match=r"gone\.mha: does not exist"):
        read_image(tmp_path / "gone.mha")
    with pytest.raises(UserError, match="does not exist"):
        read_image("a\0b.mha")


def test_forms_that_are_seldom_written(tmp_path):
    text = " ".join(map(str, VALUES)).encode()
    packed = gzip.compress(bytes(VALUES[:10])) + gzip.compress(bytes(VALUES[10:]))  # two parts, as pigz and bgzip write
    assert values(metaimage(tmp_path / "1.mha", "LOCAL", text, BinaryData="False")) == VALUES.tolist()
    assert values(metaimage(tmp_path / "2.mha", "LOCAL", b"skip" + bytes(VALUES), HeaderSize="-1")) == VALUES.tolist()
    assert values(metaimage(tmp_path / "3.mha", "LOCAL", packed, CompressedData="True")) == VALUES.tolist()
    assert values(nrrd(tmp_path / "4.nrrd", encoding="gzip", content=packed)) == VALUES.tolist()
    assert values(nrrd(tmp_path / "5.nrrd", encoding="ascii", content=text)) == VALUES.tolist()
    assert values(nrrd(tmp_path / "6.nrrd", "byte skip: 4", content=b"skip" + bytes(VALUES))) == VALUES.tolist()
    assert values(nrrd(tmp_path / "7.nrrd", "byte skip: -1", content=b"more" + bytes(VALUES))) == VALUES.tolist()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"NDims": "1000000"}, "is not a readable .mha file"),
        ({"NDims": "-1"}, "is not a readable .mha file"),
        ({"DimSize": "99999999999 99999999999 99999999999"}, "longer than a person"),
        ({"DimSize": "60000 60000 2", "ElementSpacing": "0.05 0.05 1"}, "impossible grid"),
        ({"DimSize": "40000 40000 2", "ElementSpacing": "0.05 0.05 1"}, "states 2.98 GiB of voxels, more than 1 GiB"),
        ({"ElementSpacing": "0.001 1 1"}, "spacing is 0.001 x 1 x 1 mm, not within 0.05 to 50 mm"),
        ({"ElementType": "MET_STRING"}, "holds voxels of the type MET_STRING"),
    ],
)
def test_headers_are_checked_before_anything_is_read(tmp_path, keys, words):
    with pytest.raises(UserError, match=words):
        read_image(metaimage(tmp_path / "scan.mha", "LOCAL", bytes(VALUES), **keys))


def test_nrrd_text_that_is_none(tmp_path):
    with pytest.raises(UserError, match="its voxels are no numbers"):
        read_image(nrrd(tmp_path / "scan.nrrd", encoding="ascii", content=bytes(range(128, 250))))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_bombs_are_decompressed_to_their_size_and_no_further(tmp_path, suffix):
    """A gigabyte of zeros behind 24 voxels, and a header that states many more voxels than memory has."""
    squeeze = zlib.compressobj(9, wbits=31)
    head = b"" if suffix != ".nii.gz" else nifti_header((2, 3, 4))
    zeros = b"".join([squeeze.compress(head), *(squeeze.compress(bytes(MIB)) for _ in range(1024)), squeeze.flush()])
    path = tmp_path / f"bomb{suffix}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if suffix == ".mha":
        metaimage(path, "LOCAL", zeros, CompressedData="True")
    elif suffix == ".nrrd":
        nrrd(path, encoding="gzip", content=zeros)
    else:
        path.write_bytes(zeros)
    assert values(path) == [0] * 24
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_nifti_of_twenty_gigabytes_is_refused_by_its_header(tmp_path):
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(nifti_header((3000, 3000, 2400))))
    with pytest.raises(UserError, match=r"states 20\.1 GiB of voxels"):
        read_image(tmp_path / "bomb.nii.gz")


def nifti_header(shape: tuple[int, int, int]) -> bytes:
    import nibabel

    image = nibabel.Nifti1Header()
    image.set_data_dtype(np.uint8)
    image.set_data_shape(shape)
    image.set_sform(np.diag([0.5, 0.5, 0.5, 1.0]), 1)
    image["magic"], image["vox_offset"] = b"n+1", 352
    return image.binaryblock + bytes(4)
