"""Copies from the host to a device that the host does not wait for."""

from __future__ import annotations

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; to a CUDA device the copy is queued, and the host goes on.

    PyTorch waits for the device's whole queue otherwise. MPS may read the source after it was freed, so it waits.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")
