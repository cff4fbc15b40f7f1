"""Installed models by name: those that came with AutoSpine, and those in the user's own folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from autospine.core.errors import UserError
from autospine.models.files import CARD
from autospine.models.provenance import Provenance

BUNDLED = Path(__file__).with_name("installed")  # in the wheel
VARIABLE = "AUTOSPINE_MODELS"  # of the environment: another folder than the user's
BOX = "box"  # name of the model that is taken where none is asked for
NONE = "none"  # of --init-from: fresh weights
START = NONE  # what a training starts from where nobody says; BOX where it measured better
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
GET = "install one with autospine_models install FILE or URL, or name a model's folder"


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be asked for by its name."""

    name: str
    folder: Path
    bundled: bool  # whether it came with AutoSpine

    def provenance(self) -> Provenance:
        """Read its card.

        Raises:
            UserError: It is missing or damaged.
        """
        card = Provenance.load(self.folder)
        if card is None:
            raise UserError(self.folder, "has no card", f"autospine_models remove {self.name}, and install it again")
        return card


def user_folder() -> Path:
    """Return the folder of the user's models."""
    asked = os.environ.get(VARIABLE)
    return Path(asked) if asked else user_data_path("autospine", appauthor=False) / "models"


def installed_models() -> dict[str, InstalledModel]:
    """Return every installed model by name; the user's own comes before one of that name that came with AutoSpine."""
    own = {model.name: model for model in _models_in(user_folder(), False)}
    bundled = {model.name: model for model in _models_in(BUNDLED, True)}
    return dict(sorted({**bundled, **own}.items()))


def _models_in(folder: Path, bundled: bool) -> Iterator[InstalledModel]:
    try:
        folders = sorted(folder.iterdir())
    except OSError:  # nothing was installed there
        return
    for path in folders:
        if NAME.fullmatch(path.name) and (path / CARD).exists():
            yield InstalledModel(path.name, path, bundled)


def installed_model(name: str) -> InstalledModel:
    """Return a model by its name.

    Raises:
        UserError: It is not installed; the message lists those that are.
    """
    models = installed_models()
    if name not in models:
        raise UserError(name, "is no installed model", f"choose from {', '.join(models)}" if models else GET)
    return models[name]


def default_model() -> InstalledModel:
    """Return the model in the box, or the only one there is.

    Raises:
        UserError: None is installed, or several and none of them is the box.
    """
    models = installed_models()
    if not models:
        raise UserError("-m", "is not given, and no model is installed", GET)
    if BOX not in models and len(models) > 1:
        raise UserError("-m", f"is not given, and several models are installed ({', '.join(models)})", "name one")
    return models.get(BOX) or next(iter(models.values()))


def model_folder(asked: str | Path) -> Path:
    """Return the folder that is asked for: an existing path, or the installed model of that name; else as it is."""
    path = Path(asked)
    if path.exists() or path.name != str(asked):
        return path
    model = installed_models().get(path.name)
    return path if model is None else model.folder
