from __future__ import annotations

from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.workspace import SourceCase, WorkFolder


def test_everything_lies_in_the_one_folder(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    places = [work.fingerprint, work.plans, work.splits, work.sources, work.cache, work.preprocessed("2d")]
    places.append(work.model("unet", "2d", "adapted", "0"))
    assert len(set(places)) == 7
    assert all(tmp_path in place.parents for place in places)
    assert places[-1] == tmp_path / "models" / "unet" / "2d" / "adapted" / "fold_0"


def test_a_folder_without_plans_says_which_command_comes_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no plans; run autospine_plan DATASET WORK first"):
        WorkFolder(tmp_path).check()
    write_json(tmp_path / "plans.json", {})
    WorkFolder(tmp_path).check()


def test_sources_come_back_as_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work = WorkFolder(tmp_path / "w")
    images = Path("d/1_0000.mha"), Path("d/1_0001.mha")
    work.save_sources([Path("d")], (SourceCase.of("1_t2", images, Path("m/1.mha")),))
    sources = work.load_sources()
    assert list(sources) == ["1_t2"]
    assert sources["1_t2"].images == (str(tmp_path / "d/1_0000.mha"), str(tmp_path / "d/1_0001.mha"))
    assert sources["1_t2"].mask == str(tmp_path / "m/1.mha")


def test_sources_that_are_missing_or_foreign_name_the_file(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    with pytest.raises(UserError, match=r"sources\.json: does not exist; run autospine_plan again"):
        work.load_sources()
    work.save_sources([tmp_path], ())
    write_json(work.sources, {**read_json(work.sources), "owner": "me"})
    with pytest.raises(UserError, match=r"sources\.json.*unknown key 'owner'"):
        work.load_sources()
