"""Draws contrasts, scanners and pictures that the training cases do not show.

Each family is drawn only where its probability is not 0, so that recipes without it keep their random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autospine.augmentation.draws import Draws
from autospine.augmentation.parameters import CLASSES, IMPLANTS, KNOTS, MOVES, TISSUES, Parameters
from autospine.augmentation.settings import AugmentationSettings

Family = Callable[[Draws, Parameters, Sequence[int], AugmentationSettings], Parameters]
STILL = 2  # parts of k-space from the middle before the first movement, so that tissue stays where its labels are
LONGEST_MM = 22.0  # half a rod
# Brightness of the marrow, cortex, muscle and fat of an arm: means and largest differences from them.
ARM_BRIGHTNESS, ARM_SPREAD = (0.55, 0.05, 0.35, 0.75), (0.35, 0.05, 0.2, 0.25)


def randomise_domain(
    draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings
) -> Parameters:
    """Add to the parameters of a batch of `shape` what the settings' domain randomisation draws."""
    families: tuple[tuple[float, Family], ...] = (
        (settings.synthesis_probability + settings.label_synthesis_probability, _synthesis),
        (settings.random_curve_probability + settings.fat_suppression_probability, _curves),
        (settings.anisotropy_probability + settings.slice_blur_probability, _voxels),
        (settings.gibbs_probability + settings.ghosting_probability + settings.motion_probability, _k_space),
        (settings.clipping_probability, _clipping),
        (settings.implant_probability, _implants),
        (settings.air_probability, _air),
        (settings.padding_probability, _padding),
    )
    for probability, family in families:
        if probability:
            parameters = family(draws, parameters, shape, settings)
    return parameters


def _synthesis(
    draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings
) -> Parameters:
    """Draw the brightness of tissues: labels have that of the background, or one of their own, or one between both."""
    by_label = draws.chosen(settings.label_synthesis_probability)
    synthesised = by_label | draws.chosen(settings.synthesis_probability)
    tissues, own = _tissues(draws, 1), draws.uniform(0.05, 1.0, CLASSES - 1, 1)
    own = own + draws.uniform(0.0, 0.5, 1, 1) * ~by_label[:, None, None] * (_tissues(draws, CLASSES - 1) - 0.5)
    strength = draws.uniform(0.0, 1.0, 1, 1).where(~by_label[:, None, None], torch.ones(()))
    brightness = torch.cat([tissues, tissues + strength * (own - tissues)], 1).clamp(0, 1)
    brightness[:, 0, 0] = 0.0  # air
    noise = draws.uniform(*settings.label_synthesis_noise, CLASSES) * by_label[:, None]
    texture = draws.uniform(*settings.synthesis_texture)[:, None].repeat(1, CLASSES)
    texture[:, 1:] *= (~by_label)[:, None]
    return replace(
        parameters,
        synthesised=synthesised,
        tissue_brightness=brightness * synthesised[:, None, None],
        tissue_noise=noise,
        tissue_texture=texture.where(synthesised[:, None], torch.ones(())),
    )


def _tissues(draws: Draws, classes: int) -> Tensor:
    """Draw brightness from dark to bright tissue, rising or falling more or less: (B, classes, TISSUES)."""
    order, ramp = draws.uniform(-1.0, 1.0, classes, 1), torch.linspace(-0.45, 0.45, TISSUES)
    return 0.525 + order * ramp + (1 - order.abs()) * draws.uniform(-0.45, 0.45, classes, TISSUES)


def _curves(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    """Replace the monotone curve by one that goes up and down, or up and then down."""
    wild, suppressed = (
        draws.chosen(p)[:, None] for p in (settings.random_curve_probability, settings.fat_suppression_probability)
    )
    anywhere = draws.uniform(0.0, 1.0, KNOTS)
    anywhere[:, 0] = 0.0  # air stays dark
    peak = torch.randint(2, KNOTS - 1, (draws.batch, 1), generator=draws.generator)
    knot = torch.arange(KNOTS)
    up, down = knot / peak, (KNOTS - 1 - knot) / (KNOTS - 1 - peak)
    least = draws.uniform(0.0, 0.3)[:, None]  # of fat
    tent = torch.where(knot <= peak, up, least + (1 - least) * down)
    curve = tent.where(suppressed, anywhere.where(wild, parameters.histogram_shift))
    inverted = parameters.inverted & ~suppressed[:, 0]
    return replace(parameters, histogram_shift=curve, inverted=inverted)


def _voxels(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    along_one, columns = draws.chosen(settings.anisotropy_probability), draws.chosen(0.5)
    kept = along_one[:, None] & torch.stack([columns, ~columns], 1)  # (B, 2)
    slice_blur = draws.sometimes(settings.slice_blur_probability, *settings.slice_blur, 0.0)
    return replace(
        parameters,
        low_resolution=parameters.low_resolution.where(~kept, torch.ones(())),
        slice_blur=slice_blur * (len(shape) == 5),
    )


def _k_space(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    moving = draws.chosen(settings.motion_probability)[:, None]
    way = draws.uniform(*settings.motion)[:, None] * draws.normal(MOVES)
    way[:, :STILL] = 0
    return replace(
        parameters,
        phase_columns=draws.chosen(0.5),
        gibbs=draws.sometimes(settings.gibbs_probability, *settings.gibbs, 1.0),
        ghosting=draws.sometimes(settings.ghosting_probability, *settings.ghosting, 0.0),
        ghost_distance=draws.uniform(0.08, 0.5),
        motion=way * moving,
    )


def _clipping(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    chosen = draws.chosen(settings.clipping_probability)[:, None]
    low, high = draws.uniform(*settings.clipping), 1 - draws.uniform(*settings.clipping)
    return replace(parameters, clipping=torch.stack([low, high], 1).where(chosen, parameters.clipping))


def _implants(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    """Draw one rod or several, most of them lying from front to back as screws do, in the middle of the patch."""
    count = torch.randint(1, IMPLANTS + 1, (draws.batch, 1), generator=draws.generator)
    shown = draws.chosen(settings.implant_probability)[:, None] & (torch.arange(IMPLANTS) < count)
    pixel_mm = sum(settings.pixel_spacing) / 2
    radius = draws.uniform(*settings.implant_radius_mm, IMPLANTS) / pixel_mm * shown
    rods = (
        draws.uniform(0.1, 0.9, IMPLANTS),  # row
        draws.uniform(0.25, 0.75, IMPLANTS),  # column
        draws.uniform(0.0, 1.0, IMPLANTS),  # slice
        draws.uniform(0.0, LONGEST_MM, IMPLANTS) / pixel_mm,  # half length
        draws.normal(IMPLANTS) * 0.5,  # angle to the columns
        radius,
        draws.uniform(1.15, 1.6, IMPLANTS),  # of the rim
        draws.uniform(0.1, 0.3, IMPLANTS),  # half the slices
    )
    return replace(parameters, implants=torch.stack(rods, -1) * shown[..., None])


def _sides(draws: Draws, probability: float, share: float) -> Tensor:
    """Draw the shares of columns hidden in front and behind: (B, 2), one of them 0 more often than not."""
    hidden = draws.uniform(0.0, share, 2) * draws.chosen(probability)[:, None]
    both, front = draws.chosen(0.3), draws.chosen(0.5)
    return hidden * torch.stack([both | front, both | ~front], 1)


def _air(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    hidden = _sides(draws, settings.air_probability, settings.air_share)
    behind = hidden[:, 1] > hidden[:, 0]
    armed = draws.chosen(0.5) & (hidden.amax(1) > 0.1)
    brightness = torch.tensor(ARM_BRIGHTNESS) + torch.tensor(ARM_SPREAD) * draws.uniform(-1, 1, 4)
    slant = math.radians(12) * draws.uniform(-1, 1)
    arm = torch.cat(
        [
            torch.stack([torch.ones(draws.batch), behind.float()], 1),
            torch.stack([draws.uniform(0.3, 0.7), draws.uniform(0.2, 0.45), slant], 1),
            brightness,
        ],
        1,
    )
    edges = torch.stack([hidden[:, 0], 1 - hidden[:, 1]], 1)
    return replace(parameters, air=edges, arm=arm * armed[:, None])


def _padding(draws: Draws, parameters: Parameters, shape: Sequence[int], settings: AugmentationSettings) -> Parameters:
    hidden = (_sides(draws, settings.padding_probability, settings.padding_share) * shape[-1]).round().long()
    return replace(parameters, visible_columns=torch.stack([hidden[:, 0], shape[-1] - hidden[:, 1]], 1))
