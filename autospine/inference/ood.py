"""Out-of-distribution check: warnings where a scan lies outside the training domain of its model."""

from __future__ import annotations

import numpy as np

from autospine.planning.plan import Plan

AXES = ("from left to right", "from head to foot", "from front to back")
TOLERANCE = 1.25  # of spacing and extent, as a factor
CONTRAST_TOLERANCE = 0.4  # standard deviations of the image
MASK_VALUES, MASK_HIGHEST = 64, 1000  # at most so many labels of a mask, and so high
STRIDE = 61  # of the voxels that are looked at first
FEW_VOXELS = 200  # too few for their contrast to say anything


def domain_warnings(
    plan: Plan, image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float], sequence: str
) -> tuple[str, ...]:
    """Return one sentence for each way in which a scan is unlike the training data.

    Args:
        plan: With its training domain.
        image: `(slices, rows, columns)` as read.
        mask: The predicted labels, same shape.
        spacing: mm, same order.
        sequence: From the file's name, "unknown" if it names none.
    """
    domain, warnings = plan.training_domain, []
    for axis, direction in enumerate(AXES):
        low, high = domain.spacing_low[axis], domain.spacing_high[axis]
        if not low / TOLERANCE <= spacing[axis] <= high * TOLERANCE:
            warnings.append(f"spacing {direction} is {spacing[axis]:.2f} mm; training had {low:.2f} to {high:.2f}")
        extent, low, high = spacing[axis] * image.shape[axis], domain.extent_low[axis], domain.extent_high[axis]
        if not low / TOLERANCE <= extent <= high * TOLERANCE:
            warnings.append(f"field of view {direction} is {extent:.0f} mm; training had {low:.0f} to {high:.0f}")
    if sequence != "unknown" and domain.sequences != ("unknown",) and sequence not in domain.sequences:
        known = ", ".join(domain.sequences)
        warnings.append(f"the sequence {sequence} was not in the training data ({known})")
    if np.ptp(image) == 0:
        warnings.append("the image is constant: there is nothing to segment")
    elif looks_like_a_mask(image):
        warnings.append(f"the image holds {np.unique(image).size} whole numbers only: it looks like a mask, not a scan")
    elif domain.contrast is not None and np.count_nonzero(mask) > FEW_VOXELS:
        contrast = float((image[mask > 0].mean() - image.mean()) / image.std())
        low, high = domain.contrast
        if not low - CONTRAST_TOLERANCE <= contrast <= high + CONTRAST_TOLERANCE:
            warnings.append(
                f"contrast: what was segmented lies {contrast:+.2f} deviations from the image's mean; training had "
                f"{low:+.2f} to {high:+.2f}"
            )
    return tuple(warnings)


def looks_like_a_mask(image: np.ndarray) -> bool:
    """Return whether an image holds nothing but a few small whole numbers, as masks do."""
    if np.unique(image.ravel()[::STRIDE]).size > MASK_VALUES:  # as good as every scan, without sorting it
        return False
    values = np.unique(image)
    return values.size <= MASK_VALUES and values[0] >= 0 and values[-1] <= MASK_HIGHEST and not (values % 1).any()
