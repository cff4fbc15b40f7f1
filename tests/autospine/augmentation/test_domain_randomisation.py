from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from autospine.augmentation import AugmentationSettings, Parameters, sample

SHAPE = (200, 1, 64, 48)
OFF = replace(
    AugmentationSettings(),
    **{field.name: 0.0 for field in fields(AugmentationSettings) if field.name.endswith("_probability")},
)


def drawn(**changes: object) -> Parameters:
    return sample(torch.Generator().manual_seed(1), SHAPE, replace(OFF, **changes))


def test_recipes_without_it_keep_their_random_numbers() -> None:
    plain = sample(torch.Generator().manual_seed(1), SHAPE, AugmentationSettings())
    more = sample(torch.Generator().manual_seed(1), SHAPE, replace(AugmentationSettings(), gibbs_probability=1.0))
    for name in ("matrix", "gamma", "bias_field", "noise", "noise_seed", "low_resolution"):
        assert torch.equal(getattr(plain, name), getattr(more, name))


@pytest.mark.parametrize("name", ["synthesis_probability", "label_synthesis_probability"])
def test_a_share_of_the_samples_is_synthesised_with_dark_air(name: str) -> None:
    parameters = drawn(**{name: 0.5})
    assert 70 < parameters.synthesised.sum() < 130
    brightness = parameters.tissue_brightness
    assert brightness.min() >= 0
    assert brightness.max() <= 1
    assert (brightness[:, 0, 0] == 0).all()
    assert (brightness[~parameters.synthesised] == 0).all()
    one_value = (brightness[:, 1:].amax(2) - brightness[:, 1:].amin(2))[parameters.synthesised] < 1e-5
    assert one_value.all() == (name == "label_synthesis_probability")


def test_suppressed_fat_is_darker_than_what_was_half_as_bright() -> None:
    curves = drawn(fat_suppression_probability=1.0, inversion_probability=1.0)
    assert not curves.inverted.any()
    assert (curves.histogram_shift[:, -1] <= 0.3).all()
    assert (curves.histogram_shift.amax(1) == 1).all()
    assert (curves.histogram_shift[:, 0] == 0).all()


def test_random_curves_fall_somewhere_and_keep_air_dark() -> None:
    curves = drawn(random_curve_probability=1.0).histogram_shift
    assert (curves[:, 0] == 0).all()
    assert (curves.diff(dim=1) < 0).any(1).float().mean() > 0.8


def test_anisotropic_voxels_are_larger_along_one_axis() -> None:
    voxels = drawn(low_resolution_probability=1.0, low_resolution=(2.0, 4.0), anisotropy_probability=1.0).low_resolution
    assert ((voxels == 1).sum(1) == 1).all()
    assert 60 < (voxels[:, 0] == 1).sum() < 140


def test_motion_starts_outside_the_middle_of_k_space() -> None:
    motion = drawn(motion_probability=1.0).motion
    assert (motion[:, :2] == 0).all()
    assert (motion[:, 2:] != 0).all()


def test_slices_are_blurred_in_volumes_alone() -> None:
    settings = replace(OFF, slice_blur_probability=1.0)
    assert not drawn(slice_blur_probability=1.0).slice_blur.any()
    assert sample(torch.Generator(), (2, 1, 4, 8, 8), settings).slice_blur.all()


def test_sides_and_clipping_stay_within_their_ranges() -> None:
    parameters = drawn(air_probability=1.0, padding_probability=1.0, clipping_probability=1.0)
    assert parameters.air[:, 0].max() <= 0.25
    assert parameters.air[:, 1].min() >= 0.75
    assert parameters.visible_columns[:, 0].max() <= 12
    assert parameters.visible_columns[:, 1].min() >= 36
    assert parameters.clipping[:, 0].min() >= 0.005
    assert parameters.clipping[:, 1].max() <= 0.995


def test_radii_of_implants_are_millimetres() -> None:
    fine, coarse = (drawn(implant_probability=1.0, pixel_spacing=(mm, mm)).implants for mm in (1.0, 2.0))
    assert fine[..., 5][fine[..., 5] > 0].min() >= 3
    assert fine[..., 5].max() <= 9
    torch.testing.assert_close(fine[..., 5], 2 * coarse[..., 5])
    assert (fine[:, 0, 5] > 0).all()  # one at least
