"""autospine_ensemble on models of a tiny data set, from the command to a mask."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.ensemble.run import EnsembleRequest, make_ensemble, names_of
from autospine.inference.model import Model, find_models, read_model, save_model
from autospine.inference.predict import predict, segment
from autospine.inference.predictor import Predictor
from autospine.models.files import CARD
from autospine.planning.split_strategies import Split, SplitStrategy
from autospine.planning.splits import Fold, FoldSlices
from autospine.preprocessing.grid import Grid
from autospine.volumes import read_image
from tests.autospine.commands.conftest import command as command  # noqa: PLC0414
from tests.tiny import IDS, make_job, plan_of
from tests.toys import QUICK, PreparedTrainer, ToyTrainer

CPU = torch.device("cpu")
FOLD = Fold(IDS[:3], IDS[3:5], IDS[5:])
pytestmark = pytest.mark.usefixtures("toys")


class Semantic(ToyTrainer):
    scheme = "semantic4"


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospine.inference.predictor.prediction_precision", lambda *_: Precision())


@pytest.fixture
def save(tiny_work: WorkFolder, tmp_path: Path) -> Callable[..., Model]:
    def saved(
        name: str,
        kind=ToyTrainer,
        recipe=QUICK,
        fold: Fold = FOLD,
        strategy: SplitStrategy = "folds",
        **changes: object,
    ) -> Model:
        recipe = replace(recipe, learns="classes")
        trainer = kind(replace(plan_of(tiny_work, 2), **changes), recipe)
        torch.manual_seed(len(name) + ord(name[-1]))
        job = make_job(tiny_work, trainer.plan, tmp_path / name, fold=fold)
        shape = trainer.shape()
        weights = trainer.build(shape).state_dict()
        save_model(job.folder, trainer.model_card(shape, job), weights)
        Split(strategy, fold, "by hand").save(job.folder)
        return read_model(job.folder)

    return saved


def asked(tmp_path: Path, *models: Model, **changes: object) -> EnsembleRequest:
    settings: dict = {"output": tmp_path / "ensemble", "device": "cpu", **changes}
    return EnsembleRequest(tuple(model.folder for model in models), **settings)


def scan(work: WorkFolder) -> Path:
    return work.root.parent / "data" / "images" / "6_t2.mha"


def test_given_weights_make_a_folder_that_predicts_like_a_model(tiny_work: WorkFolder, tmp_path: Path, save) -> None:
    models = [save("a"), save("b"), save("c", PreparedTrainer, PreparedTrainer.recipes["cropped"])]
    text = make_ensemble(asked(tmp_path, *models, weights=(0.5, 0.2, 0.3)))
    assert "0.5 x toy, 0.2 x toy_2, 0.3 x prepared" in text
    for model in models:  # the ensemble holds all that it needs
        model.folder.rename(model.folder.with_name(f"{model.folder.name}_away"))
    moved = shutil.move(tmp_path / "ensemble", tmp_path / "elsewhere")
    found = predict(scan(tiny_work), moved, device="cpu")
    volume, stored = read_image(scan(tiny_work)), []
    assert found.mask.shape == volume.array.shape
    assert [name.split(" x ")[0] for name in found.models] == ["0.5", "0.2", "0.3"]
    members = find_models([moved])
    for number, group in enumerate([*([replace(m, weight=1.0)] for m in members), members]):
        segment([volume], Predictor(group, CPU), probabilities=tmp_path / f"{number}.npy")
        stored.append(np.load(tmp_path / f"{number}.npy").astype(np.float32))
    expected = 0.5 * stored[0] + 0.2 * stored[1] + 0.3 * stored[2]
    np.testing.assert_allclose(stored[3], expected, atol=2e-3)


def test_without_weights_all_count_the_same(tmp_path: Path, save) -> None:
    make_ensemble(asked(tmp_path, save("a"), save("b"), save("c")))
    assert [model.weight for model in find_models([tmp_path / "ensemble"])] == pytest.approx([1 / 3] * 3)


def test_the_search_takes_what_scores_best_and_reports_on_other_cases(
    tiny_work: WorkFolder, tmp_path: Path, save
) -> None:
    models = [save("a"), save("b"), save("c", recipe=replace(QUICK, patch=(48, 24)))]
    text = make_ensemble(asked(tmp_path, *models, search=True, work=tiny_work.root))
    folder = tmp_path / "ensemble"
    weights = {m.folder.name: m.weight for m in find_models([folder])}
    assert sum(weights.values()) == pytest.approx(1)
    assert all(abs(20 * w - round(20 * w)) < 1e-9 for w in weights.values())
    assert {path.name for path in folder.glob("member_*")} == set(weights)
    difference = json.loads((folder / "difference.json").read_text())
    assert (difference["subset"], difference["images"], difference["chosen_on_other_images"]) == ("test", 1, True)
    assert set(difference["members"]) == {"toy", "toy_2", "toy_3"}
    assert {p.stem for p in (folder / "probabilities" / "validation").glob("*.json")} == set(IDS[3:5])
    assert not list(folder.glob("probabilities/*/.*"))
    assert "# Weights of the ensemble" in text
    with open(folder / "weights.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["second"]) for row in rows) == 3 * 21
    assert sum(int(row["chosen"]) for row in rows) == 1
    with pytest.raises(UserError, match="already holds an ensemble"):
        make_ensemble(asked(tmp_path, *models))


def test_images_that_a_training_narrowed_its_cases_to_are_searched(
    tiny_work: WorkFolder, tmp_path: Path, save, caplog: pytest.LogCaptureFixture
) -> None:
    """Middle slices, no case in two parts: no warning of slices on both sides, and the same cases as whole ones."""
    parts = (dict.fromkeys(ids, (2,)) for ids in (FOLD.train, FOLD.validation, FOLD.test))
    middle = replace(FOLD, slices=FoldSlices(*parts))
    models = [save("a", fold=middle, strategy="patient"), save("b")]
    make_ensemble(asked(tmp_path, *models, search=True, work=tiny_work.root))
    stored = tmp_path / "ensemble" / "probabilities"
    assert {path.stem for path in stored.glob("*/*.json")} == {f"{case}_slice2" for case in IDS[3:]}
    assert "split by slices" not in caplog.text
    with pytest.raises(UserError, match=r"was trained on .* of --fold 1's cases"):
        make_ensemble(asked(tmp_path, *models, output=tmp_path / "b2", search=True, work=tiny_work.root, fold="1"))


def test_the_command_says_what_it_made(command: Callable, tmp_path: Path, save) -> None:
    from autospine.commands.ensemble import main

    models = [str(save(name).folder) for name in "ab"]
    answer = command(main, "-m", *models, "-o", str(tmp_path / "e"), "--weights", "0.85", "0.15")
    assert answer.status == 0
    assert f"autospine_predict -i SCANS -o MASKS -m {tmp_path / 'e'}" in answer.out
    answer = command(main, "-m", *models, "-o", str(tmp_path / "f"), "--weights", "0.85", "0.25")
    assert answer.status == 2
    assert answer.err.endswith(
        "error: --weights 0.85 0.25: the weights sum to 1.1, not to 1; give shares of one, such as 0.85 0.15\n"
    )
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ((0.5, 0.4), "sum to 0.9, not to 1"),
        ((1.0,), "gives 1 for 2 models"),
        ((1.5, -0.5), "below 0"),
        ((float("nan"), 1.0), "no number"),
    ],
)
def test_weights_that_are_no_shares(tmp_path: Path, save, weights, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        make_ensemble(asked(tmp_path, save("a"), save("b"), weights=weights))
    assert not (tmp_path / "ensemble").exists()


OTHER = Fold(IDS[1:4], IDS[4:])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"kind": Semantic}, r"predicts other labels \(semantic4, 4 classes\) than .*spider, 12 classes"),
        ({"grid": Grid((4.0, 1.5, 1.5))}, r"b: has another plan \(spacing 4 x 1.5 x 1.5 mm\) than"),
        ({"fold": OTHER}, r"b: was trained on another fold than .*1_t1, 4_t2"),
    ],
    ids=["schemes", "spacings", "folds"],
)
def test_models_that_do_not_go_together(tmp_path: Path, save, changes: dict, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        make_ensemble(asked(tmp_path, save("a"), save("b", **changes)))
    assert not (tmp_path / "ensemble").exists()


def test_models_that_have_other_slices_of_the_same_cases(tmp_path: Path, save) -> None:
    def fold_from(first: int) -> Fold:
        parts = [tuple(k for k in range(6) if (k + first) % 3 == part) for part in range(3)]
        slices = FoldSlices(*({case: part for case in IDS} for part in parts))
        return Fold(IDS, IDS, IDS, slices)

    one, same, other = (
        save(name, fold=fold_from(k), strategy="slices") for name, k in zip("abc", (0, 0, 1), strict=True)
    )
    with pytest.raises(UserError, match=r"c: was trained on other slices than .*a; take models of one fold"):
        make_ensemble(asked(tmp_path, one, other))
    make_ensemble(asked(tmp_path, one, same))


def test_a_model_is_not_made_an_ensemble(tmp_path: Path, save) -> None:
    first, second = save("a"), save("b")
    with pytest.raises(UserError, match="a: already holds a model; name another folder"):
        make_ensemble(asked(tmp_path, first, second, output=first.folder))


def test_members_of_one_name_are_numbered_apart(tmp_path: Path, save) -> None:
    models = [save("member_toy_2"), save("a"), save("b")]
    assert names_of(models) == ("toy_2", "toy", "toy_3")
    make_ensemble(asked(tmp_path, *models))
    assert len(find_models([tmp_path / "ensemble"])) == 3


def test_models_that_are_missing_alone_or_ensembles(tmp_path: Path, save) -> None:
    first, second = save("a"), save("b")
    with pytest.raises(UserError, match="names one model"):
        make_ensemble(asked(tmp_path, first))
    with pytest.raises(UserError, match="is given twice"):
        make_ensemble(asked(tmp_path, first, first))
    with pytest.raises(UserError, match=r"nobody/model\.json: does not exist"):
        make_ensemble(asked(tmp_path, first, replace(first, folder=tmp_path / "nobody")))
    (second.folder / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: does not exist"):
        make_ensemble(asked(tmp_path, first, second))
    assert not (tmp_path / "ensemble").exists()
    make_ensemble(asked(tmp_path, first, save("c"), output=tmp_path / "one"))
    with pytest.raises(UserError, match="is an ensemble itself; name its members"):
        make_ensemble(asked(tmp_path, first, replace(first, folder=tmp_path / "one")))
    shutil.rmtree(tmp_path / "one" / "member_toy_2")
    with pytest.raises(UserError, match="member_toy_2: is missing"):
        find_models([tmp_path / "one"])


def test_what_a_search_needs(tiny_work: WorkFolder, tmp_path: Path, save) -> None:
    models = [save("a"), save("b")]

    def refuses(problem: str, **changes: object) -> None:
        with pytest.raises(UserError, match=problem):
            make_ensemble(asked(tmp_path, *models, **changes))
        assert not (tmp_path / "ensemble").exists()

    refuses("--search: needs the annotated cases; add --work", search=True)
    refuses("--work: belongs to --search", work=tiny_work.root)
    refuses("--fold 7: does not exist; choose from 0, 1, 2", search=True, work=tiny_work.root, fold="7")
    refuses("holds no plans", search=True, work=tmp_path)
    everyone = replace(FOLD, train=IDS, validation=(), test=())
    models = [save("d", fold=everyone), save("e", fold=everyone)]
    refuses("has no validation case", search=True, work=tiny_work.root)
    refuses("was trained on .* of --fold 1's cases", search=True, work=tiny_work.root, fold="1")
    (models[0].folder / "split.json").unlink()
    refuses(r"split\.json: does not exist; say --fold K", search=True, work=tiny_work.root)
    assert (models[0].folder / CARD).exists()
