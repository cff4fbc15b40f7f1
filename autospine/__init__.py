"""AutoSpine: segmentation of lumbar-spine MRI that configures itself to a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autospine.core.version import __version__

if TYPE_CHECKING:
    from autospine.inference.predict import Segmentation, predict

__all__ = ["Segmentation", "__version__", "predict"]


def __getattr__(name: str) -> Any:
    """Loads `predict` and `Segmentation` when first used, so that commands start quickly."""
    if name in ("predict", "Segmentation"):
        from autospine import prediction

        return getattr(prediction, name)
    raise AttributeError(f"module 'autospine' has no attribute {name!r}")
