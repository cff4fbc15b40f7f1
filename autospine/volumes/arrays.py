"""Volumes from arrays that never were files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autospine.core.errors import UserError
from autospine.volumes.geometry import CANONICAL, Geometry, triple
from autospine.volumes.nifti import LPS
from autospine.volumes.volume import Volume


def image_of_array(
    array: np.ndarray, spacing: Sequence[float] | None = None, affine: np.ndarray | None = None
) -> Volume:
    """Return an array as a scan, float32; one of spacing and affine says where its voxels lie.

    Args:
        array: Three axes.
        spacing: mm along the axes of a canonical array: slices from right to left, rows from head to foot, columns from
            front to back.
        affine: 4x4 matrix from index to RAS mm, as nibabel has it; the axes may be any.

    Raises:
        UserError: The array is no scan, or its grid is not given, given twice, or none that a scan can have.
    """
    if array.ndim != 3 or not array.size or array.dtype.kind not in "iuf":
        problem = f"has the shape {array.shape} and the type {array.dtype}"
        raise UserError("the array", problem, "give real numbers along three axes, one array per channel")
    if affine is not None and spacing is None:
        if np.shape(affine) != (4, 4):
            raise UserError("affine=", f"has the shape {np.shape(affine)}", "give a 4x4 matrix to RAS mm")
        geometry = Geometry.from_affine(array.shape, LPS @ np.asarray(affine, float))
    elif spacing is not None and affine is None:
        if len(spacing) != 3:
            raise UserError("spacing=", f"holds {len(spacing)} numbers", "give mm along slices, rows and columns")
        directions = tuple(float(cosine) for cosine in CANONICAL.T.ravel())
        geometry = Geometry(array.shape, triple(spacing), (0.0, 0.0, 0.0), directions)
    else:
        raise UserError("the array", "needs one grid", "give either spacing= or affine=")
    if reason := geometry.problem():
        raise UserError("the array", f"has a grid that no scan has: {reason}", "check spacing= or affine=")
    volume = Volume.from_file_order(array, geometry, None, np.float32)
    if not np.isfinite(volume.array).all():
        raise UserError("the array", "holds NaN or infinite values", "replace them")
    return volume
