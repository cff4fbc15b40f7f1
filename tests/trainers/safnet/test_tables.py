from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev

import pytest

from autospine.evaluation.report.json_summary import SCHEMA
from trainers.safnet.tables import METHODS, recipe_folders, scored_folds, write_table

DICE = {"vertebra:1": 0.9, "vertebra:2": 0.8, "disc:1": 0.7}


def scored(recipe: Path, fold: int, dice: Mapping[str, float | None], part: str = "test") -> Path:
    """A fold's folder with its scores, and things that are no structure of the paper's."""
    rows = [{"anatomy": key, "all_levels": False, "mean": {"dice": value}} for key, value in dice.items()]
    rows += [
        {"anatomy": "canal", "all_levels": False, "mean": {"dice": 0.1}},
        {"anatomy": "vertebra", "all_levels": True, "mean": {"dice": 0.2}},
    ]
    folder = recipe / f"fold_{fold}" / part
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"schema": SCHEMA, "labels": rows}))
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tmp_path / "models" / "safnet" / "3d_volume" / "published"


def line(recipe: Path, start: str) -> list[str]:
    text = (recipe / "table_1.md").read_text()
    found = next(each for each in text.splitlines() if each.startswith(f"| {start} |"))
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_ours_stands_beside_the_published_figure(recipe: Path) -> None:
    write_table(scored(recipe, 1, DICE))
    cells = line(recipe, "SAFNet")
    ours = [100 * value for value in DICE.values()]
    assert cells[0] == "- (79.46 ± 4.63)"
    assert cells[1] == f"{mean(ours):.2f} ± {stdev(ours):.2f} (78.82 ± 7.97)"
    assert cells[5] == f"{mean(ours):.2f} (80.32)"
    assert line(recipe, "CFNet")[0] == "- (78.95 ± 5.61)"
    with open(recipe / "table_1.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    (row,) = [row for row in rows if row["method"] == "SAFNet" and row["fold"] == "2"]
    assert float(row["mean"]) == pytest.approx(80.0)
    assert float(row["published_mean"]) == 78.82


def test_every_fold_that_is_scored_joins_the_mean(recipe: Path) -> None:
    scored(recipe, 0, {"vertebra:1": 0.5})
    scored(recipe, 3, {"vertebra:1": 0.7, "sacrum": None})
    write_table(scored(recipe, 4, {"vertebra:1": 0.9}))
    cells = line(recipe, "SAFNet")
    assert [cell.split(" (")[0] for cell in cells] == [
        "50.00 ± 0.00",
        "-",
        "-",
        "70.00 ± 0.00",
        "90.00 ± 0.00",
        "70.00",
    ]


def test_a_structure_that_nobody_shows_is_absent_and_in_no_mean(recipe: Path) -> None:
    write_table(scored(recipe, 0, {**DICE, "disc:2": 0.0}))
    assert line(recipe, "sacrum")[0] == "absent"
    assert line(recipe, "L5/S1 disc")[0] == "70.00"
    assert line(recipe, "L4/L5 disc")[0] == "0.00"
    assert line(recipe, "L5")[1] == "-"
    assert line(recipe, "SAFNet")[0].startswith(f"{mean([90, 80, 70, 0]):.2f}")


def test_the_other_networks_join_from_the_same_work_folder(recipe: Path) -> None:
    models = recipe.parents[2]
    scored(models / "unet" / "3d_volume" / "safnet", 0, {"vertebra:1": 0.6})
    scored(models / "unet" / "3d_volume" / "published", 0, {"vertebra:1": 0.1})  # as nnU-Net trains: not this table
    write_table(scored(recipe, 0, DICE))
    assert line(recipe, "3D UNet")[0] == "60.00 ± 0.00 (74.42 ± 5.22)"


def test_a_network_that_is_trained_after_safnet_joins_too(recipe: Path) -> None:
    models = recipe.parents[2]
    write_table(scored(recipe, 0, DICE))
    write_table(scored(models / "cfnet" / "3d_volume" / "safnet", 0, {"vertebra:1": 0.6}))
    assert line(recipe, "CFNet")[0] == "60.00 ± 0.00 (78.95 ± 5.61)"
    write_table(scored(models / "cfnet" / "3d_volume" / "adapted", 0, {"vertebra:1": 0.1}))  # no SAFNet beside it
    assert list(models.glob("**/table_1.md")) == [recipe / "table_1.md"]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("published", "safnet"),
        ("published_literal", "safnet"),
        ("published_t2", "safnet_t2"),
        ("adapted", "adapted"),
        ("adapted_t2", "adapted_t2"),
        ("published_loss-binary", "safnet"),
        ("adapted_t2_loss-binary", "adapted_t2"),
        ("published_literal_loss-cross_entropy", "safnet"),
        ("adapted_t2_attention-true", "adapted_t2"),
        ("adapted_all", "adapted"),
        ("published_all", "safnet"),
    ],
)
def test_whose_folders_are_compared(tmp_path: Path, name: str, theirs: str) -> None:
    found = recipe_folders(tmp_path / "safnet" / "3d_volume" / name)
    assert found["safnet"].name == name
    assert found["cfnet"] == tmp_path / "cfnet" / "3d_volume" / theirs


def test_a_network_without_a_part_is_not_called_safnet(recipe: Path) -> None:
    models = recipe.parents[2]
    scored(models / "safnet" / "3d_volume" / "adapted_attention-false", 0, DICE)
    scored(models / "safnet" / "3d_volume" / "adapted_base", 0, DICE)
    write_table(scored(models / "unet" / "3d_volume" / "adapted", 0, DICE))
    assert not list(models.glob("**/table_1.md"))


def test_the_ablations_whole_network_is_compared_as_well(recipe: Path) -> None:
    models = recipe.parents[2]
    scored(models / "unet" / "3d_volume" / "safnet", 0, {"vertebra:1": 0.6})
    write_table(scored(whole := recipe.with_name("published_all"), 0, DICE))
    assert line(whole, "3D UNet")[0] == "60.00 ± 0.00 (74.42 ± 5.22)"


def test_a_folder_that_was_renamed_is_passed_over(recipe: Path) -> None:
    scored(recipe, 0, DICE)
    (recipe / "fold_0").rename(recipe / "fold_0_old")
    assert list(scored_folds(recipe)) == []


def test_folds_of_ones_own_beyond_the_papers_five_have_a_column(recipe: Path) -> None:
    write_table(scored(recipe, 6, DICE, "validation"))
    cells = line(recipe, "SAFNet")
    assert len(cells) == 7
    assert "(" not in cells[5]


def test_held_out_cases_and_folders_without_folds_have_no_table(recipe: Path) -> None:
    write_table(scored(recipe, 0, DICE, "held_out"))
    assert not (recipe / "table_1.md").exists()
    assert scored_folds(recipe) == {}


def test_the_published_means_are_those_of_the_text() -> None:
    """The text averages 79.46, 78.82, 81.32, 80.56 and the table's 81.45, though it prints 80.83."""
    assert mean(value for value, _ in METHODS["safnet"][1]) == pytest.approx(80.32, abs=0.005)
    assert mean(figures[1][0] for _, figures in METHODS.values()) == pytest.approx(76.64, abs=0.005)
    assert mean(figures[1][1] for _, figures in METHODS.values()) == pytest.approx(8.38, abs=0.005)
