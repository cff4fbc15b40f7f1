"""Random changes to a batch that keep anatomy: `sample` draws them, `apply` makes them, exactly repeatable.

With the default settings a batch of 8 x 1 x 320 x 160 takes 14 ms on one core on average, one of
2 x 1 x 16 x 256 x 128 takes 21 ms (benchmarks/augmentation.py).
"""

from autospine.augmentation.apply import apply
from autospine.augmentation.parameters import Parameters
from autospine.augmentation.sampling import sample
from autospine.augmentation.settings import AugmentationSettings, BatchgeneratorsSettings

__all__ = ["AugmentationSettings", "BatchgeneratorsSettings", "Parameters", "apply", "sample"]
