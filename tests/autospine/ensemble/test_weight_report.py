from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from autospine.ensemble.comparison import compare_with_members
from autospine.ensemble.search import best_weighting, pair_grid, score_blends, search_pairs, single_member
from autospine.ensemble.weight_report import WeightReport, describe
from autospine.evaluation.statistics import bootstrap

NAMES = ("unet", "resunet", "deeplabv3")


@pytest.fixture
def table(made) -> WeightReport:
    images = [made(k).image for k in range(3)]
    measured = search_pairs(images, 3)
    published = {frozenset(["unet"]): (0.41, 0.67), frozenset(["resunet", "unet"]): (0.751, 0.826)}
    return WeightReport(NAMES, measured, best_weighting(measured), published=published, notes=("said by a test",))


def test_every_weight_of_every_pair_has_a_row(table: WeightReport) -> None:
    rows = list(csv.DictReader(io.StringIO(table.as_csv())))
    assert len(rows) == 3 * 21
    assert sum(int(row["chosen"]) for row in rows) == 1
    chosen = next(row for row in rows if int(row["chosen"]))
    assert float(chosen["iou"]) == max(float(row["iou"]) for row in rows)
    for row in rows:
        assert float(row["weight_first"]) + float(row["weight_second"]) == pytest.approx(1)


def test_blended_scores_stand_beside_the_honest_ones(table: WeightReport) -> None:
    """The papers' arithmetic: w times the one's score plus 1 - w times the other's."""
    rows = [r for r in csv.DictReader(io.StringIO(table.as_csv())) if r["second"] == "deeplabv3"]
    own = {name: table.scores[single_member(k, 3)] for k, name in enumerate(NAMES)}
    for row in rows:
        w = float(row["weight_first"])
        for metric in ("iou", "dice"):
            first, second = (getattr(own[row[k]], f"mean_{metric}") for k in ("first", "second"))
            score_blend = float(row[f"score_blend_{metric}"])
            assert score_blend == pytest.approx(w * first + (1 - w) * second, abs=2e-6)
            assert min(first, second) - 1e-5 <= score_blend <= max(first, second) + 1e-5
    assert any(abs(float(row["iou"]) - float(row["score_blend_iou"])) > 0.01 for row in rows)


def test_a_blend_of_three_has_a_row_of_its_own(made) -> None:
    images, blend = [made(k).image for k in range(3)], (10, 6, 4)
    measured = {**search_pairs(images, 3), **score_blends(images, [blend])}
    table = WeightReport(NAMES, measured, blend)
    text = table.as_markdown()
    score_blend = sum(w * measured[single_member(k, 3)].mean_iou for k, w in enumerate((0.5, 0.3, 0.2)))
    line = next(row for row in text.splitlines() if row.startswith("| 0.50 x unet + 0.30 x resunet + 0.20 x"))
    assert f"{measured[blend].mean_iou:.4f} ({score_blend:.4f})" in line
    assert "The blend that was chosen" not in WeightReport(NAMES, measured, best_weighting(measured)).as_markdown()
    *pairs, last = csv.DictReader(io.StringIO(table.as_csv()))
    assert [row["chosen"] for row in pairs] == ["0"] * len(pairs)
    assert (last["first"], last["second"], last["chosen"]) == ("unet + resunet + deeplabv3", "", "1")
    assert (last["weight_first"], last["weight_second"]) == ("0.50 + 0.30 + 0.20", "")
    assert float(last["score_blend_iou"]) == pytest.approx(score_blend, abs=1e-6)


def test_the_page_shows_the_score_the_score_blend_and_the_published_figure(table: WeightReport) -> None:
    text = table.as_markdown()
    each = table.best_of((0, 1))
    line = next(row for row in text.splitlines() if row.startswith("| unet + resunet |"))
    assert f"{table.scores[each].mean_iou:.4f} ({table.score_blend(each)[0]:.4f})" in line
    assert line.endswith("| 0.751 / 0.826 |")
    assert "| unet | " in text and "| 0.410 / 0.670 |" in text
    assert "- said by a test" in text
    assert "says nothing of the ensemble" in " ".join(text.split())
    assert "not a medical device" in text


def test_one_member_alone_is_an_answer(made) -> None:
    measured = search_pairs([made(0, members=1).image], 1)
    table = WeightReport(("unet",), measured, best_weighting(measured))
    assert "Chosen: unet alone." in table.as_markdown()
    assert len(table.as_csv().splitlines()) == 1
    assert describe(("a", "b"), (17, 3)) == "0.85 x a + 0.15 x b"


def test_the_difference_to_the_best_member_comes_with_its_interval_negative_or_not(made) -> None:
    """Patients are drawn, with all of their images."""
    images = [made(k, patient=f"p{k // 2}").image for k in range(6)]
    chosen = pair_grid(0, 1, 3)[10]
    measured = score_blends(images, [chosen, *(single_member(k, 3) for k in range(3))])
    found = compare_with_members(NAMES, chosen, images, measured, "test", True)
    scores = {name: measured[single_member(k, 3)].mean_iou for k, name in enumerate(NAMES)}
    assert found.best_member.member == max(scores, key=lambda name: scores[name])
    place = NAMES.index(found.best_member.member)
    gap = measured[chosen].iou - measured[single_member(place, 3)].iou
    expected = bootstrap({f"p{k}": gap[2 * k : 2 * k + 2].tolist() for k in range(3)})
    assert found.best_member.interval == expected
    assert found.best_member.interval.mean == pytest.approx(gap.mean())
    assert f"{gap.mean():+.4f} (95 % interval" in found.line()
    worst = min(scores, key=lambda name: scores[name])
    alone_again = compare_with_members(NAMES, single_member(NAMES.index(worst), 3), images, measured, "test", True)
    assert alone_again.best_member.interval.mean < 0
    assert "-0." in alone_again.line()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["members"].keys() == set(NAMES)


def test_scores_on_the_images_that_chose_are_said_to_be_too_good(made) -> None:
    images = [made(0).image]
    measured = score_blends(images, [single_member(k, 3) for k in range(3)])
    found = compare_with_members(NAMES, single_member(0, 3), images, measured, "validation", False)
    assert "too good" in found.line()
    assert "one patient: no interval" in found.line()
    assert found.to_dict()["members"]["unet"]["low"] is None
    assert np.isnan(found.best_member.interval.low)
