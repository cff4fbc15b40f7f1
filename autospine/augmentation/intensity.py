"""Changes of the intensities of z-scored images, each on the chosen samples only and in place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autospine.augmentation.parameters import KNOTS, NODES, Parameters
from autospine.core.transfer import send

TABLE = 256  # entries of a tone curve
STEP = 11  # one of so many voxels is looked at where quantiles are estimated


def shift_histogram(images: Tensor, parameters: Parameters) -> None:
    """Apply gamma, histogram shift and inversion as one tone curve per sample (B, ...). Mean and deviation stay."""
    straight = parameters.histogram_shift.new_tensor([k / (KNOTS - 1) for k in range(KNOTS)])
    bent = ((parameters.histogram_shift - straight).abs() > 1e-6).any(1)
    chosen = ((parameters.gamma != 1) | parameters.inverted | bent).nonzero()[:, 0]
    if len(chosen):
        curves = send(tone_curves(parameters)[chosen], images.device)
        keeping_mean_and_deviation(images, chosen, lambda tones: _look_up(tones, curves))


def tone_curves(parameters: Parameters) -> Tensor:
    """Compute what becomes of the intensities 0..1, at equal steps: (B, TABLE)."""
    tones = torch.linspace(0, 1, TABLE) ** parameters.gamma[:, None]
    position = tones * (KNOTS - 1)
    knot = position.long().clamp(max=KNOTS - 2)
    low, high = parameters.histogram_shift.gather(1, knot), parameters.histogram_shift.gather(1, knot + 1)
    tones = low + (position - knot) * (high - low)
    return torch.where(parameters.inverted[:, None], 1 - tones, tones)


def _look_up(tones: Tensor, curves: Tensor) -> Tensor:
    """Interpolate linearly in a table per sample: tones (b, N) in 0..1, curves (b, TABLE)."""
    position = tones * (TABLE - 1)
    entry = position.to(torch.int32).clamp_(max=TABLE - 2)
    share = position.sub_(entry)
    entry += TABLE * torch.arange(len(curves), device=entry.device, dtype=torch.int32)[:, None]
    slopes = curves.diff(dim=1, append=curves[:, -1:])
    low, step = (x.flatten().index_select(0, entry.flatten()).view_as(share) for x in (curves, slopes))
    return low.addcmul_(share, step)


def apply_bias_field(images: Tensor, parameters: Parameters) -> None:
    """Multiply by a smooth field, counted from the darkest value. Mean and deviation stay: (B, C, [D,] H, W)."""
    chosen = (parameters.bias_field != 0).flatten(1).any(1).nonzero()[:, 0]
    if not len(chosen):
        return
    rows, columns = (send(_node_weights(n), images.device) for n in images.shape[-2:])
    field = (rows @ send(parameters.bias_field[chosen], images.device) @ columns.T).exp_()  # (b, H, W)
    repeats = images[0].numel() // field[0].numel()
    keeping_mean_and_deviation(images, chosen, lambda tones: tones * field.flatten(1).repeat(1, repeats))


def _node_weights(size: int) -> Tensor:
    """Compute smooth weights of the nodes along an axis, adding up to one: (size, NODES)."""
    position = (torch.arange(size) + 0.5) / size * NODES - 0.5
    distance = position[:, None] - torch.arange(NODES)
    return (-distance.square()).softmax(1)


def keeping_mean_and_deviation(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Let `change` see samples scaled to 0..1, (b, N), and give its result their old mean and deviation."""
    chosen = send(chosen, images.device)
    values = images[chosen].flatten(1)  # (b, N)
    mean = values.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(values - mean, dim=1, keepdim=True)  # 10 times quicker than var_mean
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    values = change(values.sub_(low).div_((high - low).clamp_(min=1e-6)))
    values = values - values.mean(1, keepdim=True)
    factor = deviation / torch.linalg.vector_norm(values, dim=1, keepdim=True).clamp_(min=1e-6)
    images[chosen] = values.mul_(factor).add_(mean).view(-1, *images.shape[1:])


def adjust_contrast(images: Tensor, parameters: Parameters) -> None:
    """Change contrast about the sample's mean, and brightness: (B, C, [D,] H, W)."""
    chosen = ((parameters.contrast != 1) | (parameters.brightness != 0)).nonzero()[:, 0]
    if not len(chosen):
        return
    contrast, brightness = (send(x[chosen, None], images.device) for x in (parameters.contrast, parameters.brightness))
    chosen = send(chosen, images.device)
    values = images[chosen].flatten(1)  # (b, N)
    offset = values.mean(1, keepdim=True) * (1 - contrast) + brightness
    images[chosen] = values.mul_(contrast).add_(offset).view(-1, *images.shape[1:])


def add_noise(images: Tensor, parameters: Parameters) -> None:
    """Add Gaussian noise: (B, C, [D,] H, W)."""
    generator = torch.Generator(images.device).manual_seed(int(parameters.noise_seed))
    for index in parameters.noise.nonzero()[:, 0].tolist():
        noise = torch.randn(images.shape[1:], generator=generator, device=images.device)
        images[index].add_(noise, alpha=float(parameters.noise[index]))


def clip_intensities(images: Tensor, parameters: Parameters) -> None:
    """Clip the darkest and brightest voxels of the chosen samples. Mean and deviation stay: (B, C, [D,] H, W)."""
    chosen = (parameters.clipping != torch.tensor([0.0, 1.0])).any(1).nonzero()[:, 0]
    if not len(chosen):
        return

    def clipped(tones: Tensor) -> Tensor:
        order = tones[:, ::STEP].sort(1).values  # a sample of the voxels tells the quantiles
        place = (parameters.clipping[chosen] * (order.shape[1] - 1)).round().long()
        low, high = order.gather(1, send(place, order.device)).split(1, 1)
        return torch.maximum(torch.minimum(tones, high), low)

    keeping_mean_and_deviation(images, chosen, clipped)
