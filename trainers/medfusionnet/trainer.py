"""MedFusionNet: four networks trained one after another, and the best weighted pair of them.

After Narula et al. 2024, "Lumbar spine MRI segmentation: a deep learning approach for identifying spine regions".

Where the paper is silent or contradicts itself:

- The printed search blends the members' *scores*. Here soft-max probabilities are blended, and the pair and its weights
  are those with the highest mean IoU on the validation cases; a table shows the blend of the scores, too.
- "RPI" orientation: rows from head to foot and columns from front to back, which is what every sagittal slice has
  here. That slices then run from left to right instead of right to left, no 2-D network sees.
- 447 images of 447 series: the middle annotated slice of each. `published` trains on it and is scored on it; `adapted`
  trains on every annotated slice and is scored on whole scans.
- 447 images become 3535 by augmentation, which is drawn afresh for every batch here: an epoch is 3535 / 447 passes. If
  the images were enlarged before they were split, copies of one stood on both sides: recipe
  `published_enlarged_first`, with a warning.
- "Flipping" of a sagittal slice can swap front and back, or head and foot; left and right do not lie in it. `published`
  swaps front and back; swapping head and foot turns the numbering upside down: only with `flips`.
- Loss and widths are not given: cross-entropy and Dice; 32, 64, 128, 256, 512, and the stem of DeepLab v3's own
  ResNet-50. "Pretrained architectures" train from scratch.
- The rate falls to 1e-8 by epoch 41, from 1e-3 by tenths: a patience of 5 epochs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, ClassVar

from torch import nn

from autospine.augmentation import AugmentationSettings, BatchgeneratorsSettings
from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.ensemble.selection import EnsembleSpec, choose_weights, save_ensemble
from autospine.evaluation.cohort import Evaluation
from autospine.inference.ensemble_card import PREFIX
from autospine.inference.model import read_model
from autospine.models.files import CARD
from autospine.networks.blocks import RepeatChannels
from autospine.networks.shape import NetworkShape
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import SplitSettings
from autospine.planning.splits import Subset
from autospine.training import distributed
from autospine.training.budget import ValidationCost, count_windows
from autospine.training.data import PatchSampler
from autospine.training.job import TrainingJob
from autospine.training.loop import fit
from autospine.training.trainer import MultiModelTrainer, Trainer
from autospine.training.validation import validate
from trainers.medfusionnet.images import WARNING, name_slices, split_copies
from trainers.medfusionnet.recipes import MEMBERS, RECIPES, MedFusionOptions
from trainers.medfusionnet.tables import PUBLISHED, note

log = logging.getLogger(__name__)

CHANNELS = 3  # equal ones
FLIPPED = {"none": (), "horizontal": (-1,), "vertical": (-2,), "both": (-2, -1)}


class MedFusionNetTrainer(MultiModelTrainer):
    """Weighted pair of U-Net, U-Net++, ResUNet and DeepLab v3 (Narula et al. 2024).

    With one member in its options it is that member's own trainer; a member's model names it so.
    """

    name = "medfusionnet"
    plans = ("2d_sagittal",)
    scheme = "spider20"
    options_type = MedFusionOptions
    options: MedFusionOptions
    widths: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512)  # of `published`
    recipes: ClassVar[dict[str, Recipe]] = RECIPES

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        super().__init__(plan, recipe)
        known, asked = ", ".join(MEMBERS), self.options.members
        strange = [name for name in asked if name not in MEMBERS or asked.count(name) > 1]
        if strange or not asked:
            problem = f"{strange[0]} is unknown or named twice" if strange else "are none"
            raise UserError("--members", problem, f"choose from {known}")
        if self.options.enlarge == "before" and round(self.options.enlargement) < 2:
            problem = f"splits copies, and with an enlargement of {self.options.enlargement:g} there is one of each"
            raise UserError("--option enlarge=before", problem, "add --option enlargement=8, or leave it out")

    # One member.

    def member(self, name: str) -> MedFusionNetTrainer:
        """Return the trainer of one member alone."""
        return self._with({"members": [name]})

    def _with(self, options: Mapping[str, Any]) -> MedFusionNetTrainer:
        return type(self)(self.plan, replace(self.recipe, options={**self.recipe.options, **options}))

    def _network_trainer(self) -> Trainer:
        """Return the first member's own trainer, on the paper's stages where the recipe has a fixed patch."""
        plan = self.plan
        if self.recipe.patch:
            plan = replace(plan, network=plan.network.with_stages(self.widths))
        kind = registry.load("trainers", self.options.members[0])
        return kind(plan, replace(self.recipe, options={}))

    def shape(self) -> NetworkShape:
        """Return the shape of the member's own trainer, for the labels learnt here."""
        return replace(self._network_trainer().shape(), out_channels=self.encoding.channels)

    def width_options(self) -> Sequence[NetworkShape]:
        """Return the shapes of the member's own trainer."""
        options = self._network_trainer().width_options()
        return tuple(replace(shape, out_channels=self.encoding.channels) for shape in options)

    def build(self, shape: NetworkShape) -> nn.Module:
        """Build the first member's network, which sees the image as three equal channels."""
        wider = replace(shape, in_channels=CHANNELS * shape.in_channels)
        return RepeatChannels(self._network_trainer().build(wider), CHANNELS)

    def augmentation(self) -> AugmentationSettings | BatchgeneratorsSettings | None:
        """Return the recipe's settings, with the flips that are asked for."""
        settings = super().augmentation()
        return None if settings is None else replace(settings, mirror_axes=FLIPPED[self.options.flips])

    def fit_statistics(self, sampler: PatchSampler) -> None:
        """Make an epoch one pass over the enlarged images; split by copies, not all of an image's are trained on."""
        if self.recipe.iterations_per_epoch is None:
            images = sampler.pass_length() * self.options.enlargement
            if self.options.enlarge == "before":
                split = self.recipe.split or SplitSettings()
                images *= split.train / sum(split.shares)
            self.recipe = replace(self.recipe, iterations_per_epoch=max(ceil(images / self.batch), 1))

    # All of them.

    @property
    def trained_in_turn(self) -> int:
        """Return how many members share the time of a budget."""
        return len(self.options.members)

    def train(self, job: TrainingJob) -> Evaluation | None:
        """Train each member, search for weights, and validate the ensemble."""
        enlarged_first = self.options.enlarge == "before"
        fold = name_slices(self, job, always=enlarged_first)
        if enlarged_first:
            if not fold.eval_subset.cases:  # nothing is split, so that there is no before
                return self._with({"enlarge": "after"}).train(replace(job, fold=fold))
            fold = split_copies(fold, job, self.recipe.split or SplitSettings(), self.options.enlargement)
        job = replace(job, fold=fold)
        waiting = [name for name in self.options.members if not self._trained(name, job)]
        share, after = job.seconds_left() / max(len(waiting), 1), self._after(job, len(waiting))
        for number, name in enumerate(waiting):
            log.info("member %s, %d of %d to train", name, number + 1, len(waiting))
            left = job.seconds_left() / (len(waiting) - number)
            fit(self.member(name), self._job_of(name, job, min(share, left)), after)
        if distributed.is_main():
            self._combine(job)
        distributed.wait_for_all()
        return validate(self, job)

    def _trained(self, name: str, job: TrainingJob) -> bool:
        done = job.resume and job.epochs is None and (job.folder / f"{PREFIX}{name}" / CARD).exists()
        if done:
            log.info("member %s %s", name, job.already)
        return done

    def _job_of(self, name: str, job: TrainingJob, seconds: float) -> TrainingJob:
        """Return a member's training: a folder of its own, and its share of the time where there is a budget."""
        minutes = None if job.minutes is None else max(seconds / 60, 0.01)
        return replace(job, folder=job.folder / f"{PREFIX}{name}", minutes=minutes, started=time.monotonic())

    def _after(self, job: TrainingJob, waiting: int) -> ValidationCost:
        """Return what each waiting member's time must leave room for: its share of what follows all trainings.

        All members predict the cases of the search; then a pair of them those that are scored.
        """
        fold, members = job.fold, len(self.options.members)
        searched, scored = (*fold.validation, *fold.test) if fold.validation else (), fold.eval_subset.cases
        windows = members * count_windows(self, job.cases, searched)
        windows += min(members, 2) * count_windows(self, job.cases, scored)
        cases, sharing = members * len(searched) + len(scored), max(waiting, 1)
        return ValidationCost(ceil(windows / sharing), ceil(cases / sharing))

    def _combine(self, job: TrainingJob) -> None:
        """Choose the weights on the validation cases, or take equal ones where there are none."""
        names = self.options.members
        models = [read_model(job.folder / f"{PREFIX}{name}") for name in names]
        fold, slices = job.fold, job.fold.slices
        validation = Subset("validation", fold.validation, slices.validation if slices else None)
        if not fold.validation:
            log.warning("no validation cases to choose weights on: every member weighs the same")
            save_ensemble(job.folder, models, [1 / len(names)] * len(names), "equal: no validation cases")
            return
        notes = (note(), f"WARNING: {WARNING}.") if self.options.enlarge == "before" else (note(),)
        spec = EnsembleSpec(
            models=tuple(models),
            names=names,
            validation=validation,
            test=fold.eval_subset if fold.test else None,
            published=PUBLISHED,
            notes=notes,
        )
        report = choose_weights(spec, WorkFolder(job.work), job.folder, job.device)
        save_ensemble(job.folder, models, report.weights, report.reason)
