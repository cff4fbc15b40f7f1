"""Damaged files, a few of some kinds, with another seed than a benchmark run takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

FILES = 130


@pytest.mark.slow
def test_damaged_files_are_one_line_or_an_answer() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), "--seed", "0", "--files", str(FILES)]
    command += ["--kinds", "mha", "dicom", "predict", "model", "checkpoint"]  # each starts a process
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout
