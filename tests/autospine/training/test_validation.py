from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autospine.core.workspace import SourceCase, WorkFolder
from autospine.labels.schemes import SCHEMES
from autospine.planning.plan import Plan
from autospine.planning.splits import Fold
from autospine.preprocessing.storage import CaseStore
from autospine.preprocessing.transforms.base import TransformSettings
from autospine.reconstruction.grid import SliceGrid
from autospine.training.budget import ValidationCost, count_windows, validation_cost
from autospine.training.validation import reference_of
from tests.tiny import IDS, SHAPE, make_job, plan_of
from tests.toys import QUICK, ToyTrainer
from trainers.wgan_resunet.labels import AXIAL4, IGNORE_LABEL, derive_axial4

WITHOUT_CANAL = np.zeros((4, 6, 8), np.uint8)  # (slices, rows, columns)
WITHOUT_CANAL[1:3, 1:4, 2:5] = 1


@pytest.fixture
def trainer() -> SimpleNamespace:
    """The part of `wgan_resunet` that derives references."""
    derive = lambda mask, path: derive_axial4(mask, SCHEMES["spider"], path)  # noqa: E731
    derived, plan = SimpleNamespace(scheme=AXIAL4), SimpleNamespace(sources=())
    return SimpleNamespace(reference=derive, derived=derived, plan=plan)


def case_of(mask: str) -> SourceCase:
    return SourceCase("7_t2", ("7_t2.mha",), mask)


def test_a_mask_that_leaves_nothing_to_score_is_named(trainer, caplog: pytest.LogCaptureFixture) -> None:
    annotated, _ = reference_of(trainer, WITHOUT_CANAL, case_of("masks/7_t2.mha"))
    assert set(np.unique(annotated)) == {0, IGNORE_LABEL}
    assert caplog.messages == [
        "masks/7_t2.mha: nothing of the trainer's labels can be derived from it; it is not scored"
    ]


def test_nothing_is_said_where_there_is_something(trainer, caplog: pytest.LogCaptureFixture) -> None:
    mask = WITHOUT_CANAL.copy()
    mask[1:3, 1:4, 5] = 100
    assert {1, 2} <= set(np.unique(reference_of(trainer, mask, case_of("masks/7_t2.mha"))[0]))
    reference_of(trainer, np.zeros_like(mask), case_of("masks/empty.mha"))  # shows no vertebra, and says so itself
    assert not caplog.messages


@pytest.mark.parametrize(("dimension", "patch"), [(2, (32, 16)), (3, (6, 32, 16))])
def test_windows_are_counted_on_the_grid_that_the_steps_make(
    tiny_work: WorkFolder, tmp_path: Path, dimension: int, patch: tuple[int, ...]
) -> None:
    """The scored case need not be preprocessed: a test case is not, when training begins."""
    plan = plan_of(tiny_work, dimension)
    fitted = TransformSettings("fit", {"slices": 6, "rows": 32, "columns": 16})
    each = SHAPE[0] if dimension == 2 else 1
    assert counted(plan, tiny_work, tmp_path, patch, (fitted,)) == ValidationCost(each, 1)
    assert counted(plan, tiny_work, tmp_path, patch, ()).windows > 4 * each


@pytest.mark.parametrize("learns", ["classes", "levels"])
def test_of_interpolated_slices_only_those_are_counted_that_are_predicted(
    tiny_work: WorkFolder, tmp_path: Path, learns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Levels that are counted along the spine need them all."""
    trainer = ToyTrainer(plan_of(tiny_work, 2), replace(QUICK, patch=(80, 48), learns=learns))
    job = make_job(tiny_work, trainer.plan, tmp_path)
    record = CaseStore(job.cases, IDS[0]).record
    finer = replace(record, shape=(21, *SHAPE[1:]), slice_grid=SliceGrid(SHAPE[0], 4.0, 4))
    monkeypatch.setattr(CaseStore, "record", finer)
    assert count_windows(trainer, job.cases, IDS[:1]) == (21 if learns == "levels" else SHAPE[0])
    fitted = replace(trainer.recipe, transforms=(TransformSettings("fit", {"slices": 9}),))
    assert count_windows(ToyTrainer(trainer.plan, fitted), job.cases, IDS[:1]) == 9


def counted(
    plan: Plan, work: WorkFolder, folder: Path, patch: tuple[int, ...], steps: tuple[TransformSettings, ...]
) -> ValidationCost:
    trainer = ToyTrainer(plan, replace(QUICK, patch=patch, transforms=steps))
    return validation_cost(trainer, make_job(work, plan, folder, fold=Fold(IDS[:2], IDS[2:4], IDS[5:])))
