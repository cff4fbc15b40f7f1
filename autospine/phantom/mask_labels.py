"""The integers of a phantom's mask: SPIDER's, or those that tell bodies, posterior elements and sacrum apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

CANAL, DISC = 100, 200  # a disc's label is 200 + its level
MOST = 25  # levels that a scheme has


@dataclass(frozen=True)
class MaskLabels:
    """What is added to a level in the labels of vertebrae, and the sacrum's label, 0 for none."""

    scheme: str
    bodies: int
    posterior_elements: int
    sacrum: int

    @property
    def dtype(self) -> Any:
        """Return the smallest unsigned type that holds them."""
        return np.uint8 if self.posterior_elements + MOST < 256 else np.uint16

    def vertebrae(self, values: Iterable[int]) -> tuple[int, ...]:
        """Return the levels of the vertebrae among labels, in their order."""
        return tuple(level for value in values if 1 <= (level := int(value) - self.bodies) <= MOST)

    def discs(self, values: Iterable[int]) -> tuple[int, ...]:
        """Return the levels of the discs among labels, in their order."""
        return tuple(level for value in values if 1 <= (level := int(value) - DISC) <= MOST)


SPIDER = MaskLabels("spider", 0, 0, 0)
PARTS = MaskLabels("parts", 300, 400, 50)
MASK_LABELS = {labels.scheme: labels for labels in (SPIDER, PARTS)}
