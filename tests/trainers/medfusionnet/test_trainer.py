from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.inference.ensemble_card import EnsembleCard
from autospine.inference.model import find_models, read_model
from autospine.inference.predict import predict
from autospine.planning.plan import Plan
from autospine.planning.recipe import Recipe
from autospine.planning.run import PlanRequest, make_plans
from autospine.planning.split_strategies import Split
from autospine.planning.splits import Fold, FoldSlices
from autospine.training import budget, loop
from autospine.training.budget import ValidationCost
from autospine.training.job import TrainingJob
from autospine.training.loading import make_batches
from autospine.training.run import TrainRequest, train
from tests.contracts.trainer import TrainerContract
from tests.paths import ROOT, SHARED
from tests.tiny import IDS, SHAPE, make_job, plan_of, write_array, write_dataset
from trainers.medfusionnet.comparators import DeepLabV3Trainer
from trainers.medfusionnet.recipes import ENLARGEMENT, MEMBERS
from trainers.medfusionnet.tables import PUBLISHED, arithmetic, note
from trainers.medfusionnet.trainer import MedFusionNetTrainer

SPLIT = Fold(IDS[:3], IDS[3:5], IDS[5:])


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(DeepLabV3Trainer, "widths", (8,) * 5)
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    monkeypatch.setattr("autospine.inference.predictor.prediction_precision", lambda *_: Precision())
    yield


class TestMedFusionNetTrainer(TrainerContract):
    """The first member's updates and models; `train` goes through all of them."""

    name = "medfusionnet"
    recipe_names = ("adapted", "published")
    dimensions = (2,)
    widths = (4, 4, 8)

    def small(self, plan: Plan, recipe: Recipe) -> tuple[Plan, Recipe]:
        steps = tuple(
            replace(step, settings={"rows": 32, "columns": 24}) if step.name == "resize" else step
            for step in recipe.transforms
        )
        patch = (32, 24) if recipe.patch else None
        small = super().small(plan, recipe)[1]
        return plan, replace(small, transforms=steps, patch=patch)


def made(work: WorkFolder, recipe: str = "published", **changes: object) -> MedFusionNetTrainer:
    chosen = MedFusionNetTrainer.recipes[recipe]
    options = {**chosen.options, **changes}
    return MedFusionNetTrainer(plan_of(work, 2), replace(chosen, options=options))


def tiny(work: WorkFolder, recipe: str = "published", **options: object) -> MedFusionNetTrainer:
    """Small enough for a test, with all that a recipe says but its sizes."""
    contract = TestMedFusionNetTrainer()
    trainer = contract.make(work, 2, recipe)
    settings = {**trainer.recipe.options, "members": ["unet", "resunet"], **options}
    return type(trainer)(trainer.plan, replace(trainer.recipe, epochs=1, options=settings))


def job(work: WorkFolder, folder: Path, **changes: object) -> TrainingJob:
    return make_job(work, plan_of(work, 2), folder, **{"fold": SPLIT, **changes})


# What the paper says.


def test_the_published_recipe_is_the_papers(tiny_work: WorkFolder) -> None:
    trainer = made(tiny_work)
    recipe = trainer.recipe
    assert trainer.label_scheme.name == "spider20"
    assert (trainer.patch, trainer.batch, recipe.epochs) == ((128, 128), 64, 50)
    assert (recipe.optimisers["network"].kind, recipe.optimisers["network"].learning_rate) == ("adam", 1e-3)
    assert (recipe.schedule.kind, recipe.schedule.factor) == ("plateau", 0.1)
    assert recipe.split is not None
    assert (recipe.split.by, *recipe.split.shares) == ("patient", 0.70, 0.05, 0.25)
    assert trainer.options.members == MEMBERS
    assert trainer.shape().widths == (32, 64, 128, 256, 512)
    assert trainer.width_options() == (trainer.shape(),)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("recipe", ["published", "adapted"])
def test_members_are_the_networks_of_their_own_trainers_on_three_channels(
    tiny_work: WorkFolder, name: str, recipe: str
) -> None:
    from autospine.core import registry

    member = made(tiny_work, recipe).member(name)
    network = member.build(member.shape()).eval()
    own = registry.load("trainers", name)
    inside = own(member.plan, own.recipe_named(None)).build(replace(member.shape(), in_channels=3))
    assert type(network.network) is type(inside)
    assert {k: v.shape for k, v in network.network.state_dict().items()} == {
        k: v.shape for k, v in inside.state_dict().items()
    }
    with torch.no_grad():
        assert network(torch.randn(1, 1, 64, 64)).shape == (1, member.encoding.channels, 64, 64)


def test_images_are_grey_from_0_to_1_on_the_middle_annotated_slice(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = made(tiny_work)
    batches = make_batches(trainer, job(tiny_work, tmp_path), IDS[:2], 0)
    assert [list(batches.sampler.slices_of(k)) for k in range(2)] == [[2], [2]]  # labels on slices 1 to 4
    image = batches.sampler.extract_patch(0, (2, 0, 0)).image
    assert image.shape == (1, 128, 128)
    assert 0 <= image.min() < 0.1
    assert 0.9 < image.max() <= 1
    adapted = make_batches(made(tiny_work, "adapted"), job(tiny_work, tmp_path), IDS[:1], 0)
    assert list(adapted.sampler.slices_of(0)) == [1, 2, 3, 4]


def test_an_epoch_is_one_pass_over_the_enlarged_images(tiny_work: WorkFolder, tmp_path: Path) -> None:
    """447 images, enlarged to 3535, in batches of 64."""

    class Sampler:
        def pass_length(self) -> int:
            return 447

    trainer = made(tiny_work)
    trainer.fit_statistics(Sampler())  # type: ignore[arg-type]
    assert round(447 * ENLARGEMENT) == 3535
    assert trainer.recipe.iterations_per_epoch == -(-3535 // 64)
    adapted = made(tiny_work, "adapted")
    adapted.fit_statistics(Sampler())  # type: ignore[arg-type]
    assert adapted.recipe.iterations_per_epoch == MedFusionNetTrainer.recipes["adapted"].iterations_per_epoch


def test_enlarging_before_the_split_makes_no_epoch_longer(tiny_work: WorkFolder) -> None:
    """Of 3535 copies 70 % are trained on, whether their images are or the copies were split so."""

    class Sampler:
        def __init__(self, images: int) -> None:
            self.pass_length = lambda: images

    after, before = made(tiny_work), made(tiny_work, "published_enlarged_first")
    after.fit_statistics(Sampler(313))  # type: ignore[arg-type]
    before.fit_statistics(Sampler(447))  # type: ignore[arg-type]  # nearly every image has a copy on this side
    assert after.recipe.iterations_per_epoch == before.recipe.iterations_per_epoch == -(-3535 * 7 // 640)


def test_where_nothing_is_split_nothing_is_enlarged_before(
    tiny_work: WorkFolder, tmp_path: Path, untrained: Untrained
) -> None:
    given = job(tiny_work, tmp_path, fold=Fold(IDS, ()), fold_name="all")
    made(tiny_work, "published_enlarged_first").train(given)
    assert [member.options.enlarge for member, _ in untrained.members] == ["after"] * len(MEMBERS)


def test_rotation_flip_translation_and_brightness_augment(tiny_work: WorkFolder) -> None:
    settings = made(tiny_work).augmentation()
    assert settings is not None
    used = {name for name, value in vars(settings).items() if name.endswith("_probability") and value}
    assert used == {"rotation_probability", "brightness_probability"}
    assert (settings.translation, settings.mirror_axes) == (0.1, (-1,))


def test_vertical_flips_are_off_unless_asked_for(tiny_work: WorkFolder) -> None:
    for flips, axes in (("none", ()), ("horizontal", (-1,)), ("vertical", (-2,)), ("both", (-2, -1))):
        settings = made(tiny_work, flips=flips).augmentation()
        assert settings is not None
        assert settings.mirror_axes == axes
    assert made(tiny_work).options.flips == "horizontal"
    assert made(tiny_work, "adapted").options.flips == "none"


def test_the_published_figures_are_the_papers() -> None:
    """Every row of table 2; and the paper's own arithmetic at the weights that it prints."""
    assert arithmetic() == pytest.approx((0.8075, 0.9716))
    assert "gives 0.8075 / 0.9716, where they print 0.822 / 0.989" in note()
    path = SHARED / "papers" / "medfusionnet.txt"
    if not path.exists():
        pytest.skip(f"no text of the paper at {path}")
    text = path.read_text(encoding="utf-8")
    for iou, dice in PUBLISHED.values():
        assert f"\t{iou:.3f}\t{dice:.3f}\t" in text


@pytest.mark.parametrize(("members", "problem"), [(["unet", "vgg"], "vgg"), (["unet", "unet"], "unet"), ([], "none")])
def test_members_that_do_not_exist(tiny_work: WorkFolder, members: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=f"--members: .*{problem}.*choose from unet, unetplusplus"):
        made(tiny_work, members=members)


# Members, search, ensemble.


@pytest.mark.slow
def test_it_trains_members_finds_weights_and_predicts_as_one_model(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Split("patient", SPLIT, "assigned").save(tmp_path)
    trainer = tiny(tiny_work)
    evaluation = trainer.train(job(tiny_work, tmp_path))
    assert evaluation is not None
    assert len(evaluation.cases) == 1  # the middle slice of the test case
    assert {path.name for path in tmp_path.glob("member_*")} == {"member_unet", "member_resunet"}
    card = EnsembleCard.load(tmp_path)
    assert sum(member.weight for member in card.members) == pytest.approx(1)
    told = json.loads((tmp_path / "difference.json").read_text())
    assert (told["subset"], told["images"]) == ("test", 1)
    # The benchmark finds the images of the search in split.json.
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from ensemble import difference_to_brute_force

    assert difference_to_brute_force(tiny_work.root, tmp_path) == 0
    # The search's own figure is what the user's prediction of that slice comes to.
    assert told["ensemble"] == pytest.approx(evaluation.cases[0].mean("iou"), abs=0.02)
    assert "0.751 / 0.826" in (tmp_path / "weights.md").read_text()
    for name in ("unet", "resunet"):  # each an ordinary model
        member = read_model(tmp_path / f"member_{name}")
        assert member.card.trainer == "medfusionnet"
        assert member.card.recipe.options["members"] == [name]
        assert find_models([member.folder])[0].weight == 1
    scan = tiny_work.root.parent / "data" / "images" / "6_t2.mha"
    found = predict(scan, tmp_path, device="cpu")
    assert found.mask.shape == SHAPE
    assert len(found.models) == len(card.members)


@pytest.mark.slow
def test_it_goes_on_between_members_and_adds_more_of_them(tiny_work: WorkFolder, tmp_path: Path) -> None:
    tiny(tiny_work, members=["unet"]).train(job(tiny_work, tmp_path))
    assert [member.folder for member in EnsembleCard.load(tmp_path).members] == ["member_unet"]
    before = (tmp_path / "member_unet" / "weights.safetensors").stat().st_mtime_ns
    stored = {p: p.stat().st_mtime_ns for p in tmp_path.glob("probabilities/*/*.json")}
    again = job(tiny_work, tmp_path, resume=True)
    tiny(tiny_work, members=["unet"]).train(again)
    assert {p: p.stat().st_mtime_ns for p in stored} == stored  # nothing is predicted twice
    tiny(tiny_work, members=["unet", "resunet"]).train(again)
    assert (tmp_path / "member_unet" / "weights.safetensors").stat().st_mtime_ns == before
    assert "| unet + resunet |" in (tmp_path / "weights.md").read_text()


@pytest.mark.slow
def test_killed_within_the_second_member_it_ends_in_the_same_ensemble(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through, killed = tmp_path / "through", tmp_path / "killed"
    trainer = tiny(tiny_work)
    trainer.recipe = replace(trainer.recipe, epochs=2)
    trainer.train(job(tiny_work, through))
    code = (
        "import os, signal, sys; from pathlib import Path; from dataclasses import replace\n"
        "from tests.trainers.medfusionnet import test_trainer as t\n"
        "t.die(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_work.root), str(killed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert not (killed / "ensemble.json").exists()
    assert not (killed / "member_resunet" / "model.json").exists()
    with pytest.raises(UserError, match="finish its training with --continue"):
        find_models([killed])
    trainer.train(job(tiny_work, killed, resume=True))
    for name in ("unet", "resunet"):
        first, second = (load_file(f / f"member_{name}" / "weights.safetensors") for f in (through, killed))
        assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert (through / "weights.csv").read_text() == (killed / "weights.csv").read_text()
    assert EnsembleCard.load(through) == EnsembleCard.load(killed)


def die(root: Path, folder: Path) -> None:
    """Trains until the second member's fourth update, which a signal ends."""
    budget.precisions = lambda device: (Precision(),)
    loop.CHECKPOINT_SECONDS = 0.0
    work = WorkFolder(root)
    trainer = tiny(work)
    kind, step = type(trainer), type(trainer).training_step

    def dying(self, context, batch):  # type: ignore[no-untyped-def]
        if self.options.members == ("resunet",) and context.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, context, batch)

    kind.training_step = dying
    trainer.recipe = replace(trainer.recipe, epochs=2)
    trainer.train(job(work, folder))


@pytest.mark.slow
def test_enlarging_before_the_split_puts_images_on_both_sides_and_says_so(
    tiny_work: WorkFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tiny(tiny_work, "published_enlarged_first", members=["unet"]).train(job(tiny_work, tmp_path))
    assert "copies of one image are trained on and scored" in caplog.text
    split = Split.load(tmp_path)
    assert set(split.fold.train) & set(split.fold.test)
    assert split.warning
    assert "WARNING: the images were enlarged before" in (tmp_path / "weights.md").read_text()


@pytest.mark.slow
def test_trained_on_every_case_members_weigh_the_same(
    tiny_work: WorkFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = job(tiny_work, tmp_path, fold=Fold(IDS, ()), fold_name="all")
    with caplog.at_level(logging.WARNING):
        assert tiny(tiny_work).train(given) is None
    assert [member.weight for member in EnsembleCard.load(tmp_path).members] == [0.5, 0.5]
    assert "every member weighs the same" in caplog.text


# A time budget.


class Spending:
    """Trainings that take what is left of a member's share after its predictions, on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reserved: float, lateness: float = 1.0) -> None:
        self.now, self.reserved, self.lateness = 0.0, reserved, lateness
        self.trained: list[float] = []
        self.after: list[ValidationCost] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr("trainers.medfusionnet.trainer.fit", self.fit)
        monkeypatch.setattr("trainers.medfusionnet.trainer.validate", lambda *asked: None)
        monkeypatch.setattr(MedFusionNetTrainer, "_combine", lambda *asked: None)

    def fit(self, trainer: MedFusionNetTrainer, job: TrainingJob, after: ValidationCost) -> None:
        self.trained.append(self.lateness * (job.seconds_left() - self.reserved))
        self.after.append(after)
        self.now += self.trained[-1]


@pytest.mark.parametrize("reserved", [0.0, 60.0])
def test_minutes_are_divided_among_the_members(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: float
) -> None:
    """What each leaves for the predictions goes to no other member."""
    spending = Spending(monkeypatch, reserved)
    made(tiny_work, "adapted").train(job(tiny_work, tmp_path, minutes=10.0, started=0.0))
    assert spending.trained == pytest.approx([600 / 4 - reserved] * 4)
    assert 600 - spending.now == pytest.approx(4 * reserved)


def test_members_that_come_late_leave_less_to_the_next(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending = Spending(monkeypatch, 0.0, lateness=1.2)
    made(tiny_work, "adapted").train(job(tiny_work, tmp_path, minutes=10.0, started=0.0))
    assert spending.trained[0] == pytest.approx(1.2 * 150)
    assert spending.trained[3] < spending.trained[2] < spending.trained[1] < spending.trained[0]


def test_members_leave_room_for_the_search_and_for_the_scores(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending, trainer = Spending(monkeypatch, 0.0), made(tiny_work)
    given = job(tiny_work, tmp_path, minutes=10.0, started=0.0)
    trainer.train(given)
    validation, test = len(SPLIT.validation), len(SPLIT.test)
    cases = 4 * (validation + test) + test  # by all members for the search, and as the ensemble's answers
    windows = SHAPE[0] * (4 * (validation + test) + 2 * test)  # one a slice of 128 x 128; a pair answers
    each = ValidationCost(ceil(windows / 4), ceil(cases / 4))
    assert spending.after == [each] * 4
    assert trainer._after(given, 1) == ValidationCost(windows, cases)  # the others are trained already
    assert trainer._after(replace(given, fold=Fold(IDS, ())), 4) == ValidationCost(0, 0)


def test_without_a_budget_members_have_none(tiny_work: WorkFolder, tmp_path: Path, untrained: Untrained) -> None:
    made(tiny_work, "adapted").train(job(tiny_work, tmp_path))
    assert [each[1].minutes for each in untrained.members] == [None] * 4


# Which images the parts hold.


class Untrained:
    """Notes the jobs of members instead of training them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.members: list[tuple[MedFusionNetTrainer, TrainingJob]] = []
        monkeypatch.setattr("trainers.medfusionnet.trainer.fit", lambda *asked: self.members.append(asked[:2]))
        monkeypatch.setattr("trainers.medfusionnet.trainer.validate", lambda *asked: None)
        monkeypatch.setattr(MedFusionNetTrainer, "_combine", lambda *asked: None)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Untrained:
    return Untrained(monkeypatch)


def test_the_middle_slices_are_written_to_split_json(
    tiny_work: WorkFolder, tmp_path: Path, untrained: Untrained
) -> None:
    Split("patient", SPLIT, "assigned").save(tmp_path)
    made(tiny_work).train(job(tiny_work, tmp_path))
    split = Split.load(tmp_path)
    parts = [dict.fromkeys(ids, (2,)) for ids in (SPLIT.train, SPLIT.validation, SPLIT.test)]
    assert split == Split("patient", replace(SPLIT, slices=FoldSlices(*parts)), "assigned")
    assert not split.warning
    made(tiny_work).train(job(tiny_work, tmp_path, fold=split.fold, resume=True))
    assert Split.load(tmp_path) == split
    assert [each.fold == split.fold for _, each in untrained.members] == [True] * 2 * len(MEMBERS)


def unannotated(root: Path, ids: tuple[str, ...]) -> WorkFolder:
    """A work folder whose cases `ids` have empty masks."""
    data = write_dataset(root / "data")
    for case in ids:
        write_array(data / "masks" / f"{case}.mha", np.zeros(SHAPE, np.uint8))
    (data / "dataset.json").write_text('{"empty_masks": true}')
    request = PlanRequest(data, root / "work", ("2d_sagittal",), folds=3, workers=1, device="cpu")
    make_plans(request)
    return WorkFolder(root / "work")


def test_cases_without_an_annotated_slice_are_named_part_by_part(
    tmp_path: Path, untrained: Untrained, caplog: pytest.LogCaptureFixture
) -> None:
    bare = ("2_t2", "6_t2")
    work = unannotated(tmp_path, bare)
    fold = Fold(IDS[:3], IDS[3:4], IDS[4:])
    with caplog.at_level(logging.WARNING):
        made(work).train(job(work, tmp_path / "model", fold=fold))
    assert set(untrained.members[0][1].fold.cases) == set(IDS) - set(bare)
    assert "training: 1 of 3 cases have no annotated slice, so they are neither" in caplog.text
    assert "test: 1 of 2 cases have no annotated slice, so they are neither trained on nor scored: 6_t2" in caplog.text
    assert "validation:" not in caplog.text
    for refused, what in (((bare[:1], IDS[2:3]), "train on"), ((IDS[:1], IDS[2:3], bare[1:]), "score")):
        with pytest.raises(UserError, match=f"fold 0: has no annotated slice to {what}; annotate more"):
            made(work).train(job(work, tmp_path / "model", fold=Fold(*refused)))


def test_whole_cases_stay_whole_in_split_json(tiny_work: WorkFolder, tmp_path: Path, untrained: Untrained) -> None:
    Split("patient", SPLIT, "assigned").save(tmp_path)
    made(tiny_work, "adapted").train(job(tiny_work, tmp_path))
    assert Split.load(tmp_path).fold == SPLIT


# Options of autospine_train.


def test_members_are_checked_before_anything_is_trained(tiny_work: WorkFolder) -> None:
    def refuses(problem: str, **changes: object) -> None:
        with pytest.raises(UserError, match=problem):
            train(TrainRequest(tiny_work.root, plan="2d_sagittal", device="cpu", **changes))  # type: ignore[arg-type]
        assert not (tiny_work.root / "models").exists()

    refuses("--members: is no choice of unet", trainer="unet", members=("unet",))
    refuses("--members: vgg", trainer="medfusionnet", members=("vgg",))
    refuses("flips is 'odd', none of none, horizontal", trainer="medfusionnet", options={"flips": "odd"})
    for number in (0, -3, 0.5, float("nan"), float("inf")):
        options = {"enlargement": number}
        refuses(f"enlargement is {number:g}", trainer="medfusionnet", options=options)
    options = {"enlarge": "before"}
    refuses("enlarge=before: splits copies, .* add --option enlargement=8", trainer="medfusionnet", options=options)


def test_copies_are_split_by_every_recipe_that_makes_some(tiny_work: WorkFolder) -> None:
    for recipe, changes in (
        ("published", {}),
        ("published_enlarged_first", {}),
        ("adapted", {"enlargement": 1.6}),
    ):
        assert made(tiny_work, recipe, enlarge="before", **changes).options.enlarge == "before"


def test_what_was_chosen_names_the_folder_but_members_do_not() -> None:
    from autospine.training.run import _recipe

    def named(**changes: object) -> Recipe:
        request = TrainRequest(Path(), "medfusionnet", **changes)  # type: ignore[arg-type]
        return _recipe(MedFusionNetTrainer, request, None, None)

    assert named(members=("unet",)).name == "adapted"
    assert named(members=("unet",)).options["members"] == ["unet"]
    assert named(options={"flips": "both"}).name != "adapted"
    assert named(recipe="published").options == MedFusionNetTrainer.recipes["published"].options
