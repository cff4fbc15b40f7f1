from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import load_dataset
from autospine.fingerprint.fingerprint import make_fingerprint
from autospine.inference.model import save_model
from autospine.inference.plausibility import implausible
from autospine.inference.run import PredictRequest, predict_scans
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import plain_encoding
from autospine.models.files import WEIGHTS
from autospine.planning.training_domain import LabelRanges, measure_domain
from autospine.preprocessing.storage import describe_labels
from autospine.volumes import read_mask
from tests.tiny import SHAPE, SPACING, make_plan, plan_of, spine_image, spine_mask, write_array

SPIDER = get_scheme("spider")
VERTEBRA_ML, DISC_ML = 4 * 7 * 12 * 36 / 1000, 4 * 3 * 10 * 36 / 1000


@pytest.fixture
def ranges(tiny_work: WorkFolder) -> tuple[LabelRanges, ...]:
    return plan_of(tiny_work, 2).training_domain.labels


def found_in(
    mask: np.ndarray, ranges: tuple[LabelRanges, ...], learnt: tuple[int, ...] = (1, 2, 100)
) -> tuple[str, ...]:
    return implausible(describe_labels(mask), SHAPE[1], SPACING, SPIDER, learnt, ranges)


def test_ranges_are_those_of_the_training_cases(ranges: tuple[LabelRanges, ...]) -> None:
    by_first = {group.values[0]: group for group in ranges}
    assert by_first[1].values == (1, 2, 3, 4, 5)
    assert by_first[201].values == (201, 202, 203, 204, 205)
    assert by_first[1].volume_ml == pytest.approx((VERTEBRA_ML, VERTEBRA_ML), abs=1e-3)
    assert by_first[201].volume_ml == pytest.approx((DISC_ML, DISC_ML), abs=1e-3)
    assert by_first[1].distance_mm == pytest.approx((30, 30))
    assert by_first[100] == LabelRanges((100,), None, None)  # the image cuts the canal above and below


@pytest.mark.parametrize("shift", [0, 3])
def test_masks_like_the_training_datas(ranges: tuple[LabelRanges, ...], shift: int) -> None:
    assert found_in(spine_mask(shift), ranges) == ()
    assert found_in(spine_mask(shift, levels=3), ranges) == ()


def test_how_much_is_seen_of_posterior_elements_says_nothing() -> None:
    parts = get_scheme("parts")
    ranges = (LabelRanges((301, 302), (10.0, 20.0), None), LabelRanges((401, 402), (10.0, 20.0), None))
    mask = np.zeros(SHAPE, np.uint16)
    mask[2:4, 20:22, 20:22], mask[2:4, 40:42, 20:22] = 301, 401
    (sentence,) = implausible(describe_labels(mask), SHAPE[1], SPACING, parts, (301, 401), ranges)
    assert "L5 body" in sentence and "posterior" not in sentence


def test_a_single_slice_has_no_volumes(ranges: tuple[LabelRanges, ...]) -> None:
    whole = spine_mask()
    middle = np.zeros_like(whole)
    middle[whole.shape[0] // 2] = whole[whole.shape[0] // 2]
    assert found_in(middle, ranges) == ()


def test_small_vertebrae(ranges: tuple[LabelRanges, ...]) -> None:
    mask = spine_mask()
    for level in (2, 4):
        rows = np.flatnonzero((mask == level).any(axis=(0, 2)))
        mask[:, rows[2] :][mask[:, rows[2] :] == level] = 0
    assert found_in(mask, ranges) == ("volume of L4 3.46, L2 3.46 ml; training had 12.1 to 12.1",)


def test_a_vertebra_that_the_image_cuts_may_be_small(ranges: tuple[LabelRanges, ...]) -> None:
    mask = spine_mask()
    mask[mask == 5] = 0
    mask[1:5, :3, 10:22] = 5
    assert not any("volume" in sentence for sentence in found_in(mask, ranges))
    mask[1:5, :3] = 0
    mask[1:5, 1:3, 10:22] = 5
    assert any("volume of L1" in sentence for sentence in found_in(mask, ranges))


def test_places(ranges: tuple[LabelRanges, ...]) -> None:
    mask = spine_mask(levels=2)
    far = mask.copy()
    far[far == 2] = 0
    far[1:5, 2:9, 10:22] = 2
    assert found_in(far, ranges) == ("distance from L5 to L4 138 mm; training had 30 to 30",)
    swapped = mask.copy()
    swapped[mask == 1], swapped[mask == 2] = 2, 1
    assert found_in(swapped, ranges) == ("L4 does not lie above L5",)
    gap = spine_mask(levels=5)
    gap[gap == 3] = 0  # its neighbours are no neighbours in order
    assert found_in(gap, ranges) == ()


def test_no_vertebra_is_said_even_without_ranges() -> None:
    assert found_in(np.zeros(SHAPE, np.uint8), ()) == ("the mask is empty",)
    mask = spine_mask()
    mask[mask < 100] = 0
    assert found_in(mask, ()) == ("no vertebra was found",)
    assert found_in(mask, (), learnt=(100, 201)) == ()  # a model of discs finds none


def test_doubts_are_in_report_line_and_picture(
    tmp_path: Path, bright, ranges: tuple[LabelRanges, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("autospine.overlay.draw.draw_overlay", lambda *words: drawn.append(words[-1]))
    scan = write_array(tmp_path / "1_t2.mha", spine_image(spine_mask()))
    plan = make_plan(plain_encoding(SPIDER, (1, 100)))
    small = (LabelRanges((100,), (5000.0, 5001.0), None),)
    model = bright(tmp_path / "model", replace(plan, training_domain=replace(plan.training_domain, labels=small)))
    request = PredictRequest((scan,), tmp_path / "out", (model.folder,), device="cpu", workers=1, overlay=True)
    result = predict_scans(request)
    doubts = json.loads((tmp_path / "out" / "1_t2.json").read_text())["implausible"]
    assert doubts[0] == "no vertebra was found"
    for doubt in doubts:
        assert f"IMPLAUSIBLE: {doubt}" in result.done["1_t2"]
        assert f"IMPLAUSIBLE: {doubt}" in drawn[0]


def test_nan_in_weights_or_answers_is_an_error(tmp_path: Path, bright) -> None:
    model = bright(tmp_path / "model")
    scan = write_array(tmp_path / "1_t2.mha", spine_image(spine_mask()))
    request = PredictRequest((scan,), tmp_path / "out", (model.folder,), device="cpu", workers=1)
    save_model(model.folder, model.card, {"gain": torch.tensor(float("nan"))})
    with pytest.raises(UserError, match=rf"{WEIGHTS}: holds weights that are NaN or infinite; train the model again"):
        predict_scans(request)
    save_model(model.folder, model.card, {"gain": torch.tensor(3e38)})
    (line,) = predict_scans(request).failures
    assert line.startswith(f"{scan}: makes the network predict NaN or infinite values; look at the scan's")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_real_masks_are_plausible_beside_those_of_other_patients(real_data: Path) -> None:
    fingerprint = make_fingerprint(load_dataset(real_data / "t2"), workers=2)
    masks = {case.id: read_mask(case.mask) for case in load_dataset(real_data / "t2").annotated}
    for held_out in fingerprint.cases:
        others = tuple(case for case in fingerprint.cases if case.patient != held_out.patient)
        ranges = measure_domain(replace(fingerprint, cases=others)).labels
        mask, learnt = masks[held_out.id], tuple(held_out.centroids)
        found = describe_labels(mask.array)
        assert implausible(found, mask.array.shape[1], mask.spacing, fingerprint.scheme, learnt, ranges) == ()
        mask.array[:, ::2] = 0
        mask.array[:, :, ::2] = 0  # a quarter of each vertebra
        found = describe_labels(mask.array)
        (doubt,) = implausible(found, mask.array.shape[1], mask.spacing, fingerprint.scheme, learnt, ranges)
        assert doubt.startswith("volume of L5")
