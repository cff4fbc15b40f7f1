"""A prediction in parts, written in other schemes: what two labels say becomes what one says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autospine.inference.levels.decode import Decoded, LabelResult
from autospine.inference.predict import convert_prediction, segment
from autospine.inference.predictor import Prediction
from autospine.inference.segmentation import Segmentation
from autospine.labels.conversion import bodies_alone, get_scheme
from autospine.labels.encoding import Encoding, SemanticClass
from autospine.volumes import read_image
from tests.tiny import make_plan, ordered_encoding, spine_image, spine_mask, write_array

PARTS, SPIDER = get_scheme("parts"), get_scheme("spider")
CUT = "cut by the field of view"
ENCODING = Encoding(
    (
        SemanticClass("vertebral body", (301, 302), (1, 2)),
        SemanticClass("posterior elements", (401, 402), (1, 2), "vertebral body"),
        SemanticClass("spinal canal", (100,)),
        SemanticClass("sacrum", (50,)),
    ),
    (1, 2),
    (1, 2),
    30.0,
)


def prediction() -> Prediction:
    """L5 has 6 voxels of body and 2 of posterior elements, L4 a body of 3; canal and sacrum beside."""
    labels = np.array([[[301] * 6 + [401] * 2 + [302] * 3 + [100] * 4 + [50] * 5]])
    results = (LabelResult(301, 0.9, ()), LabelResult(302, 0.8, ("neighbour missing",)), LabelResult(401, 0.5, (CUT,)))
    confidence = {301: 0.95, 302: 0.9, 401: 0.55, 100: 0.7, 50: 0.6}
    return Prediction(Decoded(labels, results, "why"), confidence, 1.0, labels.repeat(2, axis=0))


def test_body_and_posterior_elements_become_one_vertebra_with_the_flags_of_both() -> None:
    found = convert_prediction(prediction(), PARTS, SPIDER)
    np.testing.assert_array_equal(found.decoded.labels, [[[1] * 8 + [2] * 3 + [100] * 4 + [0] * 5]])
    assert found.interpolated_labels is not None
    np.testing.assert_array_equal(found.interpolated_labels[1], found.decoded.labels[0])
    assert found.decoded.label_results == (
        LabelResult(1, pytest.approx((6 * 0.9 + 2 * 0.5) / 8), (CUT,)),
        LabelResult(2, 0.8, ("neighbour missing",)),
    )
    assert found.confidence == {1: pytest.approx((6 * 0.95 + 2 * 0.55) / 8), 2: 0.9, 100: 0.7}
    assert found.decoded.ambiguous == "why"


def test_bodies_alone_leave_the_posterior_elements_out() -> None:
    found = convert_prediction(prediction(), PARTS, get_scheme("bodies"))
    np.testing.assert_array_equal(found.decoded.labels, [[[1] * 6 + [0] * 2 + [2] * 3 + [0] * 9]])
    assert found.decoded.label_results == (LabelResult(1, 0.9, ()), LabelResult(2, 0.8, ("neighbour missing",)))
    assert found.confidence == {1: 0.95, 2: 0.9}


def test_all_levels_become_one_label() -> None:
    found = convert_prediction(prediction(), PARTS, get_scheme("semantic4"))
    (result,) = found.decoded.label_results
    assert result.confidence == pytest.approx((6 * 0.9 + 3 * 0.8 + 2 * 0.5) / 11)
    assert set(result.flags) == {CUT, "neighbour missing"}


def test_the_same_scheme_changes_nothing() -> None:
    one = prediction()
    assert convert_prediction(one, PARTS, PARTS) is one


def test_bodies_that_stand_for_vertebrae_are_known() -> None:
    assert bodies_alone(PARTS, (301, 302, 100), SPIDER)
    assert not bodies_alone(PARTS, (301, 401), SPIDER)
    assert not bodies_alone(PARTS, (301, 1), SPIDER)  # whole vertebrae of other sources teach the rest
    assert not bodies_alone(PARTS, (301, 201), PARTS)
    assert not bodies_alone(SPIDER, (1, 2), SPIDER)


class Answers:
    """A predictor with one answer."""

    def __init__(self, encoding: Encoding, answer: Prediction) -> None:
        self.encoding, self.answer = encoding, answer
        self.plan = replace(make_plan(ordered_encoding()), scheme=PARTS, encoding=encoding)
        card = SimpleNamespace(scheme=PARTS)
        self.models = (SimpleNamespace(name="model", card=card, labels=None, not_seen=()),)

    def prepare(self, *_: object) -> None:
        """Prepare nothing."""

    def see(self, *_: object) -> None:
        """See nothing."""

    def decide(self, _: object) -> Prediction:
        return self.answer


def answered(folder: Path, encoding: Encoding, labels: str | None) -> Segmentation:
    image = write_array(folder / "1_t2.mha", spine_image(spine_mask()))
    mask = np.zeros(spine_mask().shape, np.int32)
    mask[2:4, 20:30, 10:20], mask[2:4, 40:50, 10:20], mask[2:4, 52:60, 10:20] = 302, 301, 50
    if 401 in encoding.values:
        mask[2:4, 40:50, 22:30] = 401
    results = (LabelResult(301, 0.9, ()), LabelResult(302, 0.9, ()))
    confidence = {int(value): 0.5 for value in np.unique(mask) if value}
    answer = Prediction(Decoded(mask, results, ""), confidence, 1.0)
    return segment([read_image(image)], Answers(encoding, answer), labels)  # type: ignore[arg-type]


def test_the_report_lists_what_the_scheme_has_no_integer_for(tmp_path: Path) -> None:
    found = answered(tmp_path, ENCODING, "spider")
    assert [(each.value, each.anatomy) for each in found.labels] == [(1, "vertebra:1"), (2, "vertebra:2")]
    (sacrum,) = found.not_in_mask
    assert (sacrum.value, sacrum.anatomy, sacrum.voxels, sacrum.confidence) == (0, "sacrum", 160, 0.5)
    assert found.to_dict()["not_in_mask"][0]["name"] == "sacrum"
    assert set(np.unique(found.mask)) == {0, 1, 2}
    own = answered(tmp_path / "own", ENCODING, None)
    assert own.not_in_mask == ()
    assert set(np.unique(own.mask)) == {0, 50, 301, 302, 401}
    bodies = answered(tmp_path / "bodies", ENCODING, "bodies")
    assert [each.name for each in bodies.labels] == ["L5 body", "L4 body"]
    assert [each.name for each in bodies.not_in_mask] == ["sacrum", "L5 posterior elements"]


def test_a_model_of_bodies_alone_says_that_its_vertebrae_are_not_whole(tmp_path: Path) -> None:
    alone = replace(ENCODING, classes=(ENCODING.classes[0], *ENCODING.classes[2:]))
    warning = "the model knows vertebral bodies alone: the mask's vertebrae lack their posterior elements"
    assert warning in answered(tmp_path, alone, "spider").warnings
    assert warning not in answered(tmp_path / "bodies", alone, "bodies").warnings
    assert warning not in answered(tmp_path / "whole", ENCODING, "spider").warnings
