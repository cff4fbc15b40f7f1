"""Draws what happens to each sample of one batch: space and intensities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autospine.augmentation.domain_randomisation import randomise_domain
from autospine.augmentation.draws import Draws
from autospine.augmentation.elastic import BORDER, intervals, largest_mm
from autospine.augmentation.parameters import KNOTS, NODES, Parameters
from autospine.augmentation.settings import AugmentationSettings


def sample(generator: torch.Generator, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    """Sample what happens to one batch.

    Args:
        generator: On the CPU; the same state gives the same parameters whatever device the batch is on.
        shape: Of the images, (B, C, H, W) or (B, C, D, H, W).
        settings: Probabilities and ranges.
    """
    draws = Draws(generator, shape[0])
    parameters = _sample_spatial(draws, Parameters.identity(shape), shape, settings)
    parameters = _sample_intensity(draws, parameters, settings)
    if settings.elastic_probability:
        parameters = replace(parameters, elastic=_elastic(draws, shape[-2:], settings))
    return randomise_domain(draws, parameters, shape, settings)


def _sample_spatial(
    draws: Draws, identity: Parameters, shape: Sequence[int], settings: AugmentationSettings
) -> Parameters:
    affine = draws.chosen(settings.affine_probability)
    limits = settings.translation * torch.tensor(shape[-2:])
    shift = limits * torch.stack([draws.uniform(-1, 1) for _ in range(2)], 1)  # (B, 2)
    mirrored = {axis: draws.chosen(0.5 * (axis in settings.mirror_axes)) for axis in (-3, -2, -1)}
    signs = 1.0 - 2.0 * torch.stack([mirrored[-2], mirrored[-1]], 1).float()  # (B, 2)
    matrix = _affine(draws, settings).where(affine[:, None, None], identity.matrix)
    return replace(
        identity,
        matrix=matrix * signs[:, None, :],
        shift=shift * affine[:, None],
        mirrored_slices=mirrored[-3] & (len(shape) == 5),
        visible_rows=_visible_rows(draws, shape[-2], settings),
    )


def _affine(draws: Draws, settings: AugmentationSettings) -> Tensor:
    """Sample rotation after shear after scale, in mm, expressed in voxels: (B, 2, 2)."""
    angle = math.radians(settings.rotation_degrees) * draws.uniform(-1, 1)
    scale = draws.uniform(math.log(settings.scale[0]), math.log(settings.scale[1])).exp()
    shear = settings.shear * draws.uniform(-1, 1)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rotation = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    shearing = torch.stack([one, zero, shear, one], 1).view(-1, 2, 2)  # columns move with rows
    spacing = torch.tensor(settings.pixel_spacing)
    return rotation @ shearing * scale[:, None, None] * spacing / spacing[:, None]


def _elastic(draws: Draws, size: Sequence[int], settings: AugmentationSettings) -> Tensor:
    """Sample the displacement of the nodes in mm, expressed in voxels: (B, 2, row nodes, column nodes)."""
    axes = list(zip(size, settings.pixel_spacing, strict=True))
    distance, amplitude = settings.elastic_smoothness_mm, settings.elastic_amplitude_mm
    counts = [BORDER + intervals(length, mm, distance) for length, mm in axes]
    largest = torch.tensor([largest_mm(length, mm, distance, amplitude) / mm for length, mm in axes])
    strength = draws.sometimes(settings.elastic_probability, 0.0, 1.0, 0.0)
    nodes = 2 * torch.rand((draws.batch, 2, *counts), generator=draws.generator) - 1
    return strength[:, None, None, None] * largest[:, None, None] * nodes


def _visible_rows(draws: Draws, rows: int, settings: AugmentationSettings) -> Tensor:
    hidden = (draws.uniform(0, settings.fov_crop_share) * rows).round().long()
    hidden = hidden * draws.chosen(settings.fov_crop_probability)
    above = draws.chosen(0.5)
    return torch.stack([hidden * above, rows - hidden * ~above], 1)  # (B, 2)


def _sample_intensity(draws: Draws, identity: Parameters, settings: AugmentationSettings) -> Parameters:
    slopes = (settings.histogram_shift_strength * draws.normal(KNOTS - 1)).exp()
    heights = torch.cat([torch.zeros(draws.batch, 1), slopes.cumsum(1)], 1)  # (B, KNOTS)
    remapped = draws.chosen(settings.histogram_shift_probability)[:, None]
    strength = draws.sometimes(settings.bias_field_probability, *settings.bias_field_strength, 0.0)
    brightness = settings.brightness
    return replace(
        identity,
        gamma=draws.sometimes(settings.gamma_probability, *settings.gamma, 1.0),
        histogram_shift=(heights / heights[:, -1:]).where(remapped, identity.histogram_shift),
        inverted=draws.chosen(settings.inversion_probability),
        bias_field=strength[:, None, None] * draws.normal(NODES, NODES),
        contrast=draws.sometimes(settings.contrast_probability, *settings.contrast, 1.0),
        brightness=draws.sometimes(settings.brightness_probability, -brightness, brightness, 0.0),
        blur=draws.sometimes(settings.blur_probability, *settings.blur, 0.0),
        low_resolution=draws.sometimes(settings.low_resolution_probability, *settings.low_resolution, 1.0)[
            :, None
        ].repeat(1, 2),
        noise=draws.sometimes(settings.noise_probability, *settings.noise, 0.0),
        noise_seed=torch.randint(2**62, (), generator=draws.generator),
    )
