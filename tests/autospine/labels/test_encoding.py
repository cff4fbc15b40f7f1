from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.labels.conversion import SCHEMES
from autospine.labels.encoding import Encoding, SemanticClass, plain_encoding

CHAIN = Encoding(
    classes=(
        SemanticClass("vertebra", (1, 2, 3), (1, 2, 3)),
        SemanticClass("disc", (202, 203), (2, 3)),
        SemanticClass("canal", (100,)),
    ),
    levels=(1, 2, 3),
    offset_axes=(1, 2),
    intervertebral_distance_mm=32.0,
    partial_annotation_above=True,
    unlabelled=255,
)


def test_channels_are_counted() -> None:
    assert CHAIN.chained
    assert CHAIN.semantic_channels == 4
    assert CHAIN.channels == 4 + 2 + 3
    assert CHAIN.values == (1, 2, 3, 202, 203, 100)
    assert CHAIN.ignored == 7


def test_compact_indices_say_class_and_level() -> None:
    mask = np.array([[0, 1, 3, 202], [203, 100, 255, 2]], np.uint16)
    compact = CHAIN.compact(mask, "1_t2")
    assert compact.tolist() == [[0, 1, 3, 4], [5, 6, 7, 2]]
    assert compact.dtype == np.uint8
    assert CHAIN.semantic_of_compact()[compact].tolist() == [[0, 1, 1, 2], [2, 3, -1, 1]]
    assert CHAIN.level_of_compact()[compact].tolist() == [[-1, 0, 2, 1], [2, -1, -1, 1]]


@given(st.data())
def test_compact_goes_back_to_the_label(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from([0, *CHAIN.values]), min_size=1, max_size=30))
    compact = CHAIN.compact(np.array(labels, np.uint16), "x")
    assert [([0, *CHAIN.values])[k] for k in compact] == labels


def test_a_label_that_the_plan_does_not_know_is_named() -> None:
    with pytest.raises(UserError, match="1_t2: holds label 17, which the plan does not know"):
        CHAIN.compact(np.array([0, 17, 300]), "1_t2")
    with pytest.raises(UserError, match="holds label 255"):
        plain_encoding(SCHEMES["spider"], (1, 2)).compact(np.array([255]), "1_t2")


def test_value_of_a_class_at_a_level() -> None:
    assert CHAIN.value_at(1, 3) == 3
    assert CHAIN.value_at(2, 2) == 202
    assert CHAIN.value_at(2, 1) is None
    assert CHAIN.value_at(3, 1) is None


def test_plain_encodings_have_one_class_per_label() -> None:
    plain = plain_encoding(SCHEMES["spider"], (1, 100, 201))
    assert [each.values for each in plain.classes] == [(1,), (100,), (201,)]
    assert [each.name for each in plain.classes] == ["L5", "spinal canal", "L5/S1 disc"]
    assert not plain.chained
    assert plain.channels == 4
    assert (plain.level_of_compact() == -1).all()


def test_a_chain_made_plain_keeps_its_labels_and_what_is_unlabelled() -> None:
    plain = CHAIN.plain()
    assert plain.values == CHAIN.values
    assert plain.channels == 1 + 6
    assert plain.unlabelled == 255
    assert not plain.chained
    assert not plain.partial_annotation_above


def test_many_labels_fit() -> None:
    values = tuple(range(1, 300))
    encoding = Encoding(tuple(SemanticClass(str(v), (v,)) for v in values))
    compact = encoding.compact(np.array([0, 1, 299]), "x")
    assert compact.tolist() == [0, 1, 299]
