from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autospine.inference.sliding_window import gaussian, starts, stream_slices, stream_volume


@given(st.integers(1, 400), st.integers(1, 200), st.floats(0, 0.8))
def test_windows_cover_everything_and_overlap_enough(size: int, window: int, overlap: float) -> None:
    found = starts(size, window, overlap)
    if size <= window:
        assert len(found) == 1
        assert found[0] <= 0
        assert found[0] + window >= size
        return
    assert found[0] == 0
    assert found[-1] == size - window
    steps = np.diff(found)
    assert (steps > 0).all()
    assert (steps <= max(window * (1 - overlap), 1) + 1).all()


def test_a_case_that_fits_is_seen_once_in_the_middle() -> None:
    assert starts(10, 10) == [0]
    assert starts(7, 10) == [-1]


def test_weights_are_highest_in_the_middle_and_nowhere_nothing() -> None:
    weights = gaussian((9, 5))
    assert weights.shape == (9, 5)
    assert weights.argmax() == 4 * 5 + 2
    assert float(weights.max()) == 1
    assert float(weights.min()) == pytest.approx(0.01)
    assert torch.equal(weights, weights.flip(0))
    assert torch.equal(weights, weights.flip(1))
    profile = np.exp(-0.5 * ((np.arange(9) - 4) / (9 / 8)) ** 2)
    np.testing.assert_allclose(weights[:, 2], profile.clip(0.01), rtol=1e-5)


def uneven(windows: Tensor) -> Tensor:
    """An output that depends on the position in the window, so that blending matters."""
    ramp = torch.arange(windows[0, 0].numel()).view(windows.shape[2:]) / windows[0, 0].numel()
    return torch.cat([windows[:, :1] * 2 + ramp, windows[:, :1].cumsum(2), -ramp.expand_as(windows[:, :1])], 1)


def blended(image: Tensor, window: tuple[int, ...]) -> Tensor:
    """All windows over a whole array at once, as one would write it first."""
    size = tuple(image.shape[1:])
    pads = [
        (max(-starts(n, w)[0], 0), max(w - n - max(-starts(n, w)[0], 0), 0)) for n, w in zip(size, window, strict=True)
    ]
    flat = [v for low, high in reversed(pads) for v in (low, high)]
    padded = torch.nn.functional.pad(image, flat, value=float(image.min()))
    total, share = torch.zeros((3, *padded.shape[1:])), torch.zeros(padded.shape[1:])
    for place in product(*(starts(n, w) for n, w in zip(size, window, strict=True))):
        part = tuple(slice(p + low, p + low + w) for p, w, (low, _) in zip(place, window, pads, strict=True))
        total[(slice(None), *part)] += uneven(padded[(slice(None), *part)][None])[0] * gaussian(window)
        share[part] += gaussian(window)
    inside = tuple(slice(low, low + n) for n, (low, _) in zip(size, pads, strict=True))
    return (total / share)[(slice(None), *inside)]


def joined(chunks, axis: int) -> Tensor:
    parts, expected = [], 0
    for first, values in chunks:
        assert first == expected
        expected += values.shape[axis + 1]
        parts.append(torch.from_numpy(values))
    return torch.cat(parts, axis + 1)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(3, 30), st.integers(3, 24)),
    window=st.tuples(st.integers(1, 6), st.integers(3, 16), st.integers(3, 12)),
    batch=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_streaming_volumes_equals_blending_the_whole_array(size, window, batch: int, seed: int) -> None:
    image = torch.randn((2, *size), generator=torch.Generator().manual_seed(seed))
    found = joined(stream_volume(image, window, batch, uneven), 1)
    torch.testing.assert_close(found, blended(image, window), rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    axis=st.integers(0, 2),
    size=st.tuples(st.integers(2, 20), st.integers(2, 20), st.integers(2, 20)),
    window=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    batch=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_streaming_slices_equals_blending_each_slice(axis: int, size, window, batch: int, seed: int) -> None:
    image = torch.randn((2, *size), generator=torch.Generator().manual_seed(seed))
    found = joined(stream_slices(image, axis, window, batch, uneven), axis)
    planes = image.movedim(axis + 1, 0)
    expected = torch.stack([_with_fill(plane, window, float(image.min())) for plane in planes], axis + 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def _with_fill(plane: Tensor, window: tuple[int, ...], fill: float) -> Tensor:
    """Blends one slice whose padding has the whole image's value: the slice is made to hold it once, outside."""
    size = tuple(plane.shape[1:])
    low = [max(-starts(n, w)[0], 0) for n, w in zip(size, window, strict=True)]
    high = [max(w - n - a, 0) for n, w, a in zip(size, window, low, strict=True)]
    padded = torch.nn.functional.pad(plane, (low[1], high[1], low[0], high[0]), value=fill)
    answer = blended(padded, window)
    return answer[:, low[0] : low[0] + size[0], low[1] : low[1] + size[1]]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_no_more_windows_at_once_than_asked(batch: int) -> None:
    seen = []

    def watched(windows: Tensor) -> Tensor:
        seen.append(len(windows))
        return uneven(windows)

    image = torch.zeros((1, 7, 40, 30))
    list(stream_volume(image, (4, 16, 12), batch, watched))
    list(stream_slices(image, 0, (16, 12), batch, watched))
    assert max(seen) <= max(batch, 1)


def test_planes_are_handed_on_before_the_last_window_is_seen() -> None:
    """The memory stays that of a few windows, however long the spine."""
    seen = []

    def watched(windows: Tensor) -> Tensor:
        seen.append(1)
        return uneven(windows)

    stream = stream_volume(torch.zeros((1, 4, 200, 10)), (4, 20, 10), 1, watched)
    first, _ = next(stream)
    assert first == 0
    assert len(seen) == 1
