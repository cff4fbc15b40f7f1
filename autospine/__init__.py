"""AutoSpine: segmentation of lumbar-spine MRI that configures itself to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autospine.core.version import __version__

if TYPE_CHECKING:
    from autospine.api import (
        Segmentation,
        ablate,
        clean,
        evaluate,
        export,
        extract_slices,
        make_ensemble,
        manage_models,
        measure,
        plan,
        predict,
        predict_scans,
        reconstruct,
        train,
        write_phantom,
    )

__all__ = [
    "Segmentation",
    "__version__",
    "ablate",
    "clean",
    "evaluate",
    "export",
    "extract_slices",
    "make_ensemble",
    "manage_models",
    "measure",
    "plan",
    "predict",
    "predict_scans",
    "reconstruct",
    "train",
    "write_phantom",
]


def __getattr__(name: str) -> Any:
    """Load the calls of `autospine.api` when one is first used, so that commands start quickly."""
    if name in __all__:
        from autospine import api

        return getattr(api, name)
    raise AttributeError(f"module 'autospine' has no attribute {name!r}")
