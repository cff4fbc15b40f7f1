"""What a network learns of several data sets that annotate different things.

Where one data set tells vertebral bodies apart and another labels whole vertebrae, bodies and posterior elements are
two classes, and a whole vertebra is a merged label of both. What a data set does not annotate may hide in its
background.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autospine.fingerprint.fingerprint import Fingerprint
from autospine.fingerprint.label_order import OrderedLabels, find_ordered_labels
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.encoding import PARTIAL_ABOVE, Encoding, MergedLabel, SemanticClass, SourceAnnotation
from autospine.labels.joint import PARTS_OF_VERTEBRAE, SourceLabels
from autospine.labels.schemes import LabelScheme
from autospine.planning.plan import Reason

ORDERED_KINDS = (Kind.VERTEBRA, Kind.BODY, Kind.DISC)
WHOLE = (Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA)
BODY, POSTERIOR, VERTEBRA, DISC = "vertebral body", "posterior elements", "vertebra", "disc"


@dataclass(frozen=True)
class _Class:
    """A class, and which labels are it or may be."""

    learnt: SemanticClass
    kinds: frozenset[Kind]


def joint_encoding(fingerprint: Fingerprint, offset_axes: tuple[int, ...]) -> Encoding | None:
    """Return the encoding of several data sets; None where all annotate the same."""
    sources, scheme = fingerprint.sources, fingerprint.scheme
    shown = _shown(fingerprint)
    if not sources or _alike(sources, shown.values()):
        return None
    distances = [o.intervertebral_distance_mm for o in fingerprint.ordered_labels if o.kind in ORDERED_KINDS]
    distances = [distance for distance in distances if distance > 0]
    classes = [*_levelled_classes(scheme, shown, bool(distances)), *_other_classes(shown)]
    told = {value for c in classes for value in c.learnt.values}
    levels = [level for c in classes for level in c.learnt.levels]
    span = tuple(range(min(levels), max(levels) + 1)) if levels else ()
    annotations = tuple(_annotation(source, classes, fingerprint) for source in sources)
    return Encoding(
        classes=tuple(c.learnt for c in classes),
        levels=span,
        offset_axes=offset_axes if levels else (),
        intervertebral_distance_mm=round(float(np.median(distances)), 1) if levels else 1.0,
        partial_annotation_above=any(source.partial_annotation_above for source in annotations),
        ignore_label=scheme.ignore_label,
        merged=tuple(
            MergedLabel(value, _numbers(classes, anatomy.kind), anatomy.level if anatomy.level in span else None)
            for value, anatomy in shown.items()
            if value not in told
        ),
        sources=annotations,
    )


def with_sources(encoding: Encoding, fingerprint: Fingerprint) -> Encoding:
    """Return an encoding of labels that all sources annotate; where annotation stops early is each source's own."""
    if not fingerprint.sources:
        return encoding
    stops = [bool(encoding.levels) and stops_early(fingerprint, source.name) for source in fingerprint.sources]
    sources = tuple(SourceAnnotation(s.name, (), stop) for s, stop in zip(fingerprint.sources, stops, strict=True))
    return replace(encoding, partial_annotation_above=any(stops), sources=sources)


def joint_reasons(encoding: Encoding, fingerprint: Fingerprint) -> list[Reason]:
    """Say what is learnt of which data set."""
    reasons = []
    if encoding.ordered:
        reasons.append(
            Reason(
                "levels are numbered by their order along the spine",
                "neighbouring levels look alike, so the network learns instances and their centres, which are then "
                "counted from the lowest",
                f"{len(encoding.levels)} levels, {encoding.intervertebral_distance_mm:.1f} mm apart",
            )
        )
    if any(len(label.classes) > 1 for label in encoding.merged):
        reasons.append(
            Reason(
                "a whole vertebra is its body or its posterior elements",
                "some data sets tell the two apart; where one does not, either is right",
                f"{sum(len(label.classes) > 1 for label in encoding.merged)} labels",
            )
        )
    for labels, source in zip(fingerprint.sources, encoding.sources, strict=True):
        hidden = ", ".join(encoding.classes[k - 1].name for k in source.unannotated) or "nothing"
        above = ", and what lies above the topmost label is not learnt as background" * source.partial_annotation_above
        reasons.append(
            Reason(
                f"{source.name} teaches {', '.join(kind.value for kind in labels.annotates)}",
                f"its background may hide {hidden}{above}",
                f"scheme {labels.scheme.name}",
            )
        )
    return reasons


def stops_early(fingerprint: Fingerprint, source: str) -> bool:
    """Return whether the annotation of a source stops while its images show more of the spine."""
    cases = [case for case in fingerprint.training if case.source == source]
    sequences = [s for s in find_ordered_labels(cases, fingerprint.scheme) if s.intervertebral_distance_mm > 0]
    return bool(sequences) and _room_above(sequences) > PARTIAL_ABOVE


def _room_above(sequences: Sequence[OrderedLabels]) -> float:
    """Return the room above the topmost label in intervertebral distances."""
    distance_mm = float(np.median([labels.intervertebral_distance_mm for labels in sequences]))
    return min(labels.room_above_mm for labels in sequences) / distance_mm


def _shown(fingerprint: Fingerprint) -> dict[int, Anatomy]:
    values = sorted({value for case in fingerprint.training for value in case.centroids})
    return {value: fingerprint.scheme.anatomies[value] for value in values}


def _alike(sources: Sequence[SourceLabels], shown: Collection[Anatomy]) -> bool:
    """Return whether all sources annotate the same, each kind with levels or each without."""
    kinds = [set(source.annotates) for source in sources]
    levelled = [{a.kind for a in shown if (a.level is None) is told} for told in (False, True)]
    parts = set.union(*kinds) & PARTS_OF_VERTEBRAE
    return (
        all(own == kinds[0] for own in kinds)
        and {a.kind for a in shown} <= kinds[0] | {Kind.PARTIAL_VERTEBRA}
        and not levelled[0] & levelled[1]
        and not (parts and Kind.VERTEBRA in kinds[0])
    )


def _levelled_classes(scheme: LabelScheme, shown: dict[int, Anatomy], ordered: bool) -> list[_Class]:
    present = {anatomy.kind for anatomy in shown.values()}
    apart = bool(present & PARTS_OF_VERTEBRAE)
    family = {*WHOLE, *PARTS_OF_VERTEBRAE}
    vertebral = sorted({a.level for a in shown.values() if a.kind in family and a.level is not None})
    classes = []
    if apart:
        classes.append(_levelled(BODY, Kind.BODY, {Kind.BODY, *WHOLE}, scheme, vertebral, ordered))
        if present & {*WHOLE, Kind.POSTERIOR_ELEMENTS, Kind.LAMINA}:
            of = BODY if ordered and len(vertebral) > 1 else ""
            behind = {Kind.POSTERIOR_ELEMENTS, Kind.LAMINA, *WHOLE}
            told = vertebral or scheme.value_of(Anatomy(Kind.POSTERIOR_ELEMENTS))
            kind = Kind.POSTERIOR_ELEMENTS if told else Kind.LAMINA
            classes.append(_levelled(POSTERIOR, kind, behind, scheme, vertebral, ordered, of))
    elif present & set(WHOLE):
        classes.append(_levelled(VERTEBRA, Kind.VERTEBRA, set(WHOLE), scheme, vertebral, ordered))
    if Kind.DISC in present:
        discs = sorted({a.level for a in shown.values() if a.kind is Kind.DISC and a.level is not None})
        classes.append(_levelled(DISC, Kind.DISC, {Kind.DISC}, scheme, discs, ordered))
    return classes


def _levelled(
    name: str, kind: Kind, kinds: set[Kind], scheme: LabelScheme, levels: list[int], ordered: bool, part_of: str = ""
) -> _Class:
    """Return a class of the labels of one kind at some levels; of the one without a level where there are none."""
    wanted = [Anatomy(kind, level) for level in levels] or [Anatomy(kind)]
    known = tuple(value for anatomy in wanted if (value := scheme.value_of(anatomy)) is not None)
    told = tuple(levels) if ordered and len(levels) > 1 else ()
    return _Class(SemanticClass(name, known, told, part_of), frozenset(kinds))


def _other_classes(shown: dict[int, Anatomy]) -> list[_Class]:
    """Return a class for each label of kinds that have no instances along the spine."""
    levelled = {*WHOLE, *PARTS_OF_VERTEBRAE, Kind.DISC}
    others = sorted((anatomy, value) for value, anatomy in shown.items() if anatomy.kind not in levelled)
    return [_Class(SemanticClass(anatomy.name, (value,)), frozenset({anatomy.kind})) for anatomy, value in others]


def _numbers(classes: Sequence[_Class], kind: Kind) -> tuple[int, ...]:
    return tuple(number for number, c in enumerate(classes, start=1) if kind in c.kinds)


def _annotation(source: SourceLabels, classes: Sequence[_Class], fingerprint: Fingerprint) -> SourceAnnotation:
    """Return which classes the background of a source may hide."""
    plain = {fingerprint.scheme.value_of(a) for a in source.scheme.anatomies.values() if a.kind is Kind.STRUCTURE}
    unannotated = tuple(
        number
        for number, c in enumerate(classes, start=1)
        if not c.kinds & set(source.annotates) or (Kind.STRUCTURE in c.kinds and c.learnt.values[0] not in plain)
    )
    return SourceAnnotation(source.name, unannotated, stops_early(fingerprint, source.name))
