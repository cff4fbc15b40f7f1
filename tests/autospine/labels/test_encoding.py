from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.labels.encoding import Encoding, MergedLabel, SemanticClass, SourceAnnotation, plain_encoding
from autospine.labels.schemes import SCHEMES

ORDERED = Encoding(
    classes=(
        SemanticClass("vertebra", (1, 2, 3), (1, 2, 3)),
        SemanticClass("disc", (202, 203), (2, 3)),
        SemanticClass("canal", (100,)),
    ),
    levels=(1, 2, 3),
    offset_axes=(1, 2),
    intervertebral_distance_mm=32.0,
    partial_annotation_above=True,
    ignore_label=255,
)


def test_channels_are_counted() -> None:
    assert ORDERED.ordered
    assert ORDERED.semantic_channels == 4
    assert ORDERED.channels == 4 + 2 + 3
    assert ORDERED.values == (1, 2, 3, 202, 203, 100)
    assert ORDERED.ignore_index == 7


def test_compact_indices_say_class_and_level() -> None:
    mask = np.array([[0, 1, 3, 202], [203, 100, 255, 2]], np.uint16)
    train_ids = ORDERED.train_ids(mask, "1_t2")
    assert train_ids.tolist() == [[0, 1, 3, 4], [5, 6, 7, 2]]
    assert train_ids.dtype == np.uint8
    assert ORDERED.class_of_index()[train_ids].tolist() == [[0, 1, 1, 2], [2, 3, -1, 1]]
    assert ORDERED.level_of_index()[train_ids].tolist() == [[-1, 0, 2, 1], [2, -1, -1, 1]]


@given(st.data())
def test_compact_goes_back_to_the_label(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from([0, *ORDERED.values]), min_size=1, max_size=30))
    train_ids = ORDERED.train_ids(np.array(labels, np.uint16), "x")
    assert [([0, *ORDERED.values])[k] for k in train_ids] == labels


def test_a_label_that_the_plan_does_not_know_is_named() -> None:
    with pytest.raises(UserError, match="1_t2: holds label 17, which the plan does not know"):
        ORDERED.train_ids(np.array([0, 17, 300]), "1_t2")
    with pytest.raises(UserError, match="holds label 255"):
        plain_encoding(SCHEMES["spider"], (1, 2)).train_ids(np.array([255]), "1_t2")


def test_value_of_a_class_at_a_level() -> None:
    assert ORDERED.value_at(1, 3) == 3
    assert ORDERED.value_at(2, 2) == 202
    assert ORDERED.value_at(2, 1) is None
    assert ORDERED.value_at(3, 1) is None


def test_plain_encodings_have_one_class_per_label() -> None:
    plain = plain_encoding(SCHEMES["spider"], (1, 100, 201))
    assert [each.values for each in plain.classes] == [(1,), (100,), (201,)]
    assert [each.name for each in plain.classes] == ["L5", "spinal canal", "L5/S1 disc"]
    assert not plain.ordered
    assert plain.channels == 4
    assert (plain.level_of_index() == -1).all()


def test_an_encoding_made_plain_keeps_its_labels_and_its_ignore_label() -> None:
    plain = ORDERED.plain()
    assert plain.values == ORDERED.values
    assert plain.channels == 1 + 6
    assert plain.ignore_label == 255
    assert not plain.ordered
    assert not plain.partial_annotation_above


def test_many_labels_fit() -> None:
    values = tuple(range(1, 300))
    encoding = Encoding(tuple(SemanticClass(str(v), (v,)) for v in values))
    train_ids = encoding.train_ids(np.array([0, 1, 299]), "x")
    assert train_ids.tolist() == [0, 1, 299]


JOINT = Encoding(
    classes=(
        SemanticClass("vertebral body", (301, 302), (1, 2)),
        SemanticClass("posterior elements", (401, 402), (1, 2), part_of="vertebral body"),
        SemanticClass("canal", (100,)),
    ),
    levels=(1, 2),
    offset_axes=(1, 2),
    ignore_label=255,
    merged=(MergedLabel(1, (1, 2), 1), MergedLabel(2, (1, 2), 2), MergedLabel(501, (1,))),
    sources=(SourceAnnotation("t2", (2, 3), True), SourceAnnotation("spider")),
)


UNORDERED = (SemanticClass("a", (11,)), SemanticClass("b", (12,), (1,), part_of="a"))


def test_train_ids_say_which_classes_a_voxel_may_be() -> None:
    assert JOINT.partial
    assert not ORDERED.partial
    assert JOINT.train_id_count == 12
    mask = np.array([0, 301, 402, 100, 255, 2, 501], np.uint16)
    t2, spider = JOINT.train_ids(mask, "x", "t2"), JOINT.train_ids(mask, "x", "spider")
    assert t2.tolist() == [10, 1, 4, 5, 6, 8, 9]
    assert spider.tolist() == [0, 1, 4, 5, 6, 8, 9]
    assert JOINT.members()[t2].tolist() == [
        [True, False, True, True],  # the background of t2 may hide posterior elements and the canal
        [False, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
        [False, False, False, False],  # ignored
        [False, True, True, False],  # a whole vertebra
        [False, True, False, False],  # a body of no level
    ]
    assert JOINT.class_of_index()[t2].tolist() == [-1, 1, 2, 3, -1, -1, -1]
    assert JOINT.level_of_index()[t2].tolist() == [-1, 0, 1, -1, -1, 1, -1]
    assert [kind.ordered for kind in JOINT.classes] == [True, False, False]
    assert (JOINT.stops_early("t2"), JOINT.stops_early("spider")) == (True, False)


def test_members_are_the_classes_where_all_is_annotated() -> None:
    classes = ORDERED.class_of_index()
    expected = [[known == k for k in range(ORDERED.semantic_channels)] for known in classes]
    assert ORDERED.members().tolist() == expected


def test_partial_encodings_come_back_from_json() -> None:
    assert from_plain(Encoding, to_plain(JOINT), "plans.json") == JOINT


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"merged": (MergedLabel(1, (4,), 1),)}, "should stand for classes"),
        ({"merged": (MergedLabel(1, (1,), 3),)}, "levels should hold"),
        ({"merged": (MergedLabel(301, (1,), 1),)}, "each in one class"),
        ({"sources": (SourceAnnotation("t2", (9,)),)}, "leave classes unannotated"),
        ({"sources": (SourceAnnotation("t2"), SourceAnnotation("t2"))}, "names of their own"),
        ({"classes": UNORDERED, "merged": (), "sources": ()}, "part of an ordered one"),
    ],
)
def test_wrong_partial_encodings_are_refused(change: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(JOINT, **change)
