"""Networks as they were first written: the same parameters in the same order for a seed, the same outputs.

`tests/data/networks.json` holds, per network, the number of parameters, the SHA-256 of all of them as float32 in the
order of `parameters()`, and for small networks a few numbers of the outputs, in training and in evaluation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autospine.networks.attention_unet import AttentionUNet
from autospine.networks.cfnet import CFNet
from autospine.networks.deeplab import DeepLabV3, DeepLabV3Plus
from autospine.networks.modified_unet import ModifiedUNet
from autospine.networks.resunet import ResUNet
from autospine.networks.safnet import SAFNet
from autospine.networks.segnet import SegNet
from autospine.networks.shape import NetworkShape
from autospine.networks.spine_gan import Discriminator, SpineGenerator
from autospine.networks.unet import UNet
from autospine.networks.unetplusplus import UNetPlusPlus
from autospine.networks.wgan_resunet import Critic, ResidualAttentionUNet

STORED = json.loads((Path(__file__).parents[2] / "data" / "networks.json").read_text(encoding="utf-8"))
SIZES = {2: (2, 2, 37, 45), 3: (2, 2, 9, 35, 29)}
CHANNELS, CLASSES = 2, 4
Build = Callable[[], nn.Module]


def shape(dimension: int, widths: tuple[int, ...], **changes: object) -> NetworkShape:
    """Volumes of thick slices: the first stages of 3-D networks work in-plane."""
    count = len(widths)
    if dimension == 2:
        kernels, strides = ((3, 3),) * count, ((1, 1), *((2, 2),) * (count - 1))
    else:
        kernels = ((1, 3, 3), *((3, 3, 3),) * (count - 1))
        strides = ((1, 1, 1), (1, 2, 2), *((2, 2, 2),) * (count - 2))
    return NetworkShape(dimension, CHANNELS, CLASSES, widths, kernels, strides, **changes)


def small() -> Iterator[tuple[str, int, Build]]:
    """Networks whose outputs are compared too: name, dimension, builder."""
    for dimension in (2, 3):
        plain, deep = shape(dimension, (4, 6, 8)), shape(dimension, (4, 4, 6, 6, 8, 8))
        two = shape(dimension, (4, 6, 8), decoder_blocks=2, deep_supervision=False)
        yield f"unet {dimension}d", dimension, partial(UNet, plain)
        yield f"unet {dimension}d one output", dimension, partial(UNet, two)
        yield f"unetplusplus {dimension}d", dimension, partial(UNetPlusPlus, plain)
        yield f"attention_unet {dimension}d", dimension, partial(AttentionUNet, two)
        yield f"attention_unet {dimension}d encoder", dimension, partial(AttentionUNet, plain, attend_encoder=True)
        yield f"resunet {dimension}d", dimension, partial(ResUNet, plain)
        yield f"cfnet {dimension}d", dimension, partial(CFNet, deep)
        yield f"deeplabv3 {dimension}d", dimension, partial(DeepLabV3, shape(dimension, (4,) * 5))
        yield f"deeplabv3plus {dimension}d", dimension, partial(DeepLabV3Plus, shape(dimension, (4,) * 5))
    yield "modified_unet 2d", 2, partial(ModifiedUNet, shape(2, (4, 6, 8), decoder_blocks=2))
    yield "segnet 2d", 2, partial(SegNet, CHANNELS, CLASSES, (4, 6, 8, 8, 8))
    yield "spine_gan 2d", 2, partial(SpineGenerator, CHANNELS, CLASSES, (4, 6, 8))
    yield "spine_gan discriminator 2d", 2, partial(Discriminator, CHANNELS, 4)
    yield "wgan_resunet 2d", 2, partial(ResidualAttentionUNet, shape(2, (4, 4, 8, 8, 16)))
    yield "wgan_resunet critic 2d", 2, partial(Critic, CHANNELS, 4)
    yield "safnet 3d", 3, partial(SAFNet, CHANNELS, CLASSES, 8)


def published() -> Iterator[tuple[str, int, Build]]:
    """Networks as wide as they are published, or planned."""
    for dimension, widths in ((2, (32, 64, 128, 256, 512, 512)), (3, (32, 64, 128, 256, 320))):
        two = shape(dimension, widths, decoder_blocks=2, deep_supervision=False)
        seven = shape(dimension, (32, 64, 128, 256, 512, 512, 512)[: 9 - dimension])
        yield f"unet {dimension}d", dimension, partial(UNet, shape(dimension, widths))
        yield f"unetplusplus {dimension}d", dimension, partial(UNetPlusPlus, shape(dimension, widths[:5]))
        yield (
            f"attention_unet {dimension}d",
            dimension,
            partial(AttentionUNet, seven),
        )
        yield f"resunet {dimension}d", dimension, partial(ResUNet, two)
        yield f"cfnet {dimension}d", dimension, partial(CFNet, shape(dimension, (32, 32, 64, 128, 256, 512)))
    yield "deeplabv3 2d", 2, partial(DeepLabV3, shape(2, (64,) * 5))
    yield "deeplabv3plus 2d", 2, partial(DeepLabV3Plus, shape(2, (64,) * 5))
    yield "modified_unet 2d", 2, partial(ModifiedUNet, shape(2, (32, 64, 128, 256, 512), decoder_blocks=2))
    yield "segnet 2d", 2, partial(SegNet, CHANNELS, CLASSES)
    yield "spine_gan 2d", 2, partial(SpineGenerator, CHANNELS, CLASSES)
    yield "wgan_resunet 2d", 2, partial(ResidualAttentionUNet, shape(2, (32, 64, 128, 256, 512)))
    yield "safnet 3d", 3, partial(SAFNet, CHANNELS, CLASSES)


def parameters(network: nn.Module) -> dict[str, object]:
    digest, count = hashlib.sha256(), 0
    for parameter in network.parameters():
        digest.update(parameter.detach().contiguous().numpy().tobytes())
        count += parameter.numel()
    return {"parameters": count, "sha256": digest.hexdigest()}


def outputs(network: nn.Module, dimension: int) -> list[list[float]]:
    """Mean, mean of the absolute and the middle value of each output: in training, then in evaluation."""
    image = torch.randn(SIZES[dimension], generator=torch.Generator().manual_seed(1))
    numbers: list[list[float]] = []
    with torch.no_grad():
        for training in (True, False):
            torch.manual_seed(2)  # of dropout
            result = network.train(training)(image)
            numbers += [_figures(result)] if isinstance(result, Tensor) else [_figures(one) for one in result]
    return numbers


def _figures(output: Tensor) -> list[float]:
    flat = output.double().ravel()
    return [flat.mean().item(), flat.abs().mean().item(), flat[len(flat) // 2].item()]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("PyTorch draws other normal numbers on this processor")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cases(group: Iterator[tuple[str, int, Build]]) -> list[object]:
    return [pytest.param(*one, id=one[0]) for one in group]


@pytest.mark.parametrize(("name", "dimension", "build"), cases(small()))
def test_small_networks_are_those_that_were_stored(name: str, dimension: int, build: Build) -> None:
    torch.manual_seed(0)
    network = build()
    stored = STORED["small"][name]
    assert parameters(network) == stored["parameters"]
    torch.testing.assert_close(
        torch.tensor(outputs(network, dimension)), torch.tensor(stored["outputs"]), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dimension", "build"), cases(published()))
def test_published_networks_are_those_that_were_stored(name: str, dimension: int, build: Build) -> None:
    torch.manual_seed(0)
    assert parameters(build()) == STORED["published"][name]
