from __future__ import annotations

from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.models import installed
from autospine.models.installed import (
    VARIABLE,
    default_model,
    installed_model,
    installed_models,
    model_folder,
    user_folder,
)


def put(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "model.json").write_text("{}")
    return path


def test_the_users_folder_is_platformdirs_unless_the_environment_names_one(monkeypatch, own_models: Path) -> None:
    assert user_folder() == own_models
    monkeypatch.delenv(VARIABLE)
    assert user_folder().parts[-2:] == ("autospine", "models")


def test_without_a_model_the_line_says_how_to_get_one() -> None:
    assert installed_models() == {}
    with pytest.raises(UserError) as caught:
        default_model()
    assert str(caught.value) == (
        "-m: is not given, and no model is installed; install one with autospine_models install FILE or URL, or name a "
        "model's folder"
    )


def test_the_box_is_taken_or_the_only_one(own_models: Path) -> None:
    put(own_models, "knee")
    assert default_model().name == "knee"
    put(own_models, "spine")
    with pytest.raises(UserError, match=r"several models are installed \(knee, spine\); name one"):
        default_model()
    put(own_models, "box")
    assert default_model().name == "box"
    with pytest.raises(UserError, match="hip: is no installed model; choose from box, knee, spine"):
        installed_model("hip")


def test_the_users_model_comes_before_the_bundled_one_of_its_name(own_models: Path) -> None:
    bundled = put(installed.BUNDLED, "box")
    assert (default_model().folder, default_model().bundled) == (bundled, True)
    own = put(own_models, "box")
    assert (default_model().folder, default_model().bundled) == (own, False)


def test_only_whole_folders_with_a_models_name_count(own_models: Path) -> None:
    put(own_models, ".unpacking-1")
    put(own_models, "Upper")
    (own_models / "empty").mkdir()
    (own_models / "file").touch()
    assert installed_models() == {}


def test_a_path_comes_before_a_name(own_models: Path, tmp_path: Path, monkeypatch) -> None:
    box = put(own_models, "box")
    monkeypatch.chdir(tmp_path)
    assert model_folder("box") == box
    assert model_folder("./box") == Path("box")  # Path drops the dot, but the text says that a path is meant
    assert model_folder("nowhere") == Path("nowhere")
    put(tmp_path, "box")
    assert model_folder(Path("box")) == Path("box")
