"""Affine maps, elastic displacement, mirrored slices and shorter fields of view, of images, labels and centres."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.augmentation.elastic import displacement, invert
from autospine.augmentation.parameters import Parameters
from autospine.core.transfer import send


def resample(images: Tensor, labels: Tensor, parameters: Parameters, outside: int) -> None:
    """Resample the chosen samples in place: images bilinearly, labels to the nearest voxel.

    What comes from beyond the image is dark, and labelled `outside`.

    Shape:
        images (B, C, [D,] H, W), labels (B, [D,] H, W).
    """
    mirrored = send(parameters.mirrored_slices.nonzero()[:, 0], images.device)
    if len(mirrored):
        images[mirrored] = images[mirrored].flip(-3)
        labels[mirrored] = labels[mirrored].flip(-3)
    turned = (parameters.matrix != torch.eye(2)).flatten(1).any(1)
    elastic = (parameters.elastic != 0).flatten(1).any(1)
    chosen = (turned | elastic | (parameters.shift != 0).any(1)).nonzero()[:, 0]
    if not len(chosen):
        return
    inverse = send(torch.linalg.inv(parameters.matrix[chosen]), images.device)  # (b, 2, 2), inverted on the host
    grid = _sampling_grid(inverse, send(parameters.shift[chosen], images.device), images.shape[-2:])
    if elastic.any():
        grid += _elastic_shift(inverse, send(parameters.elastic[chosen], images.device), images.shape[-2:])
    chosen = send(chosen, images.device)
    planes = images[chosen].flatten(1, -3)  # (b, C * D, H, W)
    darkest = planes.amin((1, 2, 3), keepdim=True)
    resampled = F.grid_sample(planes.sub_(darkest), grid, "bilinear", "zeros", align_corners=False).add_(darkest)
    images[chosen] = resampled.view(-1, *images.shape[1:])
    maps = labels[chosen].float().view(len(chosen), -1, *labels.shape[-2:]) - outside  # (b, D or 1, H, W)
    resampled = F.grid_sample(maps, grid, "nearest", "zeros", align_corners=False).add_(outside)
    labels[chosen] = resampled.to(labels.dtype).view(-1, *labels.shape[1:])


def _sampling_grid(inverse: Tensor, shift: Tensor, size: Sequence[int]) -> Tensor:
    """Compute where every output voxel comes from, (b, H, W, 2) of (column, row), -1..1 from edge to edge."""
    extent = torch.tensor(size, dtype=torch.float32)
    centre = (extent - 1) / 2
    rows, columns = (send(torch.arange(n) - m, shift.device) for n, m in zip(size, centre, strict=True))  # (H,), (W,)
    scale = 2 / extent  # of voxels to -1..1; the centre is 0
    grid = torch.empty(len(inverse), *size, 2, device=shift.device)
    for axis in range(2):
        along_rows = scale[axis] * inverse[:, axis, :1] * (rows - shift[:, :1])  # (b, H)
        along_columns = scale[axis] * inverse[:, axis, 1:] * (columns - shift[:, 1:])  # (b, W)
        torch.add(along_rows[:, :, None], along_columns[:, None, :], out=grid[..., 1 - axis])
    return grid


def _elastic_shift(inverse: Tensor, elastic: Tensor, size: Sequence[int]) -> Tensor:
    """Compute what an elastic displacement of the new image adds to the sampling grid, (b, H, W, 2)."""
    away = displacement(elastic, size)  # (b, 2, H, W)
    source = torch.einsum("bij,bjhw->bhwi", inverse, away)
    return (source * send(2 / torch.tensor(size, dtype=torch.float32), source.device)).flip(-1)


def transform_centres(centres: Tensor, parameters: Parameters, size: Sequence[int]) -> Tensor:
    """Return where (B, N, 2 or 3) voxel coordinates in ([D,] H, W) are in the resampled image."""
    device = centres.device
    centre = send((torch.tensor(size[-2:], dtype=centres.dtype) - 1) / 2, device)
    matrix, shift = (send(x.to(centres.dtype), device) for x in (parameters.matrix, parameters.shift))
    in_plane = (centres[..., -2:] - centre) @ matrix.transpose(1, 2) + shift[:, None] + centre
    if parameters.elastic.any():
        in_plane = invert(send(parameters.elastic.to(centres.dtype), device), size[-2:], in_plane)
    if centres.shape[-1] == 2:
        return in_plane
    slices = centres[..., :1]
    mirrored = send(parameters.mirrored_slices, device)[:, None, None]
    return torch.cat([torch.where(mirrored, size[0] - 1 - slices, slices), in_plane], -1)


def crop_field_of_view(images: Tensor, labels: Tensor, parameters: Parameters, outside: int) -> None:
    """Make rows and columns that are not visible dark, in place: (B, C, [D,] H, W).

    Rows, beyond which the spine goes on, are labelled `outside`; columns background, since a picture is padded there.
    """
    for index, ends in enumerate(parameters.visible_rows.tolist()):
        for hidden in _hidden(ends, images.shape[-2]):
            images[index, ..., hidden, :] = images[index].amin()
            labels[index, ..., hidden, :] = outside
    for index, ends in enumerate(parameters.visible_columns.tolist()):
        for hidden in _hidden(ends, images.shape[-1]):
            images[index, ..., hidden] = images[index].amin()
            labels[index, ..., hidden] = 0


def _hidden(ends: list[int], size: int) -> list[slice]:
    """Return what lies before the first that is kept and from the end on, unless it is empty."""
    return [hidden for hidden in (slice(0, ends[0]), slice(ends[1], size)) if hidden.start < hidden.stop]
