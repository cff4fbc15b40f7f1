from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.planning.recipe import Recipe
from autospine.planning.split_strategies import (
    LEAK,
    Split,
    SplitSettings,
    override,
    patient_splits,
    slice_splits,
    subset_sizes,
)
from autospine.planning.splits import Fold, FoldSlices
from tests.autospine.planning.test_splits import case

shares = st.tuples(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)).filter(lambda s: s[1] or s[2])


def settings_of(parts: tuple[float, float, float], **changes: object) -> SplitSettings:
    return replace(SplitSettings(), train=parts[0], validation=parts[1], test=parts[2], **changes)


@given(st.integers(3, 300), shares)
def test_parts_are_in_proportion_and_none_is_empty(count: int, parts: tuple[float, float, float]) -> None:
    sizes = subset_sizes(count, parts)
    assert sum(sizes) == count
    for size, share in zip(sizes, parts, strict=True):
        assert (size > 0) == (share > 0)
        # Parts that need their one case take it from the others: two of them at most.
        assert abs(size - count * share / sum(parts)) < 3


@pytest.mark.parametrize(
    ("count", "parts", "expected"),
    [
        (172, (138, 4, 30), (138, 4, 30)),  # safnet
        (218, (0.7, 0.05, 0.25), (153, 11, 54)),  # medfusionnet: 152.6, 10.9, 54.5
        (3000, (0.8, 0.1, 0.1), (2400, 300, 300)),  # modified_unet
        (55, (0.8, 0.2, 0), (44, 11, 0)),  # attention_unet
        (3, (138, 4, 30), (1, 1, 1)),
        (2, (0.8, 0.2, 0), (1, 1, 0)),
    ],
)
def test_the_papers_splits(count: int, parts: tuple, expected: tuple) -> None:
    assert subset_sizes(count, parts) == expected


def test_too_few_patients_are_named() -> None:
    with pytest.raises(UserError, match="has 2 patients for training and validation and test"):
        patient_splits([case("1_t1"), case("1_t2"), case("2_t1")], SplitSettings())


@given(st.integers(3, 30), st.integers(1, 6), st.integers(0, 3))
def test_patients_stay_together_and_every_case_has_one_subset(patients: int, folds: int, seed: int) -> None:
    cases = [case(f"{k}_{series}") for k in range(patients) for series in ("t1", "t2")[: 1 + k % 2]]
    splits = patient_splits(cases, SplitSettings(folds=folds, seed=seed))
    assert len(splits) == min(folds, patients)
    for split in splits:
        fold = split.fold
        assert sorted((*fold.train, *fold.validation, *fold.test)) == sorted(each.id for each in cases)
        sides = [{id_.split("_")[0] for id_ in ids} for ids in (fold.train, fold.validation, fold.test)]
        assert all(sides)
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        assert fold.slices is None
        assert split.warning == ""
    assert splits == patient_splits(cases, SplitSettings(folds=folds, seed=seed))


def test_another_seed_splits_otherwise() -> None:
    cases = [case(f"{k}_t1") for k in range(30)]
    assert patient_splits(cases, SplitSettings(seed=0)) != patient_splits(cases, SplitSettings(seed=1))


def test_five_folds_of_mrspineseg_test_no_case_twice() -> None:
    cases = [case(f"Case{k}") for k in range(172)]
    folds = [split.fold for split in patient_splits(cases, settings_of((138, 4, 30)))]
    tested = [id_ for fold in folds for id_ in fold.test]
    assert [(len(f.train), len(f.validation), len(f.test)) for f in folds] == [(138, 4, 30)] * 5
    assert len(tested) == len(set(tested)) == 150


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.integers(0, 20)), min_size=1), st.integers(1, 6))
def test_every_slice_has_one_subset(given_slices: dict[str, set[int]], folds: int) -> None:
    slices = {name: sorted(found) for name, found in given_slices.items()}
    if sum(map(len, slices.values())) < 3:
        with pytest.raises(UserError, match="slice"):
            slice_splits(slices, SplitSettings("slices"))
        return
    for split in slice_splits(slices, SplitSettings("slices", folds=folds)):
        parts = split.fold.slices
        assert parts is not None
        assigned = [
            (name, k)
            for part in (parts.train, parts.validation, parts.test)
            for name, found in part.items()
            for k in found
        ]
        assert sorted(assigned) == sorted((name, k) for name, found in slices.items() for k in found)
        assert split.fold.train == tuple(parts.train)
        assert split.fold.test == tuple(parts.test)
        assert split.fold.eval_subset.name == "test"
        assert split.fold.eval_subset.slices == parts.test
        assert all(found == tuple(sorted(found)) for found in parts.train.values())


def test_slices_of_one_case_stand_on_all_sides_and_that_is_said() -> None:
    (split,) = slice_splits({"1_t2": range(100)}, SplitSettings("slices", folds=1))
    assert split.fold.train == split.fold.validation == split.fold.test == ("1_t2",)
    assert LEAK in split.warning
    assert "80 training, 10 validation, 10 test" in split.reason


def test_a_split_is_written_and_read(tmp_path: Path) -> None:
    parts = FoldSlices({"a": (0, 2)}, {"a": (1,)}, {"b": (4,)})
    split = Split("slices", Fold(("a",), ("a",), ("b",), parts), "because")
    split.save(tmp_path)
    assert Split.load(tmp_path) == split
    data = json.loads((tmp_path / "split.json").read_text())
    (tmp_path / "split.json").write_text(json.dumps({**data, "mood": "good"}))
    with pytest.raises(UserError, match=r"split\.json.*mood"):
        Split.load(tmp_path)
    (tmp_path / "split.json").write_text(json.dumps({**data, "version": 1}))
    with pytest.raises(UserError, match=r"split\.json: was made by an older AutoSpine; train this fold again"):
        Split.load(tmp_path)


def test_settings_travel_with_the_recipe_and_nonsense_is_refused() -> None:
    recipe = Recipe("published", split=settings_of((138, 4, 30), by="slices"))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())), "recipe") == recipe
    for wrong in ({"train": -1}, {"train": 0}, {"validation": 0, "test": 0}, {"folds": 0}, {"by": "week"}):
        data = recipe.to_dict()
        data["split"] |= wrong
        with pytest.raises(UserError, match="recipe"):
            Recipe.from_dict(data, "recipe")


def test_the_command_line_turns_a_recipes_split() -> None:
    published = settings_of((0.7, 0.05, 0.25), by="slices")
    assert override(published, "patient") == replace(published, by="patient")
    assert override(published, None) == override(published, "slices") == published
    assert override(None, "patient") is override(None, None) is None
    assert override(None, "slices") == SplitSettings("slices")
