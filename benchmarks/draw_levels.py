"""Draw docs/levels.png: how vertebrae of a phantom are found and numbered, and when their levels are ambiguous.

The network's outputs are imitated: the mask's classes and offsets with noise, and level probabilities that favour the
true level only a little. Centres, instances and levels are then those that `autospine_predict` would decode.

Run from the repository's root: python benchmarks/draw_levels.py [OUT]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from autospine.inference.levels.decode import DecoderInput, decode
from autospine.inference.levels.instances import find_centres
from autospine.labels.anatomy import level_name
from autospine.labels.encoding import Encoding, SemanticClass
from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.series import Size

SEED, INDEX = 7, 3
LEVELS = tuple(range(1, 10))
NOISE_MM = 4.0  # of an offset
DOUBT = 0.9  # share of the level probabilities that says nothing: vertebrae look alike
ARROWS = 260
COLOURS = plt.get_cmap("tab10")


def encoding_of(case: PhantomCase) -> Encoding:
    """Vertebrae are ordered labels, the canal is a class of its own."""
    rows = [np.argwhere(case.labels == level)[:, 1].mean() * case.spacing[1] for level in case.vertebrae]
    classes = (SemanticClass("vertebra", LEVELS, LEVELS), SemanticClass("spinal canal", (100,)))
    return Encoding(classes, LEVELS, (1, 2), float(-np.diff(rows).mean()))


def imitate_network(case: PhantomCase, encoding: Encoding, last: int) -> DecoderInput:
    """Return what a network would predict on the rows up to `last`."""
    rng = np.random.default_rng(0)
    labels, spacing = case.labels[:, :last], np.array(case.spacing)
    vertebrae = (labels > 0) & (labels < 100)
    voxels = np.argwhere(vertebrae)  # (N, 3)
    levels = labels[vertebrae].astype(int)  # (N,)
    centres = np.zeros((LEVELS[-1] + 1, 3))  # of whole vertebrae, whatever the image shows of them
    for level in case.vertebrae:
        centres[level] = np.argwhere(case.labels == level).mean(axis=0)
    offsets = ((centres[levels] - voxels) * spacing)[:, list(encoding.offset_axes)]
    probabilities = np.full((len(voxels), len(LEVELS)), DOUBT / len(LEVELS))
    probabilities[np.arange(len(voxels)), levels - 1] += 1 - DOUBT
    return DecoderInput(
        semantic=np.where(vertebrae, 1, np.where(labels == 100, 2, 0)).astype(np.uint8),
        voxels=voxels,
        offsets=(offsets + rng.normal(0, NOISE_MM, offsets.shape)).astype(np.float32),
        levels=probabilities.astype(np.float32),
        weights=np.full(len(voxels), 0.95, np.float32),
        spacing=case.spacing,
        visible_rows=(0, last - 1),
    )


def show_slice(axis: Axes, case: PhantomCase, last: int, title: str) -> None:
    """Draw the middle slice in mm; what lies below `last` is out of the field of view."""
    image = case.image[len(case.image) // 2].astype(float)
    low, high = np.percentile(image, [1, 99])
    image[last:] = low
    _, rows, columns = case.spacing
    extent = (0, image.shape[1] * columns, image.shape[0] * rows, 0)
    axis.imshow(image, "gray", vmin=low, vmax=1.15 * high, extent=extent, interpolation="bilinear")
    axis.set_title(title, color="white", fontsize=10)
    axis.axis("off")


def show_votes(axis: Axes, outputs: DecoderInput, middle: int) -> None:
    """Draw some voxels of the middle slice with a line to where their offsets lead."""
    inside = np.flatnonzero(np.abs(outputs.voxels[:, 0] - middle) <= 1)
    some = np.random.default_rng(1).choice(inside, ARROWS, replace=False)
    start = outputs.voxels[some][:, 1:] * np.array(outputs.spacing[1:])  # (A, 2) mm
    ends = start + outputs.offsets[some]
    axis.add_collection(
        LineCollection([(a[::-1], b[::-1]) for a, b in zip(start, ends, strict=True)], colors="#ffd166", lw=0.6)
    )
    axis.scatter(start[:, 1], start[:, 0], s=3, c="#06d6a0")


def show_centres(axis: Axes, outputs: DecoderInput, distance_mm: float) -> None:
    """Draw where all votes fall and the peaks of their density."""
    votes = outputs.voxels[:, 1:] * np.array(outputs.spacing[1:]) + outputs.offsets  # (N, 2) mm
    axis.hexbin(votes[:, 1], votes[:, 0], gridsize=90, cmap="magma", mincnt=15, alpha=0.8, lw=0)
    centres = find_centres(votes, outputs.weights, distance_mm)
    axis.scatter(centres[:, 1], centres[:, 0], marker="+", s=90, c="white", lw=1.4)


def show_levels(axis: Axes, outputs: DecoderInput, encoding: Encoding) -> str:
    """Draw the numbered vertebrae, joined in their order; return why they are ambiguous."""
    decoded = decode(outputs, encoding)
    middle = decoded.labels.shape[0] // 2
    _, rows, columns = outputs.spacing
    picture = np.zeros((*decoded.labels.shape[1:], 4))
    centres = []
    for result in decoded.label_results:
        voxels = np.argwhere(decoded.labels == result.value)
        picture[decoded.labels[middle] == result.value] = (*COLOURS((result.value - 1) % 10)[:3], 0.55)
        centres.append(voxels.mean(axis=0)[1:] * (rows, columns))
        text = f"{level_name(result.value)}  {result.confidence:.2f}" + (" ?" if "ambiguous" in result.flags else "")
        axis.text(centres[-1][1] - 31, centres[-1][0], text, color="white", ha="right", va="center", fontsize=8)
    axis.imshow(picture, extent=(0, picture.shape[1] * columns, picture.shape[0] * rows, 0))
    line = np.array(centres)
    axis.plot(line[:, 1], line[:, 0], "-o", color="white", ms=3, lw=1)
    return decoded.ambiguous


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/levels.png"), help="default: docs/levels.png")
    out = parser.parse_args().out
    case = make_case(SEED, INDEX, Size.FULL)
    encoding, rows = encoding_of(case), case.image.shape[1]
    outputs = imitate_network(case, encoding, rows)
    # The field of view ends half a vertebra below the centre of the second lowest one.
    cut = int(np.argwhere(case.labels == 2)[:, 1].mean() + 0.55 * encoding.intervertebral_distance_mm / case.spacing[1])
    truncated = imitate_network(case, encoding, cut)
    figure, axes = plt.subplots(1, 4, figsize=(14, 5), facecolor="black")
    show_slice(axes[0], case, rows, "1. every voxel of a vertebra\nvotes for a centre")
    show_votes(axes[0], outputs, len(case.image) // 2)
    show_slice(axes[1], case, rows, "2. the votes' peaks\nare the centres")
    show_centres(axes[1], outputs, encoding.intervertebral_distance_mm)
    show_slice(axes[2], case, rows, "3. in their order,\ncounted from the lowest one")
    problem = show_levels(axes[2], outputs, encoding)
    show_slice(axes[3], case, cut, "4. nothing shows which level\nis the lowest: ambiguous")
    reason = show_levels(axes[3], truncated, encoding)
    for axis in axes:
        axis.set_xlim(axes[0].get_xlim())
        axis.set_ylim(axes[0].get_ylim())
    figure.subplots_adjust(0, 0, 1, 0.88, 0.02, 0.02)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80, facecolor="black", pil_kwargs={"optimize": True})
    print(f"{out}: {out.stat().st_size // 1024} kB; whole: {problem or 'clear'}; cut: {reason or 'clear'}")


if __name__ == "__main__":
    main()
