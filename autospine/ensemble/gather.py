"""Every member's probabilities of some cases, predicted as a user would and stored for the search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from autospine import volumes
from autospine.core import registry
from autospine.core.files import make_folder, remove, remove_abandoned
from autospine.core.workspace import SourceCase, WorkFolder
from autospine.ensemble.stored_image import StoredImage, reference_classes
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model
from autospine.inference.predictor import Predictor
from autospine.planning.splits import Subset
from autospine.preprocessing.run import read_channels
from autospine.training.validation import images_of

log = logging.getLogger(__name__)


def gather(
    models: Sequence[Model], subset: Subset, work: WorkFolder, folder: Path, device: torch.device
) -> list[StoredImage]:
    """Stores what is not stored yet.

    Args:
        models: The members.
        subset: The cases; of a part of slices, each slice is an image of its own.
        work: Where the cases' files are noted.
        folder: For the probabilities.
        device: Where to compute.

    Returns:
        One entry per image, in the part's order.

    Raises:
        UserError: A case cannot be read.
    """
    make_folder(folder)
    remove_abandoned(folder)
    sources = work.load_sources()
    patients = {case.id: case.patient for case in Fingerprint.load(work.fingerprint).cases}
    digests = [model.card.weights for model in models]
    card = models[0].card
    trainer = registry.load("trainers", card.trainer)(card.plan, card.recipe)
    predictors: list[Predictor] = []
    images: list[StoredImage] = []
    for case in tqdm(subset.cases, desc=f"probabilities, {subset.name}", unit="case", disable=None, leave=False):
        windows = {StoredImage(folder, name): window for name, window in images_of(case, subset, card.plan.view_axis)}
        images += windows
        missing = {image: window for image, window in windows.items() if not image.done(digests)}
        if not missing:
            continue
        predictors = predictors or [Predictor([model], device) for model in models]
        stored = [folder / f".{case}.{k}.npy" for k in range(len(models))]
        try:
            _predict(predictors, sources[case], stored)
            reference = reference_classes(volumes.read_mask(sources[case].mask).array, trainer, sources[case].mask)
            for image, window in missing.items():
                image.write(stored, reference, window, patients[case], digests)
        finally:
            for path in stored:
                remove(path)
    return images


def _predict(predictors: Sequence[Predictor], source: SourceCase, stored: Sequence[Path]) -> None:
    image, volume = read_channels([Path(path) for path in source.images])
    for predictor, path in zip(predictors, stored, strict=True):
        predictor.predict(image, volume.spacing, path)
