from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.core.errors import UserError
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.structures import METRICS, LabelScore, Presence, common_labels, comparable_schemes, score_case
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion, generalisations
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.metrics import overlap, surface

SPIDER, SEMANTIC, PARTS, BODIES = (SCHEMES[name] for name in ("spider", "semantic4", "parts", "bodies"))
SPACING = (4.0, 1.0, 0.5)
DISTANCES = ("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm")
LABELS = arrays(np.uint8, (3, 5, 4), elements=st.sampled_from([0, 0, 1, 2, 100, 201]))


def all_figures(score: LabelScore) -> dict[str, float]:
    return {metric: getattr(score, metric) for metric in METRICS}


def by_hand(p: np.ndarray, r: np.ndarray) -> dict[str, float]:
    """The figures of two boolean masks of a whole image, one of which shows something."""
    counts, between = overlap.count(p, r), surface.surfaces(p, r, SPACING)
    found = {
        "dice": overlap.dice(counts),
        "iou": overlap.iou(counts),
        "f1": overlap.f1(counts),
        "precision": overlap.precision(counts),
        "recall": overlap.recall(counts),
        "accuracy": (p == r).mean(),
        "volume_ml": r.sum() * 2 / 1000,
        "predicted_volume_ml": p.sum() * 2 / 1000,
        "volume_error_ml": (int(p.sum()) - int(r.sum())) * 2 / 1000,
        "volume_error_share": overlap.volume_error_share(counts),
        "log_loss": math.nan,
    }
    if between is None:
        penalty_distance_mm = dict.fromkeys(DISTANCES, surface.diagonal(p.shape, SPACING))
        return found | penalty_distance_mm | {"nsd": 0.0, "reference_surface_recall": 0.0}
    there, back = surface.directed_distances(between)
    return found | {
        "nsd": surface.surface_dice(between, 1.0),
        "reference_surface_recall": surface.reference_surface_recall(between, 1.0),
        "asd_mm": surface.average_distance(between),
        "asd_prediction_mm": there,
        "asd_reference_mm": back,
        "hd_mm": surface.hausdorff_distance(between),
        "hd95_mm": surface.hausdorff_distance(between, 95),
    }


def by_name(scores: list[LabelScore]) -> dict[str, LabelScore]:
    return {score.name: score for score in scores}


@given(LABELS, LABELS)
@settings(max_examples=40, deadline=None)
def test_each_score_is_that_of_the_label_alone(prediction: np.ndarray, reference: np.ndarray) -> None:
    scores = score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)))
    parts = {(False, value): [value] for value in (1, 2, 100, 201)} | {(True, 1): [1, 2], (True, 201): [201]}
    expected = 0
    for (all_levels, value), members in parts.items():
        p, r = np.isin(prediction, members), np.isin(reference, members)
        anatomy = SPIDER.anatomies[value]
        wanted = Anatomy(anatomy.kind) if all_levels else anatomy
        found = [score for score in scores if score.anatomy == wanted and score.all_levels == all_levels]
        assert len(found) == int(p.any() or r.any())
        expected += len(found)
        for score in found:
            assert all_figures(score) == pytest.approx(by_hand(p, r), nan_ok=True)
    assert len(scores) == expected


@given(LABELS, LABELS)
@settings(max_examples=30, deadline=None)
def test_exchanging_the_masks_exchanges_precision_and_recall(one: np.ndarray, other: np.ndarray) -> None:
    there = score_case(MaskPair(one, other, SPACING, (SPIDER, SPIDER)))
    back = score_case(MaskPair(other, one, SPACING, (SPIDER, SPIDER)))
    turned = {
        "precision": "recall",
        "asd_prediction_mm": "asd_reference_mm",
        "volume_ml": "predicted_volume_ml",
    }
    turned |= {other: one for one, other in turned.items()}
    one_way = {"volume_error_ml", "volume_error_share", "reference_surface_recall"}
    for a, b in zip(there, back, strict=True):
        for metric in set(METRICS) - one_way:
            assert getattr(a, metric) == pytest.approx(getattr(b, turned.get(metric, metric)), nan_ok=True)
        assert a.volume_error_ml == -b.volume_error_ml


@given(LABELS, LABELS, st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=30, deadline=None)
def test_how_the_image_lies_in_its_file_does_not_matter(
    prediction: np.ndarray, reference: np.ndarray, order: list[int], flips: tuple[bool, ...]
) -> None:
    axes = [axis for axis in range(3) if flips[axis]]
    moved = [np.flip(mask.transpose(order), axes) for mask in (prediction, reference)]
    turned = [SPACING[axis] for axis in order]
    plain = score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)))
    for a, b in zip(plain, score_case(MaskPair(*moved, turned, (SPIDER, SPIDER))), strict=True):
        assert all_figures(a) == pytest.approx(all_figures(b), nan_ok=True)


@given(LABELS, LABELS)
@settings(max_examples=20, deadline=None)
def test_other_integers_and_twice_the_size(prediction: np.ndarray, reference: np.ndarray) -> None:
    plain = score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)), tolerance_mm=2.0)
    move = np.arange(256)
    move[[1, 2, 100, 201]] = [70, 9, 8, 3]
    other = LabelScheme("other", {int(move[v]): SPIDER.anatomies[v] for v in (1, 2, 100, 201)})
    double = tuple(2 * mm for mm in SPACING)
    scaled = score_case(MaskPair(move[prediction], move[reference], double, (other, other)), tolerance_mm=4.0)
    for a, b in zip(plain, scaled, strict=True):
        assert a.anatomy == b.anatomy
        for metric in METRICS:
            times = 2 if metric.endswith("_mm") else 8 if metric.endswith("_ml") else 1
            assert getattr(b, metric) == pytest.approx(times * getattr(a, metric), nan_ok=True)


@given(LABELS)
@settings(max_examples=30, deadline=None)
def test_the_scheme_does_not_change_the_score(mask: np.ndarray) -> None:
    """A prediction in other integers scores as it does in the reference's."""
    other = np.roll(mask, 1, axis=1)
    converted = conversion(SPIDER, SCHEMES["spider20"]).apply(other)
    same = score_case(MaskPair(converted, mask, SPACING, (SCHEMES["spider20"], SPIDER)))
    assert repr(same) == repr(score_case(MaskPair(other, mask, SPACING, (SPIDER, SPIDER))))  # NaN differs from itself


def test_semantic_predictions_meet_levelled_references() -> None:
    reference = np.zeros((2, 6, 4), np.uint8)
    reference[:, 0:2], reference[:, 2], reference[:, 3:5], reference[0, 5] = 2, 201, 1, 106
    prediction = conversion(SPIDER, SEMANTIC).apply(reference)
    for pair in ((prediction, SEMANTIC, reference, SPIDER), (reference, SPIDER, prediction, SEMANTIC)):
        scores = score_case(MaskPair(pair[0], pair[2], SPACING, (pair[1], pair[3])))
        assert [(score.name, score.dice, score.all_levels) for score in scores] == [
            ("all vertebrae", 1.0, False),
            ("all discs", 1.0, False),
        ]


def test_shifted_levels_score_nothing_but_all_levels_together_are_perfect() -> None:
    reference = np.zeros((2, 6, 4), np.uint8)
    reference[:, 0:2], reference[:, 3:5] = 2, 1
    prediction = np.where(reference > 0, reference + 1, 0)
    scores = by_name(score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER))))
    assert scores["all vertebrae"].dice == 1 and scores["all vertebrae"].all_levels
    assert scores["L4"].dice == 0 and scores["L4"].presence is Presence.BOTH
    assert scores["L5"].presence is Presence.REFERENCE and scores["L3"].presence is Presence.PREDICTION


def test_levels_beyond_the_other_scheme_still_count_in_all_levels() -> None:
    reference = np.zeros((2, 6, 4), np.uint8)
    reference[:, 0:2], reference[:, 3:5] = 10, 1  # level 10 is T8: spider20 ends at 9
    scores = by_name(
        score_case(MaskPair(np.where(reference == 1, 1, 0), reference, SPACING, (SCHEMES["spider20"], SPIDER)))
    )
    assert set(scores) == {"L5", "all vertebrae"}
    assert scores["L5"].dice == 1 and scores["all vertebrae"].recall == 0.5


def test_one_side_empty_is_the_worst_score() -> None:
    full = np.zeros((2, 3, 4), np.uint8)
    full[0, 1] = 1
    empty = np.zeros_like(full)
    penalty_distance_mm = surface.diagonal(full.shape, SPACING)
    for prediction, reference, presence in (
        (empty, full, "reference only"),
        (full, empty, "prediction only"),
    ):
        for score in score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER))):
            assert (score.dice, score.iou, score.f1, score.precision, score.recall) == (0, 0, 0, 0, 0)
            assert (score.nsd, score.reference_surface_recall) == (0, 0)
            assert all(getattr(score, metric) == penalty_distance_mm for metric in DISTANCES)
            assert score.presence == presence
            assert score.accuracy == pytest.approx(20 / 24)
            sign = 1 if presence == "prediction only" else -1
            assert (score.volume_error_share, score.volume_error_ml) == (sign, sign * 0.008)
    assert score_case(MaskPair(empty, empty, SPACING, (SPIDER, SPIDER))) == []


def test_absent_scores_are_not_a_number() -> None:
    absent = LabelScore(Anatomy(Kind.CANAL), Presence.NEITHER)
    assert all(math.isnan(getattr(absent, metric)) for metric in METRICS)


def test_every_figure_is_a_metric() -> None:
    fields = dataclasses.fields(LabelScore)
    assert tuple(field.name for field in fields if field.type == "float") == METRICS


def test_accuracy_is_that_of_the_whole_annotated_image() -> None:
    part = LabelScheme("part", dict(SPIDER.anatomies), ignore_label=255)
    reference = np.zeros((3, 10, 10), np.uint8)
    reference[1, 4:6, 4:6], reference[0] = 1, 255
    prediction = np.zeros_like(reference)
    prediction[1, 4, 4], prediction[1, 9, 9], prediction[0] = 1, 1, 1
    scores = by_name(score_case(MaskPair(prediction, reference, SPACING, (SPIDER, part))))
    assert scores["L5"].accuracy == pytest.approx((200 - 4) / 200)


def test_tolerance() -> None:
    reference = np.zeros((5, 12, 12), np.uint8)
    reference[1:4, 3:8, 3:8] = 1
    prediction = np.roll(reference, 2, axis=1)  # 2 mm
    scores = [
        score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)), tolerance_mm=mm)[0]
        for mm in (0, 1, 2, 2.1)
    ]
    nsd = [score.nsd for score in scores]
    assert nsd == sorted(nsd) and nsd[0] < nsd[2] == 1
    assert scores[2].reference_surface_recall < scores[3].reference_surface_recall == 1
    default = score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)))[0]
    assert (scores[1].nsd, scores[1].reference_surface_recall) == (default.nsd, default.reference_surface_recall)
    for wrong in (-1, math.nan):
        with pytest.raises(UserError, match=r"tolerance: is .* give 0 or more"):
            score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)), tolerance_mm=wrong)


def test_unlabelled_voxels_do_not_score() -> None:
    part = LabelScheme("part", dict(SPIDER.anatomies), ignore_label=255)
    reference = np.zeros((4, 6, 5), np.uint8)
    reference[1, 2:4, 1:4] = 1
    reference[2:] = 255
    prediction = np.zeros_like(reference)
    prediction[1:, 2:4, 1:4] = 1
    assert {score.dice for score in score_case(MaskPair(prediction, reference, SPACING, (SPIDER, part)))} == {1.0}
    assert {score.asd_mm for score in score_case(MaskPair(prediction, reference, SPACING, (SPIDER, part)))} == {0.0}


def test_arguments_are_left_as_they_are() -> None:
    part = LabelScheme("part", dict(SPIDER.anatomies), ignore_label=255)
    reference = np.array([[[0, 1, 255], [2, 1, 0]]], np.uint8)
    prediction = np.array([[[1, 1, 1], [2, 2, 0]]], np.uint8)
    before = reference.copy(), prediction.copy()
    score_case(MaskPair(prediction, reference, SPACING, (SPIDER, part)))
    assert (reference == before[0]).all() and (prediction == before[1]).all()


def test_one_structure_in_one_slice_of_many_has_a_surface_not_a_contour() -> None:
    reference = np.zeros((5, 9, 9), np.uint8)
    reference[2, 2:7, 2:7] = 1
    prediction = np.roll(reference, 1, axis=0)  # 4 mm aside; in-plane identical
    assert by_name(score_case(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER))))["L5"].hd_mm == pytest.approx(
        4.0
    )
    one = reference[2:3]
    assert by_name(score_case(MaskPair(np.roll(one, 1, 2), one, SPACING, (SPIDER, SPIDER))))[
        "L5"
    ].hd_mm == pytest.approx(0.5)


def test_wrong_shapes_and_labels_are_user_errors() -> None:
    mask = np.ones((1, 2, 3), np.uint8)
    with pytest.raises(UserError, match="predict on the reference's grid"):
        score_case(MaskPair(mask, mask[:, :1], SPACING, (SPIDER, SPIDER)))
    with pytest.raises(UserError, match=r"p\.mha: holds the label 9, which the scheme lumbar7 lacks"):
        score_case(MaskPair(mask * 9, mask, SPACING, (SCHEMES["lumbar7"], SPIDER), ("p.mha", "r.mha")))


NAMES = st.sampled_from(sorted(SCHEMES))


def keys(prediction: str, reference: str) -> list[str]:
    return [row.key for row in common_labels(SCHEMES[prediction], SCHEMES[reference]).rows]


def test_the_finest_common_anatomies() -> None:
    assert keys("semantic4", "spider") == keys("spider", "semantic4") == ["vertebra", "disc", "canal"]
    assert keys("lumbar7", "spider") == [f"vertebra:{level}" for level in range(1, 8)]
    assert len(keys("spider20", "spider")) == 19
    assert keys("axial4", "lumbar7") == []
    assert keys("parts", "bodies") == [f"body:{level}" for level in range(1, 26)]
    assert keys("spider", "bodies") == keys("bodies", "semantic4") == []  # bodies are no whole vertebrae
    assert keys("totalspineseg", "bodies") == []


def test_bodies_with_posterior_elements_are_whole_vertebrae_where_the_other_side_has_only_these() -> None:
    raised, spider = comparable_schemes(PARTS, SPIDER)
    assert spider == SPIDER
    assert [raised.anatomies[value].key for value in (305, 405, 5, 205)] == [*["vertebra:5"] * 3, "disc:5"]
    assert comparable_schemes(SPIDER, PARTS) == (SPIDER, raised)
    for other in (PARTS, BODIES):
        assert comparable_schemes(PARTS, other) == (PARTS, other)
    assert comparable_schemes(BODIES, SPIDER) == (BODIES, SPIDER)  # bodies alone are no vertebra
    shown = comparable_schemes(PARTS, PARTS, ((0, 301, 401), (0, 1, 100)))  # the reference does not tell parts apart
    assert shown == (raised, PARTS)
    assert comparable_schemes(PARTS, PARTS, ((0, 301, 401), (0, 1, 301))) == (PARTS, PARTS)


def test_parts_are_scored_as_what_the_reference_annotates() -> None:
    parts = np.zeros((3, 8, 8), np.uint16)
    parts[:, 4:7, 1:4], parts[:, 4:7, 5:7], parts[:, 1:3, 1:4] = 301, 401, 302
    whole = conversion(PARTS, SPIDER).apply(parts)
    scores = score_case(MaskPair(parts, whole, SPACING, comparable_schemes(PARTS, SPIDER)))
    assert {score.name: score.dice for score in scores} == {"L5": 1, "L4": 1, "all vertebrae": 1}
    bodies = conversion(PARTS, BODIES).apply(parts)
    scores = score_case(MaskPair(parts, bodies, SPACING, comparable_schemes(PARTS, BODIES)))
    assert {score.name: score.dice for score in scores} == {"L5 body": 1, "L4 body": 1, "all vertebral bodies": 1}
    assert scores[-1].all_levels


@pytest.mark.parametrize(
    ("prediction", "reference", "groups"),
    [
        ("spider", "spider", (1, 2)),
        ("lumbar7", "spider", (1,)),
        ("semantic4", "spider", ()),
        ("axial4", "axial4", ()),
        ("parts", "bodies", (3,)),
        ("parts", "parts", (1, 2, 3)),
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
