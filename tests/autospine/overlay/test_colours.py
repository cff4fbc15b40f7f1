from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.labels.anatomy import Anatomy, Kind
from autospine.overlay.colours import colour_of


def apart(one: Anatomy, other: Anatomy) -> float:
    return sum((a - b) ** 2 for a, b in zip(colour_of(one), colour_of(other), strict=True)) ** 0.5


@given(st.builds(Anatomy, st.sampled_from(Kind), st.none() | st.integers(-5, 300)))
def test_every_anatomy_has_a_colour(anatomy: Anatomy) -> None:
    assert all(0 <= part <= 1 for part in colour_of(anatomy))


@pytest.mark.parametrize("level", range(1, 25))
def test_neighbours_differ_clearly(level: int) -> None:
    vertebra, disc = Anatomy(Kind.VERTEBRA, level), Anatomy(Kind.DISC, level)
    assert apart(vertebra, Anatomy(Kind.VERTEBRA, level + 1)) > 0.45
    assert apart(disc, Anatomy(Kind.DISC, level + 1)) > 0.25
    assert apart(disc, vertebra) > 0.35
    assert apart(Anatomy(Kind.DISC, level + 1), vertebra) > 0.35
    assert apart(Anatomy(Kind.CANAL), vertebra) > 0.3


@pytest.mark.parametrize("level", range(1, 9))
def test_parts_of_a_vertebra_are_shades_of_its_colour(level: int) -> None:
    body = colour_of(Anatomy(Kind.BODY, level))
    assert body == colour_of(Anatomy(Kind.VERTEBRA, level))
    assert colour_of(Anatomy(Kind.POSTERIOR_ELEMENTS, level)) == pytest.approx(tuple(0.75 * part for part in body))


def test_semantic_classes_differ() -> None:
    for kinds in ((Kind.VERTEBRA, Kind.CANAL, Kind.DISC), (Kind.BODY, Kind.FORAMEN, Kind.LAMINA)):
        assert all(apart(Anatomy(a), Anatomy(b)) > 0.4 for a, b in combinations(kinds, 2))


def test_l5_is_red_everywhere() -> None:
    assert colour_of(Anatomy(Kind.VERTEBRA, 1)) == pytest.approx((240 / 255, 85 / 255, 63 / 255))
