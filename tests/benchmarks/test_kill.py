from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT


@pytest.mark.slow
def test_a_killed_command_is_completed_by_its_second_start(tmp_path: Path) -> None:
    """Two kills each of two commands; the benchmark takes more, and the others."""
    command = [sys.executable, str(ROOT / "benchmarks" / "kill.py"), str(tmp_path / "kills")]
    command += ["--kills", "2", "--train-kills", "0", "--commands", "plan", "clean"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "every second start ended with the same bytes"
