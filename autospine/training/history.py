"""What happened in each epoch: metrics.csv, progress.png, curves.png, and TensorBoard for those who want it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autospine.core.files import write_text, write_with
from autospine.core.serial import from_plain, to_plain
from autospine.core.tables import csv_text


@dataclass(frozen=True)
class Scores:
    """Of some patches: mean over the classes present."""

    # dice, iou: mean over foreground classes, 0 to 1.
    dice: float
    iou: float
    accuracy: float  # share of the annotated voxels that have the right class


NOT_SCORED = Scores(math.nan, math.nan, math.nan)  # an epoch of an older version
CURVES = {"accuracy": "accuracy", "dice": "mean Dice", "iou": "mean IoU"}


def _named(side: str, scores: Scores) -> dict[str, float]:
    return {
        f"{side}_dice": scores.dice,
        f"{side}_iou": scores.iou,
        f"{side}_accuracy": scores.accuracy,
    }


@dataclass(frozen=True)
class Epoch:
    """One epoch."""

    step: int  # updates done at its end
    learning_rate: float  # at its end
    terms: dict[str, float]  # mean loss terms of its updates
    scores: Scores  # on validation patches
    seconds: float  # it took
    training: Scores | None = None  # scores on training patches as they are (not augmented), by the same weights
    waiting: float = 0.0  # share of the updates' time in which the device waited for batches


@dataclass
class History:
    """All epochs so far."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def last(self) -> Epoch:
        """Return the latest epoch."""
        return self.epochs[-1]

    def add(self, epoch: Epoch) -> None:
        """Append an epoch."""
        self.epochs.append(epoch)

    def to_list(self) -> list[Any]:
        """Return plain values, for the checkpoint."""
        return to_plain(self.epochs)

    @classmethod
    def from_list(cls, data: list[Any]) -> History:
        """Read `to_list`'s values."""
        return cls([from_plain(Epoch, item, "checkpoint.pt") for item in data])

    def save(self, folder: Path, tensorboard: bool = False) -> None:
        """Write metrics.csv, progress.png and curves.png."""
        write_text(folder / "metrics.csv", self._csv())
        write_with(folder / "progress.png", self._draw)
        write_with(folder / "curves.png", self._draw_curves)
        if tensorboard:
            self._tensorboard(folder)

    def _rows(self) -> list[dict[str, float]]:
        return [
            {
                "epoch": number,
                "step": epoch.step,
                "learning_rate": epoch.learning_rate,
                **epoch.terms,
                **_named("validation", epoch.scores),
                **(_named("training", epoch.training) if epoch.training else {}),
                "seconds": epoch.seconds,
                "waiting": epoch.waiting,
            }
            for number, epoch in enumerate(self.epochs, start=1)
        ]

    def _csv(self) -> str:
        rows = self._rows()
        columns = list(rows[-1])
        return csv_text(columns, ([row.get(column) for column in columns] for row in rows))

    @property
    def _marker(self) -> str:
        """Return the marker of lines; a line of one epoch is a point."""
        return "o" if len(self.epochs) == 1 else ""

    def _draw_curves(self, path: Path) -> None:
        """Draw accuracy, Dice and mean IoU of training and validation against epochs."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(11, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        epochs = range(1, len(self.epochs) + 1)
        sides = {
            "training": [epoch.training or NOT_SCORED for epoch in self.epochs],
            "validation": [epoch.scores for epoch in self.epochs],
        }
        for axes, (name, title) in zip(figure.subplots(1, 3), CURVES.items(), strict=True):
            for side, scores in sides.items():
                axes.plot(epochs, [getattr(item, name) for item in scores], marker=self._marker, label=side)
            axes.set(xlabel="epoch", title=title, ylim=(0, 1))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(alpha=0.3)
        figure.axes[0].legend(frameon=False, loc="lower right")
        figure.savefig(path, format="png", dpi=90)

    def _draw(self, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        steps = [epoch.step for epoch in self.epochs]
        for name in self.epochs[0].terms:
            line = "--" if name == "loss" else "-"  # of one term alone, it lies on top of it
            values = [epoch.terms[name] for epoch in self.epochs]
            left.plot(steps, values, line, marker=self._marker, label=name)
        left.set(xlabel="update", ylabel="training loss")
        for name in ("dice", "iou", "accuracy"):
            values = [getattr(epoch.scores, name) for epoch in self.epochs]
            right.plot(steps, values, marker=self._marker, label=name)
        right.set(xlabel="update", ylabel="validation patches", ylim=(0, 1))
        for axes, corner in ((left, "upper right"), (right, "lower right")):
            axes.grid(alpha=0.3)
            axes.legend(frameon=False, loc=corner)
        figure.savefig(path, format="png", dpi=90)

    def _tensorboard(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        row = self._rows()[-1]
        with SummaryWriter(str(folder / "tensorboard")) as writer:
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    writer.add_scalar(name, value, int(row["step"]))
