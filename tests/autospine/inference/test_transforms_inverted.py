"""A recipe's transforms are applied to a scan and inverted, so that its mask lies where it would without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.inference.predict import predict
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import plain_encoding
from autospine.preprocessing.transforms.base import TransformSettings
from tests.tiny import make_plan, spine_image, spine_mask, write_array
from tests.toys import BrightnessTrainer

PLAIN: tuple[TransformSettings, ...] = ()
TRANSFORMS = {
    "margin": (TransformSettings("pad", {"slices": 12, "rows": 90, "columns": 80}),),
    "body": (TransformSettings("otsu_crop", {"margin": 200}),),
    "exact size": (
        TransformSettings("otsu_crop", {"margin": 60}),
        TransformSettings("fit", {"rows": 150, "columns": 131}),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_mask_lies_where_it_does_without_transforms(tmp_path: Path, save, name: str) -> None:
    scan = write_array(tmp_path / "1_t2.mha", spine_image(spine_mask()))
    plan, masks = make_plan(plain_encoding(get_scheme("spider"), (1, 100))), []
    for model, transforms in (("plain", PLAIN), (name, TRANSFORMS[name])):
        recipe = replace(BrightnessTrainer.recipes["only"], transforms=transforms)
        save(tmp_path / model, BrightnessTrainer(plan, recipe))
        masks.append(predict(scan, tmp_path / model, device="cpu").mask > 0)
    plain, stepped = masks
    assert stepped.shape == plain.shape
    overlap = 2 * (plain & stepped).sum() / (plain.sum() + stepped.sum())
    assert overlap > (0.95 if name == "exact size" else 0.9999)
    centres = [np.argwhere(mask).mean(axis=0) for mask in masks]
    assert np.abs(centres[0] - centres[1]).max() < 0.5
