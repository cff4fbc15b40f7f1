"""What every network of the project keeps, whatever its inside. A network's test inherits NetworkContract."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

SIZES = {2: (37, 45), 3: (9, 35, 29)}  # odd on purpose


def tensors(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else tuple(output)


def export(network: nn.Module, image: Tensor, path: Path) -> str:
    """Writes the network as ONNX for images of this size; gives the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(network, (image,), input_names=["image"], dynamo=True, verbose=False)
    assert program is not None
    program.save(str(path))
    return str(path)


class NetworkContract:
    """Name `build`, and override the rest where the network claims less.

    Attributes:
        dimensions: Those the network comes in.
        channels: Image channels and classes to build with.
        sizes: Spatial size per dimension; odd, yet large enough for the deepest stage to have several voxels.
        published_parameters: Parameter count per dimension as the paper gives it, for `build_published`.
    """

    dimensions: tuple[int, ...] = (2, 3)
    channels: tuple[int, int] = (2, 4)
    sizes: dict[int, tuple[int, ...]] = SIZES
    published_parameters: dict[int, int] = {}  # noqa: RUF012
    build_published: Callable[[int], nn.Module] | None = None

    def build(self, dimension: int, in_channels: int, out_channels: int) -> nn.Module:
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "dimension" in metafunc.fixturenames:
            metafunc.parametrize("dimension", self.dimensions, ids=lambda d: f"{d}d")

    def make(self, dimension: int, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return self.build(dimension, *self.channels)

    def image(self, dimension: int, batch: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn((batch, self.channels[0], *self.sizes[dimension]), generator=generator)

    def test_evaluation_gives_one_tensor_of_the_image_size(self, dimension: int) -> None:
        network = self.make(dimension).eval()
        with torch.no_grad():
            output = network(self.image(dimension))
        assert isinstance(output, Tensor)
        assert output.shape == (2, self.channels[1], *self.sizes[dimension])
        assert output.isfinite().all()

    def test_training_outputs_go_from_fine_to_coarse(self, dimension: int) -> None:
        outputs = tensors(self.make(dimension).train()(self.image(dimension)))
        assert outputs[0].shape == (2, self.channels[1], *self.sizes[dimension])
        assert all(output.shape[:2] == outputs[0].shape[:2] for output in outputs)
        voxels = [output[0, 0].numel() for output in outputs]
        assert voxels == sorted(voxels, reverse=True)

    def test_gradients_reach_every_parameter(self, dimension: int) -> None:
        network = self.make(dimension).train()
        outputs = tensors(network(self.image(dimension)))
        sum(output.square().mean() for output in outputs).backward()
        dead = [
            name
            for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
        ]
        assert dead == []

    def test_same_seed_same_output(self, dimension: int) -> None:
        image = self.image(dimension)
        with torch.no_grad():
            first, second = (self.make(dimension).eval()(image) for _ in range(2))
            other = self.make(dimension, seed=5).eval()(image)
        assert torch.equal(first, second)
        assert not torch.equal(first, other)

    def test_evaluation_repeats_itself_and_leaves_the_image(self, dimension: int) -> None:
        network, image = self.make(dimension).eval(), self.image(dimension)
        kept = image.clone()
        with torch.no_grad():
            assert torch.equal(network(image), network(image))
        assert torch.equal(image, kept)

    def test_a_sample_does_not_see_its_batch_in_evaluation(self, dimension: int) -> None:
        network, image = self.make(dimension).eval(), self.image(dimension)
        with torch.no_grad():
            together, alone = network(image)[:1], network(image[:1])
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)

    def test_batch_of_one_trains(self, dimension: int) -> None:
        network = self.make(dimension).train()
        tensors(network(self.image(dimension, batch=1)))[0].mean().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())

    def test_bf16_autocast_is_finite_forward_and_backward(self, dimension: int) -> None:
        network = self.make(dimension).train()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = tensors(network(self.image(dimension)))
        assert outputs[0].dtype == torch.bfloat16
        sum(output.float().square().mean() for output in outputs).backward()
        assert all(output.isfinite().all() for output in outputs)
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())

    def test_channels_last_gives_the_same(self, dimension: int) -> None:
        network, image = self.make(dimension).eval(), self.image(dimension)
        layout = torch.channels_last if dimension == 2 else torch.channels_last_3d
        with torch.no_grad():
            expected = network(image)
            output = network.to(memory_format=layout)(image.to(memory_format=layout))
        torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)

    def test_weights_travel_through_safetensors(self, dimension: int) -> None:
        network, other = self.make(dimension).eval(), self.make(dimension, seed=5).eval()
        other.load_state_dict(load(save(network.state_dict())))
        with torch.no_grad():
            assert torch.equal(network(self.image(dimension)), other(self.image(dimension)))

    @pytest.mark.slow
    def test_onnx_gives_the_same(self, dimension: int, tmp_path: Path) -> None:
        network, image = self.make(dimension).eval(), self.image(dimension, batch=1)
        with torch.no_grad():
            expected = network(image)
        session = onnxruntime.InferenceSession(export(network, image, tmp_path / "network.onnx"))
        (found,) = session.run(None, {"image": image.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)

    def test_parameter_count_is_the_published_one(self) -> None:
        for dimension, count in self.published_parameters.items():
            assert self.build_published is not None
            assert sum(p.numel() for p in self.build_published(dimension).parameters()) == count
