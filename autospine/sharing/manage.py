"""Installed models: list, card, check, installation and removal, each as the text that a person reads."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from autospine.core.errors import UserError
from autospine.core.files import writing
from autospine.core.tables import DISCLAIMER
from autospine.inference.model import read_model
from autospine.labels.conversion import get_scheme
from autospine.models.archive import unpack
from autospine.models.files import CARD, WEIGHTS, file_hash
from autospine.models.installed import BOX, GET, InstalledModel, installed_model, installed_models, user_folder
from autospine.models.provenance import Provenance, TrainingSource
from autospine.sharing.download import download, is_address

Action = Literal["list", "show", "check", "install", "remove"]
AGAIN = "autospine_models remove {name}, and install it again"


@dataclass(frozen=True)
class ModelsRequest:
    """What autospine_models is asked.

    Attributes:
        action: "list", "show", "check", "install" or "remove".
        target: Name of a model (show, check, remove), or a zip's file or address (install).
        sha256: Of the zip that is installed; None trusts what the zip says of itself.
    """

    action: Action = "list"
    target: str | None = None
    sha256: str | None = None


def manage_models(request: ModelsRequest) -> str:
    """Do what is asked; return what a person reads at the end.

    Raises:
        UserError: A model is not there, is damaged, or cannot be installed or removed.
    """
    if request.sha256 is not None and request.action != "install":
        raise UserError("--sha256", f"is for install, not for {request.action}", "leave it out")
    if request.action == "list":
        return describe_models()
    if request.action == "check" and request.target is None:
        models = installed_models()
        return "\n".join(check_model(model) for model in models.values()) or f"no model is installed; {GET}"
    if request.target is None:
        what = "a zip or an address" if request.action == "install" else "a model's name"
        raise UserError(f"autospine_models {request.action}", f"needs {what}", "autospine_models lists what is there")
    if request.action == "install":
        return install(request.target, request.sha256)
    model = installed_model(request.target)
    if request.action == "check":
        return check_model(model)
    return show(model) if request.action == "show" else remove(model)


def describe_models() -> str:
    """Describe every installed model in a few lines each."""
    models = installed_models()
    if not models:
        return f"no model is installed; {GET}"
    return "\n".join([*(line for model in models.values() for line in _lines(model)), DISCLAIMER])


def _lines(model: InstalledModel) -> list[str]:
    try:
        card = model.provenance()
        size = (model.folder / WEIGHTS).stat().st_size / 1e6
        state = "weights as listed" if _intact(model) else "WEIGHTS DIFFER from what model.json lists"
    except (UserError, OSError) as error:
        return [f"{model.name}: {error}"]
    default = "; taken without -m" if model.name == BOX else ""
    return [
        f"{card.title}: {card.summary}" if card.summary else card.title,
        f"  {size:.1f} MB, {state}; {model.folder}{default}",
        f"  learnt from {', '.join(_source(source) for source in card.sources)}",
        f"  masks show {_structures(card)}",
        *([f"  has not seen {', '.join(card.unseen)}"] if card.unseen else []),
    ]


def _source(source: TrainingSource) -> str:
    unit = "phantom" if source.synthetic else "scan"
    count = len(source.trained_on)
    return f"{count} {unit}{'' if count == 1 else 's'} of {source.name} (licence: {source.licence})"


def _structures(card: Provenance) -> str:
    return ", ".join(
        f"{item.name} ({item.cases} real)" if item.learnt_from == "real masks" else f"{item.name} (phantoms only)"
        for item in card.structures
    )


def show(model: InstalledModel) -> str:
    """Describe one model with all that its card says.

    Raises:
        UserError: Its card is missing or damaged.
    """
    card, training = model.provenance(), model.provenance().training
    lines = [*_lines(model), "", f"terms: {card.terms}", "sources:"]
    for source in card.sources:
        held_out = ", ".join(source.held_out) or "none"
        lines += [
            f"  {source.name}: {source.title}{f', {source.address}' if source.address else ''}",
            f"    licence: {source.licence}; {'phantoms' if source.synthetic else 'real scans'}",
            f"    contrasts: {', '.join(source.contrasts) or 'unknown'}; slices every "
            f"{', '.join(f'{mm:g}' for mm in source.slice_mm) or '-'} mm",
            f"    trained on: {', '.join(source.trained_on) or 'none'}",
            f"    held out: {held_out}",
        ]
    dice = "" if training.validation_dice is None else f", Dice of validation patches {training.validation_dice:g}"
    lines.append(
        f"training: {training.trainer} {training.recipe}, {training.updates} updates in {training.epochs} epochs, "
        f"{training.hours:g} hours, seed {'unknown' if training.seed is None else training.seed}, last loss "
        f"{training.loss:g}{dice}"
    )
    if training.started_from:
        lines.append(f"started from: {training.started_from}")
    lines.append(f"weights stored as {'float16' if card.half_precision else 'float32'}")
    return "\n".join(lines)


def check_model(model: InstalledModel) -> str:
    """Check that a model is whole: its card, its weights' SHA-256, and that they fit its network.

    Raises:
        UserError: Naming what is wrong.
    """
    check_folder(model.folder)
    return f"{model.provenance().title}: whole"


def check_folder(folder: Path) -> None:
    """Check that a folder holds a sound model with a card.

    Raises:
        UserError: Naming what is wrong.
    """
    card = Provenance.load(folder)
    if card is None:
        raise UserError(folder, "has no card", "get the model again from whoever made it")
    if card.labels is not None:
        get_scheme(card.labels)
    read_model(folder).network(torch.device("cpu"))


def _intact(model: InstalledModel) -> bool:
    return file_hash(model.folder / WEIGHTS) == read_model(model.folder).card.weights


def install(source: str, expected: str | None = None) -> str:
    """Install a model from a zip or its address.

    Raises:
        UserError: It cannot be had, is not the one that was expected, or is no sound model.
    """
    with TemporaryDirectory() as temporary:
        path = Path(source)
        if is_address(source):
            path = Path(temporary) / "model.zip"
            download(source, path)
        elif not path.is_file():
            raise UserError(source, "is no file", "give the zip of a model, or its https address")
        if expected is not None and file_hash(path) != expected.lower():
            raise UserError(source, "is another file than --sha256 says", "get it again from whoever made it")
        folder = unpack(path, user_folder(), check_folder)
    return f"{folder.name}: installed in {folder}\nnext: autospine_predict -i SCANS -o MASKS -m {folder.name} --overlay"


def remove(model: InstalledModel) -> str:
    """Remove a model that the user installed.

    Raises:
        UserError: It came with AutoSpine, or cannot be removed.
    """
    if model.bundled:
        raise UserError(model.name, "came with AutoSpine", "it goes with pip uninstall autospine only")
    with writing(model.folder):
        if model.folder.is_symlink():
            model.folder.unlink()
        else:
            (model.folder / CARD).unlink()  # first: what is left of a removal that was killed is no model any more
            shutil.rmtree(model.folder)
    return f"{model.name}: removed"
