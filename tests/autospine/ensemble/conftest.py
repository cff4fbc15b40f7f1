"""Images whose members' probabilities are random, whole and as the search stores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from autospine.ensemble.stored_image import StoredImage

WHOLE = (slice(None),) * 3


@dataclass(frozen=True)
class Made:
    """An image, and the arrays that it was made of.

    Attributes:
        image: As stored for the search.
        paths: `(classes, slices, rows, columns)` float16 .npy of each member.
        reference: `(slices, rows, columns)` classes, -1 where nobody annotated.
    """

    image: StoredImage
    paths: list[Path]
    reference: np.ndarray

    def full(self) -> np.ndarray:
        """`(members, classes, slices, rows, columns)` float32, everything at once."""
        return np.stack([np.load(path) for path in self.paths]).astype(np.float32)


def make_image(
    folder: Path,
    seed: int = 0,
    members: int = 3,
    classes: int = 4,
    shape: tuple[int, int, int] = (3, 9, 7),
    sureness: float = 2.0,
    name: str | None = None,
    patient: str | None = None,
) -> Made:
    """Members that are right more often than not, each in its own way; some voxels without annotation."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    reference = random.integers(0, classes, shape).astype(np.int16)
    truth = np.eye(classes)[reference].transpose(3, 0, 1, 2)  # (classes, *shape)
    paths = []
    for k in range(members):
        logits = random.normal(size=(classes, *shape)) + sureness * truth * random.random()
        values = np.exp(logits) / np.exp(logits).sum(axis=0)
        paths.append(folder / f"raw_{seed}_{k}.npy")
        np.save(paths[-1], values.astype(np.float16))
    reference[random.random(shape) < 0.1] = -1
    image = StoredImage(folder, name or f"case_{seed}")
    image.write(paths, reference, WHOLE, patient or f"patient_{seed}", [f"digest_{k}" for k in range(members)])
    return Made(image, paths, reference)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Made]:
    """Makes images in the test's folder."""

    def one(seed: int = 0, **changes: object) -> Made:
        return make_image(tmp_path / "stored", seed, **changes)  # type: ignore[arg-type]

    return one
