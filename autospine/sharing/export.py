"""Export of a model as a zip that autospine_models installs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.inference.model import Model, find_models, save_model
from autospine.models.archive import write_archive
from autospine.models.files import CARD, LICENCE
from autospine.models.installed import NAME
from autospine.sharing.pack import Description, SourceDescription, halved, licence_text, pack_model

DEPTH = 4  # of a model's folder in its work folder: models/TRAINER/PLAN/RECIPE/fold_K


@dataclass(frozen=True)
class ExportRequest:
    """What autospine_export is asked.

    Attributes:
        kind: What leaves the house: "model".
        model: A model's folder, or an installed model's name.
        output: The zip.
        sources: What is said of the model and of the data that it learnt from (JSON); None: no licence is stated.
        work: The work folder that it was trained in; None: the one that it lies in.
        precision: Of the stored weights; float16 halves them.
    """

    kind: Literal["model"]
    model: Path
    output: Path
    sources: Path | None = None
    work: Path | None = None
    precision: Literal["float16", "float32"] = "float16"


def export(request: ExportRequest) -> str:
    """Write a model as a zip; return what a person reads at the end.

    Raises:
        UserError: It is no single model, its training's work folder is not there, or the zip cannot be written.
    """
    if request.output.suffix.lower() != ".zip":
        raise UserError(request.output, "is no name of a zip", "give one that ends in .zip")
    model = single_model(request.model)
    name = exported(model, request)
    return (
        f"{name}: written to {request.output}, {request.output.stat().st_size / 1e6:.1f} MB\n"
        f"next: autospine_models install {request.output}"
    )


def exported(model: Model, request: ExportRequest) -> str:
    """Pack a model, unless it has a card already, and write its zip; return its name."""
    half = request.precision == "float16"
    with TemporaryDirectory() as folder:
        packed = Path(folder)
        if model.provenance is not None and request.sources is None:
            name, provenance = model.provenance.name, replace(model.provenance, half_precision=half)
            (packed / LICENCE).write_text(licence_text(provenance), encoding="utf-8")
            provenance.save(packed)
            weights = model.weights()
            save_model(packed, model.card, halved(weights) if half else weights)
        else:
            work = WorkFolder(request.work or _work_of(model))
            described = Description.load(request.sources) if request.sources else _undescribed(request.output, work)
            name = described.name
            pack_model(model, work, described, packed, half)
        write_archive(packed, name, request.output)
    return name


def single_model(asked: Path) -> Model:
    """Return the one model of a folder or of a name.

    Raises:
        UserError: It is none, or several.
    """
    models = find_models([asked])
    if len(models) > 1:
        raise UserError(asked, f"holds {len(models)} models", f"name one, such as {models[0].folder}")
    return models[0]


def _work_of(model: Model) -> Path:
    parents = model.folder.resolve().parents
    if len(parents) > DEPTH and WorkFolder(parents[DEPTH]).fingerprint.exists():
        return parents[DEPTH]
    hint = f"name it with --work WORK; its fingerprint.json says what {CARD} does not"
    raise UserError(model.folder, "lies in no work folder", hint)


def _undescribed(output: Path, work: WorkFolder) -> Description:
    name = output.stem.lower()
    if not NAME.fullmatch(name):
        hint = "name the zip with lower-case letters, digits, dots and dashes, or give --sources"
        raise UserError(output, "gives the model no name", hint)
    named = {case.source for case in work.load_sources().values()} - {""}  # where several data sets are joined
    sources = sorted(named) or [Path(work.datasets[0]).name]
    return Description(name, tuple(SourceDescription(source, f"the data set {source}") for source in sources))
