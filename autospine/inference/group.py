"""Models that see the same windows of a scan: their answers, blended, on the plan's grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from autospine.core.precision import Precision
from autospine.inference.back import pick_slices
from autospine.inference.inverse import invert_stream, spatial_steps
from autospine.inference.model import Model
from autospine.inference.sliding_window import Chunk, stream_slices, stream_volume
from autospine.preprocessing.transforms.base import CaseData, apply_transforms, make_transforms

BATCH_VOXELS = {"cpu": 400_000, "cuda": 8_000_000}  # windows at once


class ModelGroup:
    """Models of one plan, one patch and the same preprocessing steps.

    Args:
        models: One or more.
        shares: Of each model's answer in the blend; those of all groups together sum to one.
        device: Where.
        precision: Of the forward passes.
    """

    def __init__(
        self, models: Sequence[Model], shares: Sequence[float], device: torch.device, precision: Precision
    ) -> None:
        card = models[0].card
        self.plan, self.encoding, self.patch = card.plan, card.encoding, card.patch
        self.device, self.precision, self.shares = device, precision, tuple(shares)
        self.steps = make_transforms(card.recipe.transforms)
        self.networks = [precision.arrange(model.network(device), card.plan.dimension) for model in models]
        self.batch = max(BATCH_VOXELS[device.type] // int(np.prod(self.patch)), 1)
        self.seconds = 0.0

    @property
    def axis(self) -> int:
        """Canonical axis along which chunks come."""
        return 1 if self.plan.view_axis is None else self.plan.view_axis

    def chunks(
        self, moved: np.ndarray, spacing: tuple[float, float, float], wanted: range | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Blended outputs on the plan's grid, in order along `axis`.

        Args:
            moved: `(channels, slices, rows, columns)` float32 on the plan's grid.
            spacing: Its mm along (slices, rows, columns).
            wanted: Slices that are asked for, at even distances from slice 0 on; None for all. No other ones are put
                through the networks where these see slices.

        Yields:
            (first plane, `(outputs, slices, rows, columns)`), each model's part times its share; the wanted slices
            alone.
        """
        wanted = wanted or range(moved.shape[1])
        prepared, way = apply_transforms(self.steps, CaseData(moved, None, spacing, view_axis=self.plan.view_axis))
        moves = spatial_steps(way, prepared.shape)
        seen_alone = self.plan.view_axis == 0 and all(move.keeps(0) for move in moves)
        windows = self._windows(
            torch.from_numpy(np.ascontiguousarray(prepared.image)), wanted.step if seen_alone else 1
        )
        fill = np.zeros(self.encoding.channels, np.float32)
        fill[0] = sum(self.shares)  # outside a crop there is background
        back = invert_stream(moves, ((chunk.first, chunk.values.numpy()) for chunk in windows), self.axis, fill)
        yield from back if seen_alone else pick_slices(back, self.axis, wanted)

    def _windows(self, image: Tensor, step: int) -> Iterator[Chunk]:
        """Finished chunks; of a view along the slices, those of every `step`-th one."""
        if self.plan.view_axis is None:
            return stream_volume(image, self.patch, self.batch, self._timed)
        return stream_slices(image, self.plan.view_axis, self.patch, self.batch, self._timed, step)

    def _timed(self, windows: Tensor) -> Tensor:
        start = time.perf_counter()
        answer = self._forward(windows)
        self.seconds += time.perf_counter() - start
        return answer

    def _forward(self, windows: Tensor) -> Tensor:
        """Blended answer of all networks, `(B, channels, *window)` float32 on the CPU."""
        layout = self.precision.layout(self.plan.dimension)
        images = windows.to(self.device).contiguous(memory_format=layout)
        with torch.inference_mode(), self.precision.autocast(self.device):
            total = self._answer(0, images)
            for k in range(1, len(self.networks)):
                total += self._answer(k, images)
        return total.cpu()

    def _answer(self, k: int, images: Tensor) -> Tensor:
        """One network's answer times its share: soft-max over classes and over levels, offsets as they are."""
        answer = self.networks[k](images).float()
        classes = self.encoding.semantic_channels
        levels = classes + len(self.encoding.offset_axes)
        answer[:, :classes] = answer[:, :classes].softmax(dim=1)
        if self.encoding.ordered:
            answer[:, levels:] = answer[:, levels:].softmax(dim=1)
        return answer if self.shares[k] == 1 else answer.mul_(self.shares[k])


def make_groups(models: Sequence[Model], device: torch.device, precision: Precision) -> list[ModelGroup]:
    """Sorts models by what they see; their weights become shares of one."""
    found: dict[tuple[str, tuple[int, ...]], list[Model]] = {}
    for model in models:
        found.setdefault((model.card.recipe.transforms_hash(), model.card.patch), []).append(model)
    total = sum(model.weight for model in models)
    return [ModelGroup(alike, [model.weight / total for model in alike], device, precision) for alike in found.values()]
