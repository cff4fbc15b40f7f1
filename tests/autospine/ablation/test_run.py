"""The command on a toy trainer: what it trains, keeps, continues and refuses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.ablation import run
from autospine.ablation.run import AblateRequest, ablate
from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.inference.model import read_model
from autospine.training import resolution
from autospine.training.run import TrainRequest

pytestmark = pytest.mark.usefixtures("toys")
VARIANTS = ("plain", "deep", "full")


def asked(work: WorkFolder, **changes: object) -> AblateRequest:
    settings: dict = {"plan": "2d_sagittal", "epochs": 1, "device": "cpu", **changes}
    return AblateRequest(work.root, "ablated", **settings)


def folder(work: WorkFolder, variant: str, recipe: str = "quick") -> Path:
    return work.model("ablated", "2d_sagittal", f"{recipe}_{variant}", "0")


def test_variants_are_trained_alike_and_tabled(work: WorkFolder) -> None:
    text = ablate(asked(work, seed=3))
    cards = [read_model(folder(work, variant)).card for variant in VARIANTS]
    assert [card.recipe.options for card in cards] == [
        {"deep": False, "adversary": False},
        {"adversary": False},
        {},
    ]
    assert len({card.trained_on for card in cards}) == 1
    for words in (
        "Toy et al.",
        "1 epoch, seed 3",
        "Table 2: HD mm",
        "| canal | paper | mean | paper |",
        "- A toy.",
    ):
        assert words in text
    place = work.root / "ablations" / "ablated" / "2d_sagittal" / "quick" / "fold_0"
    checkpoint = folder(work, "plain") / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True)["budget"]["precision"]["dtype"]
    assert next(line for line in text.splitlines() if line.startswith("| ")).endswith("| number format |")
    assert f"| {saved} |" in text
    checkpoint.unlink()
    assert text.count(f"| {saved} |") - 1 == ablate(asked(work, seed=3, resume=True)).count(f"| {saved} |")
    with open(place / "ablation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 2
    assert all(row["mean"] for row in rows)


def test_a_killed_ablation_goes_on_where_it_was(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second training is interrupted: the first is kept, the second and third are made."""
    trained: list[str] = []

    def interrupted(request: TrainRequest, recipe: object, plan: object) -> str:
        trained.append(recipe.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return run_train(request, recipe, plan)

    run_train = run.train
    monkeypatch.setattr(run, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablate(asked(work))
    kept = (folder(work, "plain") / "weights.safetensors").stat().st_mtime_ns
    with pytest.raises(UserError, match="already holds a training; add --continue"):
        ablate(asked(work))
    ablate(asked(work, resume=True, epochs=None))
    assert trained == ["quick_plain", "quick_deep", "quick_deep", "quick_full"]
    assert (folder(work, "plain") / "weights.safetensors").stat().st_mtime_ns == kept
    with pytest.raises(UserError, match="was begun with 1 epoch, seed 0; give the same, or only --continue"):
        ablate(asked(work, resume=True, epochs=2))
    trained.clear()
    ablate(asked(work, resume=True))
    assert trained == []


def test_budget_and_seed_outlast_an_interruption_before_the_first_checkpoint(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def interrupted(request: TrainRequest, recipe: object, plan: object) -> str:
        begun.append((request.epochs, request.minutes, request.seed, request.resume))
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", interrupted)
    for changes in (
        {"epochs": None, "minutes": 20, "seed": 3},
        {"epochs": None, "resume": True},
        {"epochs": 7, "resume": True},  # nothing is trained yet: another budget may be given
        {"epochs": None, "resume": True},
    ):
        with pytest.raises(KeyboardInterrupt):
            ablate(asked(work, **changes))
    assert begun == [(None, 20, 3, False), (None, 20, 3, False), (7, None, 0, False), (7, None, 0, False)]


def test_bad_requests_are_refused_before_anything_is_trained(work: WorkFolder) -> None:
    for changes, words in (
        ({"size": 100}, "--size 100: does not fit"),
        ({"fold": "cv"}, "--fold cv: is no single fold"),
        ({"fold": "9"}, "--fold 9: does not exist"),
        ({"epochs": 0}, "--epochs: is 0"),
        ({"epochs": None, "minutes": -2}, "--minutes: is -2"),
        ({"epochs": None, "minutes": float("nan")}, "--minutes: is nan"),
        ({"recipe": "fancy"}, "is no recipe of ablated"),
        ({"plan": "2d_axial"}, "2d_axial"),
    ):
        with pytest.raises(UserError, match=words):
            ablate(asked(work, **changes))
    assert not (work.root / "models").exists()
    assert not (work.root / "ablations").exists()


def test_a_trainer_without_variants_names_those_that_have_some(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = {name: registry.BUILT_IN["trainers"][name] for name in ("toy", "ablated")}
    monkeypatch.setitem(registry.BUILT_IN, "trainers", some)
    request = AblateRequest(work.root, "toy", epochs=1)
    with pytest.raises(UserError, match=r"--trainer toy: declares no variants; choose from .*ablated"):
        ablate(request)


def test_without_a_budget_variants_train_as_long_as_the_recipe_says(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(run, "train", lambda request, recipe, plan: seen.append((request.epochs, recipe.epochs)))
    with pytest.raises(UserError, match="has no scores"):
        ablate(asked(work, epochs=None))
    assert len(seen) == len(VARIANTS)
    assert len(set(seen)) == 1
    assert seen[0][0] == seen[0][1] > 0


def test_a_size_has_a_folder_of_its_own(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(run, "train", lambda request, recipe, plan: seen.append(recipe))
    with pytest.raises(UserError, match="has no scores"):
        ablate(asked(work, size=32))
    assert [recipe.name for recipe in seen] == [f"quick_size-32_{variant}" for variant in VARIANTS]
    assert {recipe.patch for recipe in seen} == {(32, 16)}


@pytest.mark.slow
def test_all_variants_are_compared_on_the_grid_that_the_first_took(
    work: WorkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long an update of another variant takes."""
    asked_for = []

    def choose(trainer, job):
        asked_for.append(job.folder)
        return replace(trainer.plan, batch=1, coarser=())

    monkeypatch.setattr(resolution, "_choose", choose)
    ablate(asked(work))
    assert asked_for == [folder(work, "plain")]
    assert {read_model(folder(work, variant)).card.plan.batch for variant in VARIANTS} == {1}
