from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.core.errors import UserError
from autospine.inference.ensemble_card import ENSEMBLE, EnsembleCard, Member
from autospine.inference.model import Model, find_models, read_model, save_model
from autospine.labels.conversion import get_scheme
from autospine.models.files import CARD, WEIGHTS, file_hash
from autospine.planning.splits import Fold
from autospine.preprocessing.grid import Grid
from autospine.training.job import TrainingJob
from tests.paths import ROOT
from tests.tiny import make_plan, ordered_encoding
from tests.toys import QUICK, ToyTrainer

CPU = torch.device("cpu")


@pytest.fixture
def save(tmp_path: Path, toys: None) -> Callable[..., Model]:
    def saved(name: str = "fold_0", plan=None, recipe=QUICK, kind=ToyTrainer) -> Model:
        trainer = kind(plan or make_plan(ordered_encoding()), recipe)
        shape = replace(trainer.shape(), widths=(3, 5))
        torch.manual_seed(len(name))
        job = TrainingJob(tmp_path, tmp_path / name, tmp_path, Fold(("a", "b"), ("c",)), name[-1], CPU)
        network = trainer.build(shape).eval()
        save_model(job.folder, trainer.model_card(shape, job), network.state_dict())
        saved.network = network
        return read_model(job.folder)

    return saved


def test_whoever_may_read_the_card_may_read_the_weights(save) -> None:
    folder = save().folder
    assert (folder / WEIGHTS).stat().st_mode == (folder / CARD).stat().st_mode


def test_a_model_saved_is_a_model_loaded(save) -> None:
    model = save()
    image = torch.randn(1, 1, 32, 24)
    with torch.no_grad():
        assert torch.equal(model.network(CPU)(image), save.network(image))
    assert not model.network(CPU).training
    card = model.card
    assert (card.trainer, card.fold, card.trained_on) == ("toy", "0", ("a", "b"))
    assert card.recipe == QUICK
    assert card.shape.widths == (3, 5)
    assert card.weights == file_hash(model.folder / WEIGHTS)
    assert model.name == f"toy/2d_sagittal/quick/fold_0@{card.weights[:12]}"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_weights_cut_short_are_a_users_error(save, share: float) -> None:
    path = save().folder / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"weights\.safetensors.*damaged") as caught:
        read_model(path.parent).network(CPU)
    assert "\n" not in str(caught.value)


def test_weights_that_were_changed_are_a_users_error(save) -> None:
    path = save().folder / WEIGHTS
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 0x41
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        read_model(path.parent).network(CPU)


def test_missing_weights_and_those_of_another_network(save) -> None:
    first, other = save("fold_0"), save("fold_1", make_plan(ordered_encoding(3)))
    (first.folder / WEIGHTS).write_bytes((other.folder / WEIGHTS).read_bytes())
    for model in (first, replace(first, card=replace(first.card, weights=other.card.weights))):
        with pytest.raises(UserError, match=r"model\.json"):
            model.network(CPU)
    (first.folder / WEIGHTS).unlink()
    with pytest.raises(UserError, match="missing"):
        first.network(CPU)


def test_a_pickle_in_place_of_weights_is_not_opened(save, tmp_path: Path) -> None:
    mark = tmp_path / "was_run"

    class Harmful:
        def __reduce__(self) -> tuple:
            return (Path.touch, (mark,))

    model = save()
    for content in (pickle.dumps(Harmful()), b""):
        (model.folder / WEIGHTS).write_bytes(content)
        with pytest.raises(UserError):
            model.network(CPU)
    torch.save(Harmful(), model.folder / WEIGHTS)
    with pytest.raises(UserError):
        model.network(CPU)
    assert not mark.exists()


def test_nothing_in_the_project_unpickles() -> None:
    """torch.load only with weights_only, numpy.load never with pickles, no pickle.load but between own processes."""
    for path in [p for room in ("autospine", "planners", "trainers") for p in (ROOT / room).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            call = ast.unparse(node)
            if node.func.attr in ("load", "loads") and ast.unparse(node.func.value) == "torch":
                assert "weights_only=True" in call, f"{path}: {call}"
            unpickles = ast.unparse(node.func) in ("pickle.load", "pickle.loads")
            assert not unpickles or path == ROOT / "autospine" / "core" / "isolation.py", f"{path}: {call}"
            assert "allow_pickle=True" not in call, f"{path}: {call}"
            assert "broadcast_object" not in call, f"{path}: {call}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda card: card | {"version": 99}, "newer AutoSpine; update"),
        (lambda card: card | {"version": 1}, "older AutoSpine; train the model again"),
        (lambda card: card | {"colour": "red"}, "colour"),
        (lambda card: {k: v for k, v in card.items() if k != "plan"}, "plan"),
        (lambda card: [], "object"),
    ],
)
def test_a_foreign_card_is_a_users_error(save, change: Callable, problem: str) -> None:
    path = save().folder / CARD
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=problem) as caught:
        read_model(path.parent)
    assert str(path) in str(caught.value)


def test_a_card_cut_short_is_a_users_error(save) -> None:
    path = save().folder / CARD
    path.write_text(path.read_text()[:500])
    with pytest.raises(UserError, match="not valid JSON"):
        read_model(path.parent)


def test_a_folder_of_folds_stands_for_its_finished_ones(save, tmp_path: Path) -> None:
    save("fold_0")
    save("fold_1")
    (tmp_path / "fold_2").mkdir()
    (tmp_path / "fold_2" / WEIGHTS).write_bytes(b"training")
    assert [model.folder.name for model in find_models([tmp_path])] == ["fold_0", "fold_1"]
    assert [model.folder.name for model in find_models([tmp_path / "fold_1"])] == ["fold_1"]
    with pytest.raises(UserError, match="holds no finished model"):
        find_models([tmp_path / "fold_2"])


class Semantic(ToyTrainer):
    scheme = "semantic4"


def test_models_that_answer_in_different_ways_are_not_averaged(save, tmp_path: Path) -> None:
    save("fold_0")
    base = make_plan(ordered_encoding())
    for name, settings, problem in (
        ("fold_1", {"plan": make_plan(ordered_encoding(4))}, "other labels"),
        ("fold_2", {"kind": Semantic}, "other labels"),
        ("fold_3", {"plan": replace(base, view_axis=1)}, "another plan"),
        ("fold_4", {"plan": replace(base, grid=Grid((4.0, 1.0, 1.0)))}, r"spacing 4 x 1 x 1 mm\) than"),
        ("fold_5", {"plan": replace(base, channels=("t2",))}, "another plan"),
    ):
        save(name, **settings)
        with pytest.raises(UserError, match=problem):
            find_models([tmp_path / "fold_0", tmp_path / name])
    assert get_scheme("semantic4") == read_model(tmp_path / "fold_2").card.scheme


def ensemble(save, folder: Path, weights: tuple[float, ...] = (0.25, 0.75)) -> list[Model]:
    members = [save(f"{folder.name}/member_{k}") for k in range(len(weights))]
    rows = [Member(m.folder.name, w, m.card.weights) for m, w in zip(members, weights, strict=True) if w]
    EnsembleCard(tuple(rows), "by hand").save(folder)
    return members


def test_an_ensemble_stands_for_its_members_with_their_weights(save, tmp_path: Path) -> None:
    ensemble(save, tmp_path / "fold_0", (0.25, 0.0, 0.75))
    found = find_models([tmp_path / "fold_0"])
    assert [(m.folder.name, m.weight) for m in found] == [("member_0", 0.25), ("member_2", 0.75)]
    assert found[0].name.startswith("0.25 x toy/2d_sagittal")
    save("fold_1")  # beside it a model of its own: as much as the ensemble as a whole
    assert [m.weight for m in find_models([tmp_path])] == [0.25, 0.75, 1.0]


def test_members_that_are_missing_or_others_are_named(save, tmp_path: Path) -> None:
    folder = tmp_path / "fold_0"
    members = ensemble(save, folder)
    card = (folder / ENSEMBLE).read_text()
    (folder / ENSEMBLE).unlink()
    with pytest.raises(UserError, match=r"no ensemble\.json; finish its training"):
        find_models([folder])
    (folder / ENSEMBLE).write_text(card.replace(members[0].card.weights, members[0].card.weights[::-1]))
    with pytest.raises(UserError, match=r"member_0: is not the member that .*ensemble\.json"):
        find_models([folder])
    (folder / ENSEMBLE).write_text(card)
    (members[1].folder / CARD).unlink()
    with pytest.raises(UserError, match="member_1: is missing"):
        find_models([folder])


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('"weight": 0.75', '"weight": 0.85', "the weights sum to 1.1, not to 1"),
        ('"weight": 0.75', '"weight": -0.75', "below 0"),
        ('"version": 1', '"version": 9', "newer AutoSpine"),
        ('"reason"', '"colour"', "colour"),
    ],
)
def test_a_foreign_ensemble_card_is_a_users_error(save, tmp_path: Path, before: str, after: str, problem: str) -> None:
    folder = tmp_path / "fold_0"
    ensemble(save, folder)
    (folder / ENSEMBLE).write_text((folder / ENSEMBLE).read_text().replace(before, after))
    with pytest.raises(UserError, match=problem) as caught:
        find_models([folder])
    assert ENSEMBLE in str(caught.value)
