from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.probabilities import Probabilities, channels, read_probabilities
from autospine.evaluation.structures import score_case
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.metrics.probability import log_loss

SPIDER = SCHEMES["spider"]
CLASSES = ("background", "vertebra", "disc", "spinal canal")


def case_log_loss(probabilities: Probabilities, reference: np.ndarray, scheme: LabelScheme) -> float:
    return log_loss(probabilities.negative_log_likelihood(reference, scheme).values())


def spine() -> np.ndarray:
    mask = np.zeros((2, 6, 5), np.uint8)
    mask[:, 0:2, :3], mask[:, 2, :3], mask[:, 3:5, :3], mask[:, :, 4] = 2, 202, 1, 100
    return mask


def stored(reference: np.ndarray) -> Probabilities:
    """0.7 for the right class, 0.1 for the others; 0.4 for all of vertebra 2."""
    right = np.select([reference == 0, reference < 100, reference == 202], [0, 1, 2], 3)
    values = np.full((4, *reference.shape), 0.1, np.float16)
    np.put_along_axis(values, right[None], np.float16(0.7), axis=0)
    values[:, reference == 2] = np.array([0.2, 0.4, 0.2, 0.2], np.float16)[:, None]
    return Probabilities(values, CLASSES)


def test_classes_without_levels_stand_for_all_levels() -> None:
    found = channels(CLASSES, SPIDER)
    assert [found[value] for value in (0, 1, 9, 101, 100, 201)] == [0, 1, 1, 1, 3, 2]


def test_classes_with_levels_stand_for_themselves() -> None:
    found = channels(("background", "L5", "L4", "L5 (partial)", "L5/S1 disc"), SPIDER)
    assert found == {0: 0, 1: 1, 2: 2, 101: 3, 201: 4}


def test_a_name_that_two_classes_share_stands_for_none() -> None:
    assert channels(("background", "disc", "disc", "spinal canal"), SPIDER) == {0: 0, 100: 3}


def test_plain_integers() -> None:
    plain = LabelScheme("plain", {value: Anatomy(Kind.STRUCTURE, value) for value in (3, 4)})
    assert channels(("background", "structure", "structure 4"), plain) == {0: 0, 3: 1, 4: 2}


def test_log_loss_of_a_case_and_its_structures() -> None:
    reference = spine()
    low, high = -math.log(np.float16(0.7)), -math.log(np.float16(0.4))
    voxels, hard = reference.size, (reference == 2).sum()
    probabilities = stored(reference)
    case = case_log_loss(probabilities, reference, SPIDER)
    assert case == pytest.approx((hard * high + (voxels - hard) * low) / voxels)
    scores = score_case(MaskPair(reference, reference, (4, 1, 1), (SPIDER, SPIDER)), probabilities=probabilities)
    losses = {score.name: score.log_loss for score in scores}
    assert losses["L4"] == pytest.approx(high)
    assert losses["L5"] == losses["spinal canal"] == losses["L4/L5 disc"] == pytest.approx(low)
    assert losses["all vertebrae"] == pytest.approx((high + low) / 2)
    assert all(
        math.isnan(score.log_loss) for score in score_case(MaskPair(reference, reference, (4, 1, 1), (SPIDER, SPIDER)))
    )


def test_what_counts_in_the_log_loss() -> None:
    """Neither unlabelled voxels, nor anatomies without a class; a false positive has no loss of its own."""
    reference = spine()
    probabilities = stored(reference)
    open_ = np.where(reference == 2, 255, reference).astype(np.uint8)
    scheme = replace(SPIDER, ignore_label=255)
    assert case_log_loss(probabilities, open_, scheme) == pytest.approx(-math.log(np.float16(0.7)))
    some = replace(probabilities, classes=("background", "L5", "disc", "spinal canal"))
    assert case_log_loss(some, reference, SPIDER) == pytest.approx(-math.log(np.float16(0.7)))
    prediction = np.where(reference == 2, 3, reference)
    scores = score_case(MaskPair(prediction, reference, (4, 1, 1), (SPIDER, SPIDER)), probabilities=probabilities)
    assert math.isnan(next(score.log_loss for score in scores if score.name == "L3"))


def test_the_structures_make_up_the_case() -> None:
    reference = spine()
    parts = stored(reference).negative_log_likelihood(reference, SPIDER)
    assert sum(part.voxels for part in parts.values()) == reference.size
    assert set(parts) == {0, 1, 2, 100, 202}


def write(folder: Path, values: np.ndarray, report: object) -> Path:
    np.save(folder / "5_t2.npy", values)
    (folder / "5_t2.json").write_text(json.dumps(report))
    return folder / "5_t2.nii.gz"


def test_reads_what_prediction_stores(tmp_path: Path) -> None:
    reference = spine()
    mask = write(tmp_path, stored(reference).values, {"classes": list(CLASSES)})
    found = read_probabilities(mask)
    assert found is not None and found.classes == CLASSES and isinstance(found.values, np.memmap)
    assert case_log_loss(found, reference, SPIDER) == case_log_loss(stored(reference), reference, SPIDER)
    assert read_probabilities(tmp_path / "6_t2.nii.gz") is None


def test_faults_are_named(tmp_path: Path) -> None:
    values = stored(spine()).values
    mask = write(tmp_path, values, {"classes": list(CLASSES)[:3]})
    with pytest.raises(UserError, match=r"5_t2\.json: does not name the 4 classes of 5_t2\.npy"):
        read_probabilities(mask)
    with pytest.raises(UserError, match=r"5_t2\.json: does not name"):
        read_probabilities(write(tmp_path, values, ["classes"]))
    (tmp_path / "5_t2.json").unlink()
    with pytest.raises(UserError, match=r"5_t2\.json: does not exist"):
        read_probabilities(mask)
    with pytest.raises(UserError, match=r"5_t2\.npy: holds int64 of the shape"):
        read_probabilities(write(tmp_path, np.zeros((2, 3), np.int64), {}))
    (tmp_path / "5_t2.npy").write_text("nothing")
    with pytest.raises(UserError, match=r"5_t2\.npy: holds no readable array"):
        read_probabilities(mask)
    with pytest.raises(UserError, match=r"probabilities: has the shape \(4, 2, 6, 5\), \(4, 2, 6, 4\) is wanted"):
        case_log_loss(stored(spine()), spine()[..., :4], SPIDER)
