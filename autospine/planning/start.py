"""The model that a plan is made to fit, so that its weights can be started from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.core.serial import from_plain
from autospine.models.files import CARD
from autospine.models.installed import BOX, NONE, START, installed_model, installed_models, model_folder
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan

HINT = "name the folder of one model, such as a fold's, or an installed model (autospine_models lists them)"
LARGEST_QUOTIENT = 2.5  # of the data's pixels and the model's, either way, at which its spacing is still taken


@dataclass(frozen=True)
class StartingModel:
    """What a planner takes from a model."""

    name: str  # as it was asked for
    plan: Plan  # that it was trained on
    shape: NetworkShape  # of its network
    asked: bool = True  # by the user, so that what does not fit is an error

    def spacing(self, axis: int, median: float) -> float | None:
        """Return the model's mm along a canonical axis, where pixels of `median` mm can be brought to it; else None."""
        mm = self.plan.grid.spacing[axis]
        if mm is None or not 1 / LARGEST_QUOTIENT <= median / mm <= LARGEST_QUOTIENT:
            return None
        return mm

    def why_pixels(self, medians: tuple[float, ...], taken: tuple[float, ...]) -> str:
        """Say why pixels (rows, columns) of a size in mm are taken for data of median sizes."""
        size = f"{medians[0]:g} x {medians[1]:g} mm"
        if self.spacing(2, medians[1]) == taken[1]:
            return f"the in-plane spacing is that of {self.name}, whose weights are started from; the median is {size}"
        return f"the in-plane spacing is the median: that of {self.name} is too far from it"


def starting_model(asked: str | None) -> StartingModel | None:
    """Return the model that --init-from names; None for fresh weights.

    Args:
        asked: "none", "box", an installed model's name or a folder; None takes what trainings start from by themselves.

    Raises:
        UserError: It is no model, or none whose weights can be started from.
    """
    wanted = asked or START
    if wanted == NONE or (asked is None and BOX not in installed_models()):
        return None
    folder = installed_model(BOX).folder if wanted == BOX else model_folder(wanted)
    path = folder / CARD
    if not path.exists():
        raise UserError(f"--init-from {wanted}", "is no single model", HINT)
    data = read_json(path)
    if not isinstance(data, Mapping) or not {"plan", "shape"} <= set(data):
        raise UserError(path, "is no model.json", HINT)
    plan, shape = Plan.from_dict(data["plan"], str(path)), from_plain(NetworkShape, data["shape"], str(path))
    return StartingModel(wanted, plan, shape, asked is not None)
