from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.evaluation.structures import common_labels
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import generalisations
from autospine.labels.schemes import SCHEMES, LabelScheme

NAMES = st.sampled_from(sorted(SCHEMES))


def keys(prediction: str, reference: str) -> list[str]:
    return [row.key for row in common_labels(SCHEMES[prediction], SCHEMES[reference]).rows]


def test_the_finest_common_anatomies() -> None:
    assert keys("semantic4", "spider") == keys("spider", "semantic4") == ["vertebra", "disc", "canal"]
    assert keys("lumbar7", "spider") == [f"vertebra:{level}" for level in range(1, 8)]
    assert len(keys("spider20", "spider")) == 19
    assert keys("axial4", "lumbar7") == []


@pytest.mark.parametrize(
    ("prediction", "reference", "groups"),
    [
        ("spider", "spider", (1, 2)),
        ("lumbar7", "spider", (1,)),
        ("semantic4", "spider", ()),
        ("axial4", "axial4", ()),
    ],
)
def test_all_levels_only_where_levels_have_rows(prediction: str, reference: str, groups: tuple[int, ...]) -> None:
    assert common_labels(SCHEMES[prediction], SCHEMES[reference]).groups == groups


@given(NAMES, NAMES)
def test_both_sides_reach_every_row_by_generalisation(prediction: str, reference: str) -> None:
    common = common_labels(SCHEMES[prediction], SCHEMES[reference])
    for side in (common.prediction, common.reference):
        reached = set()
        for value, anatomy in side.source.anatomies.items():
            row = side.table[value]
            if row:
                reached.add(common.rows[row - 1])
                assert common.rows[row - 1] in generalisations(anatomy)
            else:
                assert anatomy in side.lost
        assert reached == set(common.rows)


def test_unlabelled_voxels_are_told_apart() -> None:
    part = LabelScheme("part", {1: Anatomy(Kind.VERTEBRA, 1)}, ignore_label=255)
    common = common_labels(SCHEMES["spider"], part)
    assert common.reference.apply(np.array([0, 1, 255])).tolist() == [0, 1, 2]
    assert common.reference.target.ignore_label == 2
