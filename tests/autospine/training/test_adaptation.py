"""Weights of one network for another: heads by anatomy, levels, axes; image channels by number; the rest by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import Encoding, SemanticClass, plain_encoding
from autospine.labels.schemes import LabelScheme
from autospine.networks.unet import UNet
from autospine.training.adaptation import LearntLabels, Row, adapt, first_layer, head_rows, parameter_parts
from tests.tiny import ordered_encoding, tiny_shape

SPIDER = get_scheme("spider")


def scheme(anatomies: dict[int, Anatomy], name: str = "own") -> LabelScheme:
    return replace(SPIDER, name=name, anatomies=anatomies)


def levelled(kind: Kind, name: str, first: int = 1, levels: tuple[int, ...] = (1, 2, 3)) -> LearntLabels:
    """One ordered class of a kind."""
    values = tuple(first + k for k in range(len(levels)))
    anatomies = {value: Anatomy(kind, level) for value, level in zip(values, levels, strict=True)}
    encoding = Encoding((SemanticClass(name, values, levels),), levels, (1, 2), 30.0)
    return LearntLabels(encoding, scheme(anatomies))


BOX = LearntLabels(ordered_encoding(5), SPIDER)  # background, vertebra, disc, canal, 2 offsets, levels 1 to 5


def test_equal_labels_start_from_their_own_rows() -> None:
    assert head_rows(BOX, BOX) == tuple(Row(k) for k in range(11))


def test_a_class_starts_from_its_kind_and_a_body_from_the_vertebra() -> None:
    for kind, name, index in ((Kind.VERTEBRA, "vertebra", 1), (Kind.BODY, "vertebral body", 1), (Kind.DISC, "disc", 2)):
        target = levelled(kind, name)
        assert head_rows(target, BOX) == (Row(0), Row(index), Row(4), Row(5), Row(6), Row(7), Row(8))
    bodies = levelled(Kind.BODY, "vertebral body")
    assert head_rows(levelled(Kind.VERTEBRA, "vertebra"), bodies)[1] == Row(1)
    assert head_rows(levelled(Kind.DISC, "disc"), bodies)[1] is None
    sacrum = LearntLabels(plain_encoding(scheme({9: Anatomy(Kind.SACRUM)}), (9,)), scheme({9: Anatomy(Kind.SACRUM)}))
    assert head_rows(sacrum, BOX) == (Row(0), None)


def test_the_own_kind_comes_before_a_related_one() -> None:
    anatomies = {1: Anatomy(Kind.VERTEBRA, 1), 2: Anatomy(Kind.BODY, 1)}
    both = LearntLabels(plain_encoding(scheme(anatomies), (1, 2)), scheme(anatomies))
    assert head_rows(levelled(Kind.BODY, "vertebral body"), both)[1] == Row(2)
    assert head_rows(levelled(Kind.POSTERIOR_ELEMENTS, "posterior elements"), both)[1] == Row(1)


def test_levels_go_by_level_and_offsets_by_axis_in_the_targets_unit() -> None:
    target = levelled(Kind.VERTEBRA, "vertebra", levels=(4, 5, 6))
    target = replace(target, encoding=replace(target.encoding, offset_axes=(0, 2), intervertebral_distance_mm=60.0))
    assert head_rows(target, BOX) == (Row(0), Row(1), None, Row(5, 0.5), Row(9), Row(10), None)


def test_one_class_per_label_starts_from_its_level_or_from_the_class_of_all_levels() -> None:
    plain = LearntLabels(plain_encoding(SPIDER, (1, 2, 100, 201)), SPIDER)
    assert head_rows(plain, BOX) == (Row(0), Row(1), Row(1), Row(3), Row(2))
    reordered = LearntLabels(plain_encoding(SPIDER, (100, 2, 1)), SPIDER)
    assert head_rows(reordered, plain) == (Row(0), Row(3), Row(2), Row(1))
    assert head_rows(BOX, plain)[:4] == (Row(0), None, Row(4), Row(3))  # of several vertebrae none stands for all


def test_plain_structures_mean_the_same_in_one_scheme_only() -> None:
    own = scheme({7: Anatomy(Kind.STRUCTURE, 7)})
    labels = LearntLabels(plain_encoding(own, (7,)), own)
    assert head_rows(labels, labels) == (Row(0), Row(1))
    foreign = LearntLabels(labels.encoding, replace(own, name="foreign"))
    assert head_rows(foreign, labels) == (Row(0), None)


def networks(dimension: int = 2, channels: int = 1, out: int = 4) -> tuple[UNet, UNet]:
    torch.manual_seed(1)
    start = UNet(tiny_shape(dimension, 3))
    return UNet(replace(tiny_shape(dimension, out), in_channels=channels)).eval(), start.eval()


ROWS = (Row(0), Row(2), None, Row(1, 0.5))


@pytest.mark.parametrize("dimension", [2, 3])
def test_an_adapted_head_equals_rows_of_the_start(dimension: int) -> None:
    network, start = networks(dimension)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    adapted = adapt(network, start.state_dict(), ROWS)
    network.load_state_dict(adapted.weights)
    assert adapted.fresh_rows == (2,)
    image = torch.randn(2, 1, *(8, 16, 16)[-dimension:])
    with torch.no_grad():
        ours, theirs = network(image), start(image)
    torch.testing.assert_close(ours[:, 0], theirs[:, 0])
    torch.testing.assert_close(ours[:, 1], theirs[:, 2])
    torch.testing.assert_close(ours[:, 3], 0.5 * theirs[:, 1])
    for name in ("weight", "bias"):
        mine, other = (getattr(net.heads[0], name) for net in (network, start))
        assert torch.equal(mine[0], other[0]) and torch.equal(mine[1], other[2]) and torch.equal(mine[3], other[1] / 2)
        assert torch.equal(getattr(network.heads[0], name)[2], fresh[f"heads.0.{name}"][2])
    count = sum(value.numel() for value in fresh.values())
    row = network.heads[0].weight[2].numel() + 1
    assert adapted.taken == pytest.approx((count - row) / count)


def test_equal_images_in_more_channels_give_what_one_gave() -> None:
    network, start = networks(channels=3)
    network.load_state_dict(adapt(network, start.state_dict(), ROWS).weights)
    image = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(image.repeat(1, 3, 1, 1))[:, 0], start(image)[:, 0])


def test_what_does_not_fit_stays_fresh() -> None:
    network, _ = networks()
    wide = UNet(replace(tiny_shape(2, 3), widths=(6, 8)))
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    adapted = adapt(network, wide.state_dict(), ROWS)
    for name, value in adapted.weights.items():
        fits = name in wide.state_dict() and wide.state_dict()[name].shape == value.shape
        assert torch.equal(value, wide.state_dict()[name] if fits else fresh[name])
    assert 0 < adapted.taken < 1


def test_the_parts_are_every_weight_once() -> None:
    network, _ = networks(3)
    parts = parameter_parts(network)
    assert parts["first layer"] == [dict(network.named_parameters())[first_layer(network)]]
    assert [tuple(p.shape) for p in parts["head"]] == [(4, 4, 1, 1, 1), (4,)]
    assert sum(map(len, parts.values())) == len(list(network.parameters()))
    assert {name: len(some) for name, some in parameter_parts(torch.nn.Linear(2, 2)).items()} == {
        "body": 2,
        "first layer": 0,
        "head": 0,
    }
