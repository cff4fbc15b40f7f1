from __future__ import annotations

import pytest

from autospine.augmentation import AugmentationSettings
from autospine.core.errors import UserError
from autospine.core.serial import to_plain


def test_settings_travel_through_plain_values() -> None:
    settings = AugmentationSettings(mirror_axes=(-1,), scale=(0.9, 1.1))
    assert AugmentationSettings.from_dict(to_plain(settings)) == settings


def test_rows_are_not_mirrored_by_default() -> None:
    assert AugmentationSettings().mirror_axes == ()


def test_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match=r"recipe\.json.*'rotate'"):
        AugmentationSettings.from_dict({"rotate": 3}, "recipe.json")
