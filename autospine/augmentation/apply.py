"""Makes the drawn changes: space, then tissue, surroundings and scanner on the intensities, then the crop."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from autospine.augmentation.intensity import (
    add_noise,
    adjust_contrast,
    apply_bias_field,
    clip_intensities,
    shift_histogram,
)
from autospine.augmentation.k_space import corrupt_k_space
from autospine.augmentation.parameters import Parameters
from autospine.augmentation.resolution import blur_slices, lower_resolution
from autospine.augmentation.spatial import crop_field_of_view, resample, transform_centres
from autospine.augmentation.surroundings import add_air, add_implants
from autospine.augmentation.synthesis import synthesise


@overload
def apply(
    images: Tensor,
    labels: Tensor,
    parameters: Parameters,
    centres: Tensor,
    outside: int = 0,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]: ...
@overload
def apply(
    images: Tensor,
    labels: Tensor,
    parameters: Parameters,
    centres: None = None,
    outside: int = 0,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor, None]: ...
def apply(
    images: Tensor,
    labels: Tensor,
    parameters: Parameters,
    centres: Tensor | None = None,
    outside: int = 0,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Change a batch as `parameters` say, on the batch's own device; the input is left as it is.

    Every spatial change but the mirroring of slices is in-plane, the same in all slices; only `slice_blur` mixes
    slices. All spatial changes but the crop are one resampling.

    Args:
        images: Z-scored, float32.
        labels: Any integers below 2^24.
        parameters: From `sample`, for the same shape.
        centres: Voxel coordinates of landmarks such as instance centroids; NaN stays NaN. They may leave the
            image, and rows that are not among `parameters.visible_rows` are cropped.
        outside: Label of voxels beyond the field of view: the ignore value, or background.
        classes: The class of each label that synthesis gives one brightness, (labels,) integers, 0 for the background
            and all that may be anything; None: each label is a class.

    Returns:
        The changed images, labels and centres (None if none were given). What lies beyond the field of view
        has the darkest value of its sample.

    Shape:
        images (B, C, H, W) or (B, C, D, H, W), labels (B, [D,] H, W), centres (B, N, 2 or 3); results the same.
    """
    images, labels = images.clone(), labels.clone()
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        resample(images, labels, parameters, outside)
        synthesise(images, labels, parameters, classes)
        add_implants(images, parameters)
        shift_histogram(images, parameters)
        add_air(images, labels, parameters)
        apply_bias_field(images, parameters)
        adjust_contrast(images, parameters)
        blur_slices(images, parameters)
        lower_resolution(images, parameters)
        corrupt_k_space(images, parameters)
        add_noise(images, parameters)
        clip_intensities(images, parameters)
        crop_field_of_view(images, labels, parameters, outside)
        if centres is not None:
            centres = transform_centres(centres, parameters, images.shape[2:])
    return images, labels, centres
