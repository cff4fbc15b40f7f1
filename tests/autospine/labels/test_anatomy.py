from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.labels.anatomy import Anatomy, Kind, level_name

ANATOMIES = st.builds(Anatomy, st.sampled_from(Kind), st.none() | st.integers(1, 40))


@given(ANATOMIES)
def test_key_and_json_come_back(anatomy: Anatomy) -> None:
    assert Anatomy.parse(anatomy.key) == anatomy
    assert from_plain(Anatomy, to_plain(anatomy), "file") == anatomy
    assert pickle.loads(pickle.dumps(anatomy)) == anatomy


@given(ANATOMIES, ANATOMIES)
def test_different_anatomies_have_different_keys_and_names(one: Anatomy, other: Anatomy) -> None:
    assert (one.key == other.key) == (one == other) == (one.name == other.name)
    assert (one < other) + (other < one) + (one == other) == 1


def test_order_is_by_kind_then_level() -> None:
    mixed = [
        Anatomy(Kind.DISC, 1),
        Anatomy(Kind.VERTEBRA, 10),
        Anatomy(Kind.VERTEBRA),
        Anatomy(Kind.VERTEBRA, 2),
    ]
    assert [one.key for one in sorted(mixed)] == ["vertebra", "vertebra:2", "vertebra:10", "disc:1"]


@pytest.mark.parametrize(
    ("key", "name", "short"),
    [
        ("vertebra:1", "L5", "L5"),
        ("vertebra:5", "L1", "L1"),
        ("vertebra:6", "T12", "T12"),
        ("vertebra:17", "T1", "T1"),
        ("vertebra:18", "C7", "C7"),
        ("vertebra:24", "C1", "C1"),
        ("vertebra:25", "level 25", "level 25"),
        ("disc:1", "L5/S1 disc", "L5/S1"),
        ("disc:5", "L1/L2 disc", "L1/L2"),
        ("disc:6", "T12/L1 disc", "T12/L1"),
        ("partial vertebra:6", "T12 (partial)", "T12"),
        ("canal", "spinal canal", "canal"),
        ("vertebra", "vertebra", "vertebra"),
        ("body:2", "L4 body", "L4"),
        ("structure:255", "structure 255", "255"),
    ],
)
def test_names(key: str, name: str, short: str) -> None:
    assert (Anatomy.parse(key).name, Anatomy.parse(key).short_name) == (name, short)


@pytest.mark.parametrize("key", ["vertebrae", "vertebra:", "vertebra:x", "vertebra:0", "disc:-1", "", "structure:a"])
def test_wrong_keys_are_user_errors(key: str) -> None:
    with pytest.raises(UserError, match=r"dataset\.json: names no anatomy"):
        Anatomy.parse(key, "dataset.json")


def test_level_below_the_lumbar_spine_is_the_sacrum() -> None:
    assert level_name(0) == "S1"
