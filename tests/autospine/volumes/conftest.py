from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from tests.paths import SHARED


def signed_permutations() -> list[np.ndarray]:
    """The 48 directions (3, 3) that run along the axes of space."""
    return [
        np.eye(3)[:, list(axes)] * signs for axes in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)
    ]


def save(
    path: Path,
    array: np.ndarray,
    direction: np.ndarray,
    spacing: tuple[float, ...] = (0.7, 1.5, 4.0),
    origin: tuple[float, ...] = (-31.5, 12.25, 77.0),
) -> None:
    """Writes values of shape (i, j, k) with SimpleITK."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection([float(x) for x in np.ravel(direction)])
    SimpleITK.WriteImage(image, str(path), True)


@pytest.fixture(scope="session")
def directions() -> list[np.ndarray]:
    return signed_permutations()


@pytest.fixture(scope="session", name="save")
def save_with_simpleitk():
    return save


@pytest.fixture
def scan(tmp_path: Path):
    """Writes a random scan with the given suffix and returns its path and values (i, j, k)."""

    def make(suffix: str, dtype: str = "int16", seed: int = 0) -> tuple[Path, np.ndarray]:
        array = (np.random.default_rng(seed).random((7, 11, 13)) * 250).astype(dtype)
        path = tmp_path / f"scan{suffix}"
        save(path, array, np.eye(3))
        return path, array

    return make


@pytest.fixture
def real_scans() -> list[Path]:
    """One scan and its mask of each real data set."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real scans at {SHARED / 'data'}")
    folders = [SHARED / "data" / name / kind for name in ("t2", "mixed", "ffe") for kind in ("images", "masks")]
    return [sorted(folder.glob("*.mha"))[0] for folder in folders] + sorted(
        (SHARED / "data" / "subregions").glob("*.nii.gz")
    )
