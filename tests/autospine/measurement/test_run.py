"""The command: tables, JSON, pictures; one bad mask does not end the others."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autospine.core.errors import UserError
from autospine.measurement import run
from autospine.measurement.case import CaseMeasures
from autospine.measurement.run import MeasureRequest, measure_all, measure_predictions
from autospine.volumes import write_volume
from tests.blocks import Blocks, as_volume


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two patients, one of them twice, a year apart."""
    for name, slip in (("1_t2", 0.0), ("1_t2_later", 5.0), ("2_t2", 0.0)):
        labels = Blocks(slip=slip, levels=3).labels()
        write_volume(as_volume(labels, (4.0, 1.0, 1.0)), tmp_path / "set" / "masks" / f"{name}.nii.gz")
        image = (labels.astype(np.int16) % 97) * 10
        write_volume(as_volume(image, (4.0, 1.0, 1.0)), tmp_path / "set" / "images" / f"{name}.nii.gz")
    (tmp_path / "set" / "patients.csv").write_text("id,patient\n1_t2,1\n1_t2_later,1\n2_t2,2\n")
    return tmp_path / "set"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_row_per_level_one_file_per_case(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = measure_all(MeasureRequest(dataset, output=out, workers=1))
    assert result.failures == ()
    found = rows(out / "measurements.csv")
    assert [(r["id"], r["patient"], r["name"]) for r in found[:3]] == [
        ("1_t2", "1", "L3"), ("1_t2", "1", "L4"), ("1_t2", "1", "L5"),
    ]  # fmt: skip
    assert float(found[0]["anterior_height_mm"]) == pytest.approx(25, abs=0.6)
    assert float(found[0]["anterior_height_mm_sd"]) > 0
    assert "the vertebra below, or the sacrum, is not labelled (" in found[2]["missing"]
    assert found[2]["slip_mm"] == ""
    assert [r["lordosis_between"] for r in rows(out / "columns.csv")] == ["L3 to L5"] * 3
    case = json.loads((out / "cases" / "1_t2_later.json").read_text())
    l4 = case["levels"][1]["figures"]
    assert l4["slip_mm"]["value"] == pytest.approx(5, abs=0.6)
    assert l4["slip_mm"]["unit"] == "mm"
    assert l4["disc_anterior_height_mm"]["published"] == "10.94 (Onishi et al. 2019: MRI, 300 patients)"
    assert l4["disc_signal_csf"]["value"] > 0
    with Image.open(out / "cases" / "1_t2.png") as picture:
        assert min(picture.size) > 500


@pytest.mark.parametrize("name", ["$_$", os.fsdecode(b"caf\xe9")])
def test_a_picture_of_any_name(dataset: Path, tmp_path: Path, name: str) -> None:
    (dataset / "masks" / "1_t2.nii.gz").rename(tmp_path / f"{name}.nii.gz")
    result = measure_all(MeasureRequest(tmp_path / f"{name}.nii.gz", output=tmp_path / "out", workers=1))
    assert result.failures == () and (tmp_path / "out" / "cases" / f"{name}.png").is_file()


def test_a_bad_mask_is_a_line(dataset: Path, tmp_path: Path) -> None:
    (dataset / "masks" / "2_t2.nii.gz").write_bytes(b"no volume")
    result = measure_all(MeasureRequest(dataset, output=tmp_path / "out", pictures=False, workers=1))
    assert [case.id for case in result.cases] == ["1_t2", "1_t2_later"]
    assert len(result.failures) == 1
    assert "2_t2.nii.gz" in result.failures[0]
    assert result.describe().startswith("failed: ")


def test_nothing_is_written_onto_the_masks(dataset: Path) -> None:
    with pytest.raises(UserError, match="holds files"):
        measure_all(MeasureRequest(dataset, output=dataset / "masks"))


def test_single_files_pair_whatever_their_names(dataset: Path) -> None:
    mask, image = dataset / "masks" / "1_t2.nii.gz", dataset / "images" / "2_t2.nii.gz"
    result = measure_all(MeasureRequest(mask, images=image, workers=1))
    assert "disc_signal_csf" in result.cases[0].levels[0].values


def test_masks_without_images_have_pictures(dataset: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.nii.gz"
    (dataset / "masks" / "1_t2.nii.gz").rename(mask)
    result = measure_all(MeasureRequest(mask, output=tmp_path / "out", workers=1))
    assert result.failures == ()
    assert (tmp_path / "out" / "cases" / "mask.png").is_file()


def test_predictions_are_measured_beside_them(dataset: Path) -> None:
    result = measure_predictions(dataset / "masks", [dataset], workers=1)
    assert (dataset / "masks" / "measured" / "measurements.csv").is_file()
    assert "disc_signal_csf" in result.cases[0].levels[0].values


def test_a_second_run_goes_on_with_the_cases_that_are_not_done(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, measured = tmp_path / "out", []
    measure = run.measure_volume

    def counting(id_: str, *arguments: Any) -> CaseMeasures:
        measured.append(id_)
        return measure(id_, *arguments)

    monkeypatch.setattr(run, "measure_volume", counting)
    request = MeasureRequest(dataset, output=out, workers=1)
    first = measure_all(request)
    whole = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")}
    (out / "cases" / "1_t2.json").unlink()  # as if the process had ended before it
    (out / "cases" / "1_t2_later.png").unlink()
    (out / "measurements.csv").unlink()
    second = measure_all(request)
    assert measured == ["1_t2", "1_t2_later", "2_t2", "1_t2", "1_t2_later"]
    assert second == first
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")} == whole
    labels = Blocks(levels=3).labels()
    write_volume(as_volume(np.where(labels == 3, 0, labels), (4.0, 1.0, 1.0)), dataset / "masks" / "2_t2.nii.gz")
    assert measure_all(request).cases[2] != first.cases[2]
    assert measured[5:] == ["2_t2"]
    shutil.copytree(out, tmp_path / "moved")
    measure_all(replace(request, output=tmp_path / "moved"))  # the files' content counts, not their names or times
    assert len(measured) == 6
    measure_all(replace(request, labels="spider20"))
    assert len(measured) == 9


def test_a_mask_that_cannot_be_measured_any_more_leaves_no_figures_of_the_old_one(
    dataset: Path, tmp_path: Path
) -> None:
    request = MeasureRequest(dataset, output=tmp_path, pictures=False, workers=1)
    measure_all(request)
    (dataset / "masks" / "2_t2.nii.gz").write_bytes(b"no volume")
    assert len(measure_all(request).failures) == 1
    assert sorted(path.name for path in (tmp_path / "cases").iterdir()) == ["1_t2.json", "1_t2_later.json"]
