"""Toy models and a scan as bytes; the fixtures of prediction make the models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.autospine.inference.conftest import _float32, bright, random_model, save
from tests.tiny import spine_image, spine_mask, write_array

__all__ = ["_float32", "bright", "random_model", "save"]


@pytest.fixture
def scan(tmp_path: Path) -> Callable[[str], bytes]:
    """The content of a file of that name: a small spine."""

    def made(name: str) -> bytes:
        return write_array(tmp_path / "scans" / name, spine_image(spine_mask())).read_bytes()

    return made
