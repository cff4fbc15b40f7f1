"""Prediction: one scan in, its mask and its report out.

Example:
    segmentation = autospine.predict("scan.mha", "work/models/unet/2d_sagittal/adapted/fold_0")
    segmentation.save("mask.mha", "mask.json")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autospine.core.errors import UserError
from autospine.inference.model import Model, find_models
from autospine.inference.predictor import Prediction, Predictor
from autospine.inference.ranges import domain_warnings
from autospine.inference.segmentation import Segmentation, report_labels
from autospine.labels.conversion import conversion, get_scheme
from autospine.labels.schemes import LabelScheme
from autospine.volumes import Volume, read_image

__all__ = ["Predictor", "Segmentation", "predict", "segment"]


def predict(
    volume: Volume | str | Path | np.ndarray | Sequence[Volume],
    model: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    labels: str | None = None,
    sequence: str = "unknown",
) -> Segmentation:
    """Segments one scan.

    Args:
        volume: A file, a DICOM folder, a volume that was read, or one volume per channel.
        model: A model's folder, the folder above its folds, or several.
        device: "auto", "cpu" or "cuda".
        labels: Scheme of the mask; None: the data set's own where every anatomy has a place in it.
        sequence: "t1", "t2", ... for the warnings; "unknown" to leave it out.

    Raises:
        UserError: The scan or the model cannot be read, or they do not fit.
    """
    from autospine.core.machine import find_machine

    models = find_models([model] if isinstance(model, (str, Path)) else model)
    predictor = Predictor(models, torch.device(find_machine(device, None).device))
    return segment(_channels(volume), predictor, models, labels, sequence)


def _channels(volume: Volume | str | Path | np.ndarray | Sequence[Volume]) -> list[Volume]:
    if isinstance(volume, np.ndarray):
        raise UserError("volume", "is an array without a grid", "pass a file or a Volume")
    if isinstance(volume, (str, Path)):
        return [read_image(volume)]
    return [volume] if isinstance(volume, Volume) else list(volume)


def segment(
    channels: Sequence[Volume],
    predictor: Predictor,
    models: Sequence[Model],
    labels: str | None = None,
    sequence: str = "unknown",
    probabilities: Path | None = None,
    stack: bool = False,
) -> Segmentation:
    """Segments one scan that was read, with networks that were loaded.

    Args:
        channels: One volume per image channel, on one grid.
        predictor: Of `models`.
        models: For names and schemes.
        labels: Scheme of the mask, or None.
        sequence: For the warnings.
        probabilities: Where to store the classes' probabilities (.npy), or None.
        stack: Whether to keep the labels of interpolated slices, where the plan interpolates some.
    """
    first, plan = channels[0], predictor.plan
    _check_channels(channels, plan.channels)
    image = np.stack([each.array for each in channels]) if len(channels) > 1 else first.array[None]
    answer = predictor.predict(image, first.spacing, probabilities, stack)
    warnings = domain_warnings(plan, first.array, answer.decoded.labels, first.spacing, sequence)
    source = models[0].card.scheme
    target = output_scheme(source, plan.scheme, labels)
    answer = convert_answer(answer, source, target)
    values = answer.decoded.labels
    mask = first.with_array(values.astype(np.uint8 if values.max(initial=0) < 256 else np.uint16))
    return Segmentation(
        volume=mask,
        scheme=target,
        labels=report_labels(mask, answer, target),
        ambiguous=answer.decoded.ambiguous,
        warnings=warnings,
        models=tuple(model.name for model in models),
        classes=("background", *(each.name for each in predictor.encoding.classes)),
        network_seconds=answer.network_seconds,
        stack=answer.stack,
    )


def _check_channels(channels: Sequence[Volume], needed: Sequence[str]) -> None:
    if len(channels) != len(needed):
        raise UserError(
            channels[0].path or "the scan",
            f"has {len(channels)} channels, the model needs {len(needed)} ({', '.join(needed)})",
            "give one file per channel",
        )


def output_scheme(model: LabelScheme, dataset: LabelScheme, labels: str | None) -> LabelScheme:
    """Which integers come out: what was asked for, else the data set's if every anatomy converts, else the model's."""
    if labels:
        return get_scheme(labels)
    return dataset if model == dataset or not conversion(model, dataset).lost else model


def convert_answer(answer: Prediction, source: LabelScheme, target: LabelScheme) -> Prediction:
    """The answer in other integers; labels without a place there become background."""
    if source == target:
        return answer
    change = conversion(source, target)
    decoded = answer.decoded
    label_results = tuple(
        replace(f, value=change.table[f.value]) for f in decoded.label_results if change.table.get(f.value)
    )
    confidence = {change.table[v]: c for v, c in answer.confidence.items() if change.table.get(v)}
    moved = replace(decoded, labels=change.apply(decoded.labels, "prediction"), label_results=label_results)
    stack = None if answer.stack is None else change.apply(answer.stack, "prediction")
    return replace(answer, decoded=moved, confidence=confidence, stack=stack)
