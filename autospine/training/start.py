"""What a training starts from: fresh weights, or those of a model, whose scans it has then seen as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.serial import check_version, from_plain, to_plain
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model, read_model
from autospine.models.provenance import SeenScan

FILE = "start.json"  # in a model's folder, where it started from another model
VERSION = 1


@dataclass(frozen=True)
class Start:
    """A model whose weights a training starts from: content of start.json."""

    model: str  # what it is called, with the first digits of its weights' SHA-256
    folder: str  # where it lay
    weights: str  # SHA-256 of its weights
    seen: tuple[SeenScan, ...]  # scans that it has learnt from
    version: int = VERSION  # of this file's form

    @classmethod
    def of(cls, model: Model) -> Start:
        """Return the start from a model that was read."""
        card = model.provenance
        name = model.name if card is None else f"{card.title}@{model.card.weights[:12]}"
        return cls(name, str(model.folder.resolve()), model.card.weights, model.card.seen)

    def read(self) -> Model:
        """Read the model again.

        Raises:
            UserError: It is gone, or another one is in its place.
        """
        model = read_model(Path(self.folder))
        if model.card.weights != self.weights:
            raise UserError(self.folder, f"is not {self.model}, which the training starts from", "put that one back")
        return model

    def save(self, folder: Path) -> None:
        """Write start.json."""
        write_json(folder / FILE, to_plain(self))

    @classmethod
    def load(cls, folder: Path) -> Start | None:
        """Read what a training was started from; None for fresh weights.

        Raises:
            UserError: The file is damaged or of another version.
        """
        path = folder / FILE
        if not path.exists():
            return None
        data = read_json(path)
        check_version(data, VERSION, path, "train the model again")
        return from_plain(cls, data, str(path))


def seen_scans(cases: Iterable[CaseFingerprint], ids: Iterable[str]) -> tuple[SeenScan, ...]:
    """Return what is remembered of the cases of these ids."""
    wanted = set(ids)
    return tuple(SeenScan(case.id, case.image_checksum, case.shape) for case in cases if case.id in wanted)


def learnt_from(work: Path, ids: Sequence[str], start: Start | None) -> tuple[SeenScan, ...]:
    """Return the scans that a model has learnt from: its training cases, and those of the model it started from."""
    path, before = WorkFolder(work).fingerprint, () if start is None else start.seen
    own = seen_scans(Fingerprint.load(path).cases, ids) if path.exists() else ()
    return tuple(dict.fromkeys((*own, *before)))


def known_cases(cases: Sequence[CaseFingerprint], seen: Sequence[SeenScan]) -> set[str]:
    """Return the ids of cases that a model has seen, and of every other case of their patients.

    A scan is known by its voxels; a copy that was cropped in slices or stored with other intensities by its id, or the
    id behind the name of its source, and its rows and columns.
    """
    checksums = {scan.image for scan in seen if scan.image}
    names = {(scan.id, scan.shape[1:]) for scan in seen}

    def known(case: CaseFingerprint) -> bool:
        if case.image_checksum in checksums:
            return True
        return any(
            size == case.shape[1:] and (case.id == id_ or case.id.endswith(f"-{id_}") or id_.endswith(f"-{case.id}"))
            for id_, size in names
        )

    patients = {case.patient for case in cases if known(case)}
    return {case.id for case in cases if case.patient in patients}
