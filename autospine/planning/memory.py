"""Memory of a training, predicted before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from autospine.core.machine import Machine
    from autospine.networks.shape import NetworkShape
    from autospine.planning.plan import Plan

BYTES_PER_ACTIVATION = (
    10.0  # outputs of convolution and normalisation kept for the backward pass, measured on the U-Net
)
BYTES_PER_PARAMETER = 20.0  # weight, gradient, two moments, one copy
FIXED_GIB = 0.6  # libraries and the loader


def activations(shape: NetworkShape, patch: tuple[int, ...]) -> float:
    """Count the values that one sample's forward pass keeps."""
    total, size = 0.0, np.array(patch, float)
    for stage, (width, stride) in enumerate(zip(shape.widths, shape.strides, strict=True)):
        size = size / np.array(stride)
        layers = shape.blocks + (shape.decoder_blocks + 2 if stage + 1 < len(shape.widths) else 0)
        total += float(size.prod()) * width * layers
    return total


def parameters(shape: NetworkShape) -> int:
    """Count the weights of the baseline U-Net."""
    total, before = 0, shape.in_channels
    finer = len(shape.widths) - 1
    for stage, (width, kernel) in enumerate(zip(shape.widths, shape.kernels, strict=True)):
        area = int(np.prod(kernel))
        total += area * width * (before + width * (shape.blocks - 1)) + 2 * width * shape.blocks
        if stage < finer:
            total += width * shape.widths[stage + 1]
            total += area * width * width * (1 + shape.decoder_blocks) + 2 * width * shape.decoder_blocks
            heads = shape.deep_supervision or stage == 0
            total += (width + 1) * shape.out_channels * heads
        before = width
    return total


def training_memory_gib(plan: Plan) -> float:
    """Predict the peak memory in GiB of training the plan's U-Net; training measures other networks itself."""
    kept = plan.batch * activations(plan.network, plan.network_patch) * BYTES_PER_ACTIVATION
    return FIXED_GIB + (kept + parameters(plan.network) * BYTES_PER_PARAMETER) / 2**30


# Multiply-adds of training per second that machines reach on these networks, from slow to quick.
CPU_RATE_PER_CORE = (10e9, 100e9)
CUDA_RATE = (3e12, 60e12)


def multiply_adds(shape: NetworkShape, patch: tuple[int, ...]) -> float:
    """Count the multiply-adds of one sample's forward pass."""
    total, size, before = 0.0, np.array(patch, float), shape.in_channels
    for stage, (width, kernel, stride) in enumerate(zip(shape.widths, shape.kernels, shape.strides, strict=True)):
        size = size / np.array(stride)
        area = float(np.prod(kernel)) * float(size.prod())
        total += area * width * (before + width * (shape.blocks - 1))
        if stage + 1 < len(shape.widths):
            total += area * width * (2 * width + width * (shape.decoder_blocks - 1))
        before = width
    return total


def training_seconds(plan: Plan, machine: Machine, updates: int) -> tuple[float, float]:
    """Predict the shortest and longest time in seconds that updates may take."""
    work = 3 * plan.batch * multiply_adds(plan.network, plan.network_patch) * updates
    low, high = CUDA_RATE if machine.device.startswith("cuda") else [rate * machine.cores for rate in CPU_RATE_PER_CORE]
    return work / high, work / low
