"""The four commands one after another, as a user types them, and what comes out for scans that are cropped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.planning.plan import Plans
from autospine.volumes import read_image, read_mask
from tests.tiny import spine_image, spine_mask, write_array, write_dataset

pytestmark = pytest.mark.slow
CROPS = ("whole", "top", "bottom")


def command(name: str, *arguments: object) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-c", f"from autospine.commands.{name} import main; raise SystemExit(main())"]
        + [str(argument) for argument in arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def write_crops(root: Path) -> None:
    """A spine that was not trained on; without its upper vertebra, and without the lowest and what lies below."""
    mask = spine_mask(1)
    image = spine_image(mask, 99)
    rows = {value: np.argwhere(mask == value)[:, 1] for value in (2, 4)}
    parts = {"whole": slice(0, None), "top": slice(rows[4].min() - 1, None)}
    parts["bottom"] = slice(0, rows[2].max() + 3)
    for name, part in parts.items():
        write_array(root / "images" / f"{name}_t2.mha", image[:, part])
        write_array(root / "masks" / f"{name}_t2.mha", mask[:, part])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data, work with a trained fold, crops and their predicted masks."""
    root = tmp_path_factory.mktemp("end")
    write_dataset(root / "data", tuple(f"{number}_t2" for number in range(1, 7)))
    write_crops(root / "crops")
    done = command("plan", root / "data", root / "work", "--folds", 3, "--workers", 1, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    place = root / "work" / "plans.json"
    (plan,) = Plans.load(place).plans
    narrow = replace(plan.network, widths=(12, 24, 32, 32)[: len(plan.network.widths)])
    Plans((replace(plan, network=narrow, batch=4),)).save(place)
    done = command("train", root / "work", "--epochs", 1, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (root / "table.txt").write_text(done.stdout)
    model = root / "work" / "models" / "unet" / "2d_sagittal" / "adapted"
    done = command(
        *("predict", "-i", root / "crops" / "images", "-o", root / "masks", "-m", model),
        *("--overlay", "--device", "cpu", "--workers", 1),
    )
    assert done.returncode == 0, done.stderr
    assert "3 masks" in done.stdout
    return root


def test_every_command_says_what_comes_next(made: Path) -> None:
    table = (made / "table.txt").read_text()
    assert "overall" in table
    assert "next: autospine_predict" in table


def report(made: Path, name: str) -> dict:
    return json.loads((made / "masks" / f"{name}_t2.json").read_text())


@pytest.mark.parametrize("name", CROPS)
def test_each_scan_gets_a_mask_on_its_grid_a_report_and_a_picture(made: Path, name: str) -> None:
    mask = read_mask(made / "masks" / f"{name}_t2.mha")
    scan = read_image(made / "crops" / "images" / f"{name}_t2.mha")
    assert mask.geometry.difference(scan.geometry) is None
    assert (made / "masks" / f"{name}_t2.png").stat().st_size > 1000
    values = {label["value"] for label in report(made, name)["labels"]}
    assert values == set(np.unique(mask.array).tolist()) - {0}


@pytest.mark.parametrize("name", ["whole", "top"])
def test_vertebrae_have_their_levels_and_a_cropped_top_shifts_none(made: Path, name: str) -> None:
    found = read_mask(made / "masks" / f"{name}_t2.mha").array
    truth = read_mask(made / "crops" / "masks" / f"{name}_t2.mha").array
    expected = [int(v) for v in np.unique(truth) if 0 < v < 100]
    assert [int(v) for v in np.unique(found) if 0 < v < 100] == expected
    for value in expected:
        mine, its = found == value, truth == value
        assert 2 * (mine & its).sum() / (mine.sum() + its.sum()) > 0.7
    if name == "whole":  # a few seconds of training are not sure of a cropped column
        assert report(made, name)["ambiguous"] == ""


def test_without_the_lowest_vertebra_and_the_sacrum_the_levels_are_called_ambiguous(made: Path) -> None:
    said = report(made, "bottom")
    assert said["ambiguous"]
    levels = [label for label in said["labels"] if label["level"] is not None]
    assert levels
    assert all("ambiguous" in label["flags"] for label in levels)


def test_evaluate_scores_them(made: Path) -> None:
    done = command("evaluate", made / "masks", made / "crops" / "masks", "-o", made / "scores")
    assert done.returncode == 0, done.stderr
    assert "spinal canal" in done.stdout
    assert (made / "scores" / "cases.csv").exists()
