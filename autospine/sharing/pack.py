"""Packing of a trained model: half-precision weights, and a card that says what it learnt from."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, float16

from autospine.core.errors import UserError
from autospine.core.files import make_folder, opened, read_json, write_text
from autospine.core.serial import from_plain
from autospine.core.workspace import SourceCase, WorkFolder
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model, ModelCard, save_model
from autospine.labels.anatomy import Kind
from autospine.labels.conversion import get_scheme
from autospine.models.files import LICENCE
from autospine.models.installed import NAME
from autospine.models.provenance import (
    TERMS,
    UNSTATED,
    LearntStructure,
    Provenance,
    TrainingSource,
    TrainingSummary,
)
from autospine.training.start import seen_scans

METRICS = "metrics.csv"  # that a training writes into its model's folder


@dataclass(frozen=True)
class SourceDescription:
    """What a person says of one data set."""

    name: str  # as its cases' ids begin, or its folder's name
    title: str
    licence: str = UNSTATED
    address: str = ""
    synthetic: bool = False
    contrasts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """What a person says of a model: the JSON that packing is given."""

    name: str
    sources: tuple[SourceDescription, ...]
    release: str = "1.0"
    summary: str = ""
    labels: str | None = None  # scheme of its masks where nobody asks for another
    not_seen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} is none: lower-case letters, digits, dots and dashes make one")

    @classmethod
    def load(cls, path: Path) -> Description:
        """Read it from JSON.

        Raises:
            UserError: It is missing, damaged or incomplete, or its label scheme is unknown.
        """
        described = from_plain(cls, read_json(path, "write it as docs/models.md shows"), str(path))
        if described.labels is not None:
            get_scheme(described.labels)
        return described


def pack_model(model: Model, work: WorkFolder, described: Description, folder: Path, half: bool = True) -> None:
    """Write a model with its card and its licence into a folder.

    Args:
        model: As it was trained.
        work: The work folder that it was trained in.
        described: What a person says of it and of its sources.
        folder: That gets the files.
        half: Store weights as float16; prediction computes with them as with any.

    Raises:
        UserError: A case belongs to none of the sources, or a file of the training is missing.
    """
    weights = model.weights()
    fingerprint = Fingerprint.load(work.fingerprint)
    card = replace(model.card, seen=model.card.seen or seen_scans(fingerprint.cases, model.card.trained_on))
    provenance = describe(card, fingerprint, work.load_sources(), described, read_metrics(model.folder))
    make_folder(folder)
    provenance = replace(provenance, half_precision=half)
    write_text(folder / LICENCE, licence_text(provenance))
    provenance.save(folder)
    save_model(folder, card, halved(weights) if half else weights)


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as float16; those that it cannot hold, and whole numbers, stay as they are."""
    return {name: _halved(value) for name, value in weights.items()}


def _halved(value: Tensor) -> Tensor:
    half = value.to(float16)
    return half if value.is_floating_point() and bool(half.isfinite().all()) else value


def describe(
    card: ModelCard,
    fingerprint: Fingerprint,
    files: Mapping[str, SourceCase],
    described: Description,
    metrics: Sequence[Mapping[str, str]],
) -> Provenance:
    """Return the card of a model.

    Args:
        card: Its model.json.
        fingerprint: Of the data that it was trained on.
        files: Of every case, by id.
        described: What a person says.
        metrics: Rows of its metrics.csv.

    Raises:
        UserError: A case belongs to none of the sources.
    """
    members: dict[str, list[CaseFingerprint]] = {source.name: [] for source in described.sources}
    for case in fingerprint.cases:
        members[source_of(case.id, files, described)].append(case)
    trained = set(card.trained_on)
    synthetic = {source.name for source in described.sources if source.synthetic}
    return Provenance(
        name=described.name,
        release=described.release,
        summary=described.summary,
        labels=described.labels,
        sources=tuple(_source(source, members[source.name], trained) for source in described.sources),
        structures=_structures(fingerprint, members, trained, synthetic),
        training=_summary(card, metrics),
        not_seen=described.not_seen,
    )


def source_of(id_: str, files: Mapping[str, SourceCase], described: Description) -> str:
    """Return the source that a case comes from: as it was planned, by the beginning of its id, or a folder of its file.

    Raises:
        UserError: It comes from none of them.
    """
    names = [source.name for source in described.sources]
    if len(names) == 1:
        return names[0]
    folders = {files[id_].source, *Path(files[id_].images[0]).parts} if id_ in files else set()
    for name in sorted(names, key=len, reverse=True):
        if id_.startswith(f"{name}-") or name in folders:
            return name
    raise UserError(id_, f"comes from none of the sources {', '.join(names)}", "describe its data set, too")


def _source(source: SourceDescription, cases: Sequence[CaseFingerprint], trained: set[str]) -> TrainingSource:
    own = [case for case in cases if case.id in trained]
    return TrainingSource(
        name=source.name,
        title=source.title,
        licence=source.licence,
        address=source.address,
        synthetic=source.synthetic,
        contrasts=source.contrasts or tuple(sorted({case.sequence for case in own} - {"unknown"})),
        trained_on=tuple(case.id for case in own),
        held_out=tuple(case.id for case in cases if case.id not in trained),
        slice_mm=tuple(sorted({round(case.spacing[0], 2) for case in own})),
    )


def _structures(
    fingerprint: Fingerprint,
    members: Mapping[str, Sequence[CaseFingerprint]],
    trained: set[str],
    synthetic: set[str],
) -> tuple[LearntStructure, ...]:
    """Count, for each kind of structure, the real cases that show it, or the phantoms where there is no real one."""
    real: dict[Kind, int] = {}
    phantoms: dict[Kind, int] = {}
    anatomies = fingerprint.scheme.anatomies
    for name, cases in members.items():
        for case in cases:
            for kind in {anatomies[value].kind for value in case.voxels if value in anatomies}:
                if case.id in trained:
                    counts = phantoms if name in synthetic else real
                    counts[kind] = counts.get(kind, 0) + 1
    return tuple(
        LearntStructure(kind.value, "real masks", real[kind])
        if kind in real
        else LearntStructure(kind.value, "phantoms only", phantoms[kind])
        for kind in Kind
        if kind in real or kind in phantoms
    )


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Read the rows of a training's metrics.csv.

    Raises:
        UserError: It is missing or empty.
    """
    path = folder / METRICS
    with opened(path, "name the folder that autospine_train made, with its metrics.csv") as file:
        rows = list(csv.DictReader(file.read().decode("utf-8", "replace").splitlines()))
    if not rows or not {"step", "loss", "seconds"} <= set(rows[-1]):
        raise UserError(path, "is no table of a training", "copy it again")
    return rows


def _summary(card: ModelCard, metrics: Sequence[Mapping[str, str]]) -> TrainingSummary:
    last = metrics[-1]
    dice: Any = last.get("validation_dice")
    return TrainingSummary(
        trainer=card.trainer,
        recipe=card.recipe.name,
        updates=int(last["step"]),
        epochs=len(metrics),
        seed=card.seed,
        hours=round(sum(float(row["seconds"]) for row in metrics) / 3600, 2),
        loss=round(float(last["loss"]), 4),
        validation_dice=round(float(dice), 4) if dice and dice != "nan" else None,
        started_from=card.started_from,
    )


def licence_text(provenance: Provenance) -> str:
    """Return the licence that goes with the weights: their terms, and those of the data that they learnt from."""
    lines = [f"{provenance.title}. {TERMS}", "", "They learnt from:"]
    for source in provenance.sources:
        address = f", {source.address}" if source.address else ""
        lines.append(f"- {source.title}{address}; licence: {source.licence}")
    return "\n".join(lines) + "\n"
