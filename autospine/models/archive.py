"""A model as a zip: plain files and a list of their SHA-256. Nothing in it is run, nothing leaves its folder."""

from __future__ import annotations

import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from zipfile import ZipFile, ZipInfo

from autospine.core.errors import UserError
from autospine.core.files import OLD, make_folder, read_json, reading, replacing, write_json, writing
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.models.files import CARD, LICENCE, MANIFEST, PROVENANCE, WEIGHTS, file_hash
from autospine.models.installed import NAME

VERSION = 1
FILES = (CARD, WEIGHTS, PROVENANCE, LICENCE)
MOST_BYTES = {WEIGHTS: 4 * 2**30, CARD: 64 * 2**20, PROVENANCE: 16 * 2**20, LICENCE: 2**20, MANIFEST: 2**16}
MOST_TIMES = 200  # that a file may be larger than it is in the zip
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every file, so that equal models make equal zips
UNPACKING = ".unpacking-"  # begins the name of a folder that is being filled; no model's name begins with a dot
AGAIN = "get the file again from whoever made it"


@dataclass(frozen=True)
class Manifest:
    """Content of manifest.json."""

    name: str  # of the model
    files: dict[str, str]  # SHA-256 of every other file
    version: int = VERSION  # of this file's form

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} is none: lower-case letters, digits, dots and dashes make one")
        if set(self.files) != set(FILES):
            raise ValueError(f"it lists {', '.join(sorted(self.files)) or 'nothing'} instead of {', '.join(FILES)}")


def write_archive(folder: Path, name: str, path: Path) -> None:
    """Write a model's folder, with its card and its licence, as a zip.

    Raises:
        UserError: A file is missing, or the zip cannot be written.
    """
    files = {file: folder / file for file in FILES}
    lost = next((file for file in files.values() if not file.exists()), None)
    if lost is not None:
        raise UserError(lost, "is missing", "export the model with its card")
    with TemporaryDirectory() as temporary, replacing(path) as target:
        manifest = Path(temporary) / MANIFEST
        write_json(manifest, to_plain(Manifest(name, {file: file_hash(source) for file, source in files.items()})))
        with ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, source in {MANIFEST: manifest, **files}.items():
                info = ZipInfo(file, EPOCH)
                info.external_attr = 0o644 << 16
                info.compress_type = zipfile.ZIP_STORED if file == WEIGHTS else zipfile.ZIP_DEFLATED
                with open(source, "rb") as content, archive.open(info, "w", force_zip64=True) as packed:
                    shutil.copyfileobj(content, packed, 1 << 20)


def unpack(path: Path, into: Path, check: Callable[[Path], object]) -> Path:
    """Unpack a model's zip into a folder of its name, which is there whole or not at all.

    Args:
        path: The zip.
        into: Where the model's folder is made.
        check: Raises a UserError if the unpacked folder holds no sound model.

    Returns:
        The model's folder.

    Raises:
        UserError: It is no model's zip, something in it is not what it should be, or a model of that name is there.
    """
    make_folder(into)
    _sweep(into)
    with writing(into):
        temporary = Path(mkdtemp(prefix=UNPACKING, dir=into))
    try:
        with _opened(path) as archive:
            manifest = _extract(archive, path, temporary)
        check(temporary)
        target = into / manifest.name
        if target.exists():
            hint = f"autospine_models remove {manifest.name} takes it away"
            raise UserError(manifest.name, "is installed already", hint)
        with writing(target):
            (temporary / MANIFEST).unlink()
            temporary.chmod(0o755)  # a temporary folder is its maker's alone
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _sweep(into: Path) -> None:
    """Remove what killed installations left."""
    for path in into.glob(f"{UNPACKING}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > OLD:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[ZipFile]:
    try:
        with reading(path), ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise UserError(path, "is damaged or no zip", AGAIN) from error


def _extract(archive: ZipFile, path: Path, into: Path) -> Manifest:
    """Extract the files that a model has, and compare each with the list."""
    members = archive.infolist()
    for member in members:
        _check_member(member, path)
    names = [member.filename for member in members]
    if sorted(names) != sorted((*FILES, MANIFEST)):
        lacking = [name for name in (*FILES, MANIFEST) if name not in names]
        problem = f"lacks {lacking[0]}" if lacking else "holds a file twice"
        raise UserError(path, problem, "give a zip that autospine_export model wrote")
    hashes = {member.filename: _extract_member(archive, member, path, into) for member in members}
    data = read_json(into / MANIFEST, AGAIN)
    check_version(data, VERSION, f"{path}: {MANIFEST}", AGAIN)
    manifest = from_plain(Manifest, data, f"{path}: {MANIFEST}")
    wrong = next((name for name in FILES if hashes[name] != manifest.files[name]), None)
    if wrong is not None:
        raise UserError(path, f"holds a {wrong} that is not the one it lists (SHA-256 differs)", AGAIN)
    return manifest


def _check_member(member: ZipInfo, path: Path) -> None:
    """Refuse whatever is not one of a model's files, plain and of a size that it may have.

    Raises:
        UserError: Naming it.
    """
    name, mode = member.filename, member.external_attr >> 16
    if name not in (*FILES, MANIFEST):
        problem = f"holds {name!r}, which is no file of a model"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        problem = f"holds {name} as a link or a device"
    elif member.flag_bits & 1:
        problem = f"holds {name} encrypted"
    elif member.file_size > MOST_BYTES[name] or member.file_size > MOST_TIMES * max(member.compress_size, 100):
        problem = f"holds {name} of {member.file_size:,} bytes, more than a model's"
    else:
        return
    raise UserError(path, problem, "give a zip that autospine_export model wrote")


def _extract_member(archive: ZipFile, member: ZipInfo, path: Path, into: Path) -> str:
    """Write one file, no more of it than its header says; return its SHA-256."""
    digest, written = sha256(), 0
    target = into / member.filename
    with writing(target), archive.open(member) as packed, open(target, "xb") as file:
        while block := packed.read(1 << 20):
            written += len(block)
            if written > member.file_size:
                raise UserError(path, f"holds more of {member.filename} than it says", AGAIN)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
