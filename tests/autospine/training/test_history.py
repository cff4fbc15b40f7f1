from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.training.history import Epoch, History, Scores


def made(epochs: int = 3) -> History:
    history = History()
    for k in range(1, epochs + 1):
        terms = {"semantic": 1 / k, "loss": 2 / k}
        seen = Scores(0.2 * k, 0.1 * k, 0.95)
        history.add(Epoch(10 * k, 1e-3 / k, terms, Scores(0.1 * k, 0.05 * k, 0.9), 1.5, seen))
    return history


def test_csv_has_a_row_per_epoch(tmp_path: Path) -> None:
    made().save(tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("epoch", "step", "learning_rate", "semantic", "loss"),
        *("validation_dice", "validation_iou", "validation_accuracy"),
        *("training_dice", "training_iou", "training_accuracy", "seconds", "waiting"),
    ]
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert float(rows[2]["loss"]) == pytest.approx(2 / 3, rel=1e-5)
    assert float(rows[2]["validation_iou"]) == pytest.approx(0.15)
    assert float(rows[2]["training_iou"]) == pytest.approx(0.3)


def test_png_is_a_picture(tmp_path: Path) -> None:
    from matplotlib.image import imread

    for epochs in (1, 3):
        made(epochs).save(tmp_path)
        for name in ("progress.png", "curves.png"):
            assert imread(tmp_path / name).shape[0] > 200
    assert sorted(each.name for each in tmp_path.iterdir()) == ["curves.png", "metrics.csv", "progress.png"]


def test_curves_show_what_metrics_csv_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), path.touch()))
    made().save(tmp_path)
    panels = {axes.get_title(): axes for axes in drawn[-1].axes}
    assert list(panels) == ["accuracy", "mean Dice", "mean IoU"]
    lines = {line.get_label(): line for line in panels["mean Dice"].lines}
    assert list(lines["training"].get_xdata()) == [1, 2, 3]
    assert list(lines["training"].get_ydata()) == pytest.approx([0.2, 0.4, 0.6])
    assert list(lines["validation"].get_ydata()) == pytest.approx([0.1, 0.2, 0.3])


def test_epochs_of_an_older_version_have_no_training_scores(tmp_path: Path) -> None:
    plain = made().to_list()
    for each in plain[:2]:
        del each["training"]
    History.from_list(plain).save(tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        assert [row["training_dice"] for row in csv.DictReader(file)] == ["", "", "0.6"]


def test_plain_values_and_back() -> None:
    history = made()
    assert History.from_list(json.loads(json.dumps(history.to_list()))) == history
    assert history.last.step == 30


def test_foreign_values_are_a_users_error() -> None:
    with pytest.raises(UserError, match=r"checkpoint\.pt"):
        History.from_list([{"step": 1, "colour": "red"}])


def test_one_epoch_is_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (drawn.append(self), path.touch()))
    for epochs, marker in ((1, "o"), (2, "")):
        drawn.clear()
        made(epochs).save(tmp_path)
        lines = [line for figure in drawn for axes in figure.axes for line in axes.lines]
        assert len(drawn) == 2
        assert {line.get_marker() for line in lines} == {marker}
