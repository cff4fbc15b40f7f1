"""Figures of shapes that are known, whatever the grid; what cannot be told is empty, with its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.measurement.case import CaseMeasures, measure_volume
from tests.blocks import CANAL_DEPTH, CANAL_WIDTH, DEPTH, GAP, HEIGHT, WIDTH, Blocks, as_volume

SPIDER = SCHEMES["spider"]


def measured(blocks: Blocks, orientation: str = "PIR") -> CaseMeasures:
    return measure_volume("case", as_volume(blocks.labels(), blocks.spacing, orientation), SPIDER)


def values(case: CaseMeasures, ordinal: int) -> dict[str, float]:
    level = next(level for level in case.levels if level.ordinal == ordinal)
    return {name: figure.value for name, figure in level.figures.items() if figure.value is not None}


def reasons(case: CaseMeasures, ordinal: int) -> dict[str, str]:
    level = next(level for level in case.levels if level.ordinal == ordinal)
    return {name: figure.reason for name, figure in level.figures.items() if figure.value is None}


@pytest.mark.parametrize("spacing", [(4.0, 1.0, 1.0), (0.9, 0.9, 0.9), (5.0, 0.5, 0.5)])
def test_blocks_have_their_sizes_at_any_spacing(spacing: tuple[float, float, float]) -> None:
    slices = round(64 / spacing[0]) // 2 * 2 + 1
    found = values(measured(Blocks(spacing=spacing, slices=slices)), 2)
    pixel = spacing[1]
    for name in ("anterior_height_mm", "middle_height_mm", "posterior_height_mm"):
        assert found[name] == pytest.approx(HEIGHT, abs=pixel), name
    assert found["depth_mm"] == pytest.approx(DEPTH, abs=pixel)
    assert found["width_mm"] == pytest.approx(WIDTH, abs=spacing[0])
    assert found["disc_middle_height_mm"] == pytest.approx(GAP, abs=pixel)
    assert found["disc_farfan_index"] == pytest.approx(2 * GAP / DEPTH, abs=0.08)
    assert found["canal_diameter_mm"] == pytest.approx(CANAL_DEPTH, abs=pixel)
    assert found["canal_area_mm2"] == pytest.approx(CANAL_DEPTH * CANAL_WIDTH, abs=1.5 * CANAL_DEPTH * spacing[0])
    assert abs(found["slip_mm"]) < 0.5
    assert abs(found["disc_angle_deg"]) < 0.5


def test_a_step_is_a_slip_and_a_grade() -> None:
    case = measured(Blocks(slip=10.0, discs=False))
    found = values(case, 2)
    assert found["slip_mm"] == pytest.approx(10.0, abs=0.6)
    assert found["slip_percent"] == pytest.approx(100 * 10 / DEPTH, abs=3)
    assert found["meyerding_suggestion"] == 2
    assert abs(values(case, 3)["slip_mm"]) < 0.5


def test_wedges_are_ratios_and_grades() -> None:
    case = measured(Blocks(wedge=-16.0, discs=False, arches=False, canal=False))
    found = values(case, 2)
    rise = np.tan(np.radians(8)) * DEPTH
    assert found["anterior_height_mm"] == pytest.approx(HEIGHT - rise, abs=0.6)
    assert found["posterior_height_mm"] == pytest.approx(HEIGHT + rise, abs=0.6)
    assert found["genant_suggestion"] == 2
    assert found["disc_angle_deg"] == pytest.approx(16.0, abs=1.5)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "ASL", "IPR", "SLA"])
def test_no_figure_depends_on_how_the_file_is_laid_out(orientation: str) -> None:
    blocks = Blocks(slip=4.0, wedge=5.0)
    one, other = measured(blocks), measured(blocks, orientation)
    for ordinal in (1, 2, 3, 4):
        assert values(other, ordinal) == pytest.approx(values(one, ordinal), abs=1e-6)
    assert {n: f.value for n, f in other.figures.items()} == pytest.approx(
        {n: f.value for n, f in one.figures.items()}, abs=1e-6
    )


def test_bodies_are_told_apart_without_a_canal_where_slices_show_the_gap() -> None:
    found = values(measured(Blocks(canal=False)), 2)
    assert found["depth_mm"] == pytest.approx(DEPTH, abs=1.0)
    assert found["posterior_height_mm"] == pytest.approx(HEIGHT, abs=0.6)


def test_arches_that_no_slice_shows_apart_are_a_reason() -> None:
    labels = Blocks(canal=False).labels()
    ys = np.arange(labels.shape[2])
    for level in (1, 2, 3, 4):  # bone fills the gap
        rows = np.flatnonzero((labels == level).any(axis=(0, 2)))
        middle = rows[len(rows) // 2]
        labels[:, middle - 4 : middle + 4, (ys > 40) & (ys < 100)] = level
    case = measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), SPIDER)
    assert "cannot be told apart" in reasons(case, 2)["anterior_height_mm"]


def test_what_the_image_cuts_is_empty() -> None:
    labels = Blocks().labels()
    first = np.flatnonzero((labels == 4).any(axis=(0, 2)))[0]
    case = measure_volume("case", as_volume(labels[:, first + 8 :], (4.0, 1.0, 1.0)), SPIDER)
    assert reasons(case, 4)["anterior_height_mm"] == "cut by the field of view"
    assert case.notes == ("L2: cut by the field of view",)
    assert "anterior_height_mm" in values(case, 3)


@pytest.mark.parametrize(("rows", "cut"), [(1, True), (2, False)])
def test_a_body_at_the_rim_of_a_slice_is_cut(rows: int, cut: bool) -> None:
    labels = Blocks(arches=False).labels()
    first = np.flatnonzero((labels == 4).any(axis=(0, 2)))[0]
    case = measure_volume("case", as_volume(labels[:, first - rows :], (4.0, 1.0, 1.0)), SPIDER)
    assert ("anterior_height_mm" in values(case, 4)) != cut


def test_bodies_cut_at_the_sides_have_heights_but_no_width() -> None:
    case = measured(Blocks(slices=7))
    assert "anterior_height_mm" in values(case, 2)
    assert reasons(case, 2)["width_mm"] == "cut by the field of view at its sides"


def test_a_single_slice_gives_what_a_slice_can() -> None:
    labels = Blocks().labels()[8:9]
    case = measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), SPIDER)
    assert values(case, 2)["anterior_height_mm"] == pytest.approx(HEIGHT, abs=0.6)
    assert {reasons(case, 2)[n] for n in ("width_mm", "volume_ml", "canal_area_mm2")} == {"one slice only"}
    assert case.figures["coronal_cobb_deg"].reason == "one slice only"


def test_fused_vertebrae_are_named() -> None:
    labels = Blocks(discs=False).labels()
    rows = np.flatnonzero((labels == 3).any(axis=(0, 2)))
    low = np.flatnonzero((labels == 2).any(axis=(0, 2)))
    between = slice(rows[-1] - 2, low[0] + 3)
    labels[:, between] = np.where((labels[:, low[5]] == 2)[:, None, :], 2, labels[:, between])
    labels[labels == 3] = 2
    case = measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), SPIDER)
    assert "taller than a vertebra" in reasons(case, 2)["anterior_height_mm"]


def test_without_levels_there_are_ordinals_only() -> None:
    labels = Blocks(levels=3).labels()
    plain = np.select([(labels > 0) & (labels < 100), labels == 100, labels > 200], [1, 2, 3], 0).astype(np.uint8)
    case = measure_volume("case", as_volume(plain, (4.0, 1.0, 1.0)), SCHEMES["semantic4"])
    assert [(level.level, level.name) for level in case.levels] == [
        (None, "vertebra 1 from below"), (None, "vertebra 2 from below"), (None, "vertebra 3 from below"),
    ]  # fmt: skip
    assert values(case, 2)["posterior_height_mm"] == pytest.approx(HEIGHT, abs=0.6)
    assert values(case, 2)["disc_middle_height_mm"] == pytest.approx(GAP, abs=0.6)


def in_parts(labels: np.ndarray, bodies: np.ndarray) -> np.ndarray:
    """Bodies and posterior elements apart, in the integers of `parts`."""
    vertebra = (labels > 0) & (labels < 100)
    parts = np.where(vertebra, 400, 0) + labels.astype(np.uint16)
    return np.where(vertebra & (bodies == labels), 300 + bodies.astype(np.uint16), parts)


@pytest.mark.parametrize("canal", [True, False])
def test_bodies_that_a_mask_names_are_measured_as_they_are(canal: bool) -> None:
    """By the schemes parts and bodies, with the canal or without: nothing has to be told apart."""
    blocks = Blocks(canal=canal)
    bodies = replace(blocks, arches=False).labels()
    expected = measured(replace(blocks, arches=False))
    parts = measure_volume("case", as_volume(in_parts(blocks.labels(), bodies), blocks.spacing), SCHEMES["parts"])
    assert [level.name for level in parts.levels] == [level.name for level in expected.levels]
    for ordinal in (1, 2, 3):
        assert values(parts, ordinal) == values(expected, ordinal)
    alone = np.where(bodies < 100, bodies, 0)
    by_level = measure_volume("case", as_volume(alone, blocks.spacing), SCHEMES["bodies"])
    names = ("anterior_height_mm", "posterior_height_mm", "depth_mm", "volume_ml", "sagittal_tilt_deg")
    for name in names:
        assert values(by_level, 2)[name] == values(expected, 2)[name]


def test_a_flattened_body_is_no_whole_vertebra_where_the_mask_names_it() -> None:
    """So deep for its height, a whole vertebra is looked for, which cannot be told apart without a canal."""
    labels = Blocks(levels=3, arches=False, canal=False, discs=False).labels()
    first = np.flatnonzero((labels == 2).any(axis=(0, 2)))[0]
    labels[:, first : first + 11][labels[:, first : first + 11] == 2] = 0
    volume = as_volume(labels, (4.0, 1.0, 1.0))
    assert "cannot be told apart" in reasons(measure_volume("case", volume, SPIDER), 2)["middle_height_mm"]
    flat = values(measure_volume("case", volume, SCHEMES["bodies"]), 2)
    assert flat["middle_height_mm"] == pytest.approx(HEIGHT - 11, abs=0.6)


def test_the_sacrum_gives_slope_and_the_whole_lordosis() -> None:
    labels = Blocks(levels=3, arches=False).labels()
    scheme = LabelScheme("with_sacrum", {**SPIDER.anatomies, 250: Anatomy(Kind.SACRUM)})
    last = np.flatnonzero((labels == 1).any(axis=(0, 2)))[-1]
    rows, columns = np.arange(labels.shape[1])[:, None], np.arange(labels.shape[2])
    slope = np.tan(np.radians(20))
    sacrum = (rows > last + 10 - slope * (columns - 46)) & (columns > 30) & (columns < 62)
    labels = np.concatenate([labels, np.zeros_like(labels[:, :30])], axis=1)
    sacrum = np.concatenate([sacrum, np.zeros((30, labels.shape[2]), bool)])
    labels[3:14][:, sacrum & (np.arange(labels.shape[1])[:, None] > last)] = 250
    case = measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), scheme)
    assert case.lordosis_between == "L3 to S1"
    assert case.figures["sacral_slope_deg"].value == pytest.approx(20, abs=2)
    assert values(case, 1)["disc_angle_deg"] == pytest.approx(20, abs=2)


def test_without_the_sacrum_the_lordosis_names_its_part() -> None:
    case = measured(Blocks(levels=3))
    assert case.lordosis_between == "L3 to L5"
    assert "sacrum is not labelled" in case.figures["sacral_slope_deg"].reason


def test_the_disc_is_as_bright_as_it_is_beside_the_canal() -> None:
    labels = Blocks().labels()
    mask = as_volume(labels, (4.0, 1.0, 1.0))
    image = replace(mask, array=np.where(labels == 100, 1000, np.where(labels > 200, 250, 60)).astype(np.float32))
    case = measure_volume("case", mask, SPIDER, image)
    assert values(case, 2)["disc_signal_csf"] == pytest.approx(0.25, abs=0.01)


def test_another_grid_is_refused() -> None:
    mask = as_volume(Blocks().labels(), (4.0, 1.0, 1.0))
    image = as_volume(np.zeros((17, 100, 120), np.uint8), (4.0, 1.0, 1.0))
    with pytest.raises(UserError, match="lies on another grid than its mask"):
        measure_volume("case", mask, SPIDER, image)


def test_nothing_to_measure_is_refused() -> None:
    labels = np.where(Blocks().labels() == 100, 100, 0).astype(np.uint8)
    with pytest.raises(UserError, match="shows neither vertebrae nor discs by the scheme spider"):
        measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), SPIDER)
    with pytest.raises(UserError, match="holds no label to measure; look at its scan"):
        measure_volume("case", as_volume(np.zeros((3, 40, 40), np.uint8), (4.0, 1.0, 1.0)), SPIDER)


def test_thick_voxels_leave_figures_empty_with_their_uncertainty() -> None:
    case = measured(Blocks(spacing=(5.0, 8.0, 8.0)))
    text = " ".join(reasons(case, 2).values())
    assert "uncertain by" in text or "too small" in text


@pytest.mark.parametrize(("kept", "told"), [(slice(0, 5), False), (slice(0, 11), True), (slice(8, 9), True)])
def test_a_body_whose_middle_lies_outside_the_slices_has_no_figures(kept: slice, told: bool) -> None:
    blocks = Blocks(slices=17, arches=False, canal=False)
    case = measure_volume("case", as_volume(blocks.labels()[kept], blocks.spacing, "PIR"), SPIDER)
    assert ("anterior_height_mm" in values(case, 2)) == told
    if not told:
        assert reasons(case, 2)["anterior_height_mm"] == "its middle lies outside the slices, or at their end"


@pytest.mark.parametrize(("first", "told"), [(3, False), (8, True), (9, True), (16, False)])
def test_slabs_that_cut_both_sides_are_measured_where_the_canal_shows_the_middle(first: int, told: bool) -> None:
    blocks = Blocks(spacing=(2.0, 1.0, 1.0), slices=31)  # its middle is slice 15
    slab = blocks.labels()[first : first + 12]
    case = measure_volume("case", as_volume(slab, blocks.spacing), SPIDER)
    assert ("anterior_height_mm" in values(case, 2)) == told
    if told:
        body = case.shapes.vertebrae[2].body
        assert body is not None
        assert body.frame.origin[0] / 2 + first == pytest.approx(15, abs=0.6)
    else:
        assert reasons(case, 2)["anterior_height_mm"] == "its middle lies outside the slices, or at their end"
        assert reasons(case, 2)["disc_middle_height_mm"] == "its middle lies outside the slices, or at their end"


def test_a_slab_without_the_canal_behind_a_body_is_no_guess() -> None:
    labels = Blocks(spacing=(2.0, 1.0, 1.0), slices=31).labels()[9:21]
    rows = np.flatnonzero((labels == 1).any(axis=(0, 2)))
    labels[:, rows[0] :][labels[:, rows[0] :] == 100] = 0
    case = measure_volume("case", as_volume(labels, (2.0, 1.0, 1.0)), SPIDER)
    assert "no canal behind it" in reasons(case, 1)["anterior_height_mm"]
    assert "anterior_height_mm" in values(case, 3)


def test_a_body_much_shorter_than_those_beside_it_is_a_reason() -> None:
    labels = Blocks(arches=False, canal=False, discs=False).labels()
    columns = np.flatnonzero((labels == 2).any(axis=(0, 1)))
    labels[..., columns[18] :][labels[..., columns[18] :] == 2] = 0
    case = measure_volume("case", as_volume(labels, (4.0, 1.0, 1.0)), SPIDER)
    assert reasons(case, 2)["anterior_height_mm"].endswith("32 beside it: cut, or a fault of the mask")
    assert reasons(case, 3)["slip_mm"] == "the vertebra below, or the sacrum, is not labelled"
    assert "anterior_height_mm" in values(case, 3)
