from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autospine.networks.self_attention import ChannelAttention, PositionAttention


def literally(attention: PositionAttention, x: Tensor) -> Tensor:
    """The paper's words: an N x N matrix, softmax, times the third branch, plus the input."""
    query, key, value = (layer(x).flatten(2) for layer in (attention.query, attention.key, attention.value))
    matrix = (query.transpose(1, 2) @ key).softmax(2)  # (B, N, N)
    return x + (value @ matrix.transpose(1, 2)).reshape(x.shape)


@pytest.mark.parametrize("size", [(6, 5), (3, 4, 5), (1, 1), (1, 1, 1)])
def test_fused_position_attention_is_the_papers(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    attention = PositionAttention(len(size), 16).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(attention(x), literally(attention, x))


def test_its_gradients_are_the_papers_too() -> None:
    torch.manual_seed(0)
    attention = PositionAttention(3, 8).double()
    x = torch.randn(1, 8, 2, 3, 4, dtype=torch.float64)
    found = torch.autograd.grad(attention(x).square().sum(), tuple(attention.parameters()))
    expected = torch.autograd.grad(literally(attention, x).square().sum(), tuple(attention.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_strides_of_a_single_position_are_aligned() -> None:
    """CUDA's fused kernels read rows of eight values: a stride of one between positions is a misaligned address."""
    groups = PositionAttention._groups(torch.randn(2, 64, 1, 1), 8)
    assert groups.shape == (2, 8, 1, 8)
    assert groups.stride() == (64, 8, 8, 1)


def test_position_attention_follows_a_permutation_of_the_positions() -> None:
    torch.manual_seed(0)
    attention = PositionAttention(2, 8)
    x = torch.randn(1, 8, 1, 20)
    order = torch.randperm(20)
    torch.testing.assert_close(attention(x[..., order]), attention(x)[..., order])


def test_channel_attention_is_the_papers() -> None:
    x = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    flat = x.flatten(2)
    weights = torch.einsum("bcn,bdn->bcd", flat, flat).softmax(2)
    expected = x + torch.einsum("bcd,bdn->bcn", weights, flat).reshape(x.shape)
    torch.testing.assert_close(ChannelAttention()(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_channel_attention_stays_exact_under_autocast(dtype: torch.dtype) -> None:
    """Sums over positions overflow float16, and bfloat16 would mix up channels that are nearly alike."""
    x = 12 * torch.rand(1, 8, 18, 16, 8, generator=torch.Generator().manual_seed(0))
    expected = ChannelAttention()(x)
    with torch.autocast("cpu", dtype):
        found = ChannelAttention()(x)
    torch.testing.assert_close(found, expected)


def test_alike_channels_share_what_they_hold() -> None:
    x = torch.zeros(1, 3, 1, 4)
    x[0, 0, 0, 0] = x[0, 1, 0, 0] = 10.0
    x[0, 2, 0, 1] = 10.0
    torch.testing.assert_close(ChannelAttention()(x), 2 * x)


def test_the_width_must_fit_the_reduction() -> None:
    with pytest.raises(ValueError, match="not a multiple of 8"):
        PositionAttention(2, 12)


def test_the_matrix_is_not_held() -> None:
    """Autograd keeps nothing of N x N elements between forward and backward."""
    attention, positions = PositionAttention(3, 16), 12 * 16 * 16
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    x = torch.randn(1, 16, 12, 16, 16)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attention(x).sum().backward()
    assert isinstance(attention.query, nn.Conv3d)
    assert max(kept) < positions**2 / 50
