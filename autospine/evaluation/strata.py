"""Cases in groups: by sequence, by vendor, or by any column of a data set's table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


def strata(
    ids: Iterable[str],
    by: str,
    table: Mapping[str, Mapping[str, str]],
    subject: str | Path = "overview.csv",
) -> dict[str, tuple[str, ...]]:
    """Deals cases into groups."""
    raise NotImplementedError
