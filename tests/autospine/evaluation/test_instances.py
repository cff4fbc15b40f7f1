from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.core.errors import UserError
from autospine.evaluation.instance_counts import INSTANCE_METRICS, InstanceScore, InstanceSummary, summarise_instances
from autospine.evaluation.instances import score_instances
from autospine.evaluation.mask_pair import MaskPair
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES, LabelScheme

SPIDER, SEMANTIC = SCHEMES["spider"], SCHEMES["semantic4"]
SPACING = (4.0, 2.0, 1.0)
LABELS = arrays(np.uint8, (2, 6, 5), elements=st.sampled_from([0, 0, 1, 2, 3, 100, 103, 201, 202]))


def spine(levels: int = 4, partial: bool = False, discs: bool = True) -> np.ndarray:
    """Vertebrae 1, 2, ... from the lowest up, each of 12 rows (24 mm) with its disc of 4 below it."""
    mask = np.zeros((4, 16 * levels + 4, 20), np.uint8)
    for level in range(1, levels + 1):
        top = 16 * (levels - level)
        mask[:, top : top + 12, 2:14] = 100 + level if partial and level == levels else level
        if discs:
            mask[:, top + 12 : top + 16, 2:14] = 200 + level
    return mask


def score(
    prediction: np.ndarray,
    reference: np.ndarray,
    kind: Kind = Kind.VERTEBRA,
    schemes: tuple[LabelScheme, LabelScheme] = (SPIDER, SPIDER),
    threshold: float = 0.5,
) -> InstanceScore:
    scores = score_instances(MaskPair(prediction, reference, SPACING, schemes), threshold=threshold)
    return next(each for each in scores if each.kind is kind)


def summary(*cases: tuple[InstanceScore, ...]) -> InstanceSummary:
    return summarise_instances(cases)[0]


def counts(one: InstanceScore) -> tuple[int, int, int]:
    return one.detected, one.false_positives, one.false_negatives


@given(st.integers(1, 5), st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_reference_itself_scores_one(levels: int, discs: bool) -> None:
    mask = spine(levels, discs=discs)
    for one in score_instances(MaskPair(mask, mask, SPACING, (SPIDER, SPIDER))):
        if one.kind is Kind.DISC and not discs:
            assert one.absent and all(math.isnan(getattr(one, metric)) for metric in INSTANCE_METRICS)
            continue
        assert counts(one) == (levels, 0, 0) and one.identified == levels and one.level_shift == 0
        assert [getattr(one, metric) for metric in INSTANCE_METRICS] == [1.0] * 7
        assert all(match.distance_mm == 0 and match.dice == 1 for match in one.matches)


@pytest.mark.parametrize("offset", [1, 2, -1])
def test_shifted_levels_are_detected_and_not_identified(offset: int) -> None:
    reference = spine(4).astype(np.int16)
    reference[(reference > 0) & (reference < 100)] += 1  # 2, 3, 4, 5
    prediction = np.where((reference > 0) & (reference < 100), reference + offset, reference)
    shifted = score(prediction, reference)
    assert counts(shifted) == (4, 0, 0) and shifted.pq == 1
    assert (shifted.level_shift, shifted.identification_rate) == (offset, 0.0)
    discs = score(prediction, reference, Kind.DISC)
    assert (discs.level_shift, discs.identification_rate) == (0, 1.0)


@given(st.permutations([1, 2, 3, 4]))
@settings(deadline=None)
def test_levels_in_any_order_are_all_detected(order: list[int]) -> None:
    table = np.arange(256, dtype=np.uint8)
    table[[1, 2, 3, 4]] = order
    one = score(table[spine()], spine())
    assert counts(one) == (4, 0, 0) and one.pq == 1
    assert one.identified == sum(a == b for a, b in zip(order, [1, 2, 3, 4], strict=True))
    assert one.level_shift == (0 if order == [1, 2, 3, 4] else None)
    assert {(match.reference.level, match.prediction.level) for match in one.matches} == set(
        zip([1, 2, 3, 4], order, strict=True)
    )


@given(LABELS, LABELS)
@settings(max_examples=60, deadline=None)
def test_everything_stands_in_exactly_one_match(prediction: np.ndarray, reference: np.ndarray) -> None:
    for one in score_instances(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER))):
        kinds = {one.kind, Kind.PARTIAL_VERTEBRA} if one.kind is Kind.VERTEBRA else {one.kind}
        for mask, side in ((prediction, "prediction"), (reference, "reference")):
            shown = [SPIDER.anatomies[value] for value in np.unique(mask) if value]
            stands = [getattr(match, side) for match in one.matches if getattr(match, side)]
            assert sorted(stands) == sorted(anatomy for anatomy in shown if anatomy.kind in kinds)
        assert one.detected + one.false_negatives == len(
            [m for m in one.matches if m.reference and m.reference.kind is one.kind]
        )


@given(LABELS, LABELS)
@settings(max_examples=60, deadline=None)
def test_pairs_are_measured_as_by_hand(prediction: np.ndarray, reference: np.ndarray) -> None:
    for one in score_instances(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER))):
        for match in one.matches:
            if match.reference is None or match.prediction is None:
                assert (match.iou, match.dice, match.detected) == (0, 0, False)
                assert math.isnan(match.distance_mm)
                continue
            p = prediction == SPIDER.value_of(match.prediction)
            r = reference == SPIDER.value_of(match.reference)
            assert match.iou == pytest.approx((p & r).sum() / (p | r).sum())
            assert match.dice == pytest.approx(2 * (p & r).sum() / (p.sum() + r.sum()))
            apart = (np.argwhere(p).mean(axis=0) - np.argwhere(r).mean(axis=0)) * SPACING
            assert match.distance_mm == pytest.approx(np.linalg.norm(apart), abs=1e-9)
            assert match.detected == (match.iou >= 0.5 and not match.partial)


@given(LABELS, LABELS)
@settings(max_examples=40, deadline=None)
def test_exchanging_the_masks_exchanges_misses_and_false_positives(one: np.ndarray, other: np.ndarray) -> None:
    one, other = (np.where(mask == 103, 0, mask) for mask in (one, other))
    pairs = zip(
        score_instances(MaskPair(one, other, SPACING, (SPIDER, SPIDER))),
        score_instances(MaskPair(other, one, SPACING, (SPIDER, SPIDER))),
        strict=True,
    )
    for there, back in pairs:
        assert counts(there) == (back.detected, back.false_negatives, back.false_positives)
        assert there.pq == pytest.approx(back.pq, nan_ok=True)
        shift = None if back.level_shift is None else -back.level_shift
        assert there.level_shift == shift


@given(LABELS, LABELS, st.permutations([0, 1, 2]))
@settings(max_examples=20, deadline=None)
def test_orientation_changes_nothing(prediction: np.ndarray, reference: np.ndarray, axes: list[int]) -> None:
    turned = [mask.transpose(axes)[::-1] for mask in (prediction, reference)]
    spacing = [SPACING[axis] for axis in axes]
    there = score_instances(MaskPair(prediction, reference, SPACING, (SPIDER, SPIDER)))
    back = score_instances(MaskPair(*turned, spacing, (SPIDER, SPIDER)))
    assert [counts(one) for one in there] == [counts(one) for one in back]
    assert [one.identified for one in there] == [one.identified for one in back]


def test_panoptic_quality_by_hand() -> None:
    """Kirillov et al.: SQ is the mean IoU of true positives, RQ their F1."""
    reference, prediction = spine(4, discs=False), spine(4, discs=False)
    prediction[:, :16] = 0  # level 4 is missing
    prediction[:, 16:19, 2:14] = 0  # a quarter of level 3 missing
    prediction[:, 32:41, 2:14] = 0  # three quarters of level 2 missing: IoU 0.25
    prediction[:, 10:14, 16:] = 7  # a false positive
    one = score(prediction, reference)
    assert counts(one) == (2, 2, 2)
    assert (one.precision, one.recall, one.f1, one.rq) == (0.5, 0.5, 0.5, 0.5)
    assert one.sq == pytest.approx((1 + 0.75) / 2) and one.pq == pytest.approx(0.875 / 2)
    poor = [match for match in one.matches if match.reference and match.reference.level == 2]
    assert len(poor) == 1 and poor[0].false_negative and poor[0].false_positive and poor[0].iou == 0.25
    assert counts(score(prediction, reference, threshold=0.25)) == (3, 1, 1)


def test_exactly_half_is_a_detection() -> None:
    reference = spine(1, discs=False)
    assert counts(score(np.where(np.arange(20) < 8, reference, 0), reference)) == (1, 0, 0)
    assert counts(score(np.where(np.arange(20) < 7, reference, 0), reference)) == (0, 1, 1)


def test_kinds_do_not_match_each_other() -> None:
    reference = spine(2, discs=False)
    prediction = np.where(reference > 0, reference + 200, 0)
    assert counts(score(prediction, reference)) == (0, 0, 2)
    assert counts(score(prediction, reference, Kind.DISC)) == (0, 2, 0)


@pytest.mark.parametrize(("offset_mm", "overlap", "expected"), [(20, True, True), (22, True, False), (18, False, True)])
def test_identification_asks_for_the_level_within_20_mm(offset_mm: int, overlap: bool, expected: bool) -> None:
    reference = np.zeros((1, 60, 4), np.uint8)
    height = 20 if overlap else 4
    reference[:, 5 : 5 + height] = 3
    one = score(np.roll(reference, offset_mm // 2, 1), reference)
    assert one.detected == 0 and bool(one.identified) is expected
    assert one.identification_rate == float(expected)


def test_a_nearer_centroid_of_another_level_spoils_identification() -> None:
    reference, prediction = np.zeros((1, 60, 4), np.uint8), np.zeros((1, 60, 4), np.uint8)
    reference[:, 10:20], prediction[:, 15:25], prediction[:, 5:8] = 1, 1, 2  # 10 mm and 17 mm away
    assert score(prediction, reference).identified == 1
    prediction[:, 5:8], prediction[:, 12:15] = 0, 2  # 3 mm away
    assert score(prediction, reference).identified == 0


@pytest.mark.parametrize("what", ["missed", "as partial", "as vertebra", "as another level", "in pieces"])
def test_partial_vertebrae_of_the_reference_cost_nothing(what: str) -> None:
    reference = spine(4, partial=True)
    prediction = reference.copy()
    on_it = reference == 104
    if what == "in pieces":
        prediction[:, :6, 2:14], prediction[:, 6:12, 2:14] = 4, 5
    else:
        values = {"missed": 0, "as partial": 104, "as vertebra": 4, "as another level": 7}
        prediction[on_it] = values[what]
    one = score(prediction, reference)
    assert counts(one) == (3, 0, 0) and one.f1 == 1 and one.level_shift == 0 and one.identification_rate == 1
    extra = 1 if what == "in pieces" else 0
    found = int(what != "missed")
    assert (one.partial_detected, one.partial_false_negatives, one.partial_extra) == (found, 1 - found, extra)


def test_a_vertebra_beside_a_partial_one_is_a_false_positive() -> None:
    reference = spine(4, partial=True, discs=False)
    prediction = np.where(reference == 104, 0, reference)
    prediction[:, 10:15, 2:14] = 4  # two of its five rows lie on the partial vertebra
    one = score(prediction, reference)
    assert counts(one) == (3, 1, 0) and (one.partial_detected, one.partial_false_negatives) == (0, 1)


def test_a_whole_vertebra_called_partial_is_missed_and_no_false_positive() -> None:
    reference = spine(3, discs=False)
    one = score(np.where(reference == 3, 103, reference), reference)
    assert counts(one) == (2, 0, 1) and one.partial_extra == 1


def test_a_half_prediction_on_a_partial_vertebra_leaves_its_neighbour_missed() -> None:
    """Mostly on the partial one, it touches a missed whole one: a miss, no false positive."""
    reference = spine(4, partial=True, discs=False)
    reference[:, 12:16, 2:14] = 104
    prediction = np.where(reference == 3, 0, np.where(reference == 104, 4, reference))
    prediction[:, 16:18, 2:14] = 4
    one = score(prediction, reference)
    assert counts(one) == (2, 0, 1) and one.partial_detected == 1


def test_schemes_without_levels_are_split_into_pieces() -> None:
    reference = spine(4)
    prediction = conversion(SPIDER, SEMANTIC).apply(reference)
    prediction[0, 0, 19] = 1  # a stray voxel is an instance
    for kind, expected in ((Kind.VERTEBRA, (4, 1, 0)), (Kind.DISC, (4, 0, 0))):
        one = score(prediction, reference, kind, (SEMANTIC, SPIDER))
        assert counts(one) == expected and one.sq == 1
        assert not one.levelled and one.level_shift is None and math.isnan(one.identification_rate)
    both = score(prediction, prediction, schemes=(SEMANTIC, SEMANTIC))
    assert counts(both) == (5, 0, 0)
    back = score(reference, prediction, schemes=(SPIDER, SEMANTIC))
    assert counts(back) == (4, 0, 1)


def test_what_the_other_scheme_cannot_express_counts_only_where_it_is_detected() -> None:
    """spider20 ends at vertebra 9."""
    small = SCHEMES["spider20"]
    reference = np.where(spine(3) < 100, np.where(spine(3) > 0, spine(3) + 7, 0), 0)  # 8, 9, 10
    prediction = conversion(SPIDER, small).apply(reference)
    one = score(prediction, reference, schemes=(small, SPIDER))
    assert counts(one) == (2, 0, 0) and one.identification_rate == 1
    assert [match.unmatched_label for match in one.matches] == [False, False, True]
    assert counts(score(reference, prediction, schemes=(SPIDER, small))) == (2, 0, 0)
    up = score(np.where(reference > 0, reference + 1, 0), prediction, schemes=(SPIDER, small))
    assert up.detected == 2 and up.level_shift == 1 and up.identification_rate == 0


def test_a_poor_pair_falls_apart_if_only_one_of_the_two_counts() -> None:
    """Vertebra 10 is not in spider20; the vertebra 9 that touches it is a false positive all the same."""
    small = SCHEMES["spider20"]
    reference, prediction = np.zeros((1, 20, 4), np.uint8), np.zeros((1, 20, 4), np.uint8)
    reference[:, :10], prediction[:, 6:16] = 10, 9
    one = score(prediction, reference, schemes=(small, SPIDER))
    assert counts(one) == (0, 1, 0) and len(one.matches) == 2
    back = score(reference, prediction, schemes=(SPIDER, small))
    assert counts(back) == (0, 0, 1) and len(back.matches) == 2
    reference[reference == 10] = 8
    both = score(prediction, reference, schemes=(small, SPIDER))
    assert counts(both) == (0, 1, 1) and len(both.matches) == 1


def test_kinds_that_one_scheme_lacks_are_not_counted() -> None:
    kinds = [one.kind for one in score_instances(MaskPair(spine(), spine(), SPACING, (SCHEMES["spider"], SPIDER)))]
    assert kinds == [Kind.VERTEBRA, Kind.DISC]
    lumbar = SCHEMES["lumbar7"]
    mask = conversion(SPIDER, lumbar).apply(spine())
    assert [one.kind for one in score_instances(MaskPair(mask, spine(), SPACING, (lumbar, SPIDER)))] == [Kind.VERTEBRA]
    plain = LabelScheme("plain", {7: Anatomy(Kind.STRUCTURE, 7)})
    assert score_instances(MaskPair(spine() * 0, spine() * 0, SPACING, (plain, plain))) == ()


def test_unlabelled_voxels_are_on_neither_side() -> None:
    part = LabelScheme("part", dict(SPIDER.anatomies), ignore_label=255)
    reference = spine(3)
    reference[:, :16] = 255  # level 3 and its disc are not annotated
    for kind in (Kind.VERTEBRA, Kind.DISC):
        one = score(spine(3), reference, kind, (SPIDER, part))
        assert counts(one) == (2, 0, 0) and one.pq == 1
        assert counts(score(reference, spine(3), kind, (part, SPIDER))) == (2, 0, 0)


def test_empty_masks() -> None:
    full, empty = spine(2), np.zeros_like(spine(2))
    missing, superfluous = score(empty, full), score(full, empty)
    assert counts(missing) == (0, 0, 2) and counts(superfluous) == (0, 2, 0)
    for one in (missing, superfluous):
        rates = [one.precision, one.recall, one.f1, one.sq, one.rq, one.pq]
        assert rates == [0.0] * 6 and one.level_shift is None
    assert missing.identification_rate == 0 and math.isnan(superfluous.identification_rate)
    neither = score(empty, empty)
    assert neither.absent and neither.matches == () and math.isnan(neither.pq)


def test_masks_are_left_as_they_are_and_may_be_views() -> None:
    part = LabelScheme("part", dict(SPIDER.anatomies), ignore_label=255)
    reference = np.asfortranarray(spine(3))
    reference[0, 0] = 255
    prediction = spine(3).astype(np.int64)
    before = reference.copy(), prediction.copy()
    one = score(prediction, reference, schemes=(SPIDER, part))
    assert counts(one) == (3, 0, 0)
    assert (reference == before[0]).all() and (prediction == before[1]).all()


def test_bad_masks_are_user_errors() -> None:
    mask = spine(1)
    with pytest.raises(UserError, match=r"r\.mha: holds the label 201, which the scheme lumbar7 lacks"):
        score_instances(MaskPair(mask, mask, SPACING, (SPIDER, SCHEMES["lumbar7"]), ("p.mha", "r.mha")))
    with pytest.raises(UserError, match="prediction: holds float64 values"):
        score_instances(MaskPair(mask.astype(float), mask, SPACING, (SPIDER, SPIDER)))


def test_summary_pools_counts_and_means_cases() -> None:
    reference = spine(4)
    up = np.where((reference > 0) & (reference < 100), reference + 1, reference)
    mixed = np.where(reference == 4, 5, reference)
    half = np.where((reference == 1) | (reference == 2), 0, reference)
    predictions = (reference, up, mixed, half, np.zeros_like(reference))
    scored = [score_instances(MaskPair(each, reference, SPACING, (SPIDER, SPIDER))) for each in predictions]
    empty = np.zeros_like(reference)
    scored.append(score_instances(MaskPair(empty, empty, SPACING, (SPIDER, SPIDER))))
    vertebrae, discs = summarise_instances(scored)
    assert (vertebrae.kind, discs.kind) == (Kind.VERTEBRA, Kind.DISC)
    assert (vertebrae.cases, vertebrae.absent_cases) == (5, 1)
    assert (vertebrae.unshifted, vertebrae.shifted, vertebrae.mixed, vertebrae.undetected) == (2, 1, 1, 1)
    assert vertebrae.level_shift_rate == 0.25 and discs.level_shift_rate == 0
    assert (vertebrae.detected, vertebrae.false_positives, vertebrae.false_negatives) == (14, 0, 6)
    assert vertebrae.recall == 0.7 and vertebrae.precision == 1
    assert vertebrae.means["recall"] == pytest.approx((1 + 1 + 1 + 0.5 + 0) / 5)
    assert vertebrae.means["precision"] == pytest.approx(0.8)  # a case without predictions has precision 0
    assert vertebrae.identified == 4 + 0 + 3 + 2 and vertebrae.identification_rate == 9 / 20
    assert discs.identification_rate == 16 / 20


def test_what_no_reference_shows_has_no_summary() -> None:
    reference = spine(2, discs=False)
    scored = score_instances(MaskPair(spine(2), reference, SPACING, (SPIDER, SPIDER)))
    assert [one.kind for one in scored] == [Kind.VERTEBRA, Kind.DISC]
    assert [one.kind for one in summarise_instances([scored])] == [Kind.VERTEBRA]
    assert summarise_instances([]) == ()


def test_level_shift_rate_without_anything_detected() -> None:
    reference = spine(1)
    scored = score_instances(MaskPair(np.zeros_like(reference), reference, SPACING, (SPIDER, SPIDER)))
    assert math.isnan(summary(scored).level_shift_rate) and summary(scored).undetected == 1
    semantic = conversion(SPIDER, SEMANTIC).apply(reference)
    unlevelled = summary(score_instances(MaskPair(semantic, reference, SPACING, (SEMANTIC, SPIDER))))
    assert math.isnan(unlevelled.level_shift_rate) and unlevelled.detected == 1
