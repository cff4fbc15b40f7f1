"""From classes and votes to numbered labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autospine.inference.levels.instances import Instance, OffsetVotes, find_instances
from autospine.inference.levels.numbering import Numbering, number, number_between
from autospine.inference.levels.postprocess import drop_spurious_components, without_fragments
from autospine.inference.levels.spine import beside_the_spine, best_chain
from autospine.labels.encoding import Encoding

PARTIAL = 0.35  # of the usual instance
EDGE_MM = 2.0  # an instance this near to the image's end along the spine is cut by it


@dataclass(frozen=True)
class DecoderInput:
    """What a network says of one case, on the plan's grid.

    Attributes:
        semantic: `(slices, rows, columns)` uint8 class of each voxel.
        voxels: `(N, 3)` int, the voxels of chained classes.
        offsets: `(N, axes)` float32, mm from each to its instance's middle along the encoding's offset axes.
        levels: `(N, K)` probability of each level.
        weights: `(N,)` probability of the voxel's class.
        spacing: mm along (slices, rows, columns).
        visible_rows: First and last row that hold image rather than padding.
    """

    semantic: np.ndarray
    voxels: np.ndarray
    offsets: np.ndarray
    levels: np.ndarray
    weights: np.ndarray
    spacing: tuple[float, float, float]
    visible_rows: tuple[int, int]


@dataclass(frozen=True)
class LabelResult:
    """One label of the answer.

    Attributes:
        value: In the plan's scheme.
        confidence: Of its level (chains) or class, 0 to 1.
        flags: "ambiguous", "cut by the field of view", "neighbour missing".
    """

    value: int
    confidence: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """Labels and what is to be said of them.

    Attributes:
        labels: Canonical array of the plan's grid, in the data set's own labels.
        findings: One per label of a chain, lowest first.
        ambiguous: Why the numbering is uncertain; empty if it is not.
    """

    labels: np.ndarray
    label_results: tuple[LabelResult, ...]
    ambiguous: str


def decode(evidence: DecoderInput, encoding: Encoding) -> Decoded:
    """Numbers the chained classes and paints every class with its label."""
    labels = _paint_unchained(evidence.semantic, encoding)
    ordered_labels = {k: each for k, each in enumerate(encoding.classes, start=1) if each.ordered}
    if not ordered_labels or len(evidence.voxels) == 0:
        return Decoded(labels, (), "")
    votes = {k: _votes_of(evidence, encoding, k) for k in ordered_labels}
    found = {k: find_instances(votes[k], evidence.spacing, encoding.intervertebral_distance_mm) for k in ordered_labels}
    primary = next((k for k in ordered_labels if found[k]), None)
    if primary is None:
        return Decoded(labels, (), "")
    spine = best_chain(found[primary], encoding.intervertebral_distance_mm)
    spine = found[primary] = without_partial_instances(spine, votes[primary], evidence)
    for each in encoding.classes:
        if not each.ordered:
            drop_spurious_components(
                labels, each.values[0], spine, evidence.spacing, encoding.intervertebral_distance_mm
            )
    for k in ordered_labels:
        found[k] = [each for each in found[k] if not beside_the_spine(each, spine, encoding.intervertebral_distance_mm)]
    numbering = _number_primary(found[primary], evidence, encoding)
    label_results: list[LabelResult] = []
    for k, instances in found.items():
        levels = numbering.levels
        if k != primary:
            levels = number_between(instances, found[primary], numbering.levels)
        label_results += _paint_chain(labels, evidence, encoding, k, votes[k], instances, levels, numbering)
    return Decoded(labels, tuple(_unique(label_results)), numbering.reason)


def _paint_unchained(semantic: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Labels of the classes that are one structure each."""
    table = np.zeros(encoding.semantic_channels, np.int32)
    for k, each in enumerate(encoding.classes, start=1):
        table[k] = 0 if each.ordered else each.values[0]
    return table[semantic]


def _votes_of(evidence: DecoderInput, encoding: Encoding, semantic: int) -> OffsetVotes:
    mine = evidence.semantic[tuple(evidence.voxels.T)] == semantic
    voxels = evidence.voxels[mine]
    axes = list(encoding.offset_axes)
    places = voxels[:, axes] * np.asarray(evidence.spacing)[axes] + evidence.offsets[mine]
    return OffsetVotes(voxels, places, evidence.levels[mine], evidence.weights[mine])


def _number_primary(instances: list[Instance], evidence: DecoderInput, encoding: Encoding) -> Numbering:
    bottom = evidence.visible_rows[1] * evidence.spacing[1]
    return number(instances, encoding.levels[0], bottom - instances[0].centroid[1], encoding.intervertebral_distance_mm)


def _paint_chain(
    labels: np.ndarray,
    evidence: DecoderInput,
    encoding: Encoding,
    semantic: int,
    votes: OffsetVotes,
    instances: list[Instance],
    levels: tuple[int, ...],
    numbering: Numbering,
) -> list[LabelResult]:
    """Writes one chain's labels; an instance whose level the data set does not label is left out."""
    label_results = []
    for instance, level in zip(instances, levels, strict=True):
        value = encoding.value_at(semantic, level)
        if value is None:
            continue
        voxels = without_fragments(votes.voxels[instance.members])
        labels[tuple(voxels.T)] = value
        flags = _flags(voxels, level, evidence, numbering)
        label_results.append(LabelResult(value, numbering.confidence * instance.weight, flags))
    return label_results


def is_cut(voxels: np.ndarray, evidence: DecoderInput) -> bool:
    """Whether the image ends above or below inside an instance; voxels are `(N, 3)`."""
    margin = EDGE_MM / evidence.spacing[1]
    first, last = evidence.visible_rows
    return bool(voxels[:, 1].min() <= first + margin or voxels[:, 1].max() >= last - margin)


def without_partial_instances(spine: list[Instance], votes: OffsetVotes, evidence: DecoderInput) -> list[Instance]:
    """A spine without the small instance at an end that is not cut by the image's edge: part of a sacrum, mostly."""
    usual = float(np.median([len(each.members) for each in spine]))

    def is_partial(each: Instance) -> bool:
        return len(each.members) < PARTIAL * usual and not is_cut(votes.voxels[each.members], evidence)

    while len(spine) > 2 and is_partial(spine[0]):
        spine = spine[1:]
    while len(spine) > 2 and is_partial(spine[-1]):
        spine = spine[:-1]
    return spine


def _flags(voxels: np.ndarray, level: int, evidence: DecoderInput, numbering: Numbering) -> tuple[str, ...]:
    flags = ["ambiguous"] if numbering.ambiguous else []
    if is_cut(voxels, evidence):
        flags.append("cut by the field of view")
    if {level - 1, level + 1} & set(numbering.skipped):
        flags.append("neighbour missing")
    return tuple(flags)


def _unique(label_results: list[LabelResult]) -> list[LabelResult]:
    """One finding per value: pieces of one disc share a label."""
    best: dict[int, LabelResult] = {}
    for label_result in label_results:
        if label_result.value not in best or label_result.confidence > best[label_result.value].confidence:
            best[label_result.value] = label_result
    return [best[value] for value in sorted(best)]
