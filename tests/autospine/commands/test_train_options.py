from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.commands.train import main
from autospine.core.workspace import WorkFolder
from autospine.inference.model import read_model

pytestmark = pytest.mark.usefixtures("toys")


def test_choices_reach_the_recipe_and_name_the_folder(command: Callable, work: WorkFolder) -> None:
    arguments = ("--trainer", "ablated", "--plan", "2d_sagittal", "--epochs", 1, "--device", "cpu")
    for said, name in (((), "quick"), (("--option", "deep=false"), "quick_deep-false")):
        assert command(main, work.root, *arguments, *said).status == 0
        card = read_model(work.model("ablated", "2d_sagittal", name, "0")).card
        assert card.recipe.name == name
        assert card.recipe.options == ({"deep": False} if said else {})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("depth=2", "--option depth=2: is no choice of ablated; choose from deep, adversary"),
        ("deep=2", "--option deep=2: deep should be bool, not 2"),
        ("deep", "--option deep: is not NAME=VALUE"),
    ],
)
def test_what_is_no_choice_is_one_line(command: Callable, work: WorkFolder, said: str, words: str) -> None:
    answer = command(main, work.root, "--trainer", "ablated", "--plan", "2d_sagittal", "--option", said)
    assert answer.status == 2
    assert words in answer.errors[0]
    assert not (work.root / "models").exists()


def test_choices_are_listed(command: Callable, tmp_path: Path) -> None:
    answer = command(main, tmp_path, "--trainer", "ablated", "--list-options")
    assert answer.status == 0
    assert answer.out.splitlines()[1:] == ["  deep=true       true, false", "  adversary=true  true, false"]
