from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.planning import run as planning
from autospine.planning.plan import VERSION, Plans
from autospine.planning.report import describe
from autospine.planning.run import PlanRequest, PlanResult, make_plans
from autospine.planning.splits import Splits
from autospine.preprocessing.storage import CaseStore
from tests.paths import ROOT

Spine = Callable[..., None]
EVERY_PLAN = ("2d_sagittal", "2d_axial", "3d_volume")
IDS = ["1_t1", "1_t2", "2_t2", "3_t2", "4_t2_SPACE"]
KILLED_AT_THE_THIRD_MASK = """
import os, signal, sys
from pathlib import Path
from autospine.preprocessing import storage
from autospine.planning.run import PlanRequest, make_plans

write, masks = storage.write_with, []

def killed(path, fill):
    masks.extend([path] if "mask" in path.name else [])
    if len(masks) == 3:
        fill = lambda temporary: (temporary.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
    write(path, fill)

storage.write_with = killed
make_plans(PlanRequest(Path(sys.argv[1]), Path(sys.argv[2]), device="cpu", workers=1))
"""


@pytest.fixture
def data(tmp_path: Path, spine: Spine) -> Path:
    for case_id in IDS:
        spine(tmp_path / "data", case_id)
    return tmp_path / "data"


def request(data: Path, **changes: object) -> PlanRequest:
    made = PlanRequest(data, data.parent / "work", device="cpu", memory_gib=8.0, workers=1)
    return replace(made, **changes)


def plan(data: Path, **changes: object) -> PlanResult:
    return make_plans(request(data, **changes))


def subset(data: Path, **subsets: str) -> None:
    with open(data / "overview.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["new_file_name", "subset"])
        rows.writerows(subsets.items())


def stored(work: Path, name: str = "2d_sagittal") -> list[str]:
    """Ids of the cases that are wholly there."""
    folder = work / "preprocessed" / name
    return sorted(path.stem for path in folder.glob("*.json")) if folder.exists() else []


def stamps(work: Path) -> dict[str, int]:
    return {str(p.relative_to(work)): p.stat().st_mtime_ns for p in work.rglob("*") if p.is_file()}


def assert_whole(folder: Path) -> None:
    """No temporary file, no file cut off, no case without its arrays."""
    for path in folder.rglob("*"):
        assert ".partial." not in path.name
        if path.suffix == ".json":
            json.loads(path.read_text())
    for record in folder.glob("preprocessed/*/*.json"):
        store = CaseStore(record.parent, record.stem)
        assert store.image[:].shape[1:] == store.mask[:].shape == store.record.shape


def test_everything_is_made(data: Path) -> None:
    outcome = plan(data, plans=EVERY_PLAN)
    work = WorkFolder(data.parent / "work")
    assert Fingerprint.load(work.fingerprint) == outcome.fingerprint
    assert Plans.load(work.plans).plans == outcome.plans
    assert [each.name for each in outcome.plans] == list(EVERY_PLAN)
    assert set(work.load_sources()) == set(IDS)
    assert all(stored(work.root, name) == IDS for name in EVERY_PLAN)
    assert_whole(work.root)
    work.check()
    record = CaseStore(work.preprocessed("2d_sagittal"), "1_t2").record
    assert (record.patient, record.sequence) == ("1", "t2")


def test_folds_keep_patients_together_and_cover_all(data: Path) -> None:
    splits = plan(data).splits
    assert len(splits.folds) == 4  # fewer patients than five
    assert sorted(i for fold in splits.folds for i in fold.validation) == IDS
    for fold in splits.folds:
        assert ("1_t1" in fold.train) == ("1_t2" in fold.train)
    assert len(plan(data, folds=2).splits.folds) == 2


def test_a_second_run_changes_no_stored_case(data: Path) -> None:
    first = plan(data)
    before = stamps(data.parent / "work" / "preprocessed")
    second = plan(data)
    assert stamps(data.parent / "work" / "preprocessed") == before
    assert first.to_preprocess == 5
    assert second.to_preprocess == 0
    assert second.plans == first.plans
    assert second.fingerprint == first.fingerprint


@pytest.mark.parametrize("part", ["record_path", "image_path", "mask_path"])
def test_what_is_missing_is_made_and_the_rest_left(data: Path, part: str) -> None:
    plan(data)
    work = data.parent / "work"
    before = stamps(work / "preprocessed")
    store = CaseStore(work / "preprocessed" / "2d_sagittal", "2_t2")
    getattr(store, part).unlink()
    assert plan(data, dry_run=True).to_preprocess == 1
    assert plan(data).to_preprocess == 1
    after = stamps(work / "preprocessed")
    assert {name for name in before if before[name] != after[name]} == {
        f"2d_sagittal/2_t2{end}" for end in (".image.b2nd", ".mask.b2nd", ".json")
    }


def test_a_changed_mask_is_preprocessed_again(
    data: Path, write: Callable[..., Path], boxes: Callable[..., np.ndarray]
) -> None:
    plan(data)
    write(data / "masks" / "3_t2.mha", boxes([1, 2, 3, 4]))
    assert plan(data).to_preprocess == 1
    store = CaseStore(data.parent / "work/preprocessed/2d_sagittal", "3_t2")
    assert [label.value for label in store.record.labels] == [1, 2, 3, 4]


@pytest.mark.slow
def test_killed_in_the_middle_the_same_command_continues(data: Path) -> None:
    work = data.parent / "work"
    command = [sys.executable, "-c", KILLED_AT_THE_THIRD_MASK, str(data), str(work)]
    root = str(ROOT)
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": root})
    assert killed.returncode == -signal.SIGKILL
    assert stored(work) == ["1_t1", "1_t2"]
    assert list(work.rglob(".*.partial.*"))
    before = stamps(work / "preprocessed")
    assert plan(data).to_preprocess == 3
    after = stamps(work / "preprocessed")
    done = [name for name in before if Path(name).name.startswith("1_t")]
    assert len(done) == 6
    assert all(after[name] == before[name] for name in done)
    assert stored(work) == IDS
    assert_whole(work)


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(data: Path) -> None:
    outcome = plan(data, plans=EVERY_PLAN, dry_run=True)
    assert not (data.parent / "work").exists()
    assert "nothing was written. 5 cases would be preprocessed for 2d_sagittal, 2d_axial" in describe(outcome)
    plan(data)
    before = stamps(data.parent / "work")
    assert plan(data, dry_run=True).to_preprocess == 0
    assert plan(data, plans=EVERY_PLAN, dry_run=True).to_preprocess == 5
    assert stamps(data.parent / "work") == before


def test_a_second_plan_joins_the_first(data: Path) -> None:
    plan(data)
    plan(data, plans=("3d_volume",))
    work = data.parent / "work"
    assert [each.name for each in Plans.load(work / "plans.json").plans] == ["2d_sagittal", "3d_volume"]
    plan(data)
    assert len(Plans.load(work / "plans.json").plans) == 2


def test_the_users_own_folds_are_taken(data: Path) -> None:
    write_json(data / "mine.json", [{"train": ["1_t1", "1_t2"], "val": ["2_t2.mha"]}])
    outcome = plan(data, splits=data / "mine.json")
    assert outcome.splits.folds[0].validation == ("2_t2",)
    assert stored(data.parent / "work") == ["1_t1", "1_t2", "2_t2"]
    assert read_json(data.parent / "work/splits.json")["reason"] == "given by mine.json"
    assert read_json(data.parent / "work/splits.json")["user_defined"]


def test_validation_cases_are_in_no_fold_and_not_preprocessed(data: Path) -> None:
    subset(data, **{"4_t2_SPACE": "validation", "3_t2": "training"})
    outcome = plan(data)
    assert outcome.splits.held_out == ("4_t2_SPACE",)
    used = {i for fold in outcome.splits.folds for i in (*fold.train, *fold.validation)}
    assert used == {"1_t1", "1_t2", "2_t2", "3_t2"}
    assert stored(data.parent / "work") == sorted(used)
    assert "1 validation case" in describe(outcome)
    assert "4_t2_SPACE" in WorkFolder(data.parent / "work").load_sources()  # it can be scored later


def test_the_users_folds_may_validate_on_validation_cases_and_never_train_on_them(data: Path) -> None:
    subset(data, **{"4_t2_SPACE": "validation"})
    write_json(data / "mine.json", {"train": ["1_t1", "1_t2"], "validation": ["4_t2_SPACE"]})
    assert plan(data, splits=data / "mine.json").splits.held_out == ()
    assert stored(data.parent / "work") == ["1_t1", "1_t2", "4_t2_SPACE"]
    write_json(data / "mine.json", {"train": ["4_t2_SPACE"], "validation": ["1_t1"]})
    with pytest.raises(UserError, match=r"mine\.json: trains on 4_t2_SPACE"):
        plan(data, splits=data / "mine.json")


@pytest.mark.parametrize(("labels", "kind"), [([1, 2, 3, 4, 5], "vertebra"), ([201, 202, 203, 204, 205], "disc")])
def test_partly_labelled_sets_are_ordered(tmp_path: Path, spine: Spine, labels: list[int], kind: str) -> None:
    for case_id in ("1_t2", "2_t2"):
        spine(tmp_path / "data", case_id, labels=labels)
    outcome = plan(tmp_path / "data")
    assert [labels.kind.value for labels in outcome.fingerprint.ordered_labels] == [kind]
    encoding = outcome.plans[0].encoding
    assert [each.name for each in encoding.classes] == [kind]
    assert encoding.levels == (1, 2, 3, 4, 5)
    assert f"5 {kind} labels are ordered along the spine" in describe(outcome)


def test_unknown_integers_one_above_another_are_ordered_too(tmp_path: Path, spine: Spine) -> None:
    for case_id in ("1_t2", "2_t2"):
        spine(tmp_path / "data", case_id, labels=[41, 43, 50, 52])
    encoding = plan(tmp_path / "data").plans[0].encoding
    assert encoding.classes[0].values == (41, 43, 50, 52)
    assert encoding.ordered


def test_images_without_a_mask_are_left_out(data: Path) -> None:
    (data / "masks" / "2_t2.mha").unlink()
    outcome = plan(data)
    assert "2_t2" not in [case.id for case in outcome.fingerprint.cases]
    assert stored(data.parent / "work") == ["1_t1", "1_t2", "3_t2", "4_t2_SPACE"]


def test_one_patient_can_be_planned_with_folds_of_ones_own(tmp_path: Path, spine: Spine) -> None:
    for case_id in ("1_t1", "1_t2"):
        spine(tmp_path / "data", case_id)
    with pytest.raises(UserError, match=r"data: holds .* of one patient only \(1_t1, 1_t2\).*--splits FILE"):
        plan(tmp_path / "data")
    assert not (tmp_path / "work").exists()
    write_json(tmp_path / "mine.json", {"train": ["1_t1"], "validation": ["1_t2"]})
    assert len(plan(tmp_path / "data", splits=tmp_path / "mine.json").plans) == 1


def test_a_plan_of_a_newer_version_stops_everything_before_it_starts(data: Path) -> None:
    work = data.parent / "work"
    write_json(work / "plans.json", {"version": VERSION + 1, "plans": []})
    with pytest.raises(UserError, match=r"work/plans\.json: was made by a newer AutoSpine; update AutoSpine"):
        plan(data)
    assert list(stamps(work)) == ["plans.json"]


def test_a_case_that_cannot_be_stored_is_named_and_the_others_finish(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CaseStore.write

    def refuse(self: CaseStore, *rest: object) -> None:
        if self.id == "2_t2":
            raise UserError(self.image_path, "cannot be written", "check the folder")
        write(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(CaseStore, "write", refuse)
    with pytest.raises(UserError, match=r"2_t2\.image\.b2nd: cannot be written"):
        plan(data)
    assert stored(data.parent / "work") == ["1_t1", "1_t2", "3_t2", "4_t2_SPACE"]
    monkeypatch.undo()
    assert plan(data).to_preprocess == 1


def test_on_a_read_only_disk_no_case_is_read(data: Path, read_only_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "make_fingerprint", lambda *_: pytest.fail("read a case"))
    with pytest.raises(UserError, match=r"disk/work.*no permission.*choose another output folder"):
        plan(data, work=read_only_disk / "work")


@pytest.mark.parametrize("free", [0, 8, 24, 48, 72])
def test_a_full_disk_leaves_nothing_half_written_and_continues_later(data: Path, small_disk: Path, free: int) -> None:
    filler, work = small_disk / "filler", small_disk / "work"
    filler.write_bytes(bytes((256 - free) * 1024))
    with pytest.raises(UserError, match=r"disk/work.*: the disk is full.*; free some space and run the command"):
        plan(data, work=work)
    assert_whole(work)
    filler.unlink()
    plan(data, work=work)
    assert stored(work) == IDS


def test_saved_splits_can_be_given_back(data: Path) -> None:
    first = plan(data)
    again = plan(data, splits=data.parent / "work" / "splits.json").splits
    assert isinstance(again, Splits)
    assert again.folds == first.splits.folds
    assert (first.splits.user_defined, again.user_defined) == (False, True)
