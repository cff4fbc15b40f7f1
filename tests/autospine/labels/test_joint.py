from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion
from autospine.labels.joint import joint_scheme
from autospine.labels.schemes import SCHEMES, LabelScheme


def test_schemes_that_are_alike_need_no_other() -> None:
    spider = SCHEMES["spider"]
    assert joint_scheme([spider, replace(spider, name="mine")]) is spider


def test_bodies_and_whole_vertebrae_meet_in_parts() -> None:
    joint = joint_scheme([SCHEMES["bodies"], SCHEMES["spider"]])
    assert joint == SCHEMES["parts"]
    assert conversion(SCHEMES["bodies"], joint).apply(np.array([0, 1, 5])).tolist() == [0, 301, 305]
    assert conversion(SCHEMES["spider"], joint).apply(np.array([0, 1, 101, 205, 100])).tolist() == [0, 1, 101, 205, 100]


def test_what_parts_lacks_has_a_label_above_it() -> None:
    own = LabelScheme("own", {1: Anatomy(Kind.BODY), 2: Anatomy(Kind.STRUCTURE, 7)}, ignore_label=9)
    joint = joint_scheme([SCHEMES["spider"], own])
    assert joint.name == "joint"
    assert conversion(own, joint).apply(np.array([0, 1, 2, 9])).tolist() == [0, 501, 502, 255]


@given(st.lists(st.sampled_from(sorted(SCHEMES)), min_size=1, max_size=4))
def test_nothing_is_lost_and_the_order_says_nothing(names: list[str]) -> None:
    schemes = [SCHEMES[name] for name in names]
    joint = joint_scheme(schemes)
    assert all(not conversion(scheme, joint).lost for scheme in schemes)
    if len({scheme.name for scheme in schemes}) > 1:
        assert joint == joint_scheme(schemes[::-1])


def test_parts_are_the_whole_where_a_scheme_has_no_parts() -> None:
    mask = np.array([0, 1, 305, 405, 101, 201, 50, 60, 100])
    change = conversion(SCHEMES["parts"], SCHEMES["spider"])
    assert change.apply(mask).tolist() == [0, 1, 5, 5, 101, 201, 0, 0, 100]
    assert {anatomy.kind for anatomy in change.lost} == {Kind.SACRUM, Kind.CORD}
    bodies = conversion(SCHEMES["parts"], SCHEMES["bodies"])
    assert bodies.apply(mask).tolist() == [0, 0, 5, 0, 0, 0, 0, 0, 0]
