from __future__ import annotations

import csv
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

from autospine.ablation.scores import NAN, Score, read_cases, summarise
from autospine.ablation.tables import AblationResult, Trained, write_tables
from autospine.ablation.variants import Ablation, Variant
from autospine.core.errors import UserError
from autospine.evaluation.statistics import holm

BASE = {"1_t1": 0.80, "1_t2": 0.70, "2_t2": 0.60, "3_t2": 0.90, "4_t2": 0.55}
GAIN = {"1_t1": 0.02, "1_t2": 0.04, "2_t2": 0.05, "3_t2": 0.01, "4_t2": 0.08}


def scored(values: dict[str, float], structure: str = "canal") -> tuple[Score, ...]:
    return tuple(Score(c, structure, {"dice": v, "hd_mm": 10 * (1 - v)}) for c, v in values.items())


def ablation(*variants: Variant, tested: tuple[str, ...] = ("dice",)) -> Ablation:
    return Ablation("Toy et al.", variants, {"Table 1": ("dice",)}, ("canal",), tested)


PLAIN = Variant("plain", "Toy", {}, {"dice": {"canal": (81.5, 2.25)}})
DEEP = Variant("deep", "Toy + deep", {})
WIDE = Variant("wide", "Toy + wide", {}, builds_on="plain")
FULL = Variant("full", "Ours", {})


def result(*pairs: tuple[Variant, dict[str, float]], tested: tuple[str, ...] = ("dice",)) -> AblationResult:
    trained = tuple(Trained(variant, 100, (4, 8), scored(values)) for variant, values in pairs)
    return AblationResult(ablation(*(variant for variant, _ in pairs), tested=tested), trained, {}, "Two epochs.")


def test_each_is_tested_against_what_it_builds_on_and_against_the_full_model() -> None:
    names = [(one.name, other.name) for one, other in ablation(PLAIN, DEEP, WIDE, FULL).pairs()]
    assert names == [
        ("deep", "plain"),
        ("wide", "plain"),
        ("full", "wide"),
        ("full", "plain"),
        ("full", "deep"),
    ]


def test_p_values_are_scipys_over_patients_corrected_over_all() -> None:
    better = {case: value + GAIN[case] for case, value in BASE.items()}
    best = {case: value + 2 * GAIN[case] ** 0.5 for case, value in BASE.items()}
    tests = result((PLAIN, BASE), (DEEP, better), (FULL, best), tested=("dice", "hd_mm")).tests()
    assert len(tests) == 3 * 2

    def by_patient(values: dict[str, float]) -> list[float]:
        return [(values["1_t1"] + values["1_t2"]) / 2, values["2_t2"], values["3_t2"], values["4_t2"]]

    expected = [
        float(ttest_rel(by_patient(a), by_patient(b)).pvalue) for a, b in ((better, BASE), (best, better), (best, BASE))
    ]
    assert [test.t_p for _, test in tests[:3]] == pytest.approx(expected, rel=1e-6)
    assert [test.t_p_holm for _, test in tests] == holm([test.t_p for _, test in tests])


def test_tables_show_ours_beside_the_papers(tmp_path: Path) -> None:
    better = {case: value + GAIN[case] for case, value in BASE.items()}
    text = write_tables(tmp_path, result((PLAIN, BASE), (FULL, better)))
    assert "## Table 1: Dice %" in text
    assert "| Toy | 71.00 ± 14.32 | 81.50 ± 2.25 |" in text
    assert "| Ours | 75.00 ± 11.73 | - |" in text
    assert "| Ours | Toy | canal | Dice % | 4 |" in text
    assert (tmp_path / "ablation.md").read_text(encoding="utf-8") == text
    with open(tmp_path / "ablation.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["variant"], row["metric"], row["count"], row["mean"]) == ("plain", "dice", "5", "71")
    assert (row["published"], row["published_sd"]) == ("81.5", "2.25")
    with open(tmp_path / "tests.csv", newline="") as file:
        (test,) = csv.DictReader(file)
    assert (test["variant"], test["against"], test["patients"]) == ("Ours", "Toy", "4")


def write_cases(folder: Path) -> None:
    header = "method,case,anatomy,name,all_levels,presence,dice,hd_mm\n"
    rows = [
        "a,1_t2,vertebra:1,L5,no,both,0.8,3",
        "a,1_t2,canal,spinal canal,no,both,0.6,5",
        "a,1_t2,vertebra,all vertebrae,yes,both,0.1,9",
        "a,2_t2_slice7,canal,spinal canal,no,both,0.5,4",
        "a,2_t2_slice8,canal,spinal canal,no,absent in both,,",
    ]
    (folder / "cases.csv").write_text(header + "\n".join(rows) + "\n")


def test_cases_are_read_with_their_mean_and_without_all_levels(tmp_path: Path) -> None:
    write_cases(tmp_path)
    scores = read_cases(tmp_path, ("dice", "hd_mm"))
    assert {score.structure for score in scores} == {"vertebra:1", "canal", "mean"}
    assert summarise(scores, "mean", "dice").mean == pytest.approx((0.7 + 0.5) / 2)
    canal = summarise(scores, "canal", "dice")
    assert (canal.count, canal.mean) == (2, pytest.approx(0.55))
    assert {score.case for score in scores} == {"1_t2", "2_t2"}
    assert summarise(scores, "sacrum", "dice").count == 0
    assert summarise(scores, "vertebra:1", "dice").deviation != NAN


def test_a_metric_that_was_not_scored_is_named(tmp_path: Path) -> None:
    write_cases(tmp_path)
    with pytest.raises(UserError, match="has no column 'iou'"):
        read_cases(tmp_path, ("iou",))
    with pytest.raises(UserError, match="cannot be read"):
        read_cases(tmp_path / "nowhere", ("dice",))


def test_scores_of_another_version_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text(
        "system,case,anatomy,name,union,presence,dice\na,1_t2,canal,spinal canal,no,both,1\n"
    )
    with pytest.raises(
        UserError, match="was written by another version of AutoSpine; delete the model and train again"
    ):
        read_cases(tmp_path, ("dice",))
