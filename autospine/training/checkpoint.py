"""Checkpoints: one dictionary of tensors and plain values, whole or not there, never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from autospine.core.errors import UserError
from autospine.core.files import write_with

VERSION = 2
# What odd content of a checkpoint makes torch raise.
ODD = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    write_with(path, lambda temporary: _save({"version": VERSION, **content}, temporary))


def _save(content: dict[str, Any], path: Path) -> None:
    """Write through Python's file, since torch's own does not say why a write fails (a full disk, say)."""
    with open(path, "wb", buffering=0) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn what a checkpoint's odd content makes of a training into one line.

    Raises:
        UserError: Something in it is missing, or does not fit the networks.
    """
    try:
        yield
    except ODD as error:
        problem = "does not fit this training: it is damaged, or of another plan or trainer"
        raise UserError(path, problem, "delete it and train this fold again") from error


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without unpickling code.

    Raises:
        UserError: It is missing, cut short, damaged or from another version.
    """
    if not path.exists():
        raise UserError(path, "does not exist", "train without --continue")
    try:
        if not zipfile.is_zipfile(path):  # older forms of torch's files are never read
            raise ValueError("not a zip archive")
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # of the many that damaged bytes make torch's restricted unpickler raise
        raise UserError(path, "is damaged or cut short", "delete it and train this fold again") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise UserError(path, "was written by another AutoSpine", "update AutoSpine, or train again")
    return content
