"""No command writes onto what it reads, whatever way leads there: one line, and every input stays as it was."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.inference.ensemble_card import PREFIX
from tests.autospine.inference.conftest import bright as bright  # noqa: PLC0414
from tests.autospine.inference.conftest import save as save  # noqa: PLC0414


@pytest.fixture
def inputs(tmp_path: Path, spine: Callable, write: Callable, boxes: Callable, bright: Callable) -> Path:
    """A data set, masks in folders of one file per class, a link to the scans, and two models."""
    for case in ("1_t2", "2_t2"):
        spine(tmp_path / "data", case)
        write(tmp_path / "classes" / case / "vertebrae_L5.nii.gz", boxes([1]))
    (tmp_path / "link").symlink_to(tmp_path / "data" / "images")
    (tmp_path / "data" / "measurements.csv").write_text("Patient,IVD label\n")
    (tmp_path / "data" / "summary.json").write_text('{"name": "own", "labels": {"1": "vertebra:1"}}')
    for name in ("one", "two"):
        bright(tmp_path / "models" / name)
    return tmp_path


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plan", "data data/images --device cpu"),
        ("plan", "data data/masks --device cpu"),
        ("plan", "data link --device cpu"),
        ("plan", "data link/deeper/.. --device cpu"),
        ("evaluate", "data/masks data -o data/masks"),
        ("evaluate", "data/masks data -o link"),
        ("evaluate", "classes data -o classes/1_t2"),
        ("evaluate", "data/masks data -o data --pred-labels data/summary.json"),
        ("measure", "data -o data/masks"),
        ("measure", "data -o link"),
        ("measure", "data -o data --gradings data/measurements.csv"),
        ("measure", "classes -o classes/2_t2"),
        ("predict", "-i data -o data/images -m models/one --device cpu --overwrite"),
        ("predict", "-i data/images -o data/masks -m models/one --device cpu --overwrite"),
        ("ensemble", "-m models/one models/two -o models/one"),
        ("ensemble", "-m models/one models/two -o models/two/../one"),
    ],
)
def test_a_command_refuses_to_write_onto_its_inputs(
    command: Callable, inputs: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(inputs)
    (inputs / "data" / "images" / "deeper").mkdir()
    before = content(inputs)
    answer = command(importlib.import_module(f"autospine.commands.{name}").main, *words.split())
    assert answer.status == 2, answer.out + answer.err
    assert len(answer.errors) == 1 and any(
        words in answer.errors[0] for words in ("input", "series that is read", "already holds a model")
    )
    assert content(inputs) == before


def test_the_outputs_own_folder_inside_a_model_is_refused(command: Callable, inputs: Path) -> None:
    """An ensemble's copies of its members go to folders that are named after their trainers."""
    main = importlib.import_module("autospine.commands.ensemble").main
    models = inputs / "models"
    (models / "ensemble").mkdir()
    (models / "ensemble" / f"{PREFIX}brightness").symlink_to(models / "one")
    before = content(models / "one")
    answer = command(main, "-m", models / "one", models / "two", "-o", models / "ensemble")
    assert answer.status == 2 and "holds files of the input" in answer.err
    assert content(models / "one") == before
