"""One scheme for data sets whose masks mean different things by their integers, or different things altogether."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autospine.labels.anatomy import Kind
from autospine.labels.schemes import SCHEMES, LabelScheme, free_value

JOINT = "joint"
FIRST_FREE = 501  # above the levels of the scheme parts
PARTS_OF_VERTEBRAE = frozenset({Kind.BODY, Kind.POSTERIOR_ELEMENTS, Kind.LAMINA})


@dataclass(frozen=True)
class SourceLabels:
    """What one of several data sets, a source, labels by which integers."""

    name: str  # of the source
    scheme: LabelScheme  # of its masks
    annotates: tuple[Kind, ...]  # kinds that it labels; of others nothing is known there

    @property
    def annotated(self) -> LabelScheme:
        """Return its scheme without the kinds that it does not annotate."""
        kinds = {*self.annotates, *((Kind.PARTIAL_VERTEBRA,) if Kind.VERTEBRA in self.annotates else ())}
        labels = {value: anatomy for value, anatomy in self.scheme.anatomies.items() if anatomy.kind in kinds}
        return replace(self.scheme, anatomies=labels)


def joint_scheme(schemes: Sequence[LabelScheme]) -> LabelScheme:
    """Return a scheme that has a label for every anatomy of several schemes, at least one.

    Returns:
        The first where all are alike; `parts` where it holds all; else `parts` with the other anatomies above it, by
        their order. With an ignore label where one of the schemes has one.
    """
    first = schemes[0]
    if all(replace(scheme, name=first.name) == first for scheme in schemes):
        return first
    parts = SCHEMES["parts"]
    anatomies = {anatomy for scheme in schemes for anatomy in scheme.anatomies.values()}
    others = sorted(anatomy for anatomy in anatomies if parts.value_of(anatomy) is None)
    labels = dict(parts.anatomies) | dict(enumerate(others, start=FIRST_FREE))
    ignored = any(scheme.ignore_label is not None for scheme in schemes)
    return LabelScheme(JOINT if others else parts.name, labels, free_value(labels) if ignored else None)
