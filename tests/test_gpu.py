"""What only a GPU can show, small and exact; `benchmarks/gpu.sh` measures the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autospine.augmentation import AugmentationSettings, apply, sample
from autospine.core.machine import find_machine
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.inference.sliding_window import stream_slices, stream_volume
from autospine.networks.clustered_attention import clustered_attention
from autospine.networks.self_attention import PositionAttention
from autospine.planning.recipe import OptimiserSettings
from autospine.training.data import Batch, Batches
from autospine.training.feed import Feed
from autospine.training.losses.adversarial import gradient_penalty
from autospine.training.losses.instance import neighbourhoods
from autospine.training.optimisation import MovingAverage, make_optimiser
from autospine.training.resident import ResidentBatches
from autospine.training.trainer import Context, prepare
from tests.autospine.training.test_data import same, sampler_of
from tests.tiny import plan_of
from tests.toys import QUICK, ToyTrainer

pytestmark = pytest.mark.gpu
CPU = torch.device("cpu")


def trained(work: WorkFolder, device: torch.device, precision: Precision, updates: int) -> tuple[Context, list[float]]:
    """Train on the same batches from the same weights."""
    trainer = ToyTrainer(plan_of(work, 2), replace(QUICK))
    torch.manual_seed(0)
    context = prepare(trainer, trainer.shape(), precision, device)
    batches = Batches(sampler_of(work, 2), 2, 0)
    steps = (trainer.training_step(context, batches.make(k).to(device)) for k in range(updates))
    return context, [float(terms["loss"]) for terms in steps]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_on_one_position(cuda: torch.device, dtype: torch.dtype) -> None:
    x = torch.randn(2, 64, 1, 1, device=cuda, requires_grad=True)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        PositionAttention(2, 64).to(cuda)(x).float().square().sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_clustered_attention_is_that_of_the_processor(cuda: torch.device) -> None:
    tensors = torch.randn(3, 1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = clustered_attention(*tensors, 16)
    torch.testing.assert_close(clustered_attention(*tensors.to(cuda), 16).cpu(), expected, rtol=1e-3, atol=1e-4)


def test_losses_are_those_of_the_processor(cuda: torch.device, tiny_work: WorkFolder) -> None:
    (_, here), (_, there) = (trained(tiny_work, device, Precision(), 10) for device in (cuda, CPU))
    assert here == pytest.approx(there, rel=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_short_formats_stay_finite(cuda: torch.device, tiny_work: WorkFolder, dtype: str, channels_last: bool) -> None:
    context, losses = trained(tiny_work, cuda, Precision(dtype, channels_last), 5)
    assert all(map(torch.isfinite, torch.tensor(losses)))
    assert context.updater.scaler.is_enabled() == (dtype == "float16")


def test_the_penalty_of_a_critic_is_float32_under_autocast(cuda: torch.device) -> None:
    critic = nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0)).to(cuda)
    real, fake = torch.rand(2, 2, 3, 8, 8, device=cuda)
    with torch.autocast("cuda", torch.bfloat16), torch.autocast("cuda", enabled=False):
        assert gradient_penalty(critic, real, fake).dtype == torch.float32


def test_an_update_and_its_augmentation_never_wait(cuda: torch.device, tiny_work: WorkFolder) -> None:
    trainer = ToyTrainer(plan_of(tiny_work, 2), replace(QUICK))
    context = prepare(trainer, trainer.shape(), Precision("bfloat16"), cuda)
    average = MovingAverage(context.networks[trainer.inference], 0.9)
    batch = Batches(sampler_of(tiny_work, 2), 2, 0).make(0).to(cuda)

    def update(seed: int) -> None:
        settings = replace(AugmentationSettings(), pixel_spacing=batch.pixel_spacing)
        parameters = sample(torch.Generator().manual_seed(seed), batch.images.shape, settings)
        changed = batch.with_images(*apply(batch.images, batch.labels, parameters, batch.centres))
        trainer.training_step(context, changed)
        average.update_parameters(context.networks[trainer.inference])

    update(0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for seed in range(1, 9):
            update(seed)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_augmentation_is_that_of_the_processor(cuda: torch.device, tiny_work: WorkFolder) -> None:
    batch = Batches(sampler_of(tiny_work, 3), 2, 0).make(0)
    settings = replace(AugmentationSettings(), noise_probability=0.0, pixel_spacing=batch.pixel_spacing)
    parameters = sample(torch.Generator().manual_seed(1), batch.images.shape, settings)
    images, _, centres = apply(batch.images, batch.labels, parameters, batch.centres)
    moved = batch.to(cuda)
    found, _, points = apply(moved.images, moved.labels, parameters, moved.centres)
    torch.testing.assert_close(found.cpu(), images, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(points.cpu(), centres, rtol=1e-3, atol=1e-2, equal_nan=True)


def on_host(batch: Batch) -> Batch:
    return batch.to(CPU)


@pytest.mark.parametrize("loader", ["memory", "threads", "processes"])
def test_batches_come_in_order_on_the_device(cuda: torch.device, tiny_work: WorkFolder, loader: str) -> None:
    sampler = sampler_of(tiny_work, 2)
    made = Batches(sampler, 2, 3)
    batches = ResidentBatches(sampler, 2, 3, 0, cuda) if loader == "memory" else Batches(sampler, 2, 3, loader=loader)
    with Feed(batches.iterate(0, 4), cuda) as feed:
        for step in range(4):
            batch = feed.take()
            assert batch.images.is_cuda
            assert same(on_host(batch), made.make(step))
        assert feed.waited() >= 0


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_fused_optimisers_and_averages_are_those_of_the_processor(cuda: torch.device, kind: str) -> None:
    weights = []
    for device in (cuda, CPU):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).to(device)
        optimiser, average = make_optimiser(OptimiserSettings(kind=kind), network), MovingAverage(network, 0.9)
        assert optimiser.defaults["fused"] == (True if device == cuda else None)
        for k in range(5):
            optimiser.zero_grad()
            network(torch.linspace(-1, k, 12).view(3, 4).to(device)).square().sum().backward()
            optimiser.step()
            average.update_parameters(network)
        assert average.n_averaged.device == CPU
        weights.append([p.detach().cpu() for p in average.module.parameters()])
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_nearest_instances_without_the_host(cuda: torch.device) -> None:
    labels = torch.zeros(2, 30, 20, dtype=torch.int64)
    labels[0, 3, 3], labels[0, 20, 11] = 1, 2
    assert torch.equal(neighbourhoods(labels.to(cuda)).cpu(), neighbourhoods(labels))


def test_windows_are_blended_on_the_device(cuda: torch.device) -> None:
    image = torch.randn(1, 3, 40, 30, generator=torch.Generator().manual_seed(0))

    def streamed(scan: Tensor) -> list[Tensor]:
        slices = stream_slices(scan, 0, (16, 16), 4, lambda windows: windows * 2)
        volume = stream_volume(scan, (3, 16, 16), 4, lambda windows: windows * 2)
        return [torch.from_numpy(values) for chunks in (slices, volume) for _, values in chunks]

    torch.testing.assert_close(streamed(image.to(cuda)), streamed(image))


def test_the_memory_is_that_of_the_card(cuda: torch.device) -> None:
    total = torch.cuda.get_device_properties(cuda).total_memory / 2**30
    assert find_machine("cuda:0", None).memory_gib == pytest.approx(0.6 * total)
