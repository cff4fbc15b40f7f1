from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import LabelScheme
from autospine.networks.shape import NetworkShape


class Colour(str, Enum):
    RED, BLUE = "red", "blue"


@dataclass(frozen=True)
class Inner:
    share: float
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    count: int
    flag: bool
    colour: Colour
    inner: Inner
    several: tuple[Inner, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    by_value: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    mode: Literal["one", "two"] = "one"
    whatever: Any = None


numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, numbers, st.none() | st.text())
outers = st.builds(
    Outer,
    count=st.integers(),
    flag=st.booleans(),
    colour=st.sampled_from(Colour),
    inner=inners,
    several=st.lists(inners, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), numbers),
    by_value=st.dictionaries(st.integers(), st.lists(numbers, max_size=3).map(tuple), max_size=3),
    mode=st.sampled_from(["one", "two"]),
    whatever=st.none() | st.integers() | st.text(),
)
GOOD = {"count": 1, "flag": True, "colour": "red", "inner": {"share": 0.5}}


@given(outers)
def test_through_json_and_back(value: Outer) -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_plain(value))), "file") == value


@given(
    st.dictionaries(
        st.integers(1, 400),
        st.builds(Anatomy, st.sampled_from([Kind.VERTEBRA, Kind.DISC]), st.none() | st.integers(1, 9)),
    ),
    st.none() | st.integers(500, 600),
)
def test_label_schemes_survive(anatomies: dict[int, Anatomy], ignore_label: int | None) -> None:
    scheme = LabelScheme("own", anatomies, ignore_label)
    assert from_plain(LabelScheme, json.loads(json.dumps(to_plain(scheme))), "file") == scheme


def test_defaults_may_be_left_out_and_whole_numbers_are_fine_as_floats() -> None:
    found = from_plain(Outer, {**GOOD, "inner": {"share": 1}}, "file")
    assert found == Outer(1, True, Colour.RED, Inner(1.0))
    assert isinstance(found.inner.share, float)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"cuont": 1}, "Outer has the unknown key 'cuont'"),
        ({"inner": {"share": 1, "size": 2}}, "Outer.inner has the unknown key 'size'"),
        ({"inner": {}}, "Outer.inner lacks the key 'share'"),
        ({"inner": 3}, "Outer.inner should be an object"),
        ({"inner": {"share": "much"}}, "Outer.inner.share should be float, not 'much'"),
        ({"inner": {"share": 1, "name": 5}}, "Outer.inner.name should be str, not 5"),
        ({"count": 1.5}, "Outer.count should be int, not 1.5"),
        ({"count": True}, "Outer.count should be int, not True"),
        ({"flag": 1}, "Outer.flag should be bool, not 1"),
        ({"colour": "green"}, "Outer.colour has the key 'green'"),
        ({"mode": "three"}, "Outer.mode is 'three', none of one, two"),
        ({"several": {}}, "Outer.several should be a list"),
        ({"pair": [1]}, "Outer.pair should hold 2 values"),
        ({"by_value": {"a": []}}, "Outer.by_value has the key 'a'"),
        ({"by_value": [1]}, "Outer.by_value should be an object"),
        ({"by_value": None}, "Outer.by_value should be an object"),
        ({"inner": {"share": 10**400}}, "Outer.inner.share is beyond any number"),
        ({"colour": []}, "Outer.colour has the key []"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as error:
        from_plain(Outer, {**GOOD, **change}, "plans.json")
    assert error.value.where == "plans.json"
    assert problem in error.value.problem
    assert "make it again" in error.value.hint


@pytest.mark.parametrize("data", [None, [], 3, "text"])
def test_anything_but_an_object_is_an_error(data: Any) -> None:
    with pytest.raises(UserError, match="Outer should be an object"):
        from_plain(Outer, data, "file")


def test_what_a_dataclass_refuses_itself_is_a_users_error() -> None:
    shape = NetworkShape(2, 1, 3, (8, 16), ((3, 3), (3, 3)), ((1, 1), (2, 2)))
    with pytest.raises(UserError, match=r"plans\.json: NetworkShape: kernel sizes should be odd"):
        from_plain(NetworkShape, {**to_plain(shape), "kernels": [[3, 3], [2, 2]]}, "plans.json")


@dataclass(frozen=True)
class Sized:
    size: int = 1


@dataclass(frozen=True)
class Either:
    one: Inner | Sized | None = None


@pytest.mark.parametrize("value", [None, Inner(0.5), Sized(3)])
def test_keys_tell_which_of_several_dataclasses_was_written(value: Inner | Sized | None) -> None:
    assert from_plain(Either, to_plain(Either(value)), "file") == Either(value)
    with pytest.raises(UserError, match=r"Either\.one has the unknown key 'colour'"):
        from_plain(Either, {"one": {"colour": 1}}, "file")
