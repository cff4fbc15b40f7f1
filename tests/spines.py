"""What a network would predict of a drawn spine: classes, offsets and level probabilities, as noisy as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.inference.levels.decode import DecoderInput
from autospine.labels.encoding import Encoding, SemanticClass
from tests.tiny import ordered_encoding

SPACING = (4.0, 2.0, 2.0)
DISTANCE_ROWS = 16
DISTANCE_MM = DISTANCE_ROWS * SPACING[1]
SACRUM = 50  # label
POSTERIOR = 110  # label of the posterior elements of level 1, less one
BELOW = 30  # rows under the lowest vertebra's centre: nearly two distances, where the sacrum lies


@dataclass(frozen=True)
class Spine:
    """A drawn spine, canonical.

    Attributes:
        labels: `(slices, rows, columns)`.
        centres: Centroid of each label in voxels, of the whole structure even after a crop.
    """

    labels: np.ndarray
    centres: dict[int, np.ndarray]

    def rows(self, first: int, last: int | None = None) -> Spine:
        """The scan as it would be with a smaller field of view; the centres move with it."""
        moved = {value: centre - [0, first, 0] for value, centre in self.centres.items()}
        return Spine(self.labels[:, first:last], moved)

    def without(self, *values: int) -> Spine:
        """Structures that the network overlooks."""
        return replace(self, labels=np.where(np.isin(self.labels, values), 0, self.labels))

    def top(self, value: int) -> int:
        """First row of a label."""
        return int(np.argwhere(self.labels == value)[:, 1].min())

    def bottom(self, value: int) -> int:
        """Last row of a label."""
        return int(np.argwhere(self.labels == value)[:, 1].max())


def draw(
    vertebrae: int = 6,
    discs: bool = True,
    distances: Sequence[float] | None = None,
    lean: float = 0.1,
    sacrum: int = 0,
    posterior: bool = False,
) -> Spine:
    """Levels 1 to `vertebrae` from the lowest up; disc k lies under vertebra k.

    Args:
        vertebrae: How many.
        discs: Whether there are discs, and the canal.
        distances: Rows from each vertebra to the next.
        lean: Columns that the spine goes forward per row.
        sacrum: Rows of it, of which S1 has eleven; 0 for none.
        posterior: Whether vertebrae have posterior elements; the spinous process lies as low as the next body.
    """
    steps = [DISTANCE_ROWS] * vertebrae if distances is None else list(distances)
    above = np.concatenate([[0], np.cumsum(steps[: vertebrae - 1])])
    rows = int(above[-1]) + BELOW + 24
    labels = np.zeros((6, rows, 60), np.uint8)
    if discs:
        labels[2:4, :, 50:54] = 100
    for level, up in enumerate(above, start=1):
        row = round(rows - BELOW - up)
        column = round(18 + lean * up)
        labels[1:5, row - 5 : row + 6, column : column + 14] = level
        if discs:
            labels[1:5, row + 7 : row + 10, column : column + 13] = 200 + level
        if posterior:
            labels[1, row - 3 : row, column + 14 : 56] = POSTERIOR + level  # pedicle and arch beside the canal
            labels[1:5, row + 6 : row + 12, 56:60] = POSTERIOR + level
            labels[1, row - 3 : row + 12, 54:58] = POSTERIOR + level
    top = rows - BELOW + DISTANCE_ROWS - 5
    labels[1:5, top : top + sacrum, 20:34] = SACRUM
    values = [int(v) for v in np.unique(labels) if v]
    centres = {v: np.argwhere(labels == v).mean(axis=0) for v in values}
    return Spine(labels, centres | {v: centres[v - POSTERIOR] for v in values if POSTERIOR < v < 200})


def decoder_input_of(
    spine: Spine,
    encoding: Encoding,
    seed: int = 0,
    vote_noise_mm: float = 0.0,
    doubt: float = 0.1,
    wrong: float = 0.0,
) -> DecoderInput:
    """Return the network's outputs.

    Args:
        spine: What is there.
        encoding: Of the network.
        seed: Of the noise.
        vote_noise_mm: Deviation of each voxel's vote.
        doubt: Probability that is spread over all levels.
        wrong: Share of the instances whose most probable level is off by one.
    """
    generator = np.random.default_rng(seed)
    train_ids = encoding.train_ids(spine.labels, "spine")
    semantic = encoding.class_of_index()[train_ids].clip(0).astype(np.uint8)
    level = encoding.level_of_index()[train_ids]
    voxels = np.argwhere(level >= 0)
    values = spine.labels[tuple(voxels.T)]
    axes, spacing = list(encoding.offset_axes), np.array(SPACING)
    centres = np.array([spine.centres[int(value)] for value in values]).reshape(-1, 3)
    offsets = ((centres - voxels) * spacing)[:, axes]
    offsets = offsets + generator.normal(0, 1, offsets.shape) * vote_noise_mm
    count = len(encoding.levels)
    said = level[tuple(voxels.T)]
    for value in set(values.tolist()):
        if generator.random() < wrong:
            said = np.where(values == value, np.clip(said + generator.choice([-1, 1]), 0, count - 1), said)
    probabilities = np.full((len(voxels), count), doubt / max(count, 1))
    probabilities[np.arange(len(voxels)), said] += 1 - doubt
    return DecoderInput(
        semantic=semantic,
        voxels=voxels,
        offsets=offsets.astype(np.float32),
        levels=probabilities.astype(np.float32),
        weights=np.full(len(voxels), 0.9, np.float32),
        spacing=SPACING,
        visible_rows=(0, spine.labels.shape[1] - 1),
    )


def encoding_of_parts(levels: int = 9, offset_axes: tuple[int, ...] = (1, 2)) -> Encoding:
    """Bodies with posterior elements, discs, canal and sacrum."""
    encoding = encoding_for(levels, offset_axes, sacrum=True)
    bodies, *others = encoding.classes
    posterior = SemanticClass(
        "posterior elements", tuple(POSTERIOR + k for k in bodies.levels), bodies.levels, "vertebral body"
    )
    return replace(encoding, classes=(replace(bodies, name="vertebral body"), posterior, *others))


def encoding_for(levels: int = 9, offset_axes: tuple[int, ...] = (1, 2), sacrum: bool = False) -> Encoding:
    encoding = ordered_encoding(levels, offset_axes, DISTANCE_MM)
    return replace(encoding, classes=(*encoding.classes, SemanticClass("sacrum", (SACRUM,)))) if sacrum else encoding
