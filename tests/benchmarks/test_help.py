from __future__ import annotations

import importlib
import sys

import pytest

from tests.paths import ROOT

# What other benchmarks import.
HELPERS = ("attacks", "figures", "mutators", "unseen_cases", "unseen_runs", "unseen_slices")
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem not in HELPERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_imports_what_exists_and_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    with pytest.raises(SystemExit) as end:
        module.main()
    monkeypatch.delitem(sys.modules, name)
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out
