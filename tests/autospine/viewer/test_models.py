from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.viewer.models import find_page_models, load_models
from autospine.viewer.segmenting import segment_upload


def test_a_folder_of_folds_is_averaged(tmp_path: Path, bright, scan) -> None:
    for fold in ("fold_0", "fold_1"):
        bright(tmp_path / "recipe" / fold)
    loaded = load_models([tmp_path / "recipe"], "cpu")
    assert len(loaded.models) == 2
    found = segment_upload("5_t2.mha", scan("5_t2.mha"), loaded).segmentation
    assert len(found.models) == 2
    assert [label.name for label in found.labels] == ["spinal canal"]


def test_an_ensemble_is_read_with_its_weights(tmp_path: Path, bright, random_model) -> None:
    from autospine.ensemble.selection import save_ensemble

    members = [random_model(tmp_path / "both" / name, seed=seed) for seed, name in enumerate("ab")]
    save_ensemble(tmp_path / "both", members, (0.75, 0.25), "by hand")
    assert [model.weight for model in load_models([tmp_path / "both"], "cpu").models] == [0.75, 0.25]


def test_a_model_of_several_channels_is_refused(tmp_path: Path, bright) -> None:
    model = bright(tmp_path / "model")
    plan = replace(model.card.plan, channels=("t1", "t2"))
    folder = bright(tmp_path / "two", plan).folder
    with pytest.raises(UserError, match=r"two: needs 2 channels \(t1, t2\), and the page takes one file"):
        find_page_models([folder])
    with pytest.raises(UserError, match="needs 2 channels"):
        load_models([folder], "cpu")


def test_damaged_weights_are_named(tmp_path: Path, bright) -> None:
    folder = bright(tmp_path / "model").folder
    (folder / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"weights\.safetensors: is damaged"):
        load_models([folder], "cpu")
