from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.paths import ROOT

DEMO = ROOT / "benchmarks" / "demo.py"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CASES", 4)
    monkeypatch.setattr(module, "NEW_CASES", 1)
    return module


def test_a_command_that_fails_ends_the_demo(demo: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        demo.step("1. Look", "autospine_plan", "nowhere at all", "work")
    assert end.value.code == 2
    said = capfd.readouterr()
    assert "$ autospine_plan 'nowhere at all' work" in said.out
    assert "demo: autospine_plan ended with status 2" in said.out
    assert "nowhere at all: is not a folder" in said.err


def test_a_command_that_is_not_installed_is_named(demo: ModuleType) -> None:
    with pytest.raises(SystemExit, match="autospine_nothing is not installed"):
        demo.find_command("autospine_nothing")


@pytest.mark.slow
def test_the_demo_ends_with_scores_and_pictures_and_can_be_run_again(
    demo: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        demo.run(tmp_path / "demo", minutes=0.05)
        out = capfd.readouterr().out
        assert "$ autospine_train" in out
        assert "all vertebrae" in out.partition("== 6.")[2]
        pictures = [Path(line.strip()) for line in out.splitlines() if line.endswith(".png")]
        assert len(pictures) == 1
        assert pictures[0].is_file()
