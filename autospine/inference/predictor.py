"""From an image to labels on its own grid, by one model or several averaged ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autospine.core.precision import Precision
from autospine.inference.aggregator import Aggregator
from autospine.inference.calibration import mean_calibration
from autospine.inference.inverse import add_streams, invert_stream, pick_slices, spatial_transforms
from autospine.inference.levels.decode import Decoded, decode
from autospine.inference.model import Model
from autospine.inference.precision import prediction_precision
from autospine.inference.sliding_window import Chunks, stream_slices, stream_volume
from autospine.preprocessing.grid import CaseGrid, case_grid
from autospine.preprocessing.normalisation import visible_rows
from autospine.preprocessing.run import preprocess_image
from autospine.preprocessing.transforms.base import CaseData, apply_transforms, make_transforms

BATCH_VOXELS = {"cpu": 400_000, "cuda": 8_000_000, "mps": 2_000_000}  # of the windows that are predicted at once


@dataclass(frozen=True)
class Prediction:
    """Prediction of one image."""

    decoded: Decoded  # labels on the image's own grid
    confidence: dict[int, float]  # mean calibrated soft-max probability of each label's class, by label
    network_seconds: float  # spent in networks
    # Labels of all slices, measured and interpolated, on the image's own rows and columns; None where no slices were
    # interpolated or nobody asked for them.
    interpolated_labels: np.ndarray | None = None


@dataclass(frozen=True)
class Prepared:
    """One image on the plan's grid."""

    image: np.ndarray  # (channels, slices, rows, columns) float32
    grid: CaseGrid  # the way there
    shape: tuple[int, ...]  # of the input, (slices, rows, columns)


@dataclass(frozen=True)
class Seen:
    """What the networks said of one image."""

    aggregator: Aggregator
    spacing: tuple[float, float, float]  # mm of the plan's grid
    rows: tuple[int, int]  # of the plan's grid that hold image rather than padding
    network_seconds: float


class Predictor:
    """One or more models of one plan, averaged by their weights.

    Args:
        models: Alike in plan and labels; patches and transforms may differ.
        device: Of the networks.
        precision: Number format of the networks; None takes the fastest.
    """

    def __init__(self, models: Sequence[Model], device: torch.device, precision: str | None = None) -> None:
        card = models[0].card
        self.models, self.plan, self.encoding = tuple(models), card.plan, card.encoding
        self.calibration = mean_calibration([m.card.calibration for m in models], [m.weight for m in models])
        self.groups = make_groups(models, device, prediction_precision(device, card.plan.dimension, precision))

    def predict(
        self,
        image: np.ndarray,
        spacing: tuple[float, float, float],
        probabilities: Path | None = None,
        interpolated: bool = False,
    ) -> Prediction:
        """Segment one canonical image.

        Args:
            image: `(channels, slices, rows, columns)` float32.
            spacing: mm along (slices, rows, columns).
            probabilities: File for the soft-max probabilities, `(classes, slices, rows, columns)` float16 .npy, or
                None.
            interpolated: Whether labels of interpolated slices are wanted too.

        Returns:
            Labels of shape (slices, rows, columns) in the models' scheme.

        Raises:
            FloatingPointError: A network predicts NaN or infinite values.
        """
        return self.decide(self.see(self.prepare(image, spacing), probabilities, interpolated))

    # The three steps of `predict`: the first and the last leave the device alone, so that of several images each may be
    # in another step.

    def prepare(self, image: np.ndarray, spacing: tuple[float, float, float]) -> Prepared:
        """Bring an image to the plan's grid."""
        grid = case_grid(self.plan.grid, image.shape[1:], spacing)
        return Prepared(preprocess_image(image, spacing, self.plan), grid, image.shape[1:])

    def see(self, prepared: Prepared, probabilities: Path | None = None, interpolated: bool = False) -> Seen:
        """Let the networks see an image; arguments and errors as of `predict`."""
        axis, seconds_before = self.groups[0].axis, self.network_seconds
        temperature = self.calibration.classes
        aggregator = Aggregator(self.encoding, prepared.grid, prepared.shape, axis, interpolated, temperature)
        spacing = prepared.grid.spacing
        streams = [group.outputs(prepared.image, spacing, aggregator.wanted) for group in self.groups]
        aggregator.run(streams[0] if len(streams) == 1 else add_streams(streams, axis), probabilities)
        seconds = self.network_seconds - seconds_before
        return Seen(aggregator, spacing, visible_rows(prepared.image[0]), seconds)

    def decide(self, seen: Seen) -> Prediction:
        """Number the levels and give every voxel its label."""
        aggregator = seen.aggregator
        decoded = decode(aggregator.decoder_input(seen.spacing, seen.rows), self.encoding, self.calibration.levels)
        labels = aggregator.on_input_grid(decoded.labels)
        confidence = aggregator.confidence_of(labels)
        results = tuple(
            replace(result, confidence=result.confidence * confidence.get(result.value, 0.0))
            for result in decoded.label_results
        )
        return Prediction(
            replace(decoded, labels=labels, label_results=results),
            confidence,
            seen.network_seconds,
            aggregator.with_interpolated(decoded.labels, labels),
        )

    @property
    def network_seconds(self) -> float:
        """Return the seconds spent in networks so far."""
        return sum(group.seconds for group in self.groups)


class ModelGroup:
    """Models of one plan, one patch and the same transforms, which therefore see the same windows.

    Args:
        models: One or more.
        shares: Of each model's output in the blend; those of all groups together sum to one.
        device: Of the networks.
        precision: Of the forward passes.
    """

    def __init__(
        self, models: Sequence[Model], shares: Sequence[float], device: torch.device, precision: Precision
    ) -> None:
        card = models[0].card
        self.plan, self.encoding, self.patch = card.plan, card.encoding, card.patch
        self.device, self.precision, self.shares = device, precision, tuple(shares)
        self.transforms = make_transforms(card.recipe.transforms)
        self.networks = [precision.arrange(model.network(device), card.plan.dimension) for model in models]
        self.batch = max(BATCH_VOXELS[device.type] // int(np.prod(self.patch)), 1)
        self.seconds = 0.0

    @property
    def axis(self) -> int:
        """Return the canonical axis along which outputs are streamed."""
        return 1 if self.plan.view_axis is None else self.plan.view_axis

    def outputs(self, image: np.ndarray, spacing: tuple[float, float, float], wanted: range | None = None) -> Chunks:
        """Stream the blended outputs on the plan's grid, each model's times its share.

        Args:
            image: `(channels, slices, rows, columns)` float32 on the plan's grid.
            spacing: Its mm along (slices, rows, columns).
            wanted: Slices to predict, evenly spaced from slice 0 on; None for all. Networks that see slices predict no
                others.
        """
        wanted = wanted or range(image.shape[1])
        case, applied = apply_transforms(self.transforms, CaseData(image, None, spacing, view_axis=self.plan.view_axis))
        transforms = spatial_transforms(applied, case.shape)
        slice_wise = self.plan.view_axis == 0 and all(transform.keeps(0) for transform in transforms)
        scan = torch.from_numpy(np.ascontiguousarray(case.image)).to(self.device)
        windows = self._windows(scan, wanted.step if slice_wise else 1)
        fill = np.zeros(self.encoding.channels, np.float32)
        fill[0] = sum(self.shares)  # outside a crop there is background
        chunks = invert_stream(transforms, windows, self.axis, fill)
        yield from chunks if slice_wise else pick_slices(chunks, self.axis, wanted)

    def _windows(self, image: Tensor, step: int) -> Chunks:
        if self.plan.view_axis is None:
            return stream_volume(image, self.patch, self.batch, self._timed)
        return stream_slices(image, self.plan.view_axis, self.patch, self.batch, self._timed, step)

    def _timed(self, windows: Tensor) -> Tensor:
        start = time.perf_counter()
        outputs = self._forward(windows)
        self.seconds += time.perf_counter() - start
        return outputs

    def _forward(self, windows: Tensor) -> Tensor:
        """Blend the outputs of all networks, `(B, channels, *window)` float32 on their device."""
        images = windows.contiguous(memory_format=self.precision.layout(self.plan.dimension))
        with torch.inference_mode(), self.precision.autocast(self.device):
            total = self._output(0, images)
            for k in range(1, len(self.networks)):
                total += self._output(k, images)
        if not torch.isfinite(total.sum()):  # NaN and infinity outlast every sum
            raise FloatingPointError("makes the network predict NaN or infinite values")
        return total

    def _output(self, k: int, images: Tensor) -> Tensor:
        """Return one network's output times its share: soft-max over classes and over levels, offsets as they are."""
        output = self.networks[k](images).float()
        classes = self.encoding.semantic_channels
        levels = classes + len(self.encoding.offset_axes)
        output[:, :classes] = output[:, :classes].softmax(dim=1)
        if self.encoding.ordered:
            output[:, levels:] = output[:, levels:].softmax(dim=1)
        return output if self.shares[k] == 1 else output.mul_(self.shares[k])


def make_groups(models: Sequence[Model], device: torch.device, precision: Precision) -> list[ModelGroup]:
    """Group models by transforms and patch; their weights become shares of one."""
    groups: dict[tuple[str, tuple[int, ...]], list[Model]] = {}
    for model in models:
        groups.setdefault((model.card.recipe.transforms_hash(), model.card.patch), []).append(model)
    total = sum(model.weight for model in models)
    return [
        ModelGroup(alike, [model.weight / total for model in alike], device, precision) for alike in groups.values()
    ]
