from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from autospine.core.errors import UserError
from autospine.training.options import check_options, describe_options, option_suffixes, parse_options
from autospine.training.trainer import Options
from tests.toys import ToyTrainer


@dataclass(frozen=True)
class ToyOptions(Options):
    gates: bool = False
    alpha: float = 0.5
    rates: tuple[int, ...] = (1, 2)
    kind: Literal["plain", "wide"] = "plain"

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ValueError(f"alpha is {self.alpha:g}")


class Choosy(ToyTrainer):
    name = "choosy"
    options_type = ToyOptions


def test_words_become_values() -> None:
    said = ["gates=true", "alpha=0.25", "kind=wide", "rates=[1,4]", "name=a=b"]
    assert parse_options(said) == {
        "gates": True,
        "alpha": 0.25,
        "kind": "wide",
        "rates": [1, 4],
        "name": "a=b",
    }


@pytest.mark.parametrize("said", ["gates", "=true", "gates=", ""])
def test_what_is_no_pair_is_refused(said: str) -> None:
    with pytest.raises(UserError, match="is not NAME=VALUE"):
        parse_options([said])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="--option alpha=2: sets alpha a second time"):
        parse_options(["alpha=1", "alpha=2"])


def test_folders_of_different_choices_have_different_names() -> None:
    choices = [
        {"alpha": 1},
        {"alpha": -1},
        {"alpha": 0.1},
        {"gates": True},
        {"gates": False},
        {"rates": [1, 2]},
    ]
    names = ["_".join(option_suffixes(each)) for each in choices]
    assert names == ["alpha-1", "alpha--1", "alpha-0.1", "gates-true", "gates-false", "rates-1-2"]
    assert option_suffixes({"b": 1, "a": 2}) == option_suffixes({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gate": True}, "--option gate=True: is no choice of choosy; choose from gates, alpha, rates, kind"),
        ({"gates": "yes"}, "--option gates=yes: gates should be bool, not 'yes'; autospine_train WORK"),
        ({"kind": "tall"}, "--option kind=tall: kind is 'tall', none of plain, wide; "),
        ({"alpha": -1}, "--option alpha=-1: .*alpha is -1; "),
    ],
)
def test_what_the_trainer_does_not_take_is_refused(asked: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_options(Choosy, asked, asked)


def test_what_the_trainer_takes_is_said() -> None:
    assert describe_options(Choosy).splitlines() == [
        "choosy, with defaults:",
        "  gates=false   true, false",
        "  alpha=0.5     number",
        "  rates=[1, 2]  tuple[int, ...]",
        "  kind=plain    plain, wide",
    ]
    assert describe_options(ToyTrainer) == "toy has no options"
