"""Implants, and air with an arm beside the body: bright and dark where no tissue of the spine is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.augmentation.parameters import Parameters
from autospine.core.transfer import send

# Outer edges of an arm's marrow, cortex, muscle and fat, as shares of its half width.
ARM_EDGES = (0.2, 0.28, 0.8, 1.0)
BULGE, WAVES = 0.15, 8.0  # muscles: how much they widen it, radians along the image


def add_implants(images: Tensor, parameters: Parameters) -> None:
    """Paint rods without signal in a bright rim into the chosen samples, in place: (B, C, [D,] H, W).

    Spins near metal are lost, or wrongly placed, where they pile up. Labels stay: bone is there all the same.
    """
    for index, rods in enumerate(parameters.implants.tolist()):
        image = images[index]
        dark, bright = image.amin(), image.amax()
        for row, column, slice_, half, angle, radius, rim, slices in rods:
            if radius == 0:
                continue
            size = images.shape[-2:]
            away = send(_distance_to_rod(size, (row * size[0], column * size[1]), half, angle), images.device)
            planes = image if image.ndim == 3 else image[:, _near(slice_, slices, image.shape[1])]
            lit = dark + 0.9 * (bright - dark)
            planes.copy_(torch.where(away < radius, dark, torch.where(away < radius * rim, lit, planes)))


def _near(middle: float, half: float, count: int) -> slice:
    """Return the slices within a share of the stack about another, one at least."""
    first = round(max(middle - half, 0) * (count - 1))
    return slice(first, round((middle + half) * (count - 1)) + 1)


def _distance_to_rod(size: torch.Size, middle: tuple[float, float], half: float, angle: float) -> Tensor:
    """Compute the distance of each pixel to a line about `middle` along the columns, turned by `angle`: (H, W)."""
    row, column = (torch.arange(n) - m for n, m in zip(size, middle, strict=True))
    sine, cosine = torch.tensor(angle).sin(), torch.tensor(angle).cos()
    along = column * cosine + (row * sine)[:, None]
    across = (row * cosine)[:, None] - column * sine
    return torch.hypot((along.abs() - half).clamp_(min=0), across)


def add_air(images: Tensor, labels: Tensor, parameters: Parameters) -> None:
    """Make the columns beside the body air, with an arm in it or without, and background, in place.

    Shape:
        images (B, C, [D,] H, W), labels (B, [D,] H, W).
    """
    columns = images.shape[-1]
    for index, (first, end) in enumerate((parameters.air * columns).round().long().tolist()):
        image = images[index]
        dark, bright = image.amin(), image.amax()
        for strip in (slice(0, first), slice(end, columns)):
            if strip.start < strip.stop:
                image[..., strip] = dark
                labels[index, ..., strip] = 0
        armed, behind, *arm = parameters.arm[index].tolist()
        side = slice(end, columns) if behind else slice(0, first)
        if armed and side.start < side.stop:
            tones = send(_arm(image.shape[-2], side.stop - side.start, arm), images.device)
            image[..., side] = dark + tones * (bright - dark)


def _arm(rows: int, columns: int, arm: list[float]) -> Tensor:
    """Draw an arm along the rows of a strip, its brightness 0 to 1: (rows, columns)."""
    middle, half, slant, *brightness = arm
    row = torch.arange(rows) - rows / 2
    across = torch.arange(columns) - (middle * columns + slant * row)[:, None]
    width = half * columns * (1 + BULGE * torch.sin(WAVES * row / rows))[:, None]
    tones = torch.tensor([*brightness, 0.0])[torch.bucketize(across.abs() / width, torch.tensor(ARM_EDGES))]
    return F.avg_pool2d(tones[None], 3, 1, 1, count_include_pad=False)[0]
