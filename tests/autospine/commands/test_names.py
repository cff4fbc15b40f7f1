"""Names that are no UTF-8, such as a Latin-1 "caf\xe9", and an ASCII locale: every command goes on."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core.workspace import WorkFolder
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plans
from tests.autospine.inference.conftest import bright as bright  # noqa: PLC0414
from tests.autospine.inference.conftest import save as save  # noqa: PLC0414
from tests.paths import ROOT

LATIN = os.fsdecode(b"caf\xe9")
SUFFIX = ".nii.gz"


@pytest.fixture
def folder(tmp_path: Path, spine: Callable) -> Path:
    """A data set of three patients in a folder of such a name."""
    try:
        (tmp_path / LATIN).mkdir()
    except OSError as error:
        pytest.skip(f"this file system takes only UTF-8 names: {error}")
    write_cases(spine, tmp_path / "data", f"{LATIN}_t2", "2_t2", "3_t2")
    (tmp_path / "data").rename(tmp_path / LATIN / "data")
    return tmp_path / LATIN


def write_cases(spine: Callable, data: Path, *cases: str) -> None:
    """Write cases under other names first: SimpleITK, which the fixture writes with, takes only UTF-8 ones."""
    for number, case in enumerate(cases):
        spine(data, f"case{number}", suffix=SUFFIX)
        for folder in ("images", "masks"):
            (data / folder / f"case{number}{SUFFIX}").rename(data / folder / f"{case}{SUFFIX}")


def run(command: Callable, name: str, *words: object) -> str:
    answer = command(importlib.import_module(f"autospine.commands.{name}").main, *words)
    assert answer.status == 0, answer.out + answer.err
    (answer.out + answer.err).encode()  # what is printed is UTF-8
    return answer.out + answer.err


def test_predict_evaluate_and_measure(command: Callable, folder: Path, bright: Callable, toys: None) -> None:
    data, masks, one = folder / "data", folder / "masks", ("--workers", 1)
    model = bright(folder / "model").folder
    run(command, "predict", "-i", data, "-o", masks, "-m", model, "--device", "cpu", "--overlay", "--panoptic", *one)
    for name in (f"{LATIN}_t2{SUFFIX}", f"{LATIN}_t2.json", f"{LATIN}_t2.png", f"panoptic/{LATIN}_t2{SUFFIX}"):
        assert (masks / name).is_file()
    said = run(command, "evaluate", data / "masks", data, "-o", folder / "scores", *one)
    assert "1.000" in said and "caf\\xe9_t2" in said
    assert "caf\\udce9_t2" in (folder / "scores" / "cases.csv").read_text(encoding="utf-8")
    run(command, "measure", data, "-o", folder / "measured", *one)
    assert (folder / "measured" / "cases" / f"{LATIN}_t2.png").is_file()


def test_plan_and_train(command: Callable, folder: Path, toys: None) -> None:
    data, work = folder / "data", WorkFolder(folder / "work")
    run(command, "plan", data, work.root, "--device", "cpu", "--workers", 1, "--folds", 3)
    plans = Plans.load(work.plans)
    shape = NetworkShape(2, 1, plans.plans[0].encoding.channels, (2, 4), ((3, 3),) * 2, ((1, 1), (2, 2)))
    Plans(tuple(replace(plan, batch=2, network=shape) for plan in plans.plans)).save(work.plans)
    run(command, "train", work.root, "--trainer", "toy", "--recipe", "quick", "--device", "cpu", "--epochs", 1)
    assert (work.model("toy", "2d_sagittal", "quick", "0") / "weights.safetensors").is_file()
    assert f"{LATIN}_t2" in {case.id for case in work.load_sources().values()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as Unicode")
@pytest.mark.parametrize("words", ["evaluate data/masks data -o out", "plan data out --device cpu --folds 3"])
def test_an_ascii_locale(tmp_path: Path, spine: Callable, words: str) -> None:
    write_cases(spine, tmp_path / "data", "caf\xe9_t2", f"{LATIN}_t1", "3_t2")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    name, *arguments = words.split()
    code = f"import sys; from autospine.commands.{name} import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--workers", "1"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"Traceback" not in done.stderr and (tmp_path / "out").is_dir()
