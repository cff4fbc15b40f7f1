"""Seeded damage for `fuzz.py`: of bytes, of header lines and fields, of JSON values."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

HOSTILE = (
    *("", "0", "-1", "1", "3", "1000000", "-1000000", "2147483648", "99999999999999999999", "1e309", "-1e-309"),
    *("nan", "inf", "-inf", "0 0 0", "1 1", "1 2 3 4", "-1 -1 -1", "65535 65535 65535", "4294967296 4294967296 4"),
    *("1e-9 1e-9 1e-9", "1e9 1e9 1e9", "nan nan nan", "True", "False", "LOCAL", "LIST", "slice%03d.raw 1 4 1"),
    *("../other.raw", "/dev/zero", "/etc/hostname", ".", "a" * 5000, "\0", "\x1b[31m", "=1+1", "é", "%s%n"),
    *("MET_DOUBLE", "MET_CHAR", "MET_OTHER", "gzip", "raw", "ascii", "bzip2", "hex", "float", "block", "int64"),
)
NIFTI_FIELDS = (  # offset and form
    *[(40 + 2 * k, "h") for k in range(8)],
    *[(70, "h"), (72, "h"), (108, "f"), (112, "f"), (116, "f"), (123, "B"), (252, "h"), (254, "h"), (0, "i")],
    *[(76 + 4 * k, "f") for k in range(8)],
    *[(256 + 4 * k, "f") for k in range(6)],
    *[(280 + 4 * k, "f") for k in range(12)],
    (344, "i"),
)
NUMBERS: dict[str, tuple[float, ...]] = {
    "B": (0, 1, 2, 3, 8, 255),
    "h": (0, 1, -1, 2, 3, 4, 7, 8, 16, 64, 128, 511, 512, 1536, 32767, -32768),
    "i": (0, 1, -1, 348, 540, 2**31 - 1, -(2**31)),
    "f": (0, -1, 1, 352, 1e-30, 1e30, -1e30, float("nan"), float("inf"), float("-inf"), 1e-3, 1e3),
}
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 3, 10**6, 2**31, 10**30, 10**400, 0.5, -0.5, 1e-300, 1e300, float("nan"), float("inf")),
    *(
        "",
        "x",
        "a" * 5000,
        "../x",
        "\0",
        "spider",
        "cuda",
        [],
        [[]],
        {},
        {"": ""},
        [None],
        [1, 2, 3],
        [-1] * 3,
        [0] * 3,
    ),
)


def damage_bytes(content: bytes, random: Random, header: int | None = None) -> bytes:
    """Flip, cut, insert, repeat or blank, in the first `header` bytes or anywhere."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        end = max(1, min(len(data), header or len(data)))
        place, length = random.randrange(end), random.choice((1, 1, 2, 4, 8, 64, 1000))
        way = random.randrange(7)
        if way == 0:
            data[place : place + 1] = bytes([data[place] ^ (1 << random.randrange(8))] if data else b"\0")
        elif way == 1:
            data[place : place + length] = random.randbytes(len(data[place : place + length]))
        elif way == 2:
            data[place : place + length] = random.choice((b"\0", b"\xff", b"\x7f")) * len(data[place : place + length])
        elif way == 3:
            del data[place : place + length]
        elif way == 4:
            data[place:place] = random.randbytes(length)
        elif way == 5:
            data[place:place] = data[place : place + length]
        else:
            del data[random.randrange(len(data) or 1) :]
    return bytes(data)


def damage_lines(content: bytes, random: Random, lines: int) -> bytes:
    """Damage the first lines of a text header: other values, lines twice, missing, in another order."""
    parts = content.split(b"\n", lines)
    count = max(1, len(parts) - 1)
    for _ in range(random.choice((1, 1, 2, 3))):
        place, way = random.randrange(count), random.randrange(6)
        separator = b"=" if b"=" in parts[place] else b":"
        name, _, value = parts[place].partition(separator)
        if way <= 2:
            parts[place] = name + separator + b" " + random.choice(HOSTILE).encode()
        elif way == 3:
            words = value.split() or [b""]
            words[random.randrange(len(words))] = random.choice(HOSTILE).encode()
            parts[place] = name + separator + b" " + b" ".join(words)
        elif way == 4:
            parts.insert(place, parts[random.randrange(count)])
        else:
            parts[place] = damage_bytes(parts[place] or b" ", random)
    return b"\n".join(parts)


def damage_nifti(content: bytes, random: Random) -> bytes:
    """Put odd numbers into fields of a NIfTI header."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        offset, form = random.choice(NIFTI_FIELDS)
        struct.pack_into(f"<{form}", data, offset, random.choice(NUMBERS[form]))
    return bytes(data)


def damage_zipped(content: bytes, random: Random, inner: Callable[[bytes, Random], bytes]) -> bytes:
    """Damage what a gzip stream holds, or the stream."""
    if random.random() < 0.3:
        return damage_bytes(content, random)
    return gzip.compress(inner(gzip.decompress(content), random), 1)


def damage_dicom(content: bytes, random: Random) -> bytes:
    """Put odd values into elements of a DICOM file, or damage its bytes."""
    import pydicom

    if random.random() < 0.4:
        return damage_bytes(content, random, random.choice((None, 1200)))
    dataset = pydicom.dcmread(BytesIO(content))
    elements = list(dataset)
    for _ in range(random.choice((1, 1, 2))):
        element = random.choice(elements)
        if random.random() < 0.3:
            dataset.pop(element.tag, None)
            continue
        odd = random.choice(HOSTILE)
        with_bytes = odd.split(" ") if element.VR in ("DS", "IS") else odd
        # Written raw, as a careless writer would: pydicom checks what it is given.
        raw = "\\".join(with_bytes if isinstance(with_bytes, list) else [with_bytes]).encode()
        if element.VR in ("US", "SS"):
            raw = struct.pack("<H", random.choice((0, 1, 2, 3, 7, 8, 12, 16, 17, 32, 64, 255, 1000, 65535)))
        raw += b" " * (len(raw) % 2)
        dataset[element.tag] = pydicom.dataelem.RawDataElement(element.tag, element.VR, len(raw), raw, 0, False, True)
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def damage_json(content: bytes, random: Random) -> bytes:
    """Change values, drop and repeat keys, nest, or damage the bytes."""
    if random.random() < 0.15:
        return damage_bytes(content, random)
    if random.random() < 0.03:
        return b"[" * 100000 + b"]" * 100000
    data = json.loads(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        holder, key = random.choice(_places(data))
        way = random.randrange(5)
        if way == 0 and isinstance(holder, dict):
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[str(random.choice(HOSTILE))] = holder[key]
        elif way == 2 and isinstance(holder[key], (int, float)):
            holder[key] = holder[key] * random.choice((-1, 0, 1000, 0.001, 10**9))
        else:
            holder[key] = random.choice(VALUES)
        if not data:
            break
    return json.dumps(data).encode()


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Return every holder and key of a JSON value, outermost first."""
    found = []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += [(data, key), *_places(value)]
    return found


def damage_safetensors(content: bytes, random: Random) -> bytes:
    """Damage the header of weights, or their numbers."""
    if random.random() < 0.4:
        return damage_bytes(content, random, random.choice((8, 500, None)))
    (length,) = struct.unpack("<Q", content[:8])
    header = damage_json(content[8 : 8 + length], random)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def damage_checkpoint(content: bytes, random: Random) -> bytes:
    """Damage the entries of a checkpoint's archive, or the archive."""
    if random.random() < 0.3:
        return damage_bytes(content, random)
    if random.random() < 0.5:
        return _other_values(content, random)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in entries if name.endswith("data.pkl"))
    name = pickled if random.random() < 0.8 else random.choice(list(entries))
    entries[name] = damage_bytes(entries[name] or b"\0", random)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    return out.getvalue()


def _other_values(content: bytes, random: Random) -> bytes:
    """Change or drop values of a checkpoint's dictionary, and write it again as a whole one."""
    import torch

    data = torch.load(BytesIO(content), weights_only=True)
    holder, key = random.choice([place for place in _places(data) if place[0] is data or random.random() < 0.3])
    if random.random() < 0.3:
        del holder[key]
    else:
        holder[key] = random.choice((*VALUES, torch.zeros(2), torch.full((), float("nan")), torch.zeros(0)))
    out = BytesIO()
    torch.save(data, out)
    return out.getvalue()


def damage(name: str, content: bytes, random: Random) -> bytes:
    """Damage a file as its name's suffix asks for."""
    in_header = random.random() < 0.7
    if name.endswith((".mha", ".mhd", ".nrrd")):
        return damage_lines(content, random, 12) if in_header else damage_bytes(content, random)
    if name.endswith(".nii.gz"):
        return damage_zipped(content, random, damage_nifti if in_header else damage_bytes)
    if name.endswith(".nii"):
        return damage_nifti(content, random) if in_header else damage_bytes(content, random, random.choice((352, None)))
    rest = {".dcm": damage_dicom, ".json": damage_json, ".safetensors": damage_safetensors, ".pt": damage_checkpoint}
    return rest["." + name.rpartition(".")[2]](content, random)
