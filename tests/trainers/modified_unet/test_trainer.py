from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine import volumes
from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.labels.conversion import get_scheme
from autospine.planning.plan import Plan, Plans
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import LEAK, Split
from autospine.planning.splits import Subset
from autospine.training.loading import make_batches
from autospine.training.losses.focal import inverse_root_weights
from autospine.training.run import TrainRequest, train
from tests.contracts.trainer import TrainerContract
from tests.paths import SHARED
from tests.tiny import IDS, make_job, plan_of, shrunk, spine_mask, write_array
from trainers.modified_unet import tables as table
from trainers.modified_unet.trainer import ModifiedUNetTrainer

SPIDER, SEMANTIC = get_scheme("spider"), get_scheme("semantic4")


class TestModifiedUNetTrainer(TrainerContract):
    """With the published steps at a tenth of their size."""

    name = "modified_unet"
    dimensions = (2,)
    widths = (4, 4, 8, 8, 8)

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        plan, recipe = super().small(plan, recipe)
        steps = tuple(
            replace(step, settings={"rows": 64, "columns": 51}) if step.name == "fit" else step
            for step in recipe.transforms
        )
        return plan, replace(recipe, transforms=steps)


def made(work: WorkFolder, recipe: str = "published", **changes: object) -> ModifiedUNetTrainer:
    return ModifiedUNetTrainer(plan_of(work, 2), replace(ModifiedUNetTrainer.recipes[recipe], **changes))


def test_the_published_recipe_is_the_papers(tiny_work: WorkFolder) -> None:
    trainer = made(tiny_work)
    assert trainer.patch == (640, 512)
    assert (trainer.batch, trainer.recipe.epochs, trainer.recipe.patience) == (8, 100, 15)
    assert (trainer.recipe.checkpoint, trainer.recipe.monitor) == ("best", "iou")
    assert trainer.recipe.split is not None
    assert trainer.recipe.split.by == "slices"
    assert trainer.shape().widths == (32, 64, 128, 256, 512)
    assert trainer.width_options() == (trainer.shape(),)
    assert [each.name for each in trainer.encoding.classes] == ["vertebra", "spinal canal", "disc"]


def test_the_adapted_recipe_keeps_patients_together_and_hard_slices_in(tiny_work: WorkFolder) -> None:
    trainer = made(tiny_work, "adapted")
    assert trainer.recipe.split is None
    assert [step.name for step in trainer.recipe.transforms] == ["clean_masks"]
    assert not trainer.recipe.transforms[0].settings.get("published", 0)
    assert trainer.augmentation() is not None
    assert trainer.patch == trainer.plan.network_patch
    assert len(trainer.width_options()) == 5


def test_classes_weigh_by_how_rare_they_are_on_the_slices_trained_on(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = made(tiny_work, "adapted", transforms=())
    job = make_job(tiny_work, trainer.plan, tmp_path)
    slices = {"1_t1": (2, 3), "2_t2": (0,)}  # mid-line, and beside the spine
    trainer.fit_statistics(make_batches(trainer, job, ("1_t1", "2_t2"), 0, slices).sampler)
    kind = {**dict.fromkeys(range(1, 6), 1), 100: 2, **dict.fromkeys(range(201, 206), 3)}
    classes = np.zeros(256, int)
    classes[list(kind)] = list(kind.values())
    seen = np.concatenate([classes[spine_mask(0)[2:4]].ravel(), classes[spine_mask(1)[:1]].ravel()])
    assert trainer.class_weights == pytest.approx(inverse_root_weights(np.bincount(seen, minlength=4)))
    assert trainer.loss().semantic.class_weights.tolist() == pytest.approx(trainer.class_weights)


def test_gamma_and_alpha_are_the_recipes(tiny_work: WorkFolder) -> None:
    loss = made(tiny_work, options={"gamma": 0.4, "alpha": 0.5}).loss().semantic
    assert (loss.gamma, loss.cross_entropy, loss.dice) == (0.4, 0.5, 0.5)
    loss = made(tiny_work).loss().semantic
    assert (loss.gamma, loss.cross_entropy, loss.dice) == (4.0, 0.6, pytest.approx(0.4))


def without_canal(work: WorkFolder, root: Path) -> WorkFolder:
    """The same data planned without label 100."""
    from autospine.planning.run import PlanRequest, make_plans

    for number, case_id in enumerate(IDS):
        mask = spine_mask(number % 3)
        mask[mask == 100] = 0
        write_array(root / "data" / "masks" / f"{case_id}.mha", mask)
        (root / "data" / "images").mkdir(exist_ok=True)
        source = work.root.parent / "data" / "images" / f"{case_id}.mha"
        (root / "data" / "images" / f"{case_id}.mha").write_bytes(source.read_bytes())
    request = PlanRequest(root / "data", root / "work", ("2d_sagittal",), folds=3, workers=1, device="cpu")
    make_plans(request)
    found = WorkFolder(root / "work")
    Plans(tuple(map(shrunk, Plans.load(found.plans).plans))).save(found.plans)
    return found


@pytest.mark.slow
def test_data_without_the_canal_are_refused_unless_allowed(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModifiedUNetTrainer, "widths", (4, 4, 8, 8, 8))
    work = without_canal(tiny_work, tmp_path)
    request = TrainRequest(work.root, "modified_unet", "2d_sagittal", device="cpu", epochs=1)
    with pytest.raises(UserError, match=r"shows no spinal canal.*--allow-missing-classes"):
        train(request)
    assert not (work.root / "models").exists()
    quick = replace(ModifiedUNetTrainer.recipes["adapted"], iterations_per_epoch=2)
    monkeypatch.setitem(ModifiedUNetTrainer.recipes, "adapted", quick)
    assert "validated on" in train(replace(request, allow_missing_classes=True))
    folder = work.model("modified_unet", "2d_sagittal", "adapted", "0")
    rows = read_table(folder / "validation" / "table_2.csv")
    assert {row["dice"] for row in rows if row["class"] == "canal"} == {""}


@pytest.mark.slow
def test_published_splits_the_slices_that_the_filter_leaves(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole recipe, smaller: cleaned, filtered, split by slices, early stopping, table 2."""
    root = tmp_path / "work"
    shutil.copytree(tiny_work.root, root)
    published = ModifiedUNetTrainer.recipes["published"]
    steps = tuple(
        replace(step, settings={"rows": 80, "columns": 64}) if step.name == "fit" else step
        for step in published.transforms
    )
    small = replace(published, transforms=steps, patch=(80, 64), batch=2)
    monkeypatch.setitem(ModifiedUNetTrainer.recipes, "published", small)
    monkeypatch.setattr(ModifiedUNetTrainer, "widths", (4, 4, 8, 8, 8))
    request = TrainRequest(
        root, "modified_unet", "2d_sagittal", recipe="published", sequence="t2", device="cpu", epochs=2
    )
    said = train(request)
    assert LEAK in said
    folder = WorkFolder(root).model("modified_unet", "2d_sagittal", "published_t2", "0")
    fold = Split.load(folder).fold
    assert fold.slices is not None
    assigned = {k for subset in (fold.slices.train, fold.slices.test) for found in subset.values() for k in found}
    assert assigned <= {2, 3}  # only there the tiny spine shows its canal
    assert {case.split("_")[1] for case in fold.cases} == {"t2"}
    rows = read_table(folder / "test" / "table_2.csv")
    assert {row["sequence"] for row in rows} == {"t2"}
    assert (folder / "curves.png").exists()


# Table 2.


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def predicted(work: WorkFolder, folder: Path, change: dict[int, int] | None = None) -> None:
    """Masks in semantic4 that are right but for `change`, as prediction would write them."""
    kinds = {**dict.fromkeys(range(1, 6), 1), 100: 2, **dict.fromkeys(range(201, 206), 3)}
    for case_id, source in work.load_sources().items():
        reference = volumes.read_mask(source.mask)
        lookup = np.zeros(256, np.uint8)
        lookup[list(kinds)] = list(kinds.values())
        answer = lookup[reference.array]
        for old, new in (change or {}).items():
            answer[answer == old] = new
        volumes.write_volume(reference.with_array(answer), folder / f"{case_id}.mha")


def test_right_masks_score_one_and_stand_beside_the_papers_figures(tiny_work: WorkFolder, tmp_path: Path) -> None:
    predicted(tiny_work, tmp_path)
    table.write_table(tmp_path, Subset("test", IDS), tiny_work, SPIDER, 0)
    rows = read_table(tmp_path / "table_2.csv")
    assert [row["sequence"] for row in rows[::4]] == ["t1", "t2", "all"]
    assert [row["class"] for row in rows[:4]] == ["background", "discs", "vertebrae", "canal"]
    for row in rows:
        assert all(float(row[metric]) == 1 for metric in ("iou", "dice", "nsd", "precision", "recall", "f1"))
        assert float(row["asd_mm"]) == 0
    assert (rows[1]["published_dice"], rows[5]["published_dice"], rows[9]["published_dice"]) == (
        "0.9592",
        "0.9527",
        "",
    )
    text = (tmp_path / "table_2.md").read_text()
    assert "1.0000 (0.9592)" in text
    assert "Dice and F1 are one number" in text
    assert "not state the unit" in text
    assert LEAK not in text


def test_only_the_held_out_slices_count(tiny_work: WorkFolder, tmp_path: Path) -> None:
    predicted(tiny_work, tmp_path, {2: 0})  # the canal, on slices 2 and 3
    slices = {"1_t1": (1, 4), "2_t2": (2, 4)}
    table.write_table(tmp_path, Subset("test", tuple(slices), slices), tiny_work, SPIDER, 0)
    rows = {(row["sequence"], row["class"]): row for row in read_table(tmp_path / "table_2.csv")}
    assert rows["t1", "canal"]["dice"] == ""
    assert float(rows["t2", "canal"]["dice"]) == 0
    assert rows["t2", "canal"]["slices"] == "1"
    assert float(rows["all", "vertebrae"]["dice"]) == 1
    assert LEAK in (tmp_path / "table_2.md").read_text()


def test_the_published_figures_are_the_papers() -> None:
    """Every number of the table stands in the paper's text, line by line."""
    path = SHARED / "papers" / "modified_unet.txt"
    if not path.exists():
        pytest.skip(f"no text of the paper at {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    for classes in table.PUBLISHED.values():
        for figures in classes.values():
            wanted = "\t".join(f"{value:.4f}" for value in figures)
            assert any(line.endswith(wanted) for line in lines)


def test_dropout_depends_on_the_step_alone(tiny_work: WorkFolder) -> None:
    """So that a continued training drops the same."""
    from autospine.training.job import seed_everything

    trainer = made(tiny_work)
    trainer.widths = (4, 4)  # type: ignore[misc]
    network, answers = trainer.build(trainer.shape()).train(), []
    for _ in range(2):
        seed_everything(0, 5, 0)
        answers.append(network(torch.ones(1, 1, 8, 8)))
    assert torch.equal(*answers)
