"""Transforms to another grid: crops, sizes and margins. Axes are the canonical ones, whatever the view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.metrics.components import FACES, component_boxes, connected_components
from autospine.preprocessing.resampling import resize_labels
from autospine.preprocessing.transforms.base import (
    AnyTransform,
    CaseData,
    Shape,
    Transform,
    check_count,
    check_flag,
)
from autospine.volumes.geometry import three
from autospine.volumes.resampling import resize, source_positions

Window = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]

BINS = 256
CLASSES = 3  # air, muscle and bone, fat and fluid: with two, muscle and bone fall to the air


class SpatialTransform(ABC):
    """Base of transforms that only crop, resize and pad: their inverse can be computed a few planes at a time."""

    @abstractmethod
    def for_shape(self, shape: Shape) -> CropResizePad:
        """Return what it does to a grid."""

    def apply(self, case: CaseData) -> CaseData:
        """Return the case on the other grid."""
        return self.for_shape(case.shape).apply(case)

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Bring `(channels, slices, rows, columns)` back to the grid of `shape`; see `Transform`."""
        return self.for_shape(shape).inverse(values, shape, fill)


@dataclass(frozen=True)
class CropResizePad(SpatialTransform):
    """A window of one grid, resized and put into another grid."""

    window: Window  # what is kept of the grid before
    size: Shape  # voxels of the window after resizing
    offset: Shape  # where it starts in the grid after
    shape: Shape  # of the grid after
    zero: bool = False  # whether the margin is 0 rather than each channel's darkest value

    def for_shape(self, shape: Shape) -> CropResizePad:
        """Return itself: it was made for one grid."""
        return self

    @property
    def window_size(self) -> Shape:
        """Return the voxels of the window before resizing."""
        return three(side.stop - side.start for side in self.window)

    @property
    def target(self) -> Window:
        """Return where the resized window lies in the grid after."""
        return three(slice(o, o + n) for o, n in zip(self.offset, self.size, strict=True))

    def spacing_after(self, spacing: Spacing) -> Spacing:
        """Return the mm of a voxel after resizing."""
        return three(s * (o / n) for s, o, n in zip(spacing, self.window_size, self.size, strict=True))

    def apply(self, case: CaseData) -> CaseData:
        """Resample the image linearly and the mask by shares; the margin is dark and unlabelled."""
        image = resize(case.image[(slice(None), *self.window)], self.size)
        mask = None if case.mask is None else resize_labels(case.mask[self.window], self.size)
        dark = np.zeros(len(image)) if self.zero else image.min(axis=(1, 2, 3))
        return replace(
            case,
            image=np.ascontiguousarray(self._pad(image, dark)),
            mask=None if mask is None else np.ascontiguousarray(self._pad(mask[None], np.zeros(1))[0]),
            spacing=self.spacing_after(case.spacing),
            slices=self._slices(case),
        )

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Resample linearly inside the window and fill around it."""
        inside = resize(values[(slice(None), *self.target)], self.window_size)
        return inside if self.window_size == shape else in_grid(inside, shape, self.window, fill)

    def _pad(self, values: np.ndarray, fill: np.ndarray) -> np.ndarray:
        return values if self.size == self.shape else in_grid(values, self.shape, self.target, fill)

    def _slices(self, case: CaseData) -> tuple[int, ...] | None:
        """Return the slices that take part in training: those that came from such slices, none of the margin."""
        view = case.view_axis
        if view is None:
            return None
        size = self.size[view]
        if case.slices is None and size == self.shape[view]:
            return None
        kept = set(range(case.shape[view]) if case.slices is None else case.slices)
        nearest = np.floor(source_positions(self.window_size[view], size) + 0.5).astype(int) + self.window[view].start
        return tuple(k + self.offset[view] for k, source in enumerate(nearest) if int(source) in kept)


def in_grid(values: np.ndarray, shape: Shape, window: Window, fill: np.ndarray) -> np.ndarray:
    """Return `(channels, *shape)`: the values in the window, `(channels,)` fill around it."""
    result = np.empty((len(values), *shape), values.dtype)
    result[:] = fill[:, None, None, None]
    result[(slice(None), *window)] = values
    return result


def crop(window: Window) -> CropResizePad:
    """Keep a window."""
    size = three(side.stop - side.start for side in window)
    return CropResizePad(window, size, (0, 0, 0), size)


def centred(shape: Shape, size: Sequence[int], target: Sequence[int], zero: bool = False) -> CropResizePad:
    """Resize a whole grid and put it in the middle of another."""
    offset = three((t - n) // 2 for t, n in zip(target, size, strict=True))
    return CropResizePad(three(slice(0, n) for n in shape), three(size), offset, three(target), zero)


@dataclass(frozen=True)
class CentreCrop(SpatialTransform):
    """Keep a share of each axis about the centre, 0 to 1."""

    slices: float = 1.0
    rows: float = 1.0
    columns: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share:g}, not a share of 0 to 1")

    def window(self, shape: Shape) -> Window:
        """Return what is kept of a grid."""
        shares = (self.slices, self.rows, self.columns)
        kept = [max(round(size * share), 1) for size, share in zip(shape, shares, strict=True)]
        return three(slice((n - k) // 2, (n - k) // 2 + k) for n, k in zip(shape, kept, strict=True))

    def for_shape(self, shape: Shape) -> CropResizePad:
        """Return the crop of a grid."""
        return crop(self.window(shape))


@dataclass(frozen=True)
class VoxelsPerAxis:
    """Numbers of voxels along each axis; 0 leaves an axis alone."""

    slices: float = 0
    rows: float = 0
    columns: float = 0

    def __post_init__(self) -> None:
        for name, count in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            check_count(name, count, least=0)

    @property
    def wanted(self) -> Shape:
        """Return the voxels along (slices, rows, columns), 0 where an axis is left alone."""
        return int(self.slices), int(self.rows), int(self.columns)


@dataclass(frozen=True)
class Resize(VoxelsPerAxis, SpatialTransform):
    """Resize the given axes to a number of voxels, each by its own factor."""

    def for_shape(self, shape: Shape) -> CropResizePad:
        """Return the resizing of a grid."""
        target = [new or old for old, new in zip(shape, self.wanted, strict=True)]
        return centred(shape, target, target)


@dataclass(frozen=True)
class Pad(VoxelsPerAxis, SpatialTransform):
    """Pad axes that have fewer voxels on both sides; nothing is cut off.

    The margin is each channel's darkest value, as if the unscaled image had been padded with 0.
    """

    zero: float = 0  # 1 pads with 0 instead, which after `z_score` is the mean

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("zero", self.zero)

    def for_shape(self, shape: Shape) -> CropResizePad:
        """Return the padding of a grid."""
        return centred(shape, shape, [max(pair) for pair in zip(shape, self.wanted, strict=True)], bool(self.zero))


@dataclass(frozen=True)
class Fit(VoxelsPerAxis):
    """Bring the given axes to an exact number of voxels without distorting the slice.

    The slice's two axes are scaled by one factor in mm, so that the slice just fits, and padded (see `Pad`). Where
    only one of the two is given, the other follows. The axis across the slices is the view axis, in volumes the
    first: fewer slices than wanted are padded, more are interpolated linearly.
    """

    zero: float = 0  # as in `Pad`

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("zero", self.zero)

    def for_case(self, case: CaseData) -> CropResizePad:
        """Return what the case's spacing asks for."""
        size = list(case.shape)
        extent = [n * s for n, s in zip(case.shape, case.spacing, strict=True)]  # mm
        in_plane = [axis for axis in range(3) if axis != (case.view_axis or 0)]
        pixels = [extent[axis] / self.wanted[axis] for axis in in_plane if self.wanted[axis]]
        if pixels:
            for axis in in_plane:
                size[axis] = max(round(extent[axis] / max(pixels)), 1)
        target = [new or old for old, new in zip(size, self.wanted, strict=True)]
        return centred(case.shape, [min(pair) for pair in zip(size, target, strict=True)], target, bool(self.zero))


@dataclass(frozen=True)
class OtsuCrop:
    """Crop to the body as the first channel shows it; slices along the view axis are all kept."""

    margin: float = 10.0  # mm around the body's box

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"margin is {self.margin:g}, below 0")

    def for_case(self, case: CaseData) -> CropResizePad:
        """Return the crop that the case's intensities ask for."""
        from acvl_utils.cropping_and_padding.bounding_boxes import pad_bbox  # loads torch

        body = [[side.start, side.stop] for side in body_window(case.image[0])]
        box = pad_bbox(body, [int(np.ceil(self.margin / mm)) for mm in case.spacing], case.shape)
        if case.view_axis is not None:
            box[case.view_axis] = [0, case.shape[case.view_axis]]
        return crop(three(slice(*side) for side in box))


def body_window(image: np.ndarray) -> Window:
    """Return the box of the largest connected component above the lower of Otsu's two thresholds.

    Otsu, "A threshold selection method from gray-level histograms", 1979, with three classes.

    Args:
        image: `(slices, rows, columns)`.

    Returns:
        The whole grid where the image is constant.
    """
    if image.max() <= image.min():
        return three(slice(0, n) for n in image.shape)
    components, _ = connected_components(image > air_threshold(image), FACES)
    largest = 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return dict(component_boxes(components))[largest]


def air_threshold(image: np.ndarray) -> float:
    """Return the intensity below which there is air; the image must not be constant."""
    from skimage.filters import threshold_multiotsu

    counts, edges = np.histogram(image, BINS)
    classes = min(CLASSES, np.count_nonzero(counts))
    centres = (edges[:-1] + edges[1:]) / 2
    return float(threshold_multiotsu(classes=classes, hist=(counts, centres))[0])  # type: ignore[no-untyped-call]


def shape_after(transforms: Sequence[AnyTransform], shape: Shape, spacing: Spacing, view_axis: int | None) -> Shape:
    """Return the grid after all transforms; a crop to what an image shows is taken to keep all of it.

    Args:
        transforms: Of a recipe.
        shape: Of the plan's grid, (slices, rows, columns).
        spacing: Its mm along the same axes.
        view_axis: The plan's.
    """
    for transform in transforms:
        blank = np.broadcast_to(np.float32(0), (1, *shape))  # one number in memory
        case = CaseData(blank, None, spacing, view_axis=view_axis)
        resolved = transform if isinstance(transform, Transform) else transform.for_case(case)
        if isinstance(resolved, SpatialTransform):
            change = resolved.for_shape(shape)
            shape, spacing = change.shape, change.spacing_after(spacing)
    return shape
