"""The numbers that define an encoder-decoder network, free of torch so that plans can hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

SMALLEST_SIDE = 4  # voxels at the coarsest stage
MOST_STAGES = 7
MOST_WEIGHTS = 10**9  # no spine needs more: a card that says so is damaged, and would fill the memory
SHARES = (0.25, 0.375, 0.5, 0.75, 1.0)  # of a network's widths, among which a time budget chooses

Stages = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class NetworkShape:
    """What a plan decides about an encoder-decoder network.

    Raises:
        ValueError: The stages disagree in number or dimension, or a number cannot be.
    """

    dimension: int  # 2 or 3 spatial axes
    in_channels: int  # channels of the image
    out_channels: int  # classes, background included
    widths: tuple[int, ...]  # channels of each stage, from the finest
    kernels: tuple[tuple[int, ...], ...]  # kernel of each stage, one odd size per axis
    strides: tuple[tuple[int, ...], ...]  # stride into each stage, one per axis; stage 0's are ones
    blocks: int = 2  # convolutions per encoder stage
    decoder_blocks: int = 1  # convolutions per decoder stage
    deep_supervision: bool = True  # whether coarser decoder stages give outputs in training too

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"dimension is {self.dimension}, should be 2 or 3")
        if not 1 < len(self.widths) == len(self.kernels) == len(self.strides):
            raise ValueError("widths, kernels and strides should have one entry per stage, two or more")
        if any(len(axes) != self.dimension for axes in self.kernels + self.strides):
            raise ValueError(f"every kernel and stride should have {self.dimension} axes")
        if any(size < 1 or size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise ValueError("kernel sizes should be odd")
        if set(self.strides[0]) != {1}:
            raise ValueError("the first stage's stride should be ones")
        counts = (self.in_channels, self.out_channels, self.blocks, self.decoder_blocks, *self.widths)
        if min(counts) < 1 or min(size for stride in self.strides for size in stride) < 1:
            raise ValueError("channels, widths, blocks and strides should be 1 or more")
        if self._weights() > MOST_WEIGHTS:
            raise ValueError(f"has over {MOST_WEIGHTS:,} weights")

    def _weights(self) -> int:
        """Estimate the weights of the convolutions: those into each stage, within it, and back out of it."""
        blocks = self.blocks + self.decoder_blocks
        sources = (max(self.in_channels, self.out_channels), *self.widths)
        return sum(
            (source + blocks * width) * width * math.prod(kernel)
            for source, width, kernel in zip(sources, self.widths, self.kernels, strict=False)
        )

    @property
    def scale_factor(self) -> tuple[int, ...]:
        """Return the input voxels per voxel of the deepest stage, one per axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))

    def with_stages(self, widths: tuple[int, ...], strides: tuple[tuple[int, ...], ...] | None = None) -> NetworkShape:
        """Return a paper's stages in place of the plan's: kernels of 3, two convolutions a stage, one output.

        Args:
            widths: Channels of each stage, from the finest.
            strides: Into each stage; halved along every axis before each stage but the first if None.
        """
        one, two, three = ((size,) * self.dimension for size in (1, 2, 3))
        return replace(
            self,
            widths=widths,
            kernels=(three,) * len(widths),
            strides=strides or (one, *(two,) * (len(widths) - 1)),
            blocks=2,
            decoder_blocks=2,
            deep_supervision=False,
        )

    def narrower(self, multiple: int = 1) -> tuple[NetworkShape, ...]:
        """Return this network at a quarter to all of its widths, multiples of `multiple`, from the narrowest."""
        return tuple(
            replace(self, widths=tuple(max(int(width * share) // multiple, 1) * multiple for width in self.widths))
            for share in SHARES
        )


def stages(patch: Sequence[int], spacing: Sequence[float]) -> tuple[Stages, Stages]:
    """Pool an axis while its spacing is within twice the finest and its size allows (after nnU-Net), once at least."""
    fine, size = np.array(spacing, float), np.array(patch)
    kernels, strides = [_kernel(fine)], [(1,) * len(size)]
    while len(strides) < MOST_STAGES:
        pool = (fine <= 2 * fine.min()) & (size >= 2 * SMALLEST_SIDE)
        if not pool.any() or int(np.prod(size)) <= 8 * SMALLEST_SIDE ** len(size):
            if len(strides) > 1:
                break
            pool = size == size.max()  # a tiny patch: two stages are the fewest
        step = np.where(pool, 2, 1)
        fine, size = fine * step, np.ceil(size / step).astype(int)
        strides.append(tuple(int(v) for v in step))
        kernels.append(_kernel(fine))
    return tuple(kernels), tuple(strides)


def _kernel(spacing: np.ndarray) -> tuple[int, ...]:
    """Return 3 along an axis, 1 while the axis is more than twice as coarse as the finest."""
    return tuple(3 if v <= 2 * spacing.min() else 1 for v in spacing)
