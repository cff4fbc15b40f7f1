"""Runs a command's main in this process, as the shell would."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Prediction:
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines that say what went wrong."""
        return [line for line in self.err.splitlines() if ": error: " in line]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Prediction]]:
    """Takes a main function and its arguments."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def call(main: Callable[[], int], *arguments: object) -> Prediction:
        monkeypatch.setattr(sys, "argv", [f"autospine_{main.__module__.split('.')[-1]}", *map(str, arguments)])
        capsys.readouterr()
        try:
            status = main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return Prediction(status, said.out, said.err)

    yield call
    root.handlers[:], root.level = handlers, level
