"""A data set that is held whole in a device's memory: patches are cut there, and nothing is read or copied again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autospine.training.data import Batch, Batches, Patch, PatchSampler

GIB = 2**30


def gib_of(sampler: PatchSampler) -> float:
    """Return the GiB that a sampler's cases take: float16 images, one or two bytes for each voxel's train id."""
    label_bytes = 1 if sampler.encoding.ignore_index < 256 else 2
    channels = len(sampler.plan.channels)
    voxels = sum(int(np.prod(store.record.shape)) for store in sampler.stores)
    return voxels * (2 * channels + label_bytes) / GIB


class ResidentBatches(Batches):
    """The same batches as `Batches` makes, cut out of cases that lie on a device.

    Args:
        sampler: Where patches come from.
        size: Patches per batch.
        seed: With the step, decides everything.
        rank: Process of a distributed training.
        device: That holds the cases.
    """

    def __init__(self, sampler: PatchSampler, size: int, seed: int, rank: int, device: torch.device) -> None:
        super().__init__(sampler, size, seed, rank, workers=1)
        self.device = device
        whole = (slice(None),) * 3
        cases = (sampler.read(index, whole) for index in range(len(sampler.stores)))
        self.cases = [tuple(torch.from_numpy(array).to(device) for array in case) for case in cases]

    def batch_of(self, patches: Sequence[Patch]) -> Batch:
        """Make the batch of some patches, on the device."""
        cut = [self._cut(*patch) for patch in patches]
        images, labels = (torch.stack(tensors) for tensors in zip(*cut, strict=True))
        geometry = zip(*(self.sampler.geometry(*patch) for patch in patches), strict=True)
        centres, offsets, spacing = (torch.from_numpy(np.stack(arrays)) for arrays in geometry)
        on_host = Batch(images, labels, centres, offsets, spacing)
        return on_host.to(self.device)

    def _cut(self, index: int, start: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Cut one patch as `PatchSampler.extract_patch` does: `(channels, *patch)` float32, and its train ids."""
        box, inside = self.sampler.box(index, start)
        image, labels = self.cases[index]
        part = image[(slice(None), *inside)].float()
        size = [high - low for low, high in box]
        held = tuple(slice(side.start - low, side.stop - low) for (low, _), side in zip(box, inside, strict=True))
        patch = part.amin().expand(len(image), *size).clone()
        patch[(slice(None), *held)] = part
        ids = torch.full(size, self.sampler.encoding.ignore_index, dtype=labels.dtype, device=self.device)
        ids[held] = labels[inside]
        view = self.sampler.plan.view_axis
        return (patch, ids) if view is None else (patch.squeeze(view + 1), ids.squeeze(view))
