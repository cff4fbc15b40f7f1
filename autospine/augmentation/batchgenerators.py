"""Augmentations that papers name, by the library batchgenerators (Isensee et al. 2020): for `published` recipes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import radians
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from autospine.augmentation.settings import BatchgeneratorsSettings

if TYPE_CHECKING:
    from batchgenerators.transforms.abstract_transforms import Compose


def augment(
    images: Tensor, labels: Tensor, settings: BatchgeneratorsSettings, seed: int, outside: int = 0
) -> tuple[Tensor, Tensor]:
    """Change a batch at random; the input is left as it is.

    Args:
        images: `(B, C, [D,] H, W)` float32.
        labels: `(B, [D,] H, W)` integers below 2^24.
        settings: Probabilities and ranges.
        seed: The same one gives the same changes.
        outside: Label of voxels beyond the field of view.

    Returns:
        The changed images and labels, on the batch's device. Beyond the field of view an image has the darkest value
        of its sample.
    """
    data = images.cpu().numpy()
    darkest = (
        data.min(axis=tuple(range(1, data.ndim)), keepdims=True) * settings.resamples
    )  # exact where none is resampled
    seg = labels.cpu().numpy().astype(np.float32)[:, None] - outside  # (B, 1, [D,] H, W), 0 outside
    with _numpy_seed(seed):
        mirrored = _mirroring(settings, data.ndim - 2)(data=data - darkest, seg=seg)
        planes = {key: value.reshape(len(value), -1, *value.shape[-2:]) for key, value in mirrored.items()}
        planes = _spatial(settings, data.shape[-2:])(**planes)  # (B, C * D, H, W) and (B, D, H, W)
        data = _intensity(settings)(data=planes["data"].reshape(data.shape) + darkest)["data"]
    seg = planes["seg"].reshape(labels.shape) + outside
    return torch.from_numpy(data).to(images), torch.from_numpy(seg).to(labels)


def _mirroring(settings: BatchgeneratorsSettings, dimension: int) -> Compose:
    from batchgenerators.transforms.abstract_transforms import Compose
    from batchgenerators.transforms.spatial_transforms import MirrorTransform

    axes = tuple(axis + dimension for axis in settings.mirror_axes if axis + dimension >= 0)
    return Compose([MirrorTransform(axes)] if axes else [])


def _spatial(settings: BatchgeneratorsSettings, size: tuple[int, ...]) -> Compose:
    """Compose rotation, scale, elastic displacement and translation as one resampling of planes of `size`."""
    from batchgenerators.transforms.abstract_transforms import Compose
    from batchgenerators.transforms.spatial_transforms import SpatialTransform

    if not settings.resamples:
        return Compose([])
    angle = radians(settings.rotation_degrees)
    transform = SpatialTransform(
        size,
        [side * (0.5 - settings.translation) for side in size],
        do_elastic_deform=settings.elastic_probability > 0,
        alpha=settings.elastic_alpha,
        sigma=settings.elastic_sigma,
        do_rotation=settings.rotation_probability > 0,
        angle_x=(-angle, angle),
        do_scale=settings.scale_probability > 0,
        scale=settings.scale,
        border_mode_data="constant",
        order_data=1,
        random_crop=settings.translation > 0,
        p_el_per_sample=settings.elastic_probability,
        p_scale_per_sample=settings.scale_probability,
        p_rot_per_sample=settings.rotation_probability,
    )
    return Compose([transform])


def _intensity(settings: BatchgeneratorsSettings) -> Compose:
    from batchgenerators.transforms.abstract_transforms import Compose
    from batchgenerators.transforms.color_transforms import (
        BrightnessMultiplicativeTransform,
        ContrastAugmentationTransform,
    )

    contrast = ContrastAugmentationTransform(
        settings.contrast, per_channel=False, p_per_sample=settings.contrast_probability
    )
    brightness = BrightnessMultiplicativeTransform(
        settings.brightness, per_channel=False, p_per_sample=settings.brightness_probability
    )
    return Compose([contrast, brightness])


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which batchgenerators draws from, for a moment."""
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
