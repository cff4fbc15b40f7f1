from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.commands.plan import main
from autospine.core.files import write_json
from autospine.planning.plan import VERSION, Plans
from autospine.preprocessing.grid import SliceInterpolation
from autospine.preprocessing.storage import CaseStore
from autospine.reconstruction.images import METHODS
from tests.autospine.commands.conftest import Prediction
from tests.paths import ROOT

Write = Callable[..., Path]
Boxes = Callable[..., np.ndarray]


@pytest.fixture
def data(tmp_path: Path, spine: Callable[..., None]) -> Path:
    for case_id in ("1_t2", "2_t2", "3_t2"):
        spine(tmp_path / "data", case_id)
    return tmp_path / "data"


@pytest.fixture
def run(command: Callable[..., Prediction], data: Path) -> Callable[..., Prediction]:
    """autospine_plan on the data."""
    work = data.parent / "work"
    return lambda *options: command(main, data, work, "--device", "cpu", "--workers", 1, *options)


def assert_refused(answer: Prediction, *words: str) -> None:
    assert answer.status == 2
    assert len(answer.errors) == 1
    assert answer.errors[0].startswith("autospine_plan: error: ")
    assert "; " in answer.errors[0]  # the mend
    for word in words:
        assert word in answer.errors[0]
    assert "Traceback" not in answer.err
    assert answer.out == ""


def assert_nothing_planned(data: Path) -> None:
    made = [path.name for path in (data.parent / "work").glob("*")]
    assert set(made) <= {"fingerprint"}  # figures of the good cases, kept for the next run


def change(data: Path, part: str, write: Write, array: np.ndarray, **settings: object) -> None:
    write(data / part / "2_t2.mha", array, **settings)


def test_good_data_ends_with_the_next_command(run: Callable[..., Prediction], data: Path) -> None:
    answer = run("--folds", 3, "--explain", "--memory", 4)
    assert answer.status == 0
    assert "autospine_train" in answer.out.splitlines()[-1]
    assert "[4.0 GiB on cpu]" in answer.out
    assert answer.errors == []
    assert (data.parent / "work" / "plans.json").exists()


def test_a_dry_run_writes_nothing(run: Callable[..., Prediction], data: Path) -> None:
    answer = run("--dry-run", "--plans", "2d_sagittal", "3d_volume", "3d_volume")
    assert answer.status == 0
    assert "3 cases would be preprocessed for 2d_sagittal, 3d_volume, in about" in answer.out
    assert not (data.parent / "work").exists()


def test_slices_are_interpolated_as_the_options_say(run: Callable[..., Prediction], data: Path) -> None:
    options = (
        "--plans",
        "2d_sagittal",
        "slice_reconstruction",
        "--slice-spacing",
        2,
        "--slice-method",
        "cubic",
    )
    answer = run(*options, "--explain")
    assert answer.status == 0
    assert "about every 2 mm, 6 measured + 5 interpolated slices per case on average (cubic)" in answer.out
    assert "[6 + 5 in 1_t2, 2_t2, 3_t2]" in answer.out
    plain, interpolated = Plans.load(data.parent / "work" / "plans.json").plans
    assert plain.grid.slice_interpolation is None
    assert interpolated.grid.slice_interpolation == SliceInterpolation(2.0, "cubic")
    folder = data.parent / "work" / "preprocessed" / "slice_reconstruction"
    assert CaseStore(folder, "1_t2").record.shape[0] == 11
    run("--plans", "slice_reconstruction")
    assert CaseStore(folder, "1_t2").record.shape[0] == 21


def test_every_way_to_interpolate_slices_can_be_asked_for(
    command: Callable[..., Prediction],
) -> None:
    """The command names them itself, since it starts without numpy."""
    assert f"{{{','.join(METHODS)}}}" in command(main, "--help").out


def test_images_without_masks_are_named_and_left_out(run: Callable[..., Prediction], data: Path) -> None:
    (data / "masks" / "2_t2.mha").unlink()
    answer = run()
    assert answer.status == 0
    assert "2_t2" in answer.err
    assert "2 training cases of 2 patients" in answer.out


def test_no_mask_at_all(run: Callable[..., Prediction], data: Path) -> None:
    shutil.rmtree(data / "masks")
    assert_refused(run(), str(data), "mask")
    assert not (data.parent / "work").exists()


def test_one_case_only(run: Callable[..., Prediction], data: Path) -> None:
    for case_id in ("2_t2", "3_t2"):
        (data / "images" / f"{case_id}.mha").unlink()
        (data / "masks" / f"{case_id}.mha").unlink()
    assert_refused(run(), str(data), "one patient only (1_t2)", "add scans of a second patient")
    assert not (data.parent / "work").exists()


def test_a_label_outside_the_scheme(run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes) -> None:
    change(data, "masks", write, boxes([1, 2, 3, 150]))
    assert_refused(run("--labels", "spider"), "masks/2_t2.mha", "150 (96 voxels)", "--labels")
    assert_nothing_planned(data)


def test_image_and_mask_on_different_grids(
    run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes
) -> None:
    change(data, "masks", write, boxes([1, 2, 3]), spacing=(4, 1.4, 1.5))
    assert_refused(run(), "masks/2_t2.mha", "another grid", "images/2_t2.mha", "resample")
    change(data, "masks", write, boxes([1, 2, 3], (6, 48, 17)))
    assert_refused(run(), "masks/2_t2.mha", "another grid")
    assert_nothing_planned(data)


def test_a_float_mask(run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes) -> None:
    change(data, "masks", write, boxes([1, 2, 3, 4, 5]).astype(np.float32) * 0.5)
    assert_refused(run(), "masks/2_t2.mha")
    assert_nothing_planned(data)
    change(data, "masks", write, boxes([1, 2, 3, 4, 5]).astype(np.float32))
    assert run().status == 0  # whole numbers, merely stored as floats


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_a_constant_image_or_one_of_nothing(
    run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes, value: float
) -> None:
    change(data, "images", write, np.full(boxes([]).shape, value, np.float32))
    assert_refused(run(), "images/2_t2.mha")
    assert_nothing_planned(data)


def test_an_image_of_one_slice(run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes) -> None:
    mask = boxes([1, 2, 3, 4, 5])[2:3]
    change(data, "masks", write, mask)
    change(data, "images", write, (mask + np.random.default_rng(0).normal(size=mask.shape)).astype(np.float32))
    assert_refused(run("--plans", "3d_volume"), "2_t2: has fewer than 4 slices", "plan 2d_sagittal instead")
    assert_nothing_planned(data)
    answer = run()
    assert answer.status == 0
    assert "single slice" in answer.out


@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_file_cut_off(run: Callable[..., Prediction], data: Path, part: str, share: float) -> None:
    path = data / part / "2_t2.mha"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(run(), f"{part}/2_t2.mha")
    assert_nothing_planned(data)


def test_empty_masks(run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes) -> None:
    change(data, "masks", write, boxes([]))
    answer = run()
    assert answer.status == 0
    assert "1 mask holds no label, so nothing counts as annotated there and it is left out (2_t2)" in answer.out
    for case_id in ("1_t2", "3_t2"):
        write(data / "masks" / f"{case_id}.mha", boxes([]))
    shutil.rmtree(data.parent / "work")
    assert_refused(run(), "hold no label in any case")
    assert_nothing_planned(data)


def test_two_bad_cases_are_one_line_and_a_list(
    run: Callable[..., Prediction], data: Path, write: Write, boxes: Boxes
) -> None:
    for case_id in ("1_t2", "3_t2"):
        write(data / "images" / f"{case_id}.mha", np.zeros(boxes([]).shape, np.float32))
    answer = run()
    assert_refused(answer, "images/1_t2.mha", "and 1 more, listed above")
    assert "images/3_t2.mha: is constant" in answer.err


def test_a_mask_without_an_image(run: Callable[..., Prediction], data: Path) -> None:
    (data / "images" / "2_t2.mha").unlink()
    assert_refused(run(), "masks/2_t2.mha", "has no image")


@pytest.mark.parametrize("version", [VERSION + 1, VERSION])
def test_plans_of_a_newer_version_or_damaged(run: Callable[..., Prediction], data: Path, version: int) -> None:
    write_json(data.parent / "work" / "plans.json", {"version": version, "plans": [{"name": "mine"}]})
    assert_refused(run(), "work/plans.json", "update AutoSpine" if version > VERSION else "lacks the key")
    assert [path.name for path in (data.parent / "work").iterdir()] == ["plans.json"]


def test_a_read_only_disk(command: Callable[..., Prediction], data: Path, read_only_disk: Path) -> None:
    answer = command(main, data, read_only_disk / "work", "--device", "cpu", "--workers", 1)
    assert_refused(answer, str(read_only_disk / "work"), "no permission", "choose another output folder")


def test_a_full_disk(command: Callable[..., Prediction], data: Path, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((256 - 48) * 1024))
    answer = command(main, data, small_disk / "work", "--device", "cpu", "--workers", 1)
    assert_refused(answer, str(small_disk / "work"), "the disk is full", "free some space")
    assert not list(small_disk.rglob(".*.partial.*"))


def test_a_file_in_the_work_folders_place(run: Callable[..., Prediction], data: Path) -> None:
    (data.parent / "work").write_text("mine")
    assert_refused(run(), str(data.parent / "work"), "is a file; give a folder")
    assert (data.parent / "work").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plans", "4d"], ["4d", "choose from 2d_axial, 2d_sagittal, 3d_volume"]),
        (["--labels", "klingon"], ["klingon"]),
        (["--splits", "none.json"], ["none.json", "does not exist"]),
        (["--folds", 1], ["--folds", "at least 2"]),
        (["--pixel-spacing", 0], ["--pixel-spacing", "is 0", "0.1 to 10 mm"]),
        (["--pixel-spacing", "nan"], ["--pixel-spacing", "0.1 to 10 mm"]),
        (["--memory", -1], ["--memory"]),
        (["--memory", 0.1], ["needs", "0.10 are allowed; raise --memory"]),
        (["--minutes", 0], ["--minutes"]),
        (["--minutes", "nan"], ["--minutes"]),
        (["--workers", -1], ["--workers"]),
        (
            ["--slice-spacing", 0.5],
            ["--slice-spacing", "not for 2d_sagittal", "--plans slice_reconstruction"],
        ),
        (["--plans", "2d_axial", "--slice-method", "cubic"], ["--slice-method", "not for 2d_axial"]),
        (["--plans", "slice_reconstruction", "--slice-spacing", 0], ["is 0", "0.1 mm or more"]),
        (["--plans", "slice_reconstruction", "--slice-spacing", "nan"], ["is nan", "0.1 mm or more"]),
    ],
    ids=lambda value: str(value[0]).strip("-") if isinstance(value, list) else None,
)
def test_options_that_cannot_be(
    run: Callable[..., Prediction], data: Path, options: list[object], words: list[str]
) -> None:
    assert_refused(run(*options), *words)
    assert_nothing_planned(data)


@pytest.mark.parametrize("where", ["nowhere", "images"])
def test_a_folder_that_is_no_data_set(command: Callable[..., Prediction], data: Path, where: str) -> None:
    place = data / where
    assert_refused(command(main, place, data.parent / "work", "--device", "cpu"), str(place))
    assert not (data.parent / "work").exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_as_a_process_with_two_workers(data: Path, spine: Callable[..., None]) -> None:
    for case_id in ("4_t2", "5_t2"):
        spine(data, case_id)
    code = "import sys; from autospine.commands.plan import main\nif __name__ == '__main__': sys.exit(main())"
    script = data.parent / "plan.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(data), str(data.parent / "work"), "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    assert len(list((data.parent / "work/preprocessed/2d_sagittal").glob("*.json"))) == 5
    assert "NumExpr" not in done.stderr


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_whole_files(data: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job is started without
        "from autospine.preprocessing import run as preprocess; from autospine.planning import run as planning\n"
        "first = preprocess.preprocess_case\n"
        "def slow(job): print('at', job.case.id, file=sys.stderr, flush=True); time.sleep(0.4); return first(job)\n"
        "preprocess.preprocess_case = slow\n"
        "from autospine.commands.plan import main\nsys.exit(main())"
    )
    command = [sys.executable, "-c", code, str(data), str(data.parent / "work"), "--workers", "1"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    assert running.stderr is not None
    while "at 2_t2" not in running.stderr.readline():
        assert running.poll() is None
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted; run the same command again" in err
    assert "Traceback" not in err
    files = sorted(path.name for path in (data.parent / "work/preprocessed/2d_sagittal").iterdir())
    assert files == [".lock", "1_t2.image.b2nd", "1_t2.json", "1_t2.mask.b2nd"]
