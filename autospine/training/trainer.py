"""The base of every trainer: a paper's networks, loss and recipes, plugged into one loop.

A trainer of one's own subclasses `Trainer`, sets `name` and `recipes`, and gives `build`. A network with a partner
(a critic) overrides `training_step`; a group of networks trained one after another overrides `train`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autospine.augmentation import AugmentationSettings, BatchgeneratorsSettings
from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.serial import from_plain
from autospine.inference.model import ModelCard
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import conversion, get_scheme
from autospine.labels.encoding import Encoding, plain_encoding
from autospine.labels.schemes import LabelScheme
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.splits import Subset
from autospine.preprocessing.transforms.base import LabelSet, label_set_after, make_transforms, relabel
from autospine.training.data import Batch, PatchSampler
from autospine.training.job import TrainingJob
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.losses.marginal import MarginalDiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss, SemanticLoss
from autospine.training.optimisation import OptimizerStep, make_optimiser
from autospine.training.start import learnt_from

if TYPE_CHECKING:
    from autospine.evaluation.cohort import Evaluation

NETWORK = "network"


@dataclass(frozen=True)
class Options:
    """Choices of one trainer, such as which reading of an unclear sentence is taken; a trainer adds its fields."""


@dataclass(frozen=True)
class Context:
    """What a training step works with."""

    networks: dict[str, nn.Module]  # by name
    loss: MultiTaskLoss
    updater: OptimizerStep  # moves the networks
    precision: Precision  # number format and layout
    device: torch.device  # where
    step: int  # updates done
    micro_batches: int = 1  # into which a batch is divided, where the memory does not hold it


class Trainer(ABC):
    """One way to train.

    Class attributes:
        name: What --trainer takes.
        recipes: By name; the first is the default.
        plans: Plans that it takes; empty for all.
        scheme: The labels that it learns; None for the data set's own.
        inference: Which of its networks segments.
        options_type: Its choices; a recipe's `options` are read into it.
        needs_all_classes: Its scheme is fixed by a paper, so a data set that lacks a class is refused unless the user
            allows it.
        learns_partial_labels: It learns from data sets that annotate different things.
        width_multiple: A time budget may narrow its network to widths that are multiples of this; 0: never.

    Attributes:
        plan, recipe, options, encoding: As their classes say.
        transforms: The recipe's preprocessing.
        annotated: The labels of the data set's own masks.
        derived: Those of the masks that the transforms derive.
    """

    name: ClassVar[str]
    recipes: ClassVar[dict[str, Recipe]]
    plans: ClassVar[tuple[str, ...]] = ()
    scheme: ClassVar[str | None] = None
    inference: ClassVar[str] = NETWORK
    options_type: ClassVar[type[Options]] = Options
    needs_all_classes: ClassVar[bool] = False
    learns_partial_labels: ClassVar[bool] = False
    width_multiple: ClassVar[int] = 0

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        if self.plans and plan.name not in self.plans:
            raise UserError(f"--trainer {self.name}", f"does not take the plan {plan.name}", f"use {self.plans[0]}")
        if recipe.plans and plan.name not in recipe.plans:
            raise UserError(
                f"--recipe {recipe.name}",
                f"does not take the plan {plan.name}",
                f"use --plan {recipe.plans[0]}, or --recipe {next(iter(self.recipes))}",
            )
        if recipe.patch and len(recipe.patch) != plan.dimension:
            raise UserError(
                f"--recipe {recipe.name}",
                f"cuts {len(recipe.patch)}-D patches, the plan {plan.name} is {plan.dimension}-D",
                "choose another --plan",
            )
        self.plan, self.recipe = plan, recipe
        self.options = from_plain(self.options_type, recipe.options, f"--trainer {self.name}")
        self.transforms = make_transforms(recipe.transforms)
        self.annotated = LabelSet(plan.scheme, plan.encoding.values)
        self.derived = label_set_after(self.transforms, self.annotated)
        self._check_partial_labels()
        self.encoding = self.choose_encoding()
        if isinstance(recipe.augmentation, BatchgeneratorsSettings) and self.encoding.ordered:
            raise UserError(
                f"--recipe {recipe.name}",
                "has batchgenerators' augmentation, which does not move the centres that numbering by order needs",
                'use a recipe that learns "classes"',
            )

    def _check_partial_labels(self) -> None:
        """Refuse data sets that annotate different things where the trainer or its recipe cannot learn from them.

        Raises:
            UserError: It cannot.
        """
        if not self.plan.encoding.partial:
            return
        names = ", ".join(source.name for source in self.plan.sources)
        hint = f"use --trainer unet, or plan one of the data sets ({names}) alone"
        problem = "learns from data sets that annotate the same, and those of this plan do not"
        if not self.learns_partial_labels or self.scheme is not None:
            raise UserError(f"--trainer {self.name}", problem, hint)
        if self.recipe.learns != "levels" or self.derived != self.annotated:
            raise UserError(f"--recipe {self.recipe.name}", problem, hint.replace("trainer unet", "recipe adapted"))

    @classmethod
    def recipe_named(cls, name: str | None) -> Recipe:
        """Return a recipe by name, or the default.

        Raises:
            UserError: There is none of that name.
        """
        chosen = name or next(iter(cls.recipes))
        if chosen in cls.recipes:
            return cls.recipes[chosen]
        recipes = {**cls.recipes, **cls.contributed_recipes()}
        if chosen not in recipes:
            raise UserError(f"--recipe {chosen}", f"is no recipe of {cls.name}", f"choose from {', '.join(recipes)}")
        return recipes[chosen]

    @classmethod
    def contributed_recipes(cls) -> dict[str, Recipe]:
        """Return the recipes of papers that compare themselves with this trainer, by name."""
        papers = (registry.load("comparisons", name) for name in registry.known("comparisons"))
        return {name: recipe for paper in papers for name, recipe in paper.recipes.get(cls.name, {}).items()}

    def on_plan(self, plan: Plan) -> Trainer:
        """Return this trainer on another plan."""
        return type(self)(plan, self.recipe)

    # What the network learns.

    @property
    def label_scheme(self) -> LabelScheme:
        """Return the scheme of the labels that come out."""
        return get_scheme(self.scheme) if self.scheme else self.derived.scheme

    def reference(self, mask: np.ndarray, where: str | Path = "mask") -> np.ndarray:
        """Return a mask of the data set, on any grid, in the labels that the recipe's transforms derive.

        Structures that the trainer's scheme leaves out become background, as in training.

        Returns:
            The same grid, in the labels of `derived`: the reference of scores.
        """
        relabelled = relabel(self.transforms, mask, self.annotated, where)
        left_out = np.isin(relabelled, tuple(self.left_out))
        return np.where(left_out, relabelled.dtype.type(0), relabelled) if left_out.any() else relabelled

    @property
    def left_out(self) -> dict[int, Anatomy]:
        """Return labels of the data set, as the transforms derive them, that the trainer's scheme does not have.

        Partly visible vertebrae are none of them: a prediction there is no error, and none is asked for.
        """
        lost = set(conversion(self.derived.scheme, self.label_scheme).lost)
        return {
            value: anatomy
            for value, anatomy in self.derived.scheme.anatomies.items()
            if value in self.derived.shown and anatomy in lost and anatomy.kind is not Kind.PARTIAL_VERTEBRA
        }

    def choose_encoding(self) -> Encoding:
        """Return the plan's encoding, or one class per label where the recipe or the trainer's scheme asks for it.

        Raises:
            UserError: No label of the data set has a place in the trainer's scheme.
        """
        if self.scheme is None and self.derived == self.annotated:
            return self.plan.encoding if self.recipe.learns == "levels" else self.plan.encoding.plain()
        change = conversion(self.derived.scheme, self.label_scheme)
        table = change.table
        values = tuple(sorted({table[v] for v in self.derived.shown if table.get(v)}))
        if not values:
            raise UserError(
                f"--trainer {self.name}",
                f"finds no label of its scheme {self.scheme} in the data set, whose scheme is {change.source.name}",
                "plan again and say with --labels what the masks' integers mean",
            )
        return plain_encoding(change.target, values)

    def shape(self) -> NetworkShape:
        """Return the network's shape on this plan."""
        return replace(self.plan.network, out_channels=self.encoding.channels)

    def width_options(self) -> Sequence[NetworkShape]:
        """Return shapes from the narrowest to the widest, among which --minutes chooses.

        A recipe that fixes the patch is a paper's: its network is taken as it is.
        """
        full = self.shape()
        free = self.width_multiple and not self.recipe.patch
        return full.narrower(self.width_multiple) if free else (full,)

    @property
    def patch(self) -> tuple[int, ...]:
        """Return the voxels of a patch along the network's axes."""
        return self.recipe.patch or self.plan.network_patch

    @property
    def trained_in_turn(self) -> int:
        """Return how many networks share the time of a budget."""
        return 1

    @property
    def batch(self) -> int:
        """Return the patches per update."""
        return self.recipe.batch or self.plan.batch

    def model_card(self, shape: NetworkShape, job: TrainingJob) -> ModelCard:
        """Return what model.json says of the segmenting network of one training."""
        return ModelCard(
            trainer=self.name,
            plan=self.plan,
            recipe=self.recipe,
            encoding=self.encoding,
            scheme=self.label_scheme,
            shape=shape,
            patch=self.patch,
            fold=job.fold_name,
            trained_on=job.fold.train,
            source_weights=dict(job.source_weights),
            seed=job.seed,
            started_from="" if job.start is None else job.start.model,
            seen=learnt_from(job.work, job.fold.train, job.start),
        )

    def augmentation(self) -> AugmentationSettings | BatchgeneratorsSettings | None:
        """Return the recipe's augmentation on the plan's axes: mirroring only as both allow, cropping along the spine.

        The pixels' spacing is each batch's own, which the recipe's transforms may have changed.
        """
        settings, axes = self.recipe.augmentation, self.plan.network_axes
        if settings is None:
            return None
        mirrored = tuple(axes.index(axis) - len(axes) for axis in self.plan.mirror_axes if axis in axes)
        settings = replace(settings, mirror_axes=mirrored if settings.mirror else ())
        if isinstance(settings, BatchgeneratorsSettings) or axes[-2] == 1:
            return settings
        return replace(settings, fov_crop_probability=0.0)

    # Networks and their updates.

    @abstractmethod
    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the network that segments: `(B, in_channels, *patch)` to `(B, out_channels, *patch)`."""

    def build_all(self, shape: NetworkShape) -> dict[str, nn.Module]:
        """Build every network that is trained, by name."""
        return {self.inference: self.build(shape)}

    def fit_statistics(self, sampler: PatchSampler) -> None:  # noqa: B027
        """Take figures such as class frequencies from the training cases before the loss is made; none by default."""

    def loss(self) -> MultiTaskLoss:
        """Make the loss: Dice and cross-entropy on classes, plus offsets and levels where labels are ordered."""
        weights = self.recipe.weight("dice"), self.recipe.weight("cross_entropy")
        semantic: SemanticLoss = DiceCrossEntropy(*weights)
        if self.encoding.partial:
            semantic = MarginalDiceCrossEntropy(self.encoding.members(), *weights)
        return MultiTaskLoss(
            self.encoding,
            self.plan.network_axes,
            semantic,
            offset_weight=self.recipe.weight("offset"),
            level_weight=self.recipe.weight("level", 0.3),
        )

    def optimisers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Make one optimiser per network."""
        return {name: make_optimiser(self.recipe.optimisers[name], networks[name]) for name in networks}

    def training_step(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Update the networks once; return loss terms to log, "loss" among them."""
        logged: list[dict[str, Tensor]] = []

        def losses() -> Iterator[Tensor]:
            for micro_batch in batch.split(context.micro_batches):
                with context.precision.autocast(context.device):
                    outputs = context.networks[self.inference](micro_batch.images)
                terms = context.loss(outputs, micro_batch)
                share = len(micro_batch.images) / len(batch.images)
                logged.append({name: share * term.detach() for name, term in terms.items()})
                yield share * terms["loss"]

        context.updater.update(self.inference, losses())
        return {name: torch.stack([terms[name] for terms in logged]).sum() for name in logged[0]}

    def write_tables(self, folder: Path, subset: Subset, work: Path) -> None:  # noqa: B027
        """Write tables as the paper prints them beside the masks and scores in `folder`; none by default."""


class MultiModelTrainer(Trainer):
    """Trainer of several models that are trained one after another, such as the members of an ensemble."""

    @abstractmethod
    def train(self, job: TrainingJob) -> Evaluation | None:
        """Train every model of one fold by `autospine.training.loop.fit`, and validate them together."""


def prepare(
    trainer: Trainer,
    shape: NetworkShape,
    precision: Precision,
    device: torch.device,
    step: int = 0,
    micro_batches: int = 1,
) -> Context:
    """Make fresh networks with their optimisers and their loss."""
    networks = trainer.build_all(shape)
    for network in networks.values():
        precision.arrange(network.to(device), shape.dimension).train()
    clips = {name: trainer.recipe.optimisers[name].clip_norm for name in networks}
    updater = OptimizerStep(networks, trainer.optimisers(networks), clips, precision)
    return Context(networks, trainer.loss().to(device), updater, precision, device, step, micro_batches)
