from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from autospine.augmentation import AugmentationSettings, Parameters, apply, sample

SHAPES = {"2d": (4, 1, 61, 48), "3d": (3, 2, 6, 40, 33)}
IGNORE = 255


def everything(**changes: object) -> AugmentationSettings:
    names = [field.name for field in fields(AugmentationSettings) if field.name.endswith("_probability")]
    return replace(AugmentationSettings(), **{**dict.fromkeys(names, 1.0), **changes})


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param


def batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    spatial = shape[2:]
    images = torch.randn(shape, generator=seeded())
    labels = torch.randint(0, 5, (shape[0], *spatial), generator=seeded(), dtype=torch.uint8)
    centres = torch.rand(shape[0], 7, len(spatial), generator=seeded()) * torch.tensor(spatial)
    return images, labels, centres


def test_identity_changes_nothing(shape: tuple[int, ...]) -> None:
    images, labels, centres = batch(shape)
    same_images, same_labels, same_centres = apply(images, labels, Parameters.identity(shape), centres)
    assert torch.equal(images, same_images)
    assert torch.equal(labels, same_labels)
    torch.testing.assert_close(centres, same_centres)


def test_zero_probabilities_give_the_identity(shape: tuple[int, ...]) -> None:
    names = [field.name for field in fields(AugmentationSettings) if field.name.endswith("_probability")]
    drawn = sample(seeded(), shape, replace(AugmentationSettings(), **dict.fromkeys(names, 0.0)))
    identity = Parameters.identity(shape)
    for field in fields(Parameters):
        if field.name != "noise_seed":
            torch.testing.assert_close(getattr(drawn, field.name), getattr(identity, field.name))


def test_same_generator_same_result_and_the_input_stays(shape: tuple[int, ...]) -> None:
    images, labels, centres = batch(shape)
    first, second, other = (
        apply(images, labels, sample(seeded(seed), shape, everything()), centres) for seed in (3, 3, 4)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    assert all(torch.equal(a, b) for a, b in zip(batch(shape), (images, labels, centres), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_results_are_finite_and_labels_keep_their_set(shape: tuple[int, ...], seed: int) -> None:
    images, labels, centres = batch(shape)
    settings = everything(mirror_axes=(-3, -2, -1))
    images, new_labels, centres = apply(images, labels, sample(seeded(seed), shape, settings), centres, IGNORE)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert centres.isfinite().all()
    assert new_labels.dtype == labels.dtype
    assert set(new_labels.unique().tolist()) <= {0, 1, 2, 3, 4, IGNORE}


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_constant_images_survive(shape: tuple[int, ...], value: float) -> None:
    _, labels, _ = batch(shape)
    settings = everything(noise_probability=0.0, brightness_probability=0.0)
    images, _, _ = apply(torch.full(shape, value), labels, sample(seeded(), shape, settings))
    torch.testing.assert_close(images, torch.full(shape, value), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_of_any_integer_type_pass(dtype: torch.dtype) -> None:
    images, labels, _ = batch(SHAPES["2d"])
    labels = (labels * 50).to(dtype)
    _, moved, _ = apply(images, labels, sample(seeded(), SHAPES["2d"], everything()), outside=IGNORE)
    assert moved.dtype == dtype
    assert set(moved.unique().tolist()) <= {0, 50, 100, 150, 200, IGNORE}


def test_only_the_chosen_samples_change() -> None:
    images, labels, _ = batch(SHAPES["2d"])
    drawn, same = sample(seeded(), SHAPES["2d"], everything()), Parameters.identity(SHAPES["2d"])
    same = replace(same, elastic=torch.zeros_like(drawn.elastic))
    mixed = {
        field.name: torch.cat([getattr(same, field.name)[:2], getattr(drawn, field.name)[2:]])
        for field in fields(Parameters)
        if field.name != "noise_seed"
    }
    changed, changed_labels, _ = apply(images, labels, replace(same, **mixed))
    assert torch.equal(changed[:2], images[:2])
    assert torch.equal(changed_labels[:2], labels[:2])
    assert all((changed[index] != images[index]).any() for index in (2, 3))


def test_autocast_outside_does_not_reach_inside() -> None:
    images, labels, centres = batch(SHAPES["2d"])
    parameters = sample(seeded(), SHAPES["2d"], everything())
    expected = apply(images, labels, parameters, centres)
    with torch.autocast("cpu", torch.bfloat16):
        result = apply(images, labels, parameters, centres)
    assert all(torch.equal(a, b) for a, b in zip(expected, result, strict=True))
