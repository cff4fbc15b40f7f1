"""What the tests of training, prediction and trainers share; heavy modules are imported only when asked for."""

from __future__ import annotations

import locale
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.paths import SHARED

if TYPE_CHECKING:
    import torch

    from autospine.core.workspace import WorkFolder

# A busy machine is no fault of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

TOYS = {
    "toy": "ToyTrainer",
    "digest": "DigestTrainer",
    "gan": "GanTrainer",
    "prepared": "PreparedTrainer",
    "brightness": "BrightnessTrainer",
    "ablated": "AblatedTrainer",
}


@pytest.fixture(autouse=True)
def locale_stays() -> Iterator[None]:
    """SimpleITK's writer of DICOM files sets the process's locale to C, in which later tests cannot read UTF-8."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    if locale.setlocale(locale.LC_ALL) != before:
        locale.setlocale(locale.LC_ALL, before)


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models: an empty one, and none that came with AutoSpine."""
    folder = tmp_path / "installed_models"
    monkeypatch.setenv("AUTOSPINE_MODELS", str(folder))
    monkeypatch.setattr("autospine.models.installed.BUNDLED", tmp_path / "no_models")
    return folder


@pytest.fixture(scope="session")
def tiny_work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    """A planned and preprocessed data set of six small spines; do not write into it."""
    from tests.tiny import make_work

    return make_work(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def joint_work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    """Three planned and preprocessed data sets that annotate different things; do not write into it."""
    from tests.tiny import make_joint_work

    return make_joint_work(tmp_path_factory.mktemp("joint"))


@pytest.fixture
def work(tiny_work: WorkFolder, tmp_path: Path) -> WorkFolder:
    """A work folder to write into, its arrays shared."""
    root = tmp_path / "work"
    root.mkdir()
    for name in ("plans.json", "splits.json", "fingerprint.json", "sources.json"):
        shutil.copy(tiny_work.root / name, root / name)
    (root / "preprocessed").symlink_to(tiny_work.root / "preprocessed")
    return type(tiny_work)(root)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toy trainers known by name, and takes float32 without looking at the clock."""
    from autospine.core import registry
    from autospine.core.precision import Precision
    from autospine.training import budget

    for name, kind in TOYS.items():
        monkeypatch.setitem(registry.BUILT_IN["trainers"], name, f"tests.toys:{kind}")
    monkeypatch.setitem(registry.BUILT_IN["transforms"], "labelled_slices", "tests.toys:LabelledSlices")
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))


@pytest.fixture
def cuda() -> torch.device:
    """The first CUDA device; tests skip without one."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real scans beside the checkout; tests skip without them."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}")
    return folder
