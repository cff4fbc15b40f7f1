"""Images made anew from labels and from the image's own tissues, so that no contrast is relied on.

SynthSeg (Billot et al., Medical Image Analysis 2023) draws one Gaussian of intensities for each label. Masks of spines
leave most of the body unlabelled, so tissues are added: soft classes of the smoothed intensities between their
quantiles, each with a brightness of its own, in every class of the labels and in the background.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.augmentation.intensity import STEP, TABLE, keeping_mean_and_deviation
from autospine.augmentation.parameters import CLASSES, TISSUES, Parameters
from autospine.core.transfer import send

AIR = 0.04  # of the range of intensities: darker is air or padding and no tissue
BRIGHTEST = 0.98  # quantile of the intensities that the highest tissue lies below
EVEN = 0.6  # share of equal steps in the places of tissues
OWN = 0.5  # share of a voxel in its brightness; the rest is its neighbours', as borders are in a scan


def synthesise(images: Tensor, labels: Tensor, parameters: Parameters, classes: Tensor | None = None) -> None:
    """Make the chosen samples anew, in place. Mean and deviation stay.

    Args:
        images: Any intensities.
        labels: Their labels, which stay as they are.
        parameters: Brightness, noise and texture.
        classes: The class of each label, (labels,); None: each label is a class. More than `CLASSES` share.

    Shape:
        images (B, C, [D,] H, W), labels (B, [D,] H, W).
    """
    chosen = parameters.synthesised.nonzero()[:, 0]
    if not len(chosen):
        return
    generator = torch.Generator(images.device).manual_seed(int(parameters.noise_seed) + 1)
    regions = _classes_of(labels[send(chosen, labels.device)], classes)[:, None]  # (b, 1, [D,] H, W)
    size = (len(chosen), *images.shape[1:])

    def remade(tones: Tensor) -> Tensor:
        smooth = _neighbourhood(_neighbourhood(tones.view(size)))  # (b, C, [D,] H, W)
        brightness = send(parameters.tissue_brightness[chosen], tones.device)
        curves = tissue_curves(_knots(smooth.flatten(1)), brightness)
        first = CLASSES * torch.arange(len(chosen), device=tones.device, dtype=torch.int32)
        curve = (regions + first.view(-1, *[1] * (len(size) - 1))).mul_(TABLE)
        entry = (smooth * (TABLE - 1)).round_().to(torch.int32).add_(curve)
        painted = curves.flatten().index_select(0, entry.flatten()).view(size)
        painted = OWN * painted + (1 - OWN) * _neighbourhood(painted)
        texture = _at(send(parameters.tissue_texture[chosen], tones.device), regions)
        painted.addcmul_(texture, tones.view(size) - smooth)
        noise = parameters.tissue_noise[chosen]
        if noise.any():
            rough = torch.randn(size, generator=generator, device=tones.device)
            painted.addcmul_(_at(send(noise, tones.device), regions), rough)
        return painted.flatten(1)

    keeping_mean_and_deviation(images, chosen, remade)


def _classes_of(labels: Tensor, classes: Tensor | None) -> Tensor:
    """Return the class of each voxel, below CLASSES, int32 of the labels' shape."""
    table = torch.arange(int(labels.max()) + 1) if classes is None else classes
    table = send(torch.where(table > 0, 1 + (table - 1) % (CLASSES - 1), 0).int(), labels.device)
    return table.index_select(0, labels.flatten().to(torch.int32)).view(labels.shape)


def _neighbourhood(images: Tensor) -> Tensor:
    """Average over 3 x 3 pixels: (b, C, [D,] H, W)."""
    planes = images.flatten(1, -3)
    return F.avg_pool2d(planes, 3, 1, 1, count_include_pad=False).view_as(images)


def _at(values: Tensor, regions: Tensor) -> Tensor:
    """Look up the value of each voxel's class: (b, CLASSES), (b, 1, ...) to (b, 1, ...)."""
    return values.gather(1, regions.flatten(1).long()).view(regions.shape)


def _knots(tones: Tensor) -> Tensor:
    """Estimate where tissues lie among 0..1: 0, then between quantiles of what is not air and equal steps.

    Quantiles alone would lie close together in what is mostly noise.

    Shape:
        (b, N) to (b, TISSUES).
    """
    order = tones[:, ::STEP].sort(1).values
    air, last = (order < AIR).sum(1, keepdim=True), order.shape[1] - 1
    share = (torch.arange(TISSUES - 1, device=tones.device) + 0.5) / (TISSUES - 1)
    place = (air + share * (last - air)).round().long().clamp(max=last)
    brightest = order[:, int(BRIGHTEST * last), None]
    knots = (1 - EVEN) * order.gather(1, place) + EVEN * share * brightest
    return torch.cat([torch.zeros_like(brightest), knots], 1)


def tissue_curves(knots: Tensor, brightness: Tensor) -> Tensor:
    """Interpolate brightness (b, CLASSES, TISSUES) between knots (b, TISSUES) at equal steps: (b, CLASSES, TABLE)."""
    tones = torch.linspace(0, 1, TABLE, device=knots.device).expand(len(knots), -1).contiguous()
    above = torch.searchsorted(knots.contiguous(), tones, right=True).clamp(1, TISSUES - 1)
    low, high = knots.gather(1, above - 1), knots.gather(1, above)
    share = ((tones - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)[:, None]  # (b, 1, TABLE)
    above = above[:, None].expand(-1, CLASSES, -1)
    return brightness.gather(2, above - 1) * (1 - share) + brightness.gather(2, above) * share
