"""One phantom case: the patient's spine, the grid, the image, the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.background import find_layers, paint_background, sample_habitus
from autospine.phantom.canvas import WHOLE, Canvas, Scene
from autospine.phantom.curves import find_lines
from autospine.phantom.findings import PLAIN, sample_findings
from autospine.phantom.grid import choose_grid, sample_geometry, spine_columns
from autospine.phantom.implants import paint_implants
from autospine.phantom.mask_labels import SPIDER, MaskLabels
from autospine.phantom.render import (
    coil_field,
    largest_components,
    majority_slices,
    mean_slices,
    sample_scanner,
    scan,
    to_grey,
)
from autospine.phantom.series import Series, Size, find_series, generator
from autospine.phantom.skeleton import paint_spine
from autospine.phantom.spine import Spine, sample_spine
from autospine.phantom.tissue import CONTRASTS, sample_contrast
from autospine.volumes.geometry import Geometry
from autospine.volumes.volume import Volume

LEVELS = 11  # vertebrae above the sacrum that a spine has, more than any grid shows
ANATOMY, GRID, BACKGROUND, SPINE, SCAN, FINDINGS = range(6)  # topics of chance


@dataclass(frozen=True)
class PhantomCase:
    """One series with its mask; arrays are canonical: slices right to left, rows downward, columns to the back."""

    series: Series
    image: np.ndarray  # grey values, int16 (slices, rows, columns)
    labels: np.ndarray  # as `integers` says, same shape
    geometry: Geometry  # the file's own grid
    spine: Spine  # what was drawn
    integers: MaskLabels = SPIDER

    @property
    def id(self) -> str:
        """Return the file's name without suffix."""
        return self.series.id

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the distances in mm of neighbouring slices, rows and columns."""
        return self.geometry.canonical().spacing

    @property
    def vertebrae(self) -> tuple[int, ...]:
        """Return the labelled vertebrae, from the lowest up."""
        return self.integers.vertebrae(np.unique(self.labels))

    @property
    def discs(self) -> tuple[int, ...]:
        """Return the levels of the labelled discs, 1 = under vertebra 1."""
        return self.integers.discs(np.unique(self.labels))

    def volume(self, array: np.ndarray) -> Volume:
        """Return the image or the labels, or another array of their shape, on the file's grid."""
        return Volume(array, self.spacing, self.geometry, *self.geometry.canonical_axes())


def make_case(seed: int, index: int, size: Size, integers: MaskLabels = SPIDER, varied: bool = False) -> PhantomCase:
    """Make case `index` (from 0) of the phantom set with this seed (a whole number from 0 on).

    The same arguments give the same voxels, however many cases are made and in whatever order.

    Args:
        seed: Of the set.
        index: Of the case.
        size: Of the grid.
        integers: Of the mask.
        varied: Whether findings, contrasts and fields of view are drawn that SPIDER hardly shows.
    """
    series = find_series(seed, index, varied)
    small, isotropic = size is Size.SMALL, series.sequence == "t2_SPACE"
    findings = sample_findings(generator(seed, series.patient, FINDINGS), LEVELS) if varied else PLAIN
    spine = sample_spine(generator(seed, series.patient, ANATOMY), LEVELS, findings)
    habitus = sample_habitus(generator(seed, series.patient, ANATOMY, 1), spine)
    lines = find_lines(spine)
    # One patient's T1 and T2 share the grid and thus the mask, as in SPIDER.
    key = (seed, series.patient, GRID, int(small), int(isotropic))
    axes, times = choose_grid(generator(*key), spine, lines, size, isotropic, varied)
    geometry = sample_geometry(generator(*key, 1), axes, series.orientation)
    chance = generator(seed, series.patient, SCAN, list(CONTRASTS).index(series.sequence))
    contrast = sample_contrast(chance, series.sequence, varied)
    canvas = Canvas(axes, np.zeros(axes.shape, np.float32))
    paint_background(canvas, spine, lines, habitus, contrast, generator(seed, series.patient, BACKGROUND))
    columns = spine_columns(axes, lines)
    fine = Canvas(axes.refine(times, columns), np.repeat(canvas.value[:, :, columns], times, axis=0))
    texture = generator(seed, series.patient, SPINE)
    scene = Scene(fine, contrast, texture, integers)
    paint_spine(scene, spine, lines, texture, series.extra_disc)
    paint_implants(scene, spine, findings)
    canvas.value[:, :, columns] = mean_slices(fine.value, times)
    labels = np.zeros(axes.shape, integers.dtype)
    labels[:, :, columns] = majority_slices(scene.labels, times)
    scanner = sample_scanner(chance, series.sequence)
    x, _, z = axes.points(WHOLE)
    back = float(find_layers(lines, habitus, x, z).skin.max())
    field = coil_field(axes, lines, scanner, back, chance)
    image = to_grey(scan(canvas.value, field, scanner, chance), scanner, series.stretched)
    return PhantomCase(series, image, largest_components(labels), geometry, spine, integers)
