"""One scheme for data sets whose masks mean different things by their integers, or different things altogether."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autospine.labels.schemes import SCHEMES, LabelScheme, free_value

JOINT = "joint"
FIRST_FREE = 501  # above the levels of the scheme parts


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
