"""Decoding: from classes, offset votes and level probabilities to numbered labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from autospine.inference.levels.conflicts import (
    disagreeing_levels,
    disc_below,
    no_sacrum_below,
    remainder_below,
    small_lowest,
    unsure_lowest,
    vertebra_below,
)
from autospine.inference.levels.evidence import discs_below, lean, reach_of_discs
from autospine.inference.levels.instances import Instance, OffsetVotes, find_instances
from autospine.inference.levels.numbering import LevelEvidence, Numbering, number, number_between
from autospine.inference.levels.parts import voxels_by_instance, without_strays
from autospine.inference.levels.sacrum import SACRUM, Sacrum, find_sacrum
from autospine.inference.levels.spine import (
    beside_the_spine,
    drop_spurious_components,
    vertebra_sequence,
    without_fragments,
)
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.encoding import Encoding

DISC = Anatomy(Kind.DISC).name
CONFLICTING = 0.5  # the highest confidence where evidence conflicts
SURE = 0.97  # with so much confidence a sacrum that was not found is no doubt: few data sets teach it
PARTIAL = 0.35  # of the usual instance's size
EDGE_MM = 2.0  # an instance this near to the image's end along the spine is cut by it


@dataclass(frozen=True)
class DecoderInput:
    """Network outputs of one case, on the plan's grid."""

    semantic: np.ndarray  # `(slices, rows, columns)` uint8 class of each voxel
    voxels: np.ndarray  # `(N, 3)` int, the voxels of classes with levels
    offsets: np.ndarray  # `(N, axes)` float32, mm from each to its instance's centre along the encoding's offset axes
    levels: np.ndarray  # `(N, K)` probability of each level
    weights: np.ndarray  # `(N,)` probability of the voxel's class
    spacing: tuple[float, float, float]  # mm along (slices, rows, columns)
    visible_rows: tuple[int, int]  # first and last row that hold image rather than padding

    def votes_of(self, semantic: int, offset_axes: tuple[int, ...]) -> OffsetVotes:
        """Return the offset votes of one class."""
        inside = self.semantic[tuple(self.voxels.T)] == semantic
        voxels, axes = self.voxels[inside], list(offset_axes)
        centres = voxels[:, axes] * np.asarray(self.spacing)[axes] + self.offsets[inside]
        return OffsetVotes(voxels, centres, self.levels[inside], self.weights[inside])

    def is_cut(self, voxels: np.ndarray) -> bool:
        """Tell whether the image ends above or below inside an instance of `(N, 3)` voxels."""
        margin = EDGE_MM / self.spacing[1]
        first, last = self.visible_rows
        return bool(voxels[:, 1].min() <= first + margin or voxels[:, 1].max() >= last - margin)


@dataclass(frozen=True)
class LabelResult:
    """One ordered label of a decoded case."""

    value: int  # in the plan's scheme
    confidence: float  # calibrated probability of its level, in a `Prediction` times that of its class, 0 to 1
    flags: tuple[str, ...]  # "ambiguous", "cut by the field of view", "neighbour missing"


@dataclass(frozen=True)
class Decoded:
    """Labels of a case."""

    labels: np.ndarray  # canonical array of the plan's grid, in the data set's own labels
    label_results: tuple[LabelResult, ...]  # one per ordered label, lowest first
    ambiguous: str  # why the numbering is uncertain; empty if it is not
    evidence: LevelEvidence | None = None  # that the levels were decided by; None without any


def with_doubt(decoded: Decoded, reason: str) -> Decoded:
    """Return a decoded case whose levels are ambiguous for one more reason."""
    results = tuple(
        replace(
            result,
            confidence=min(result.confidence, CONFLICTING),
            flags=result.flags if "ambiguous" in result.flags else ("ambiguous", *result.flags),
        )
        for result in decoded.label_results
    )
    return replace(decoded, label_results=results, ambiguous="; ".join(filter(None, (decoded.ambiguous, reason))))


def decode(outputs: DecoderInput, encoding: Encoding, temperature: float = 1.0) -> Decoded:
    """Number the ordered classes and paint every class with its label.

    Args:
        outputs: Of the network.
        encoding: Of the outputs.
        temperature: Of the votes on levels, for the confidence.
    """
    labels = _paint_plain(outputs.semantic, encoding)
    distance_mm = encoding.intervertebral_distance_mm
    ordered = [k for k, kind in enumerate(encoding.classes, start=1) if kind.ordered]
    votes = {k: outputs.votes_of(k, encoding.offset_axes) for k in ordered}
    instances = {k: find_instances(votes[k], outputs.spacing, distance_mm) for k in ordered}
    primary = next((k for k in ordered if instances[k]), None)
    if primary is None:
        return Decoded(labels, (), "")
    spine = vertebra_sequence(instances[primary], distance_mm)
    spine = without_partial_instances(spine, votes[primary], outputs)
    for kind in encoding.classes:
        if not kind.levels:
            drop_spurious_components(labels, kind.values[0], spine, outputs.spacing, distance_mm)
    near = {k: [i for i in instances[k] if not beside_the_spine(i, spine, distance_mm)] for k in ordered}
    sacrum: Sacrum | None = None
    is_disc = encoding.classes[primary - 1].name == DISC
    if not is_disc:
        spine, sacrum = find_sacrum(labels, encoding, spine, outputs.spacing, distance_mm)
    discs = [disc for k in ordered if k != primary for disc in near[k]]
    numbering = _number(spine, discs, votes[primary], outputs, encoding, sacrum, is_disc, temperature)
    around, levels = (spine, numbering.levels) if sacrum is None else _with_sacrum(sacrum, spine, numbering.levels)
    numbered = {k: list(zip(near[k], number_between(near[k], around, levels), strict=True)) for k in ordered}
    numbered[primary] = list(zip(spine, numbering.levels, strict=True))
    results: list[LabelResult] = []
    for k, level, voxels in _painted(outputs, encoding, votes, instances, numbered):
        value = encoding.value_at(k, level)
        if value is not None and len(voxels):  # else the data set does not label this level
            labels[tuple(voxels.T)] = value
            flags = _flags(voxels, level, outputs, numbering)
            results.append(LabelResult(value, numbering.confidence, flags))
    return Decoded(labels, _one_per_value(results), numbering.ambiguous, numbering.evidence)


def _number(
    spine: list[Instance],
    discs: list[Instance],
    votes: OffsetVotes,
    outputs: DecoderInput,
    encoding: Encoding,
    sacrum: Sacrum | None,
    of_discs: bool,
    temperature: float,
) -> Numbering:
    """Number a sequence of vertebrae, or of discs, and collect what speaks against the numbering.

    Discs below the lowest vertebra count only where no sacrum does, and a sequence of discs leans in another way.
    """
    known, first_level, distance_mm = len(encoding.levels), encoding.levels[0], encoding.intervertebral_distance_mm
    margin_mm = outputs.visible_rows[1] * outputs.spacing[1] - spine[0].centroid[1]
    reach = reach_of_discs(discs, spine, distance_mm)
    evidence = discs_below(known, reach)
    if not of_discs:
        evidence = evidence * lean(spine, known, first_level)
    numbering = number(spine, first_level, margin_mm, distance_mm, sacrum, evidence, temperature)
    learns_sacrum = first_level == 1 and any(kind.name == SACRUM for kind in encoding.classes)
    doubts = [
        numbering.ambiguous,
        small_lowest(spine, outputs.is_cut(votes.voxels[spine[0].members])),
        unsure_lowest(spine),
        disagreeing_levels(spine, np.array(numbering.levels) - first_level),
    ]
    doubts.append(vertebra_below(remainder_below(votes, spine, outputs.spacing, distance_mm)))
    if sacrum is None:
        expected = learns_sacrum and not of_discs and numbering.evidence.probabilities().max() < SURE
        doubts += [no_sacrum_below(expected, margin_mm / distance_mm), disc_below(reach)]
    doubts = [doubt for doubt in doubts if doubt]
    confidence = min(numbering.confidence, CONFLICTING if doubts else 1.0)
    return replace(numbering, ambiguous="; ".join(doubts), confidence=confidence)


def _paint_plain(semantic: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Paint the classes that are one structure each."""
    table = np.zeros(encoding.semantic_channels, np.int32)
    for k, kind in enumerate(encoding.classes, start=1):
        table[k] = 0 if kind.levels else kind.values[0]
    return table[semantic]


def _with_sacrum(
    sacrum: Sacrum, spine: list[Instance], levels: tuple[int, ...]
) -> tuple[list[Instance], tuple[int, ...]]:
    """Return the vertebrae that discs lie between, and their levels, with S1 below them."""
    return [sacrum.as_instance(spine[0]), *spine], (levels[0] - sacrum.missing - 1, *levels)


def _painted(
    outputs: DecoderInput,
    encoding: Encoding,
    votes: Mapping[int, OffsetVotes],
    instances: Mapping[int, list[Instance]],
    numbered: Mapping[int, list[tuple[Instance, int]]],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield class, level and `(N, 3)` voxels of all that has a level; parts have those of their instance.

    Args:
        outputs: Of the network.
        encoding: Of the outputs.
        votes: Of the ordered classes.
        instances: All that they voted for.
        numbered: Those in the spine, with their levels.
    """
    wholes = {encoding.classes[k - 1].name: k for k in votes}
    for k, kind in enumerate(encoding.classes, start=1):
        if kind.ordered:
            for instance, level in numbered[k]:
                yield k, level, without_fragments(votes[k].voxels[instance.members])
        elif kind.levels:
            whole, axes = wholes[kind.part_of], encoding.offset_axes
            part_votes = outputs.votes_of(k, axes)
            parts = voxels_by_instance(part_votes, instances[whole], axes, encoding.intervertebral_distance_mm)
            levels = {id(instance): level for instance, level in numbered[whole]}
            for instance, part in zip(instances[whole], parts, strict=True):
                if id(instance) in levels and len(part):
                    strayless = without_strays(part, votes[whole].voxels[instance.members])
                    yield k, levels[id(instance)], strayless


def without_partial_instances(spine: list[Instance], votes: OffsetVotes, outputs: DecoderInput) -> list[Instance]:
    """Drop small instances at the ends that the image's edge does not cut: parts of a sacrum, mostly."""
    usual = float(np.median([len(vertebra.members) for vertebra in spine]))

    def is_partial(vertebra: Instance) -> bool:
        return len(vertebra.members) < PARTIAL * usual and not outputs.is_cut(votes.voxels[vertebra.members])

    while len(spine) > 2 and is_partial(spine[0]):
        spine = spine[1:]
    while len(spine) > 2 and is_partial(spine[-1]):
        spine = spine[:-1]
    return spine


def _flags(voxels: np.ndarray, level: int, outputs: DecoderInput, numbering: Numbering) -> tuple[str, ...]:
    flags = ["ambiguous"] if numbering.ambiguous else []
    if outputs.is_cut(voxels):
        flags.append("cut by the field of view")
    if {level - 1, level + 1} & set(numbering.skipped):
        flags.append("neighbour missing")
    return tuple(flags)


def _one_per_value(results: list[LabelResult]) -> tuple[LabelResult, ...]:
    """Keep one result of each label, with the flags of all components of a disc that share it."""
    kept: dict[int, LabelResult] = {}
    for result in results:
        flags = kept[result.value].flags if result.value in kept else ()
        kept[result.value] = replace(result, flags=tuple(dict.fromkeys((*flags, *result.flags))))
    return tuple(kept[value] for value in sorted(kept))
