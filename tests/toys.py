"""Toy trainers and transforms that show what the base class holds; tests register them by name."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.ablation.variants import Ablation, Variant
from autospine.networks.shape import NetworkShape
from autospine.networks.unet import UNet
from autospine.planning.recipe import OptimiserSettings, Recipe
from autospine.preprocessing.transforms.base import CaseData, SameGrid, TransformSettings
from autospine.training import distributed
from autospine.training.data import Batch, Patch, PatchSampler
from autospine.training.trainer import Context, Options, Trainer

QUICK = Recipe(
    "quick",
    epochs=2,
    iterations_per_epoch=3,
    optimisers={"network": OptimiserSettings("adamw", 1e-2)},
    ema_decay=0.9,
)


class ToyTrainer(Trainer):
    """A U-Net with three widths to choose from."""

    name = "toy"
    recipes: ClassVar[dict[str, Recipe]] = {
        "quick": QUICK,
        "best": replace(QUICK, name="best", checkpoint="best", ema_decay=0.0, patience=1),
    }

    def build(self, shape: NetworkShape) -> nn.Module:
        return UNet(shape)

    def width_options(self) -> Sequence[NetworkShape]:
        return tuple(replace(self.shape(), widths=(width, 2 * width)) for width in (2, 4, 8))


class DigestTrainer(ToyTrainer):
    """Writes down each process's weights after every update."""

    name = "digest"

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        terms = super().training_step(context, batch)
        digest = hashlib.sha256()
        for value in context.networks["network"].state_dict().values():
            digest.update(value.numpy().tobytes())
        place = Path(os.environ["DIGESTS"]) / f"rank_{distributed.rank()}"
        place.write_text(f"{context.step} {digest.hexdigest()} {float(batch.images.sum())}")
        return terms


class Critic(nn.Module):
    """Says how real a segmentation looks."""

    def __init__(self, dimension: int, channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.layers = nn.Sequential(convolution(channels, 4, 3, 2, 1), nn.LeakyReLU(0.2), convolution(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GanTrainer(Trainer):
    """A segmenter and a critic with an optimiser each, moved in turn within one training step."""

    name = "gan"
    recipes: ClassVar[dict[str, Recipe]] = {
        "quick": replace(
            QUICK,
            ema_decay=0.0,
            learns="classes",
            optimisers={
                "segmenter": OptimiserSettings("adam", 1e-2),
                "critic": OptimiserSettings("sgd", 1e-2, momentum=0.0),
            },
            loss_weights={"adversarial": 0.01},
        )
    }
    inference = "segmenter"

    def build(self, shape: NetworkShape) -> nn.Module:
        return UNet(replace(shape, deep_supervision=False))

    def build_all(self, shape: NetworkShape) -> dict[str, nn.Module]:
        critic = Critic(shape.dimension, shape.in_channels + shape.out_channels)
        return {"segmenter": self.build(shape), "critic": critic}

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        critic = context.networks["critic"]
        logits = context.networks["segmenter"](batch.images)
        classes = context.loss.class_of[batch.labels.long()].clamp(min=0)
        truth = F.one_hot(classes, logits.shape[1]).movedim(-1, 1).float()
        real = critic(torch.cat([batch.images, truth], 1))
        false = critic(torch.cat([batch.images, logits.detach().softmax(1)], 1))
        critic_loss = F.softplus(-real).mean() + F.softplus(false).mean()
        context.updater.update("critic", critic_loss)
        terms = context.loss(logits, batch)
        judged = critic(torch.cat([batch.images, logits.softmax(1)], 1))
        adversarial = F.softplus(-judged).mean()
        loss = terms["loss"] + self.recipe.weight("adversarial") * adversarial
        context.updater.update("segmenter", loss)
        return {"loss": loss.detach(), "critic": critic_loss.detach(), "adversarial": adversarial.detach()}


class PreparedTrainer(ToyTrainer):
    """A recipe with preprocessing of its own."""

    name = "prepared"
    recipes: ClassVar[dict[str, Recipe]] = {
        "cropped": replace(
            QUICK,
            name="cropped",
            transforms=(
                TransformSettings("labelled_slices"),
                TransformSettings("centre_crop", {"columns": 0.8}),
                TransformSettings("resize", {"rows": 48, "columns": 24}),
            ),
            patch=(48, 24),
        )
    }
    plans = ("2d_sagittal",)


@dataclass(frozen=True)
class LabelledSlices(SameGrid):
    """Trains on slices that show a label; prediction sees all."""

    def apply(self, case: CaseData) -> CaseData:
        if case.mask is None:
            return case
        return replace(case, slices=tuple(int(k) for k in np.flatnonzero(case.mask.any(axis=(1, 2)))))


class BrightnessTrainer(Trainer):
    """Its network knows the answer: canal where it is brighter than average, else background."""

    name = "brightness"
    recipes: ClassVar[dict[str, Recipe]] = {"only": replace(QUICK, name="only", learns="classes")}

    def build(self, shape: NetworkShape) -> nn.Module:
        return Brightness(shape.out_channels)


class Brightness(nn.Module):
    """Logit of the last class is 20 times the intensity, of the others 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        zero = torch.zeros_like(x[:, :1])
        return torch.cat([zero, *[zero - 50] * (self.channels - 2), self.gain * x[:, :1]], 1)


def dies_at(kind: type[Trainer], step: int) -> type[Trainer]:
    """The trainer, killed without a chance to clean up right before an update."""

    class Dying(kind):  # type: ignore[misc, valid-type]
        def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
            if context.step == step and context.networks[self.inference].training:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().training_step(context, batch)

    return Dying


@dataclass(frozen=True)
class AblatedOptions(Options):
    """Parts of the toy of the ablation."""

    deep: bool = True
    adversary: bool = True


class AblatedTrainer(ToyTrainer):
    """Declares three variants."""

    name = "ablated"
    options_type = AblatedOptions
    options: AblatedOptions
    ablation = Ablation(
        "Toy et al.",
        (
            Variant("plain", "Toy", {"deep": False, "adversary": False}, {"dice": {"canal": (81.5, 2.25)}}),
            Variant("deep", "Toy + deep", {"adversary": False}),
            Variant("full", "Ours", {}, {"hd_mm": {"canal": (1.75, 0.5)}}),
        ),
        {"Table 1": ("dice", "iou"), "Table 2": ("hd_mm",)},
        structures=("canal", "mean"),
        notes=("A toy.",),
    )

    def build(self, shape: NetworkShape) -> nn.Module:
        return UNet(replace(shape, deep_supervision=self.options.deep))

    def width_options(self) -> Sequence[NetworkShape]:
        return (self.shape(),)


class EndingSampler(PatchSampler):
    """Ends its process instead of drawing a patch, as a machine without memory would."""

    def __init__(self, other: PatchSampler) -> None:
        self.__dict__ |= other.__dict__

    def sample_patch(self, generator: np.random.Generator) -> Patch:
        """End the process."""
        os._exit(1)
