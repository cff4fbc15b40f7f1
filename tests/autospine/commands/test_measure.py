"""autospine_measure on real masks of several tools, and autospine_predict --measure."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.commands import measure, predict
from autospine.volumes import write_volume
from tests.blocks import Blocks, as_volume


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_bodies_with_the_first_sacral_segment_are_measured_to_the_sacrum(
    command: Callable, real_data: Path, tmp_path: Path
) -> None:
    mask = real_data / "mixed" / "masks" / "10_t2.mha"
    said = command(measure.main, mask, "-o", tmp_path, "--labels", "mrspineseg", "--no-pictures", "--workers", 1)
    assert said.status == 0
    found = {row["name"]: row for row in rows(tmp_path / "measurements.csv")}
    assert list(found) == ["T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert all(15 < float(row["middle_height_mm"]) < 32 for row in found.values())
    assert all(abs(float(found[name]["slip_mm"])) < 6 for name in ("L1", "L2", "L3", "L4", "L5"))
    (column,) = rows(tmp_path / "columns.csv")
    assert column["lordosis_between"] == "L1 to S1"
    assert 20 < float(column["lordosis_deg"]) < 75
    assert 20 < float(column["sacral_slope_deg"]) < 65


def test_subregions_without_levels_are_measured_by_instance(command: Callable, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "subregions"
    mask, scan = folder / "sub-mri_seg-subreg_label-6_msk.nii.gz", folder / "sub-mri_label-6_T2w.nii.gz"
    said = command(measure.main, mask, "-i", scan, "-o", tmp_path, "--labels", "spineps", "--workers", 1)
    assert said.status == 0
    assert "vertebra 1 from below: cut by the field of view" in said.out
    found = {row["ordinal"]: row for row in rows(tmp_path / "measurements.csv")}
    assert {row["level"] for row in found.values()} == {""}
    assert 20 < float(found["2"]["posterior_height_mm"]) < 35
    assert 9 < float(found["2"]["disc_canal_diameter_mm"]) < 20
    assert 0 < float(found["2"]["disc_signal_csf"]) < 1


def test_an_instance_mask_of_whole_vertebrae_has_levels(command: Callable, real_data: Path, tmp_path: Path) -> None:
    mask = real_data / "subregions" / "sub-mri_seg-vert_label-6_msk.nii.gz"
    said = command(measure.main, mask, "-o", tmp_path, "--labels", "spineps", "--workers", 1)
    assert said.status == 0
    assert all(row["level"] for row in rows(tmp_path / "measurements.csv"))


def test_predictions_are_measured_at_once(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autospine.inference import run

    labels = Blocks(levels=3).labels()
    scans, masks = tmp_path / "scans", tmp_path / "masks"
    write_volume(as_volume((labels % 97).astype(np.int16), (4.0, 1.0, 1.0)), scans / "1_t2.nii.gz")

    class Predicted:
        failures = ()

        def describe(self) -> str:
            return "1 mask"

    def segment(request: run.PredictRequest) -> Predicted:
        write_volume(as_volume(labels, (4.0, 1.0, 1.0)), request.output / "1_t2.nii.gz")
        return Predicted()

    monkeypatch.setattr(run, "predict_scans", segment)
    said = command(predict.main, "-i", scans, "-o", masks, "-m", tmp_path, "--measure", "--workers", 1)
    assert (said.status, said.err) == (0, "")
    assert [row["name"] for row in rows(masks / "measured" / "measurements.csv")] == ["L3", "L4", "L5"]
    assert (masks / "measured" / "measure.html").is_file()
    assert (masks / "measured" / "cases" / "1_t2.png").is_file()
