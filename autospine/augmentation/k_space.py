"""What goes wrong in k-space: ringing, ghosts and motion, each a product with a filter along one axis.

MONAI and TorchIO know them as RandGibbsNoise, RandomGhosting and RandomMotion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autospine.augmentation.parameters import MOVES, Parameters
from autospine.core.transfer import send


def corrupt_k_space(images: Tensor, parameters: Parameters) -> None:
    """Filter the chosen samples along their rows' or columns' frequencies, in place: (B, C, [D,] H, W)."""
    moved = (parameters.motion != 0).any(1)
    changed = (parameters.gibbs != 1) | (parameters.ghosting != 0) | moved
    for axis, along in ((-2, ~parameters.phase_columns), (-1, parameters.phase_columns)):
        chosen, size = (changed & along).nonzero()[:, 0], images.shape[axis]
        if not len(chosen):
            continue
        response = send(frequency_response(parameters, chosen, size), images.device)
        response = response.view(len(chosen), *[1] * (images.ndim - 2), -1).transpose(-1, axis)
        chosen = send(chosen, images.device)
        frequencies = torch.fft.rfft(images[chosen], dim=axis) * response
        images[chosen] = torch.fft.irfft(frequencies, n=size, dim=axis)


def frequency_response(parameters: Parameters, chosen: Tensor, size: int) -> Tensor:
    """Compute the filter of real signals of `size` voxels: (b, size // 2 + 1) complex, 1 at frequency 0."""
    gibbs, ghosting, distance = (
        x[chosen, None] for x in (parameters.gibbs, parameters.ghosting, parameters.ghost_distance)
    )
    frequency = torch.arange(size // 2 + 1)  # periods over the axis
    share = frequency / (size / 2)
    part = (share * MOVES).long().clamp(max=MOVES - 1).expand(len(chosen), -1)
    phase = -2 * math.pi * frequency * parameters.motion[chosen].gather(1, part) / size
    copies = (1 + ghosting * torch.cos(2 * math.pi * frequency * (distance * size).round() / size)) / (1 + ghosting)
    return torch.polar(copies * (share <= gibbs), phase)
