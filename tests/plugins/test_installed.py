"""A real package of another name is installed, and its trainer and planner work from the commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.tiny import IDS, write_dataset

PACKAGE = Path(__file__).parent / "spine_extras"
COMMAND = "import sys; from autospine.commands.{0} import main; sys.argv[0] = 'autospine_{0}'; sys.exit(main())"


def call(*words: object, path: Sequence[Path] = (), cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=cwd,
    )


def pip_install(target: Path, source: Path, *options: str) -> None:
    copy = target.parent / f"source of {source.name}"  # building writes beside the sources
    leave = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "demo", "data")
    shutil.copytree(source, copy, ignore=leave)
    done = call(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--target", target, *options, copy),
        cwd=target.parent,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plugins") / "site"
    pip_install(target, PACKAGE)
    return target


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("tiny") / "data", IDS[:4])


def command(name: str, *words: object, installed: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return call("-c", COMMAND.format(name), *words, path=(installed, ROOT), cwd=cwd)


@pytest.mark.slow
def test_an_installed_planner_and_trainer_do_the_whole_way(installed: Path, dataset: Path, tmp_path: Path) -> None:
    def run(name: str, *words: object) -> subprocess.CompletedProcess[str]:
        done = command(name, *words, installed=installed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    options = ("--folds", "2", "--workers", "1", "--device", "cpu")
    planned = run("plan", dataset, "work", "--plans", "2d_coarse", *options)
    assert "pixels of twice that size: this plan is for a first look" in planned.stdout
    assert f"planner 2d_coarse comes from {installed / 'spine_extras' / 'coarse.py'}" in planned.stderr
    trained = run("train", "work", "--trainer", "small_net", "--epochs", "1", "--device", "cpu")
    assert f"trainer small_net comes from {installed / 'spine_extras' / 'small_net.py'}" in trained.stderr
    model = tmp_path / "work" / "models" / "small_net" / "2d_coarse" / "adapted" / "fold_0"
    assert f"-m {model.relative_to(tmp_path)}" in trained.stdout
    run("predict", "-i", dataset / "images" / f"{IDS[0]}.mha", "-o", "masks", "-m", model, "--device", "cpu")
    report = json.loads((tmp_path / "masks" / f"{IDS[0]}.json").read_text())
    assert report["models"][0].startswith("small_net/2d_coarse/adapted/fold_0@")


@pytest.mark.slow
def test_an_unknown_name_lists_built_in_and_installed_ones(installed: Path, dataset: Path, tmp_path: Path) -> None:
    done = command("plan", dataset, "work", "--plans", "2d_corse", installed=installed, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "autospine_plan: error: 2d_corse: is none of the planners; choose from 2d_axial, 2d_coarse, 2d_sagittal, "
        "3d_volume, slice_reconstruction"
    ]
    assert not (tmp_path / "work").exists()


IMPORTS = (
    "import autospine, planners.sagittal_2d, trainers.unet, pathlib; from autospine.core import registry; "
    "registry.load('planners', '2d_sagittal'); registry.load('trainers', 'unet'); "
    "print(*(pathlib.Path(m.__file__).parent.parent for m in (autospine, planners.sagittal_2d, trainers.unet)))"
)


@pytest.mark.slow
def test_the_three_packages_come_from_a_plain_checkout(tmp_path: Path) -> None:
    done = call("-c", IMPORTS, path=(ROOT,), cwd=tmp_path)
    assert done.stdout.split() == [str(ROOT)] * 3, done.stderr


@pytest.mark.slow
def test_the_three_packages_come_from_an_editable_installation(tmp_path: Path) -> None:
    shown = call("-m", "pip", "list", "--editable", "--format", "json", cwd=tmp_path)
    names = {each["name"] for each in json.loads(shown.stdout or "[]")}
    if "autospine" not in names:
        pytest.skip("AutoSpine is not installed editable here")
    done = call("-c", IMPORTS, cwd=tmp_path)
    assert done.stdout.split() == [str(ROOT)] * 3, done.stderr


@pytest.mark.slow
def test_the_three_packages_and_the_commands_come_from_a_wheel(tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip_install(target, ROOT)
    done = call("-c", IMPORTS, path=(target,), cwd=tmp_path)
    assert done.stdout.split() == [str(target)] * 3, done.stderr
    scripts = {path.name for path in (target / "bin").iterdir()}
    assert scripts >= {f"autospine_{name}" for name in ("phantom", "plan", "train", "predict", "evaluate")}
    assert (target / "autospine" / "py.typed").is_file()


SHADOWS = {
    "trainers/unet.py": "raise SystemExit('the wrong unet')",
    "trainers/__init__.py": "MINE = True",
    "trainers/mine.py": "",
    "planners.py": "raise SystemExit('the wrong planners')",
}
USES = (
    "from autospine.core import registry; registry.load('planners', '2d_sagittal'); "
    "print(registry.load('trainers', 'safnet').__module__, registry.load('trainers', 'unet').__module__); "
    "import trainers.mine, trainers.unet; print(trainers.unet.__file__)"
)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import autospine; ", "import trainers; assert trainers.MINE; "])
def test_packages_of_the_same_names_in_the_current_directory_do_no_harm(tmp_path: Path, first: str) -> None:
    for name, text in SHADOWS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    done = call("-c", first + USES, path=(ROOT,), cwd=tmp_path)
    assert done.stdout.split() == ["trainers.safnet.trainer", "trainers.unet", str(ROOT / "trainers" / "unet.py")], (
        done.stderr
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", [(), ("-m", "torch.distributed.run")], ids=["python", "torchrun"])
def test_a_bare_folder_in_the_current_directory_does_no_harm_to_a_command(
    tmp_path: Path, start: tuple[str, ...]
) -> None:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "unet.py").write_text("raise SystemExit('the wrong unet')")
    command = ("-m", "autospine.commands.train", "work", "--list-options")
    done = call(*start, *command, path=(ROOT,), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "unet has no options\n"), done.stderr
