"""Cases of noise, and every transform there is, for the tests of preprocessing."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from autospine.preprocessing.transforms.base import AppliedTransforms, CaseData
from autospine.preprocessing.transforms.denoising import ShearletDenoise, WaveletDenoise
from autospine.preprocessing.transforms.intensity import AdaptiveHistogram, UnitRange, ZScore
from autospine.preprocessing.transforms.spatial import CentreCrop, Fit, OtsuCrop, Pad, Resize

FILL = np.array([-1.0, -2.0], np.float32)
SPACING = (4.0, 0.6, 0.7)
sizes = st.integers(1, 12)
shapes = st.tuples(sizes, sizes, sizes)
views = st.sampled_from([0, 1, None])
shares = st.floats(0.0, 1.0)
counts = st.integers(0, 14)
flags = st.integers(0, 1)
spatial_transforms = (
    st.builds(CentreCrop, shares, shares, shares)
    | st.builds(Resize, counts, counts, counts)
    | st.builds(Pad, counts, counts, counts, flags)
    | st.builds(Fit, counts, counts, counts, flags)
    | st.builds(OtsuCrop, st.floats(0, 5))
)
intensity_transforms = (
    st.builds(ZScore, flags)
    | st.builds(UnitRange, st.floats(0, 10), st.floats(90, 100), flags)
    | st.builds(AdaptiveHistogram, st.just(0.02), st.integers(1, 9), st.just(32))
    | st.builds(ShearletDenoise, st.integers(1, 5), st.integers(1, 20))
    | st.builds(WaveletDenoise, st.integers(1, 5))
)
any_transform = spatial_transforms | intensity_transforms


def noise_case(shape: tuple[int, int, int], slices: tuple[int, ...] | None = None, view: int | None = 0) -> CaseData:
    """Two channels of noise and three labels."""
    random = np.random.default_rng(0)
    image = random.normal(size=(2, *shape)).astype(np.float32)
    return CaseData(image, random.integers(0, 3, shape, np.uint8), SPACING, slices, view)


def invert_transforms(applied: AppliedTransforms, values: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Invert a whole case, the last transform first; prediction does the same chunk by chunk."""
    for transform, shape in reversed(applied):
        values = transform.inverse(values, shape, fill)
    return values
