"""Prediction of one scan: its mask and its report.

Example:
    segmentation = autospine.predict("scan.mha", "work/models/unet/2d_sagittal/adapted/fold_0")
    segmentation.save("mask.mha", "mask.json")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autospine.core.errors import UserError
from autospine.core.machine import find_machine
from autospine.inference.column import impossible
from autospine.inference.levels.decode import LabelResult, with_doubt
from autospine.inference.model import find_models
from autospine.inference.ood import domain_warnings
from autospine.inference.plausibility import implausible
from autospine.inference.predictor import Prediction, Predictor, Prepared, Seen
from autospine.inference.segmentation import Segmentation, report_labels
from autospine.labels.conversion import Conversion, bodies_alone, conversion, get_scheme, label_voxels
from autospine.labels.schemes import BACKGROUND, LabelScheme
from autospine.preprocessing.storage import describe_labels
from autospine.volumes import Volume, read_image
from autospine.volumes.arrays import image_of_array


def predict(
    volume: Volume | str | Path | np.ndarray | Sequence[Volume | np.ndarray],
    model: str | Path | Sequence[str | Path] = (),
    *,
    device: str = "auto",
    labels: str | None = None,
    sequence: str = "unknown",
    precision: str | None = None,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
) -> Segmentation:
    """Segment one scan.

    Args:
        volume: A file, a DICOM folder, a volume that was read, an array, or a volume or array per channel.
        model: A model's folder, the folder above its folds, an installed model's name, or several; without any, the
            default one of those that are installed.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        labels: Scheme of the mask; None: that of the installed model's card, else the data set's own where it has a
            label for every anatomy.
        sequence: "t1", "t2", ... for the warnings; "unknown" to leave it out.
        precision: "float32", "bfloat16" or "float16"; None takes the fastest of the device.
        spacing: Of arrays whose slices run from right to left, rows from head to foot, columns from front to back: mm
            along each.
        affine: Of arrays in any orientation: 4x4 matrix from index to RAS mm, as nibabel has it.

    Raises:
        UserError: The scan or the model cannot be read, or they do not fit.
    """
    models = find_models([model] if isinstance(model, (str, Path)) else model)
    predictor = Predictor(models, torch.device(find_machine(device, None).device), precision)
    if isinstance(volume, (str, Path)):
        volume = read_image(volume)
    channels = [volume] if isinstance(volume, (Volume, np.ndarray)) else volume
    volumes = [
        channel if isinstance(channel, Volume) else image_of_array(channel, spacing, affine) for channel in channels
    ]
    return segment(volumes, predictor, labels, sequence)


def segment(
    channels: Sequence[Volume],
    predictor: Predictor,
    labels: str | None = None,
    sequence: str = "unknown",
    probabilities: Path | None = None,
    interpolated: bool = False,
) -> Segmentation:
    """Segment one scan that was read, with networks that were loaded.

    Args:
        channels: One volume per image channel, on one grid.
        predictor: With its models.
        labels: Scheme of the mask, or None.
        sequence: For the warnings.
        probabilities: File for the classes' probabilities (.npy), or None.
        interpolated: Whether to keep the labels of interpolated slices, where the plan interpolates some.

    Raises:
        UserError: The channels do not fit the model, or the network predicts no finite numbers.
    """
    prepared = prepare_scan(channels, predictor)
    return describe_scan(
        channels[0],
        see_scan(channels[0], prepared, predictor, probabilities, interpolated),
        predictor,
        labels,
        sequence,
    )


def prepare_scan(channels: Sequence[Volume], predictor: Predictor) -> Prepared:
    """Do the first step of `segment`, for which no network is needed.

    Raises:
        UserError: The channels do not fit the model.
    """
    first = channels[0]
    _check_channels(channels, predictor.plan.channels)
    image = np.stack([channel.array for channel in channels]) if len(channels) > 1 else first.array[None]
    return predictor.prepare(image, first.spacing)


def see_scan(
    first: Volume, prepared: Prepared, predictor: Predictor, probabilities: Path | None, interpolated: bool
) -> Seen:
    """Do the second step of `segment`, that of the networks.

    Raises:
        UserError: They predict no finite numbers.
    """
    try:
        return predictor.see(prepared, probabilities, interpolated)
    except FloatingPointError as error:
        hint = "look at the scan's intensities; if every scan ends so, train the model again"
        raise UserError(first.path or "the scan", str(error), hint) from error


def describe_scan(first: Volume, seen: Seen, predictor: Predictor, labels: str | None, sequence: str) -> Segmentation:
    """Do the last step of `segment`: levels, mask and report, for which no network is needed."""
    plan, prediction = predictor.plan, predictor.decide(seen)
    warnings = domain_warnings(plan, first.array, prediction.decoded.labels, first.spacing, sequence)
    source = predictor.models[0].card.scheme
    ranges = plan.training_domain.labels if source == plan.scheme else ()
    records = describe_labels(prediction.decoded.labels)
    doubts = implausible(records, first.array.shape[1], first.spacing, source, predictor.encoding.values, ranges)
    known = predictor.encoding.values
    column = impossible(first.array, prediction.decoded.labels, records, first.spacing, source, known)
    if column:
        prediction = replace(prediction, decoded=with_doubt(prediction.decoded, f"this is no column: {column[0]}"))
    target = output_scheme(source, plan.scheme, labels or predictor.models[0].labels)
    if bodies_alone(source, predictor.encoding.labels, target):
        warnings += ("the model knows vertebral bodies alone: the mask's vertebrae lack their posterior elements",)
    lost = set(conversion(source, target).lost)
    unwritten = tuple(record for record in records if source.anatomies[record.value] in lost)
    not_in_mask = report_labels(first, unwritten, prediction, source)
    prediction = convert_prediction(prediction, source, target)
    values = prediction.decoded.labels
    mask = first.with_array(values.astype(np.uint8 if values.max(initial=0) < 256 else np.uint16))
    return Segmentation(
        volume=mask,
        scheme=target,
        labels=report_labels(mask, describe_labels(mask.array), prediction, target),
        ambiguous=prediction.decoded.ambiguous,
        warnings=warnings,
        models=tuple(model.name for model in predictor.models),
        classes=("background", *(kind.name for kind in predictor.encoding.classes)),
        network_seconds=prediction.network_seconds,
        interpolated_labels=prediction.interpolated_labels,
        implausible=(*doubts, *column),
        not_in_mask=tuple(replace(report, value=BACKGROUND) for report in not_in_mask),
        not_seen=predictor.models[0].not_seen,
        level_evidence=prediction.decoded.evidence,
    )


def _check_channels(channels: Sequence[Volume], needed: Sequence[str]) -> None:
    if len(channels) != len(needed):
        raise UserError(
            channels[0].path or "the scan",
            f"has {len(channels)} channels, the model needs {len(needed)} ({', '.join(needed)})",
            "give one file per channel",
        )


def output_scheme(model: LabelScheme, dataset: LabelScheme, labels: str | None) -> LabelScheme:
    """Return the mask's scheme: the wanted one, else the data set's if every anatomy converts, else the model's."""
    if labels:
        return get_scheme(labels)
    return dataset if model == dataset or not conversion(model, dataset).lost else model


def convert_prediction(prediction: Prediction, source: LabelScheme, target: LabelScheme) -> Prediction:
    """Convert a prediction to another scheme; labels that it lacks become background.

    Where several labels become one, its confidence is their mean by voxels, and it has the flags of all.
    """
    if source == target:
        return prediction
    change, decoded, extra = conversion(source, target), prediction.decoded, prediction.interpolated_labels
    voxels = label_voxels(decoded.labels, "prediction")
    results = {result.value: result for result in decoded.label_results}
    label_results = tuple(
        LabelResult(value, _mean(alike, voxels, {v: results[v].confidence for v in alike}), _flags(results, alike))
        for value, alike in _by_new_label(results, change).items()
    )
    confidence = prediction.confidence
    return replace(
        prediction,
        decoded=replace(decoded, labels=change.apply(decoded.labels, "prediction"), label_results=label_results),
        confidence={v: _mean(alike, voxels, confidence) for v, alike in _by_new_label(confidence, change).items()},
        interpolated_labels=None if extra is None else change.apply(extra, "prediction"),
    )


def _by_new_label(labels: Iterable[int], change: Conversion) -> dict[int, list[int]]:
    """Group labels by what they become, without those that become background."""
    groups: dict[int, list[int]] = {}
    for value in sorted(labels):
        if change.table.get(value):
            groups.setdefault(change.table[value], []).append(value)
    return groups


def _mean(values: Sequence[int], voxels: Mapping[int, int], figures: Mapping[int, float]) -> float:
    """Return the mean figure of some labels, weighted by their voxels; exactly the figure of one alone."""
    if len(values) == 1:
        return figures[values[0]]
    weights = [voxels.get(value, 0) for value in values]
    return float(np.average([figures[v] for v in values], weights=weights if any(weights) else None))


def _flags(results: Mapping[int, LabelResult], values: Sequence[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flag for value in values for flag in results[value].flags))
