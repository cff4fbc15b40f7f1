"""The fingerprint of one case: read once, verified, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autospine.dataset import verify
from autospine.dataset.cases import Case
from autospine.fingerprint.slice_filter import ClassWeights, class_weights, counts_of_statistics, filter_slices
from autospine.fingerprint.statistics import (
    IntensityStatistics,
    LabelStatistics,
    checksum,
    clipped_share,
    intensity_statistics,
    label_statistics,
)
from autospine.labels.conversion import infer_scheme
from autospine.labels.schemes import LabelScheme

if TYPE_CHECKING:
    from autospine.volumes import Volume

BLANK = 0.5  # share of a label's voxels that do not differ from the next ones, above which nothing is shown there


@dataclass(frozen=True)
class CaseFingerprint:
    """Statistics of one case. Arrays are canonical: slices, rows, columns."""

    id: str
    patient: str  # whose scan it is
    sequence: str  # "t1", "t2", "t2_SPACE" or "unknown"
    subset: str  # "training" or "validation"
    vendor: str | None  # maker of the scanner, if known
    shape: tuple[int, int, int]  # voxels along each canonical axis
    spacing: tuple[float, float, float]  # millimetres along each canonical axis
    orientation: str  # the file's own orientation code
    slice_axis: int  # canonical axis with the coarsest spacing; 0 in a sagittal series
    anisotropy: float  # coarsest over finest spacing
    clipped_share: float  # share of voxels at exactly the minimum or maximum, if both pile up as if clipped
    intensity: IntensityStatistics  # of the first channel, whole image
    foreground: IntensityStatistics | None  # of the first channel where a label is, or None without any
    voxels: dict[int, int]  # voxel count per label, 0 and the ignore label included
    slices: dict[int, int]  # sagittal slices that show each label
    centroids: dict[int, tuple[float, float, float]]  # mean voxel index of each label
    # First and last index of each label, inclusive: s0, r0, c0, s1, r1, c1.
    boxes: dict[int, tuple[int, int, int, int, int, int]]
    checksum: str  # 16 hexadecimal digits of the image's voxels, then 16 of the mask's
    mask_checksum: str | None  # the latter alone; None without a mask
    # Of semantic4's classes on the sagittal slices, before and after the slice filter; None without a mask.
    blank_labels: tuple[int, ...] = ()  # of which the larger part lies where the image is constant
    class_weights: ClassWeights | None = None
    source: str = ""  # name of its data set, where several are joined

    @property
    def image_checksum(self) -> str:
        """Return the image's part of the checksum."""
        return self.checksum[:16]


def fingerprint_case(case: Case, scheme: LabelScheme | None = None) -> CaseFingerprint:
    """Read, verify and measure one case; without a scheme any label that is not negative is right.

    Raises:
        UserError: A file is unreadable, image and mask lie on different grids, a channel is constant or
            not finite, or the mask holds a label outside the scheme.
    """
    from autospine.volumes import read_image, read_mask

    images = [read_image(path) for path in case.images]
    mask = read_mask(case.mask, scheme.negative if scheme else None) if case.mask is not None else None
    verify.check_grids(case, [image.geometry for image in images], mask.geometry if mask else None)
    measured = _measure(case, images, mask, scheme)
    problems = verify.case_problems(case, measured.voxels, scheme)
    for path, image in zip(case.images, images, strict=True):
        problems += verify.intensity_problems(path, float(image.array.min()), float(image.array.max()))
    if problems:
        raise problems[0]
    return measured


def _measure(case: Case, images: list[Volume], mask: Volume | None, scheme: LabelScheme | None) -> CaseFingerprint:
    first, ignore_label, weights = images[0], scheme.ignore_label if scheme else None, None
    intensity = intensity_statistics(first.array)
    labels: Mapping[int, LabelStatistics] = {}
    foreground, voxels, mask_sum = None, {}, None
    if mask is not None:
        labels = label_statistics(mask.array)
        foreground = _foreground(first.array, mask.array, ignore_label)
        voxels = {0: mask.array.size - sum(label.voxels for label in labels.values())}
        voxels.update((value, label.voxels) for value, label in labels.items())
        mask_sum = checksum(mask.array)
        counts = counts_of_statistics(labels, mask.array.shape, scheme or infer_scheme(labels))
        weights = class_weights(filter_slices(counts))
    annotated = {value: label for value, label in labels.items() if value != ignore_label}
    (slices, rows, columns), spacing = first.array.shape, first.spacing
    return CaseFingerprint(
        id=case.id,
        patient=case.patient,
        sequence=case.sequence,
        subset=case.subset,
        vendor=case.vendor,
        shape=(slices, rows, columns),
        spacing=spacing,
        orientation=first.orientation,
        slice_axis=int(np.argmax(spacing)),
        anisotropy=max(spacing) / min(spacing),
        clipped_share=clipped_share(first.array, intensity.minimum, intensity.maximum),
        intensity=intensity,
        foreground=foreground,
        voxels=voxels,
        slices={value: label.slices for value, label in annotated.items()},
        centroids={value: label.centroid for value, label in annotated.items()},
        boxes={value: label.box for value, label in annotated.items()},
        checksum=checksum(*(image.array for image in images)) + (mask_sum or ""),
        mask_checksum=mask_sum,
        blank_labels=_blank(first.array, mask.array, annotated) if mask is not None else (),
        class_weights=weights,
        source=case.source,
    )


def _blank(image: np.ndarray, mask: np.ndarray, labels: Mapping[int, LabelStatistics]) -> tuple[int, ...]:
    """Return the labels of which the larger part lies where the image is constant, as where it was cut off."""
    blank = []
    for value, label in labels.items():
        box = tuple(
            slice(low, high + 2) for low, high in zip(label.box[:3], label.box[3:], strict=True)
        )  # and the next
        shown, values = mask[box] == value, image[box]
        flat = np.ones(values.shape, bool)
        for axis in (1, 2):  # rows and columns: slices may lie far apart
            flat &= np.diff(values, axis=axis, append=values.take([-1], axis)) == 0
        if (flat & shown).sum() > BLANK * label.voxels:
            blank.append(value)
    return tuple(blank)


def _foreground(image: np.ndarray, mask: np.ndarray, ignore_label: int | None) -> IntensityStatistics | None:
    inside = mask > 0
    if ignore_label is not None:
        inside &= mask != ignore_label
    values = image[inside]  # (foreground voxels,)
    return intensity_statistics(values) if values.size else None
