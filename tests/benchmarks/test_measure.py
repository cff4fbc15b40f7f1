"""Limits of agreement of predicted and manual masks, on values and on masks whose differences are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.volumes import write_volume
from tests.blocks import Blocks, as_volume
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_limits_of_agreement_are_those_of_the_differences() -> None:
    import measure

    manual = {("1", level): {"slip_mm": 1.0} for level in ("L3", "L4", "L5", "L2")}
    offsets = zip(("L3", "L4", "L5"), (1.0, 2.0, 3.0), strict=True)
    predicted = {("1", level): {"slip_mm": 1.0 + offset} for level, offset in offsets}
    table = measure.agreement_table(manual, predicted)
    assert table.rows[1:] == (("slip_mm", "3", "1", "+2.00", "+0.04 to +3.96", "3.00"),)


def test_masks_that_slip_by_two_millimetres_differ_by_two_millimetres(tmp_path: Path) -> None:
    import measure

    for name, slip in (("manual", 0.0), ("predicted", 2.0)):
        labels = Blocks(slip=slip, levels=3, arches=False, canal=False).labels()
        for case in ("1_t2", "2_t2"):
            write_volume(as_volume(labels, (4.0, 1.0, 1.0)), tmp_path / name / f"{case}.nii.gz")
    values = [measure.level_values(tmp_path / name, "spider") for name in ("manual", "predicted")]
    rows = {row[0]: row for row in measure.agreement_table(*values).rows}
    assert rows["slip_mm"][1:3] == ("4", "0")  # two levels of two cases
    assert float(rows["slip_mm"][3]) == pytest.approx(1.0, abs=0.2)  # L4 slips on L5, L3 does not on L4
    assert float(rows["middle_height_mm"][3]) == pytest.approx(0.0, abs=0.05)
