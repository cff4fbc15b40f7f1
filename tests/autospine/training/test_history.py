from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from autospine.errors import UserError
from autospine.training.history import Epoch, History, Scores


def made(epochs: int = 3) -> History:
    history = History()
    for k in range(1, epochs + 1):
        terms = {"semantic": 1 / k, "loss": 2 / k}
        history.add(Epoch(10 * k, 1e-3 / k, terms, Scores(0.1 * k, 0.05 * k, 0.9), 1.5))
    return history


def test_csv_has_a_row_per_epoch(tmp_path: Path) -> None:
    made().save(tmp_path)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("epoch", "step", "learning_rate", "semantic", "loss"),
        *("validation_dice", "validation_iou", "validation_accuracy", "seconds"),
    ]
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    assert float(rows[2]["loss"]) == pytest.approx(2 / 3, rel=1e-5)
    assert float(rows[2]["validation_iou"]) == pytest.approx(0.15)


def test_png_is_a_picture(tmp_path: Path) -> None:
    from matplotlib.image import imread

    for epochs in (1, 3):
        made(epochs).save(tmp_path)
        assert imread(tmp_path / "progress.png").shape[0] > 200
    assert sorted(each.name for each in tmp_path.iterdir()) == ["metrics.csv", "progress.png"]


def test_plain_values_and_back() -> None:
    history = made()
    assert History.from_list(json.loads(json.dumps(history.to_list()))) == history
    assert history.last.step == 30


def test_foreign_values_are_a_users_error() -> None:
    with pytest.raises(UserError, match=r"checkpoint\.pt"):
        History.from_list([{"step": 1, "colour": "red"}])
