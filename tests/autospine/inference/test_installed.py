"""Prediction by installed models: without a name, by name, and what is said of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import autospine
from autospine.commands.predict import main
from autospine.core.errors import UserError
from autospine.inference.run import PredictRequest, predict_scans
from autospine.models.provenance import LearntStructure, Provenance, TrainingSource, TrainingSummary
from tests.autospine.commands.conftest import command as command  # noqa: PLC0414
from tests.tiny import spine_image, spine_mask, write_array


@pytest.fixture
def install(own_models: Path, bright) -> Callable[..., Path]:
    """Puts a model that calls the brightest the canal into the installed ones, with a card."""

    def put(name: str, labels: str | None = "spider") -> Path:
        folder = bright(own_models / name).folder
        source = TrainingSource("toys", "Toys", contrasts=("T2",), slice_mm=(4.0,))
        structures = (LearntStructure("canal", "real masks", 1),)
        training = TrainingSummary("brightness", "only", 1, 1, 0, 0.0, 1.0, None)
        Provenance(name, "1.2", "Sees canals.", labels, (source,), structures, training).save(folder)
        return folder

    return put


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_array(tmp_path / "5_t2.mha", spine_image(spine_mask()))


def test_no_model_is_one_line(scan: Path, tmp_path: Path, command: Callable) -> None:
    answer = command(main, "-i", scan, "-o", tmp_path / "masks")
    assert answer.status == 2
    assert answer.errors == [
        "autospine_predict: error: -m: is not given, and no model is installed; install one with autospine_models "
        "install FILE or URL, or name a model's folder"
    ]
    assert not (tmp_path / "masks").exists()


def test_the_box_is_taken_without_m_and_says_what_it_has_not_seen(
    install, scan: Path, tmp_path: Path, command: Callable
) -> None:
    install("box")
    install("other")
    answer = command(main, "-i", scan, "-o", tmp_path / "masks", "--device", "cpu")
    assert answer.status == 0, answer.err
    (line,) = [line for line in answer.err.splitlines() if "installed model" in line]
    contrasts = "T1, STIR or TIRM, gradient echo (FFE), water-fat (Dixon), proton density"
    unseen = f"slices under 4 mm, slices over 4 mm, {contrasts}"
    assert line == f"the installed model box 1.2 is taken; it has not seen {unseen}"
    report = json.loads((tmp_path / "masks" / "5_t2.json").read_text())
    assert report["not_seen"] == unseen.split(", ")
    assert report["scheme"] == "spider"


def test_a_name_stands_for_an_installed_model(install, scan: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    install("box")
    install("other", labels="semantic4")
    for name, scheme in (("other", "semantic4"), ("box", "spider")):
        request = PredictRequest((scan,), tmp_path / name, (Path(name),), device="cpu")
        assert not predict_scans(request).failures
        assert json.loads((tmp_path / name / "5_t2.json").read_text())["scheme"] == scheme
    assert "is taken" not in caplog.text  # whoever names a model knows it
    request = PredictRequest((scan,), tmp_path / "own", (Path("other"),), labels="spider", device="cpu")
    assert not predict_scans(request).failures
    assert json.loads((tmp_path / "own" / "5_t2.json").read_text())["scheme"] == "spider"
    with pytest.raises(UserError, match=r"nobody: holds no finished model; .*autospine_models lists them"):
        predict_scans(PredictRequest((scan,), tmp_path / "x", (Path("nobody"),)))


def test_python_takes_the_box_too(install, scan: Path) -> None:
    install("box")
    for segmentation in (autospine.predict(scan, device="cpu"), autospine.predict(scan, "box", device="cpu")):
        assert segmentation.scheme.name == "spider"
        assert [label.name for label in segmentation.labels] == ["spinal canal"]
        assert segmentation.not_seen[0] == "slices under 4 mm"


def test_weights_that_are_not_the_listed_ones_are_one_line(install, scan: Path, tmp_path: Path) -> None:
    (install("box") / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=r"box/weights\.safetensors: is damaged or not the one"):
        predict_scans(PredictRequest((scan,), tmp_path / "masks", device="cpu"))
