"""Blur and larger voxels. Both are linear and separable, so each axis of a sample is one small matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from autospine.augmentation.parameters import Parameters
from autospine.core.transfer import send


def lower_resolution(images: Tensor, parameters: Parameters) -> None:
    """Blur the chosen samples and show them at larger voxels, in-plane and in place: (B, C, [D,] H, W)."""
    changed = (parameters.blur != 0) | (parameters.low_resolution != 1).any(1)
    chosen = changed.nonzero()[:, 0]
    if not len(chosen):
        return
    blur, voxels = (send(x[chosen], images.device) for x in (parameters.blur, parameters.low_resolution))
    rows, columns = (
        larger_voxels(voxel, n) @ gaussian(blur, n) for voxel, n in zip(voxels.T, images.shape[-2:], strict=True)
    )
    chosen = send(chosen, images.device)
    planes = images[chosen].flatten(1, -3)  # (b, C * D, H, W)
    planes = rows[:, None] @ (planes @ columns.transpose(1, 2)[:, None])
    images[chosen] = planes.view(-1, *images.shape[1:])


def blur_slices(images: Tensor, parameters: Parameters) -> None:
    """Blur the chosen samples through their slices, in place: (B, C, D, H, W)."""
    chosen = parameters.slice_blur.nonzero()[:, 0]
    if not len(chosen):
        return
    weights = gaussian(send(parameters.slice_blur[chosen], images.device), images.shape[2])  # (b, D, D)
    chosen = send(chosen, images.device)
    images[chosen] = torch.einsum("bde,bcehw->bcdhw", weights, images[chosen])


def gaussian(deviation: Tensor, size: int) -> Tensor:
    """Compute matrices (b, size, size) of Gaussian blur by (b,) voxels; each row adds up to one, at the edges too."""
    places = torch.arange(size, device=deviation.device, dtype=deviation.dtype)
    distance = (places[:, None] - places) / deviation.clamp(min=1e-3)[:, None, None]
    exponent = -0.5 * distance.square()
    weights = exponent.clamp(min=-20).exp() * (exponent > -20)  # no subnormal numbers: they are slow
    return weights / weights.sum(-1, keepdim=True)


def larger_voxels(voxel: Tensor, size: int) -> Tensor:
    """Compute matrices (b, size, size) that average over (b,) larger voxels, 1 at least, and interpolate back."""
    width = voxel[:, None]
    places = torch.arange(size, device=voxel.device, dtype=voxel.dtype)
    coarse = (places + 0.5) / width - 0.5  # (b, size): where each voxel lies among the larger ones
    last = (size / width).ceil() - 1
    lower = coarse.floor()
    share = (coarse - lower)[..., None]
    first, second = (_mean_over(k.clamp(min=0).minimum(last), width, places) for k in (lower, lower + 1))
    return (1 - share) * first + share * second


def _mean_over(index: Tensor, width: Tensor, places: Tensor) -> Tensor:
    """Compute the weights of the fine voxels in the larger voxels `index`: (b, n) to (b, n, size)."""
    start = (index * width)[..., None]
    overlap = (torch.minimum(start + width[..., None], places + 1) - torch.maximum(start, places)).clamp(min=0)
    return overlap / overlap.sum(-1, keepdim=True)
