"""Stored class probabilities of a prediction, and what their classes mean in a reference's labels.

The log loss belongs to the case: the mean of -ln p(true class) over all its annotated voxels. A structure's
log loss is its share in that: the mean over the structure's reference voxels. It says nothing about
false positives, whose loss lies in other structures and in the background, and a prediction numbered by the order of
its vertebrae stores p("vertebra"), not p("L4"), so a shifted level costs nothing. Voxels whose anatomy
the model has no class for are left out, as are unlabelled ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.labels.anatomy import Anatomy
from autospine.labels.conversion import generalisations
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.metrics.probability import NLLSum, negative_log_likelihood
from autospine.volumes import volume_id


@dataclass(frozen=True)
class Probabilities:
    """What `autospine_predict --probabilities` stored of one case."""

    values: np.ndarray  # (classes, slices, rows, columns) soft-max, canonical axes; usually a memory map
    classes: tuple[str, ...]  # the names of the first axis: "background", "vertebra", ...
    where: str | Path = "probabilities"  # the file that an error names

    def negative_log_likelihood(self, reference: np.ndarray, scheme: LabelScheme) -> dict[int, NLLSum]:
        """Sum -ln p(true class) by label of a (slices, rows, columns) reference, 0 being its background.

        Raises:
            UserError: The shapes differ.
        """
        wanted = (len(self.classes), *reference.shape)
        if self.values.shape != wanted:
            problem = f"has the shape {self.values.shape}, {wanted} is wanted"
            raise UserError(self.where, problem, "predict again on the reference's grid")
        return negative_log_likelihood(self.values, reference, channels(self.classes, scheme))


def read_probabilities(mask: Path) -> Probabilities | None:
    """Open `<id>.npy` beside a predicted mask, whose classes `<id>.json` names; None if there is none.

    Raises:
        UserError: The probabilities are no four-dimensional array of floats, or the report does not name their classes.
    """
    stored, report = (mask.parent / f"{volume_id(mask)}{suffix}" for suffix in (".npy", ".json"))
    if not stored.is_file():
        return None
    hint = "predict again with --probabilities, or take the file away"
    try:
        values = np.load(stored, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(stored, "holds no readable array", hint) from error
    if values.ndim != 4 or values.dtype.kind != "f":
        raise UserError(stored, f"holds {values.dtype} of the shape {values.shape}", hint)
    content = read_json(report, hint)
    classes = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(classes, list) or len(classes) != len(values):
        raise UserError(report, f"does not name the {len(values)} classes of {stored.name}", hint)
    return Probabilities(values, tuple(map(str, classes)), stored)


def channels(classes: Sequence[str], scheme: LabelScheme) -> dict[int, int]:
    """Return the class of every label of a scheme that has one, and of the background.

    A class stands for the anatomy of its name, else for all levels of its kind. Names that two classes share
    stand for none.
    """
    class_of = {name: index for index, name in enumerate(classes) if list(classes).count(name) == 1}
    channel_of = {BACKGROUND: 0}
    for label, anatomy in scheme.anatomies.items():
        wider = (*generalisations(anatomy), Anatomy(anatomy.kind))
        known = [class_of[anatomy.name] for anatomy in wider if anatomy.name in class_of]
        if known:
            channel_of[label] = known[0]
    return channel_of
