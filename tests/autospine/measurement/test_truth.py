"""Figures against the phantom's own truth, and the truth against shapes whose figures are plain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.labels.schemes import SCHEMES
from autospine.measurement.case import CaseMeasures, measure_volume
from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.series import Size
from autospine.phantom.truth import body_corners, truth_rows


@pytest.fixture(scope="module")
def case() -> PhantomCase:
    return make_case(5, 3, Size.FULL)


@pytest.fixture(scope="module")
def measured(case: PhantomCase) -> CaseMeasures:
    return measure_volume(case.id, case.volume(case.labels), SCHEMES["spider"])


def errors(case: PhantomCase, measured: CaseMeasures, name: str) -> np.ndarray:
    directions = case.geometry.canonical().directions()
    up = np.array([directions[2, 0], directions[2, 2], -directions[2, 1]])
    truth = {int(r["level"]): r for r in truth_rows(case.id, case.spine, case.vertebrae, case.discs, up)}
    figures = {level.ordinal: level.figures[name].value for level in measured.levels}
    return np.array([v - float(truth[k][name]) for k, v in figures.items() if v is not None and name in truth[k]])


@pytest.mark.parametrize(
    ("name", "bias", "worst"),
    [
        ("anterior_height_mm", 0.4, 1.0),
        ("middle_height_mm", 0.3, 0.6),
        ("posterior_height_mm", 0.4, 1.0),
        ("depth_mm", 0.4, 1.0),
        ("sagittal_tilt_deg", 0.7, 1.5),
        ("coronal_tilt_deg", 0.4, 1.0),
        ("segmental_lordosis_deg", 0.7, 1.5),
        ("disc_middle_height_mm", 0.3, 0.8),
        ("disc_angle_deg", 0.8, 1.8),
        ("slip_mm", 0.5, 1.2),
        ("canal_diameter_mm", 0.4, 1.0),
    ],
)
def test_figures_are_the_phantoms(
    case: PhantomCase, measured: CaseMeasures, name: str, bias: float, worst: float
) -> None:
    off = errors(case, measured, name)
    assert len(off) >= 5
    assert abs(off.mean()) < bias
    assert np.abs(off).max() < worst


def test_the_truth_follows_the_shapes_numbers(case: PhantomCase) -> None:
    plain = replace(case.spine.vertebrae[2], wedge=0.0, hollow=0.0, spur=0.0, waist=0.0)
    corners = body_corners(plain)
    assert np.linalg.norm(corners.top_front - corners.bottom_front) == pytest.approx(plain.height, abs=0.1)
    assert corners.middle_height == pytest.approx(plain.height, abs=0.1)
    wedged = body_corners(replace(plain, wedge=10.0))
    front, back = (np.linalg.norm(t - b) for t, b in (
        (wedged.top_front, wedged.bottom_front), (wedged.top_back, wedged.bottom_back)
    ))  # fmt: skip
    assert front - back == pytest.approx(2 * np.tan(np.radians(5)) * plain.depth, abs=0.7)
