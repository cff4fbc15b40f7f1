"""Files of one scan's prediction: where they go, and when the scan is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import read_json, remove
from autospine.volumes import Volume, read_mask, volume_id

AGAIN = "delete it, or predict again with --overwrite"


@dataclass(frozen=True)
class ScanOutputs:
    """Files of one scan; those that nobody asked for are None."""

    mask: Path
    report: Path  # written last, so that it vouches for the others
    overlay: Path | None
    probabilities: Path | None
    instances: Path | None
    objects: Path | None  # table of the instances

    @classmethod
    def beside(cls, mask: Path, overlay: bool, probabilities: bool, panoptic: bool) -> ScanOutputs:
        """Return the files that are asked for beside a mask."""
        folder, name = mask.parent, volume_id(mask)
        return cls(
            mask=mask,
            report=folder / f"{name}.json",
            overlay=folder / f"{name}.png" if overlay else None,
            probabilities=folder / f"{name}.npy" if probabilities else None,
            instances=folder / "panoptic" / mask.name if panoptic else None,
            objects=folder / "panoptic" / f"{name}.json" if panoptic else None,
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Return every file that is asked for."""
        others = (self.overlay, self.probabilities, self.instances, self.objects)
        return self.mask, self.report, *(path for path in others if path is not None)

    @property
    def done(self) -> bool:
        """Return whether everything that is asked for is there."""
        return all(path.exists() for path in self.files)

    def check_report(self, models: Sequence[str], overwrite: bool) -> None:
        """Check before long work that the report which is there, if any, may be replaced.

        Args:
            models: Names of those that will predict.
            overwrite: Whether the user wants other models' files replaced.

        Raises:
            UserError: It is another tool's, or other models wrote it together with the mask.
        """
        if not self.report.exists():
            return
        content = read_json(self.report)
        if not isinstance(content, dict) or "autospine" not in content:
            raise UserError(self.report, "is no report of autospine_predict", "choose another output")
        if not overwrite and self.mask.exists() and content.get("models") != list(models):
            raise UserError(self.mask, "was predicted by other models", AGAIN)

    def begin(self, mask: Volume, overwrite: bool) -> None:
        """Take the report away before the others are written; a mask that is there is kept unless it is the same.

        Raises:
            UserError: The mask there is another one, corrected by hand perhaps, and nobody asked for its replacement.
        """
        if not overwrite and self.mask.exists() and not _same(self.mask, mask):
            if self.probabilities is not None and not self.report.exists():
                remove(self.probabilities)  # they belong to the mask that is not written
            raise UserError(self.mask, "is there already and is another mask than these models predict", AGAIN)
        remove(self.report)


def _same(path: Path, mask: Volume) -> bool:
    try:
        existing = read_mask(path)
    except UserError:  # damaged, or no mask at all
        return False
    return existing.geometry.difference(mask.geometry) is None and np.array_equal(existing.array, mask.array)
