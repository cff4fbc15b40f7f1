from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.commands import measure
from autospine.commands.evaluate import main
from tests.paths import ROOT

GOLDEN = ROOT / "tests" / "data" / "spider_evaluation"
Run = Callable[..., object]


@pytest.fixture
def folders(tmp_path: Path, write: Callable, boxes: Callable) -> tuple[Path, Path]:
    """A data set of three series of two patients, and its predictions, perfect but for one level."""
    mask = boxes([1, 2, 3])
    for id_ in ("1_t1", "1_t2", "2_t2"):
        for folder, array in (("images", mask * 50.0), ("masks", mask)):
            write(
                tmp_path / "data" / folder / f"{id_}.mha",
                array.astype(np.float32 if folder == "images" else np.uint8),
            )
        write(tmp_path / "good" / f"{id_}.mha", mask)
        write(tmp_path / "poor" / f"{id_}.mha", np.where(mask == 3, 0, np.roll(mask, 1, axis=1)))
    (tmp_path / "data" / "overview.csv").write_text(
        "new_file_name,Manufacturer\n1_t1,Philips\n1_t2,Philips\n2_t2,SIEMENS\n"
    )
    return tmp_path / "good", tmp_path / "data"


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_several_methods_and_groups(command: Callable, folders: tuple[Path, Path], tmp_path: Path) -> None:
    good, data = folders
    out = tmp_path / "out"
    answer = command(main, good, data, "--against", tmp_path / "poor", "--by", "vendor", "--by", "sequence", "-o", out)
    assert answer.status == 0, answer.err
    for words in ("Dice: good against poor", "By vendor", "By sequence", "Philips", "level right"):
        assert words in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["cases.csv", "instances.csv", "labels.csv", "tests.csv", "report.html", "summary.json", "summary.md"]
    )
    rows = read(out / "cases.csv")
    assert {row["method"] for row in rows} == {"good", "poor"}
    tests = {row["metric"]: row for row in read(out / "tests.csv")}
    assert float(tests["dice"]["difference"]) > 0 > float(tests["asd_mm"]["difference"])
    assert tests["dice"]["patients"] == "2"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["method"] == "good" and [one["method"] for one in summary["against"]] == ["poor"]
    assert list(summary["strata"]["vendor"]) == ["Philips", "Siemens"]
    assert summary["strata"]["sequence"]["t2"]["dice"]["patients"] == 2
    undetected = [
        row for row in read(out / "instances.csv") if row["method"] == "poor" and row["reference"] == "vertebra:3"
    ]
    assert {row["status"] for row in undetected} == {"false negative"}


def test_sequences_are_grouped_without_being_asked(command: Callable, folders: tuple[Path, Path]) -> None:
    assert "sequence" in command(main, *folders).out
    answer = command(main, *folders, "--by", "shoe size")
    assert answer.status == 2 and "overview.csv: has no column shoe size" in answer.errors[0]


def test_the_tolerance_is_used(command: Callable, folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = []
    for tolerance in (0.5, 5):
        command(main, tmp_path / "poor", folders[1], "--tolerance", tolerance, "-o", tmp_path / "out")
        found.append(json.loads((tmp_path / "out" / "summary.json").read_text()))
    assert [one["tolerance_mm"] for one in found] == [0.5, 5]
    assert found[0]["overall"]["nsd"] < found[1]["overall"]["nsd"]
    for impossible in (-1, "nan"):
        answer = command(main, *folders, "--tolerance", impossible)
        assert answer.status == 2 and "--tolerance: is" in answer.errors[0] and len(answer.errors) == 1


def test_the_same_method_twice(command: Callable, folders: tuple[Path, Path]) -> None:
    answer = command(main, *folders, "--against", folders[0])
    assert answer.status == 2 and "is given twice" in answer.errors[0]


def test_probabilities_give_a_log_loss(command: Callable, folders: tuple[Path, Path], tmp_path: Path) -> None:
    good, data = folders
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "masks" / "1_t2.mha")))[::-1]
    certain = np.stack([reference == 0, reference > 0]).astype(np.float16) * 0.5 + 0.25
    np.save(good / "1_t2.npy", certain)
    (good / "1_t2.json").write_text(json.dumps({"classes": ["background", "vertebra"]}))
    assert command(main, good, data, "-o", tmp_path / "out").status == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["per_case"]["1_t2"]["case_log_loss"] == pytest.approx(-np.log(0.75), abs=1e-3)
    assert summary["per_case"]["2_t2"]["case_log_loss"] is None
    (good / "1_t2.json").write_text(json.dumps({"classes": ["background"]}))
    answer = command(main, good, data)
    assert answer.status == 2 and "does not name the 2 classes" in answer.errors[0]


def test_fractions_colours_and_other_shapes_are_named_and_the_others_finish(
    command: Callable, folders: tuple[Path, Path], write: Callable, boxes: Callable
) -> None:
    good, data = folders
    write(good / "1_t1.mha", boxes([1, 2, 3]).astype(np.float32) + 0.5)
    write(good / "1_t2.mha", boxes([1, 2, 3])[:5])
    write(data / "masks" / "3_t2.mha", boxes([1, 2, 3]))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(good / "3_t2.mha"))
    answer = command(main, good, data)
    assert answer.status == 2 and "Traceback" not in answer.err
    assert len(answer.errors) == 3
    fractions, shape, colours = answer.errors
    assert "1_t1.mha" in fractions and "no whole numbers" in fractions
    assert "1_t2.mha: lies on another grid than" in shape and str(data / "masks" / "1_t2.mha") in shape
    assert "3_t2.mha" in colours
    assert "Scores of 1 case" in answer.out


def test_names_that_mean_a_reference_pair_with_it_and_it_is_said(
    command: Callable, folders: tuple[Path, Path], write: Callable, boxes: Callable
) -> None:
    good, data = folders
    (good / "2_t2.mha").rename(good / "2_t2_seg.mha")
    answer = command(main, good, data)
    assert answer.status == 0
    assert "No prediction" not in answer.out and "2_t2_seg.mha with 2_t2" in answer.err


def test_names_neither_compute_nor_steer_a_terminal(
    command: Callable, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for folder in (folders[0], folders[1] / "images", folders[1] / "masks"):
        (folder / "1_t1.mha").rename(folder / "=1+1.mha")
        (folder / "2_t2.mha").rename(folder / "\x1b[2J_t2.mha")
    answer = command(main, *folders, "-o", tmp_path / "out")
    assert answer.status == 0 and "\x1b" not in answer.out + answer.err and "\\x1b[2J_t2" in answer.out
    cases = (tmp_path / "out" / "cases.csv").read_text()
    assert ",'=1+1," in cases and ",=1+1" not in cases


def test_all_cases_fail_and_the_page_says_so(
    command: Callable, folders: tuple[Path, Path], write: Callable, boxes: Callable, tmp_path: Path
) -> None:
    for path in folders[0].iterdir():
        write(path, boxes([1])[:5])
    answer = command(main, *folders, "-o", tmp_path / "out")
    assert answer.status == 2 and len(answer.errors) == 3
    assert (tmp_path / "out" / "report.html").read_text().count("lies on another grid") == 3


def test_spider_protocol(command: Callable, tmp_path: Path) -> None:
    """label_200 lies on another grid: an error here and none there; a reference without discs is the reverse."""
    answer = command(main, GOLDEN / "prediction", GOLDEN / "reference", "--protocol", "spider", "-o", tmp_path / "out")
    assert answer.status == 2 and "Traceback" not in answer.err
    assert ["label_200" in line or "reference_without_discs" in line for line in answer.errors] == [
        True,
        True,
    ]
    rows = read(tmp_path / "out" / "challenge.csv")
    assert len(rows) == 41 and {"OveralASD", "DiceScoreDiscs"} < set(rows[0])
    assert [row["case"] for row in rows if row["problem"]] == ["reference_without_discs"]
    for id_, figures in json.loads((GOLDEN / "expected.json").read_text()).items():
        row = next(row for row in rows if row["case"] == id_)
        for key, value in figures.items() if not row["problem"] else ():
            assert row[key] == "" if value is None else float(row[key]) == pytest.approx(value, abs=1e-12)
    expected = json.loads((GOLDEN / "expected_aggregate.json").read_text())
    spider = json.loads((tmp_path / "out" / "summary.json").read_text())["spider"]
    for key, figures in expected.items():
        assert spider["figures"][key]["challenge"]["mean"] == pytest.approx(figures["mean"], abs=1e-12)
    assert spider["differences"]
    assert command(main, GOLDEN / "prediction", GOLDEN / "reference", "-o", tmp_path / "out").status == 2
    assert not (tmp_path / "out" / "challenge.csv").exists()  # nothing of the comparison before is left


def test_folders_with_one_file_per_class_are_scored_and_measured(
    command: Callable, tmp_path: Path, write: Callable, boxes: Callable
) -> None:
    names = {1: "vertebrae_L5", 2: "vertebrae_L4", 3: "vertebrae_L3"}
    for case in ("1_t2", "2_t2"):
        mask = boxes([1, 2, 3])
        write(tmp_path / "masks" / f"{case}.mha", mask)
        for value, name in names.items():
            write(tmp_path / "predictions" / case / f"{name}.nii.gz", (mask == value).astype(np.uint8))
        write(tmp_path / "predictions" / case / "liver.nii.gz", (mask == 0).astype(np.uint8))
    out = tmp_path / "out"
    answer = command(main, tmp_path / "predictions", tmp_path / "masks", "-o", out, "--pred-labels", "totalsegmentator")
    assert answer.status == 0, answer.err
    assert "1_t2: the names of its files tell its labels, --pred-labels is not used" in answer.err
    assert {row["dice"] for row in read(out / "cases.csv") if row["all_levels"] == "no"} == {"1"}
    one = command(main, tmp_path / "predictions" / "1_t2", tmp_path / "masks" / "1_t2.mha")
    assert one.status == 0 and "1.000" in one.out, one.err
    measured = command(measure.main, tmp_path / "predictions", "-o", tmp_path / "measured", "--no-pictures")
    assert measured.status == 0, measured.err
    levels = read(tmp_path / "measured" / "measurements.csv")
    assert [row["name"] for row in levels if row["id"] == "2_t2"] == ["L3", "L4", "L5"]
