from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT

FOLDER = ROOT / "benchmarks"


def test_it_prints_every_method_and_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK

    rows, columns = np.indices((24, 24))
    mask = np.stack([np.hypot(rows - 12, columns - 12) < 4 + size for size in (0, 1, 2, 3, 4, 4, 3, 2, 1)])
    noise = np.random.default_rng(0).normal(0, 5, mask.shape)
    for kind, values in (("images", 100.0 * mask + noise), ("masks", mask)):
        image = SimpleITK.GetImageFromArray(values.astype(np.float32 if kind == "images" else np.uint8))
        image.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
        image.SetSpacing((1, 1, 2))
        (tmp_path / kind).mkdir()
        SimpleITK.WriteImage(image, str(tmp_path / kind / "1_t2.mha"))
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["reconstruction", str(tmp_path), "--repeats", "1"])
    monkeypatch.delitem(sys.modules, "reconstruction", raising=False)
    import reconstruction

    reconstruction.main()
    said = capsys.readouterr().out
    for name in ("nearest", "linear", "cubic", "registration", "shape-based", "box (published)", "aligned"):
        assert f"\n  {name}" in said
    assert said.count("aligned: target") == 2
    assert "to 61 slices, linear" in said
