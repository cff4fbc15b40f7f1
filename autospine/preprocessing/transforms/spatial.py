"""Steps that move a case to another grid: crops, sizes and margins. Axes are the canonical ones, whatever the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from autospine.preprocessing.resampling import resize_labels
from autospine.preprocessing.transforms.base import AnyTransform, CaseData, Shape, Transform, check_count, check_flag
from autospine.volumes.resampling import resize, source_positions

Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CropResizePad:
    """A window of one grid, resized, somewhere in another grid: what all of these steps come to.

    Attributes:
        window: What is kept of the grid before.
        size: Voxels of the window after resizing.
        offset: Where it starts in the grid after.
        shape: Of the grid after.
        zero: Whether the margin is 0 rather than each channel's darkest value.
    """

    window: Window
    size: Shape
    offset: Shape
    shape: Shape
    zero: bool = False

    def for_shape(self, shape: Shape) -> CropResizePad:
        """What it comes to on the grid that it was made for: itself."""
        return self

    def apply(self, case: CaseData) -> CaseData:
        """Linear for the image, by shares for the mask; the margin is dark and unlabelled."""
        image = resize(case.image[(slice(None), *self.window)], self.size)
        mask = None if case.mask is None else resize_labels(case.mask[self.window], self.size)
        old = [part.stop - part.start for part in self.window]
        spacing = [s * (o / n) for s, o, n in zip(case.spacing, old, self.size, strict=True)]
        dark = np.zeros(len(image)) if self.zero else image.min(axis=(1, 2, 3))
        return replace(
            case,
            image=np.ascontiguousarray(self._surrounded(image, dark)),
            mask=None if mask is None else np.ascontiguousarray(self._surrounded(mask[None], np.zeros(1))[0]),
            spacing=(spacing[0], spacing[1], spacing[2]),
            slices=self._slices(case),
        )

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Linear inside the window, the fill around it."""
        old = tuple(part.stop - part.start for part in self.window)
        back = resize(values[(slice(None), *self._inside())], old)
        return back if old == shape else in_grid(back, shape, self.window, fill)

    def _inside(self) -> Window:
        """Where the window lies in the grid after."""
        first, second, third = (slice(o, o + n) for o, n in zip(self.offset, self.size, strict=True))
        return first, second, third

    def _surrounded(self, values: np.ndarray, fill: np.ndarray) -> np.ndarray:
        return values if self.size == self.shape else in_grid(values, self.shape, self._inside(), fill)

    def _slices(self, case: CaseData) -> tuple[int, ...] | None:
        """Slices that take part in training: those that came from such slices, none of the margin."""
        view = case.view_axis
        if view is None:
            return None
        part, new = self.window[view], self.size[view]
        if case.slices is None and new == self.shape[view]:
            return None
        kept = set(range(case.shape[view]) if case.slices is None else case.slices)
        nearest = np.floor(source_positions(part.stop - part.start, new) + 0.5).astype(int) + part.start
        return tuple(k + self.offset[view] for k, source in enumerate(nearest) if int(source) in kept)


@runtime_checkable
class SpatialTransform(Protocol):
    """What a step offers that does no more than move the case to another grid: its way back can be gone in slabs."""

    def for_shape(self, shape: Shape) -> CropResizePad:
        """What it comes to on a grid."""


def in_grid(values: np.ndarray, shape: Shape, window: Window, fill: np.ndarray) -> np.ndarray:
    """`(channels, *shape)`: the values in the window, `(channels,)` fill around it."""
    result = np.empty((len(values), *shape), values.dtype)
    result[:] = fill[:, None, None, None]
    result[(slice(None), *window)] = values
    return result


def crop(window: Window) -> CropResizePad:
    """Keeps a window."""
    first, second, third = (part.stop - part.start for part in window)
    size = (first, second, third)
    return CropResizePad(window, size, (0, 0, 0), size)


def centred(shape: Shape, size: Shape, target: Shape, zero: bool = False) -> CropResizePad:
    """Resizes a whole grid and puts it in the middle of another."""
    first, second, third = (slice(0, n) for n in shape)
    a, b, c = ((t - n) // 2 for t, n in zip(target, size, strict=True))
    return CropResizePad((first, second, third), size, (a, b, c), target, zero)


@dataclass(frozen=True)
class CentreCrop:
    """Keeps a share of each axis about the centre, 0 to 1."""

    slices: float = 1.0
    rows: float = 1.0
    columns: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share:g}, not a share of 0 to 1")

    def window(self, shape: Shape) -> Window:
        """What is kept of a grid."""
        parts = []
        for size, share in zip(shape, (self.slices, self.rows, self.columns), strict=True):
            kept = max(round(size * share), 1)
            first = (size - kept) // 2
            parts.append(slice(first, first + kept))
        return parts[0], parts[1], parts[2]

    def for_shape(self, shape: Shape) -> CropResizePad:
        """What it comes to on a grid."""
        return crop(self.window(shape))

    def apply(self, case: CaseData) -> CaseData:
        """The middle of the case."""
        return self.for_shape(case.shape).apply(case)

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """The fill around the middle."""
        return self.for_shape(shape).inverse(values, shape, fill)


@dataclass(frozen=True)
class Counts:
    """Numbers of voxels along each axis; 0 leaves an axis alone."""

    slices: float = 0
    rows: float = 0
    columns: float = 0

    def __post_init__(self) -> None:
        for name, count in (("slices", self.slices), ("rows", self.rows), ("columns", self.columns)):
            check_count(name, count, least=0)

    @property
    def wanted(self) -> Shape:
        """Voxels along (slices, rows, columns), 0 where an axis is left alone."""
        return int(self.slices), int(self.rows), int(self.columns)


@dataclass(frozen=True)
class Resize(Counts):
    """Brings the given axes to a number of voxels, each by its own factor."""

    def for_shape(self, shape: Shape) -> CropResizePad:
        """What it comes to on a grid."""
        first, second, third = (new or old for old, new in zip(shape, self.wanted, strict=True))
        target = (first, second, third)
        return centred(shape, target, target)

    def apply(self, case: CaseData) -> CaseData:
        """Linear for the image, by shares for the mask."""
        return self.for_shape(case.shape).apply(case)

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Linear."""
        return self.for_shape(shape).inverse(values, shape, fill)


@dataclass(frozen=True)
class Pad(Counts):
    """A margin on both sides of axes that have fewer voxels; nothing is cut off.

    The margin is each channel's darkest value, as if the unscaled image had been padded with 0.

    Attributes:
        zero: 1 pads with 0 instead, which after `z_score` is the mean.
    """

    zero: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("zero", self.zero)

    def for_shape(self, shape: Shape) -> CropResizePad:
        """What it comes to on a grid."""
        first, second, third = (max(old, new) for old, new in zip(shape, self.wanted, strict=True))
        return centred(shape, shape, (first, second, third), bool(self.zero))

    def apply(self, case: CaseData) -> CaseData:
        """The case with its margin."""
        return self.for_shape(case.shape).apply(case)

    def inverse(self, values: np.ndarray, shape: Shape, fill: np.ndarray) -> np.ndarray:
        """Takes the margin off."""
        return self.for_shape(shape).inverse(values, shape, fill)


@dataclass(frozen=True)
class Fit(Counts):
    """Brings the given axes to an exact number of voxels without distorting the slice.

    The slice's two axes are scaled by one factor in mm, so that the slice just fits, and padded (see `Pad`). Where
    only one of the two is given, the other follows. The axis across the slices is the view axis, in volumes the
    first: fewer slices than wanted are padded, more are interpolated linearly.

    Attributes:
        zero: As in `Pad`.
    """

    zero: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("zero", self.zero)

    def for_case(self, case: CaseData) -> CropResizePad:
        """Depends on the case's spacing."""
        across = case.view_axis or 0
        size = list(case.shape)
        extent = [n * s for n, s in zip(case.shape, case.spacing, strict=True)]
        plane = [axis for axis in range(3) if axis != across]
        pixels = [extent[axis] / self.wanted[axis] for axis in plane if self.wanted[axis]]
        if pixels:
            for axis in plane:
                size[axis] = max(round(extent[axis] / max(pixels)), 1)
        target = [new or old for old, new in zip(size, self.wanted, strict=True)]
        inside = [min(n, t) for n, t in zip(size, target, strict=True)]
        return centred(
            case.shape,
            (inside[0], inside[1], inside[2]),
            (target[0], target[1], target[2]),
            bool(self.zero),
        )


BINS = 256
CLASSES = 3  # air, muscle and bone, fat and fluid: with two, muscle and bone fall to the air


def body_window(image: np.ndarray) -> Window:
    """The box of the largest connected piece above the lower of Otsu's two thresholds.

    Otsu, "A threshold selection method from gray-level histograms", 1979, with three classes.

    Args:
        image: `(slices, rows, columns)`.

    Returns:
        The whole grid where the image is constant.
    """
    if image.max() <= image.min():
        first, second, third = (slice(0, n) for n in image.shape)
        return first, second, third
    import cc3d

    bright = image > air_threshold(image)
    pieces = cc3d.statistics(cc3d.connected_components(bright, connectivity=6))
    largest = 1 + int(np.argmax(pieces["voxel_counts"][1:]))
    first, second, third = pieces["bounding_boxes"][largest]
    return first, second, third


def air_threshold(image: np.ndarray) -> float:
    """The intensity below which there is air; the image must not be constant."""
    from skimage.filters import threshold_multiotsu

    counts, edges = np.histogram(image, BINS)
    classes = min(CLASSES, np.count_nonzero(counts))
    centres = (edges[:-1] + edges[1:]) / 2
    found = threshold_multiotsu(classes=classes, hist=(counts, centres))  # type: ignore[no-untyped-call]
    return float(found[0])


@dataclass(frozen=True)
class OtsuCrop:
    """Crops to the body as the first channel shows it; slices along the view axis are all kept.

    Attributes:
        margin: mm around the body's box.
    """

    margin: float = 10.0

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError(f"margin is {self.margin:g}, below 0")

    def for_case(self, case: CaseData) -> CropResizePad:
        """Depends on the case's intensities."""
        parts = []
        for axis, part in enumerate(body_window(case.image[0])):
            size, more = case.shape[axis], int(np.ceil(self.margin / case.spacing[axis]))
            low, high = max(part.start - more, 0), min(part.stop + more, size)
            parts.append(slice(0, size) if axis == case.view_axis else slice(low, high))
        return crop((parts[0], parts[1], parts[2]))


Spacing = tuple[float, float, float]


def shape_after(steps: Sequence[AnyTransform], shape: Shape, spacing: Spacing, view_axis: int | None) -> Shape:
    """The grid after all steps; a crop to what an image shows is taken to keep all of it.

    Args:
        steps: Of a recipe.
        shape: Of the plan's grid, (slices, rows, columns).
        spacing: Its mm along the same axes.
        view_axis: The plan's.
    """
    for each in steps:
        blank = np.broadcast_to(np.float32(0), (1, *shape))  # one number in memory
        case = CaseData(blank, None, spacing, view_axis=view_axis)
        step = each if isinstance(each, Transform) else each.for_case(case)
        if isinstance(step, SpatialTransform):
            moved = step.for_shape(shape)
            shape, spacing = moved.shape, _spacing_after(moved, spacing)
    return shape


def _spacing_after(moved: CropResizePad, spacing: Spacing) -> Spacing:
    old = [part.stop - part.start for part in moved.window]
    first, second, third = (s * (o / n) for s, o, n in zip(spacing, old, moved.size, strict=True))
    return first, second, third
