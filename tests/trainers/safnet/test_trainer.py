from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine import volumes
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.evaluation.case import evaluate_case
from autospine.evaluation.mask_pair import MaskPair
from autospine.inference.predict import predict
from autospine.planning.plan import Plan, Plans
from autospine.planning.recipe import Recipe
from autospine.planning.run import PlanRequest, make_plans
from autospine.planning.split_strategies import subset_sizes
from autospine.planning.splits import Fold
from autospine.preprocessing.transforms.base import (
    CaseData,
    TransformSettings,
    apply_transforms,
    make_transforms,
)
from autospine.training import budget
from autospine.training.loading import make_batches
from autospine.training.loop import fit
from autospine.training.losses.binary import BinaryCrossEntropy
from autospine.training.losses.dice_ce import DiceCrossEntropy
from autospine.training.run import TrainRequest, train
from tests.contracts.trainer import TrainerContract
from tests.tiny import IDS, make_job, plan_of, shrunk, spine_image, spine_mask, write_array
from tests.transforms import invert_transforms
from trainers.safnet.recipes import COMPARED, PUBLISHED, SPLIT
from trainers.safnet.trainer import SAFNetTrainer
from trainers.unet import UNetTrainer

NARROW = (2, 4, 8, 8, 8)
SMALL_FIT = TransformSettings("fit", {"slices": 6, "rows": 64, "columns": 32})


def small_steps(recipe: Recipe) -> tuple[TransformSettings, ...]:
    """The recipe's steps, at a quarter of the size."""
    return tuple(SMALL_FIT if step.name == "fit" else step for step in recipe.transforms)


class TestSAFNetTrainer(TrainerContract):
    name = "safnet"
    recipe_names = ("adapted", "published", "published_literal")
    dimensions = (3,)
    widths = NARROW

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        plan, recipe = super().small(plan, recipe)
        return plan, replace(recipe, transforms=small_steps(recipe))


def made(work: WorkFolder, recipe: str = "published", **changes: object) -> SAFNetTrainer:
    return SAFNetTrainer(plan_of(work, 3), replace(SAFNetTrainer.recipes[recipe], **changes))


def test_the_published_recipe_is_the_papers(tiny_work: WorkFolder) -> None:
    trainer, recipe = made(tiny_work), PUBLISHED
    assert trainer.patch == (18, 256, 128)
    assert (trainer.batch, recipe.epochs, recipe.iterations_per_epoch) == (8, 50, None)
    assert (recipe.checkpoint, recipe.monitor, recipe.patience) == ("best", "dice", 0)
    assert (recipe.schedule.kind, recipe.schedule.patience, recipe.schedule.factor) == ("plateau", 10, 0.5)
    adam = recipe.optimisers["network"]
    assert (adam.kind, adam.learning_rate, adam.weight_decay) == ("adam", 1e-3, 1e-4)
    assert subset_sizes(172, SPLIT.shares) == (138, 4, 30)
    assert trainer.label_scheme.name == "mrspineseg18"
    assert trainer.shape().widths[2:] == (128, 128, 128)
    assert trainer.width_options() == (trainer.shape(),)


def test_only_rotation_contrast_and_elastic_displacement_augment(tiny_work: WorkFolder) -> None:
    settings = made(tiny_work).augmentation()
    assert settings is not None
    assert settings.mirror_axes == ()
    used = {name for name, value in vars(settings).items() if name.endswith("_probability") and value}
    assert used == {"rotation_probability", "elastic_probability", "contrast_probability"}
    assert settings.translation == 0


def test_the_adapted_recipe_is_free_to_choose_a_width(tiny_work: WorkFolder) -> None:
    trainer = made(tiny_work, "adapted")
    assert [shape.widths[-1] for shape in trainer.width_options()] == [32, 48, 64, 96, 128]
    assert (trainer.patch, trainer.batch) == (trainer.plan.network_patch, 1)
    assert trainer.recipe.split is None
    for shape in trainer.width_options()[:2]:
        assert trainer.build(shape)(torch.zeros(1, 1, 2, 32, 16)).shape[1] == trainer.encoding.channels


def test_each_part_of_the_ablation_can_be_left_out(tiny_work: WorkFolder) -> None:
    counts = []
    for options in ({}, {"pyramid": False}, {"fusion": False}, {"attention": False}):
        trainer = made(tiny_work, options=options)
        small = replace(trainer.shape(), widths=NARROW)
        counts.append(sum(p.numel() for p in trainer.build(small).parameters()))
    assert len(set(counts)) == 4
    assert max(counts) == counts[0]


def test_the_loss_is_cross_entropy_and_equation_9_on_demand(tiny_work: WorkFolder) -> None:
    plain = made(tiny_work).loss().semantic
    assert isinstance(plain, DiceCrossEntropy)
    assert (plain.dice, plain.cross_entropy) == (0.0, 1.0)
    assert made(tiny_work, "adapted").loss().semantic.dice == 1.0
    literal = made(tiny_work, "published_literal")
    assert isinstance(literal.loss().semantic, BinaryCrossEntropy)
    assert literal.recipe.monitor == "accuracy"
    with pytest.raises(UserError, match="hinge"):
        made(tiny_work, options={"loss": "hinge"})


def test_what_is_not_annotated_has_no_loss_in_either(tiny_work: WorkFolder, tmp_path: Path) -> None:
    for name in ("published", "published_literal"):
        trainer = made(tiny_work, name, patch=None, transforms=())
        job = make_job(tiny_work, trainer.plan, tmp_path)
        batch = make_batches(trainer, job, job.fold.train, 0).make(0).patches(0, 1)
        hidden = torch.zeros_like(batch.labels, dtype=torch.bool)
        hidden[:, :, 40:] = True
        batch = replace(batch, labels=batch.labels.masked_fill(hidden, trainer.encoding.ignore_index))
        logits = torch.randn(1, trainer.encoding.channels, *batch.labels.shape[1:], requires_grad=True)
        trainer.loss()(logits, batch)["loss"].backward()
        assert logits.grad is not None
        assert not logits.grad[:, :, :, 40:].any()
        assert logits.grad[:, :, :, :40].any()


def test_the_comparators_see_the_same_data_in_three_dimensions(tiny_work: WorkFolder) -> None:
    for word in ("transforms", "split", "patch", "batch", "epochs", "optimisers", "schedule", "augmentation"):
        assert getattr(COMPARED, word) == getattr(PUBLISHED, word)
    trainer = UNetTrainer(plan_of(tiny_work, 3), COMPARED)
    assert not trainer.encoding.ordered
    with pytest.raises(UserError, match=r"cuts 3-D patches, the plan 2d_sagittal is 2-D"):
        UNetTrainer(plan_of(tiny_work, 2), COMPARED)


# Bad input.


@pytest.mark.parametrize(
    "shape", [(18, 300, 200), (5, 300, 200), (1, 300, 200), (40, 64, 7), (18, 256, 1), (3, 20, 300)]
)
def test_every_volume_becomes_18_slices_and_comes_back(shape: tuple[int, int, int]) -> None:
    """Narrower than the crop leaves, fewer or more slices than 18: padded or interpolated, and undone."""
    random = np.random.default_rng(0)
    mask = np.zeros(shape, np.uint8)
    mask[:, shape[1] // 3 : shape[1] // 2, shape[2] // 2] = 3
    start = CaseData(random.normal(size=(1, *shape)).astype(np.float32), mask, (4.0, 1.0, 1.0), view_axis=None)
    case, way = apply_transforms(make_transforms(PUBLISHED.transforms), start)
    assert case.shape == (18, 256, 128)
    assert np.isfinite(case.image).all()
    assert case.mask is not None
    assert set(np.unique(case.mask)) == {0, 3}
    shares = np.stack([case.mask != 3, case.mask == 3]).astype(np.float32)
    back = invert_transforms(way, shares, np.array([1.0, 0.0], np.float32))
    assert back.shape == (2, *shape)
    found = back.argmax(0) == 1
    assert 2 * (found & (mask == 3)).sum() / (found.sum() + (mask == 3).sum()) > 0.6


@pytest.fixture(scope="module")
def odd_work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    """Cases with few slices, a narrow one, one whose spine the crop cuts off; the last alone shows L1."""
    root = tmp_path_factory.mktemp("odd")
    for number, case_id in enumerate(IDS):
        mask = spine_mask(number % 3, levels=5 if number == 5 else 4)
        image = spine_image(mask, number)
        if number == 1:
            mask, image = mask[1:5], image[1:5]
        if number == 2:
            mask, image = mask[:, :, 6:30], image[:, :, 6:30]
        if number == 3:
            wide = np.zeros((*mask.shape[:2], 120), mask.dtype)
            wide[:, :, : mask.shape[2]] = mask
            mask, image = wide, spine_image(wide, number)
        write_array(root / "data" / "images" / f"{case_id}.mha", image)
        write_array(root / "data" / "masks" / f"{case_id}.mha", mask)
    make_plans(PlanRequest(root / "data", root / "work", ("3d_volume",), folds=3, workers=1, device="cpu"))
    work = WorkFolder(root / "work")
    Plans(tuple(map(shrunk, Plans.load(work.plans).plans))).save(work.plans)
    return work


def small(work: WorkFolder, **changes: object) -> SAFNetTrainer:
    kind = type("Narrow", (SAFNetTrainer,), {"widths": NARROW})
    plan = Plans.load(work.plans).plans[0]
    settings: dict = {
        "transforms": small_steps(PUBLISHED),
        "patch": (6, 64, 32),
        "batch": 2,
        "epochs": 1,
        **changes,
    }
    return kind(plan, replace(PUBLISHED, **settings))


def test_structures_and_cases_that_cannot_be_learnt_are_named(
    odd_work: WorkFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    trainer = small(odd_work)
    job = make_job(odd_work, trainer.plan, tmp_path, fold=Fold(IDS[:4], IDS[4:5], IDS[5:]))
    fit(trainer, job)
    assert "no training case of fold 0 shows L1, L1/L2 disc: not learnt" in caplog.text
    assert f"nothing to learn is left in {IDS[3]} once cropped" in caplog.text


@pytest.mark.slow
def test_a_model_answers_on_narrow_and_thin_scans_too(
    odd_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    trainer = small(odd_work)
    job = make_job(odd_work, trainer.plan, tmp_path / "model", fold=Fold(IDS[:4], IDS[4:5]))
    fit(trainer, job)
    monkeypatch.setattr(SAFNetTrainer, "widths", NARROW)
    for name, shape in (("thin", (2, 72, 36)), ("narrow", (6, 72, 3)), ("both", (1, 30, 2))):
        image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
        scan = write_array(tmp_path / f"{name}.mha", image)
        assert predict(scan, job.folder, device="cpu").mask.shape == shape


def test_a_structure_that_the_data_lack_is_named_before_training(
    tiny_work: WorkFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SPIDER has no sacrum."""
    work = copied(tiny_work, tmp_path)
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="--fold 9"):
        train(TrainRequest(work.root, "safnet", "3d_volume", "9", "published", device="cpu"))
    assert "the data set shows no sacrum, " in caplog.text
    assert "absent from the scores" in caplog.text


def copied(tiny: WorkFolder, folder: Path) -> WorkFolder:
    """A work folder to write into, its arrays shared."""
    root = folder / "work"
    root.mkdir()
    for name in ("plans.json", "splits.json", "fingerprint.json", "sources.json"):
        shutil.copy(tiny.root / name, root / name)
    shutil.copytree(tiny.preprocessed("3d_volume"), WorkFolder(root).preprocessed("3d_volume"))
    return WorkFolder(root)


@pytest.mark.slow
def test_every_fold_of_a_cross_validation_joins_table_1(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    monkeypatch.setattr(SAFNetTrainer, "widths", NARROW)
    quick = replace(
        PUBLISHED,
        transforms=small_steps(PUBLISHED),
        patch=(6, 64, 32),
        batch=2,
        epochs=1,
        split=replace(SPLIT, folds=2),
    )
    monkeypatch.setitem(SAFNetTrainer.recipes, "published", quick)
    work = copied(tiny_work, tmp_path)
    said = train(TrainRequest(work.root, "safnet", "3d_volume", "cv", "published", device="cpu"))
    assert "tested on" in said
    place = work.root / "models" / "safnet" / "3d_volume" / "published"
    table = (place / "table_1.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| SAFNet"))
    assert row.count("(") == 6
    assert row.count("| - (") == 3
    sacrum = next(line for line in table.splitlines() if line.startswith("| sacrum"))
    assert sacrum.count("absent") == 2
    assert {path.name for path in place.glob("fold_*")} == {"fold_0", "fold_1"}
    masks = sorted(path.name for path in place.glob("fold_*/test/*.mha"))
    assert len(set(masks)) == len(masks) == 2  # of six patients, one each
    assert volumes.read_mask(next(place.glob("fold_0/test/*.mha"))).array.shape == (6, 72, 36)


@pytest.mark.slow
def test_mrspineseg_is_read_and_its_17_structures_are_learnt(tmp_path: Path) -> None:
    """As the challenge's folders lie, with T9 and T9/T10, which the paper leaves out."""
    for number in range(1, 5):
        mask = np.zeros((6, 210, 36), np.uint8)
        mask[1:5, 196:206, 8:24] = 1  # sacrum
        for level in range(1, 10):
            mask[1:5, 196 - 20 * level + 6 : 196 - 20 * level + 18, 10:22] = 1 + level
            mask[1:5, 196 - 20 * level + 18 : 196 - 20 * level + 20, 11:21] = 10 + level
        image = spine_image(mask, number)
        write_array(tmp_path / "data/train/MR" / f"Case{number}.nii.gz", image, (4.0, 2.0, 3.0))
        write_array(tmp_path / "data/train/Mask" / f"mask_case{number}.nii.gz", mask, (4.0, 2.0, 3.0))
    write_array(tmp_path / "data/test1/MR" / "Case9.nii.gz", image, (4.0, 2.0, 3.0))
    make_plans(PlanRequest(tmp_path / "data", tmp_path / "work", ("3d_volume",), folds=2, workers=1, device="cpu"))
    work = WorkFolder(tmp_path / "work")
    (plan,) = Plans.load(work.plans).plans
    assert plan.scheme.name == "mrspineseg"
    assert sorted(work.load_sources()) == [f"Case{number}" for number in range(1, 5)]
    trainer = SAFNetTrainer(plan, replace(PUBLISHED, patch=(6, 210, 36), batch=1, transforms=()))
    assert trainer.encoding.values == tuple(range(1, 18))
    job = make_job(work, plan, tmp_path / "model", fold=Fold(("Case1",), ("Case2",)))
    labels = make_batches(trainer, job, ("Case1",), 0).make(0).labels
    assert set(labels.unique().tolist()) == set(range(18))
    assert {anatomy.name for anatomy in trainer.left_out.values()} == {"T9", "T9/T10 disc"}
    reference = trainer.reference(mask)
    assert set(np.unique(reference)) == set(range(19)) - {10}
    right = np.where(np.isin(mask, (10, 19)), 0, mask)
    score = evaluate_case("Case4", MaskPair(right, reference, (4.0, 2.0, 3.0), (plan.scheme, plan.scheme)))
    assert {row.dice for row in score.scores} == {1.0}
