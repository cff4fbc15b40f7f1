"""A tiny spine on disk: boxes one above another in SPIDER's folder layout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

SHAPE = (6, 48, 16)  # slices, rows, columns
DISTANCE_ROWS = 8  # rows between neighbouring boxes
RIGHT_POSTERIOR_INFERIOR = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def stacked_boxes(labels: list[int], shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Labels from the lowest up, each a box of 4 x 4 x 6 voxels."""
    mask = np.zeros(shape, np.uint8)
    for place, label in enumerate(labels):
        bottom = shape[1] - 4 - DISTANCE_ROWS * place
        mask[1:5, bottom - 4 : bottom, 4:10] = label
    return mask


def write_array(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (4, 1.5, 1.5)) -> Path:
    """A file whose canonical array is `array` (its slices reversed: they are stored left to right)."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array[::-1].copy())
    image.SetSpacing(spacing[::-1])
    image.SetDirection(RIGHT_POSTERIOR_INFERIOR)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def write_spine(
    root: Path, case: str, labels: list[int] | None = None, seed: int | None = None, suffix: str = ".mha"
) -> None:
    """One case with a noisy image and a mask of boxes (1, 2, 3, 4, 5 from the lowest up)."""
    number = seed if seed is not None else sum(map(ord, case))
    mask = stacked_boxes([1, 2, 3, 4, 5] if labels is None else labels)
    noise = np.random.default_rng(number).normal(100, 20, mask.shape) + 50 * (mask > 0)
    write_array(root / "images" / (case + suffix), noise.astype(np.float32))
    write_array(root / "masks" / (case + suffix), mask)


@pytest.fixture
def spine() -> Callable[..., None]:
    return write_spine


@pytest.fixture
def write() -> Callable[..., Path]:
    return write_array


@pytest.fixture
def boxes() -> Callable[..., np.ndarray]:
    return stacked_boxes


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A real small file system in memory; the test skips where it cannot be had."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a file system takes Linux and root")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount does not work here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    yield from mounted(tmp_path / "disk", "size=256k")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that refuses every write, root's too."""
    yield from mounted(tmp_path / "disk", "ro,size=256k")
