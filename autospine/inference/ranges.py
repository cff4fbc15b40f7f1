"""Warns where a scan lies outside what its model was trained on."""

from __future__ import annotations

import numpy as np

from autospine.planning.plan import Plan

AXES = ("from left to right", "from head to foot", "from front to back")
SPACING_ROOM = 1.25
EXTENT_ROOM = 1.25
CONTRAST_ROOM = 0.4  # deviations of the image
FEW_VOXELS = 200  # say nothing of contrast


def domain_warnings(
    plan: Plan, image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float], sequence: str
) -> tuple[str, ...]:
    """One sentence for each way in which a scan is unlike the training data.

    Args:
        plan: With the range of its training data.
        image: `(slices, rows, columns)` as read.
        mask: What was predicted, same shape.
        spacing: mm, same order.
        sequence: From the file's name, "unknown" if it says nothing.
    """
    seen, found = plan.training_domain, []
    for axis, word in enumerate(AXES):
        low, high = seen.spacing_low[axis] / SPACING_ROOM, seen.spacing_high[axis] * SPACING_ROOM
        if not low <= spacing[axis] <= high:
            found.append(
                f"spacing {word} is {spacing[axis]:.2f} mm; training had {seen.spacing_low[axis]:.2f} "
                f"to {seen.spacing_high[axis]:.2f}"
            )
        extent = spacing[axis] * image.shape[axis]
        low, high = seen.extent_low[axis] / EXTENT_ROOM, seen.extent_high[axis] * EXTENT_ROOM
        if not low <= extent <= high:
            found.append(
                f"field of view {word} is {extent:.0f} mm; training had {seen.extent_low[axis]:.0f} "
                f"to {seen.extent_high[axis]:.0f}"
            )
    if sequence != "unknown" and seen.sequences != ("unknown",) and sequence not in seen.sequences:
        found.append(f"the sequence {sequence} was not in the training data ({', '.join(seen.sequences)})")
    if np.ptp(image) == 0:
        found.append("the image is constant: there is nothing to segment")
    elif seen.contrast is not None and np.count_nonzero(mask) > FEW_VOXELS:
        contrast = float((image[mask > 0].mean() - image.mean()) / image.std())
        low, high = seen.contrast
        if not low - CONTRAST_ROOM <= contrast <= high + CONTRAST_ROOM:
            found.append(
                f"contrast: what was segmented lies {contrast:+.2f} deviations from the image's mean; training had "
                f"{low:+.2f} to {high:+.2f}"
            )
    return tuple(found)
