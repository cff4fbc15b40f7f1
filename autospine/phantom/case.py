"""One phantom case: the patient's spine, the grid, the picture, the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.phantom.background import find_layers, paint_background, sample_habit
from autospine.phantom.canvas import Axes, Canvas
from autospine.phantom.curves import Lines, find_lines
from autospine.phantom.placement import Placement, sample_placement
from autospine.phantom.render import (
    clean_labels,
    coil_field,
    merge_labels,
    merge_slices,
    sample_scanner,
    scan,
    to_grey,
)
from autospine.phantom.scene import make_scene
from autospine.phantom.series import Series, Size, find_series, generator
from autospine.phantom.shapes import highest
from autospine.phantom.skeleton import paint_spine
from autospine.phantom.spine import Spine, sample_spine
from autospine.phantom.tissue import sample_contrast

LEVELS_MADE = 11
ANATOMY, GRID, BACKGROUND, SPINE, SCAN = range(5)  # topics of chance


@dataclass(frozen=True)
class PhantomCase:
    """One series with its mask.

    Attributes:
        series: Patient, sequence and file properties; `series.id` is the name.
        image: Grey values, int16, canonical (slices right to left, rows downward, columns to the back).
        labels: SPIDER's labels, uint8, same shape.
        placement: The file's geometry.
        spine: What was drawn.
    """

    series: Series
    image: np.ndarray
    labels: np.ndarray
    placement: Placement
    spine: Spine

    @property
    def id(self) -> str:
        """The file's name without suffix."""
        return self.series.id

    @property
    def vertebrae(self) -> tuple[int, ...]:
        """Labelled vertebrae, from the lowest up."""
        return tuple(int(v) for v in np.unique(self.labels) if 1 <= v <= 25)

    @property
    def discs(self) -> tuple[int, ...]:
        """Levels of the labelled discs, 1 = under vertebra 1."""
        return tuple(int(v) - 200 for v in np.unique(self.labels) if v > 200)


def choose_grid(rng: np.random.Generator, spine: Spine, lines: Lines, size: Size, isotropic: bool) -> tuple[Axes, int]:
    """The grid that a technician would choose, and into how many thin slices each is cut for painting.

    The upper edge cuts a vertebra somewhere, so that the one below it is the last whole one.
    """
    small = size is Size.SMALL
    wanted = int(
        rng.choice([5, 6, 7], p=[0.3, 0.5, 0.2]) if small else rng.choice([6, 7, 8, 9], p=[0.31, 0.42, 0.22, 0.05])
    )
    cut = spine.vertebrae[wanted]
    share = float(rng.uniform(0.3, 0.85)) - 0.5
    top = max(float(cut.frame.world(0, 0, cut.height * share)[2]), highest(spine.vertebrae[wanted - 1]) + 1)
    bottom = float(spine.sacrum[1].frame.origin[2]) - float(rng.uniform(5, 25 if small else 55))
    pixel = 1.6 if small else float(rng.choice([0.625, 0.6875, 0.75, 0.8125, 0.875]))
    gap = float(
        rng.choice([4.4, 4.8, 5.0] if small else [3.3, 4.0, 4.4, 4.8], p=None if small else [0.5, 0.1, 0.2, 0.2])
    )
    span = float(rng.uniform(60, 66) if small else rng.uniform(62, 74))
    if isotropic:
        gap, span = (2.0, 56.0) if small else (float(rng.choice([0.9, 1.0, 1.2])), 66.0)
    z = np.arange(top, bottom, -pixel, dtype=np.float32)
    inside = (lines.bodies.z > bottom) & (lines.bodies.z < top)
    middle_x = float(lines.bodies.x[inside].mean() + rng.normal(0, 1.2))
    count = max(12, round(span / gap)) if small else round(span / gap)
    x = (middle_x + (np.arange(count) - (count - 1) / 2) * gap).astype(np.float32)
    back = float(lines.tips(z).max()) + float(rng.uniform(18, 50))
    depth = (top - bottom) * float(rng.uniform(0.68, 0.8) if small else rng.uniform(0.75, 1.0))
    y = (back - depth + np.arange(round(depth / pixel)) * pixel).astype(np.float32)
    times = 1 if isotropic else (3 if small or gap < 3.6 else 5)
    return Axes(x, z, y), times


def spine_columns(axes: Axes, lines: Lines) -> slice:
    """The columns that hold the spine: from before the bodies to behind the spinous processes."""
    _, y, _, deep, _ = lines.bodies.at(axes.z)
    low = float((y - deep).min()) - 10
    high = max(float(lines.tips(axes.z).max()), float(lines.canal.at(axes.z)[1].max()) + 25) + 10
    first, last = np.searchsorted(axes.y, [low, high])
    return slice(int(first), int(last))


def make_case(seed: int, index: int, size: Size) -> PhantomCase:
    """Makes case `index` (from 0) of the phantom set with this seed.

    The same arguments give the same voxels, however many cases are made and in whatever order.

    Args:
        seed: Any whole number from 0 on.
        index: Which case, from 0.
        size: The grid.
    """
    series = find_series(seed, index)
    small, isotropic = size is Size.SMALL, series.sequence == "t2_SPACE"
    spine = sample_spine(generator(seed, series.patient, ANATOMY), LEVELS_MADE)
    habit = sample_habit(generator(seed, series.patient, ANATOMY, 1), spine)
    lines = find_lines(spine)
    # One patient's T1 and T2 share the grid and thus the mask, as in SPIDER.
    key = (seed, series.patient, GRID, int(small), int(isotropic))
    axes, times = choose_grid(generator(*key), spine, lines, size, isotropic)
    placement = sample_placement(generator(*key, 1), axes, series.orientation)
    kind = ("t1", "t2", "t2_SPACE").index(series.sequence)
    chance = generator(seed, series.patient, SCAN, kind)
    contrast = sample_contrast(chance, series.sequence)
    canvas = Canvas(axes, np.zeros(axes.shape, np.float32))
    paint_background(canvas, spine, lines, habit, contrast, generator(seed, series.patient, BACKGROUND))
    columns = spine_columns(axes, lines)
    fine = Canvas(axes.refine(times, columns), np.repeat(canvas.value[:, :, columns], times, axis=0))
    texture = generator(seed, series.patient, SPINE)
    scene = make_scene(fine, contrast, texture)
    paint_spine(scene, spine, lines, texture, series.extra_disc)
    canvas.value[:, :, columns] = merge_slices(fine.value, times)
    labels = np.zeros(axes.shape, np.uint8)
    labels[:, :, columns] = merge_labels(scene.labels, times)
    scanner = sample_scanner(chance, series.sequence)
    x, _, z = axes.points((slice(None), slice(None), slice(None)))
    back = float(find_layers(lines, habit, x, z).skin.max())
    field = coil_field(axes, lines, scanner, back, chance)
    image = to_grey(scan(canvas.value, field, scanner, chance), scanner, series.stretched)
    return PhantomCase(series, image, clean_labels(labels), placement, spine)
