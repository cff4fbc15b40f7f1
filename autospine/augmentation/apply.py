"""Makes the drawn changes: space, then what tissue and scanner do to the intensities, then the crop."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from autospine.augmentation.intensity import add_noise, adjust_contrast, apply_bias_field, shift_histogram
from autospine.augmentation.parameters import Parameters
from autospine.augmentation.resolution import lower_resolution
from autospine.augmentation.spatial import crop_field_of_view, resample, transform_centres


@overload
def apply(
    images: Tensor, labels: Tensor, parameters: Parameters, centres: Tensor, outside: int = 0
) -> tuple[Tensor, Tensor, Tensor]: ...
@overload
def apply(
    images: Tensor, labels: Tensor, parameters: Parameters, centres: None = None, outside: int = 0
) -> tuple[Tensor, Tensor, None]: ...
def apply(
    images: Tensor, labels: Tensor, parameters: Parameters, centres: Tensor | None = None, outside: int = 0
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Change a batch as `parameters` say, on the batch's own device; the input is left as it is.

    Slices are never mixed: every spatial change but their mirroring is in-plane, the same in all slices. All of
    them but the crop are one resampling.

    Args:
        images: Z-scored, float32.
        labels: Any integers below 2^24.
        parameters: From `sample`, for the same shape.
        centres: Voxel coordinates of landmarks such as instance centroids; NaN stays NaN. They may leave the
            image, and rows that are not among `parameters.visible_rows` are cropped.
        outside: Label of voxels beyond the field of view: the ignore value, or background.

    Returns:
        The changed images, labels and centres (None if none were given). What lies beyond the field of view
        has the darkest value of its sample.

    Shape:
        images (B, C, H, W) or (B, C, D, H, W), labels (B, [D,] H, W), centres (B, N, 2 or 3); results the same.
    """
    images, labels = images.clone(), labels.clone()
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        resample(images, labels, parameters, outside)
        shift_histogram(images, parameters)
        apply_bias_field(images, parameters)
        adjust_contrast(images, parameters)
        lower_resolution(images, parameters)
        add_noise(images, parameters)
        crop_field_of_view(images, labels, parameters, outside)
        if centres is not None:
            centres = transform_centres(centres, parameters, images.shape[2:])
    return images, labels, centres
