"""Synthetic lumbar spines in SPIDER's layout: seeded, bit-exact, for demonstrations and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autospine.phantom.series import Size

if TYPE_CHECKING:
    from autospine.phantom.case import PhantomCase, make_case
    from autospine.phantom.write import write_phantom

__all__ = ["PhantomCase", "Size", "make_case", "write_phantom"]


def __getattr__(name: str) -> Any:
    """Imports numpy and the painters only when they are asked for, so that commands start fast."""
    from importlib import import_module

    homes = {"PhantomCase": "case", "make_case": "case", "write_phantom": "write"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"autospine.phantom.{homes[name]}"), name)
