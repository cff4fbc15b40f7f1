"""Print what augmentation costs: all of it on average, and each change done to every sample, on one core."""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import fields, replace

import torch

from autospine.augmentation import AugmentationSettings, apply, sample
from trainers.unet import ROBUST

SHAPES = {"2-D, 12 x 1 x 320 x 160": (12, 1, 320, 160), "3-D, 2 x 1 x 16 x 256 x 128": (2, 1, 16, 256, 128)}


def milliseconds(shape: tuple[int, ...], settings: AugmentationSettings, repeats: int) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator)
    labels = torch.randint(0, 20, (shape[0], *shape[2:]), generator=generator, dtype=torch.uint8)
    centres = torch.rand(shape[0], 20, len(shape) - 2, generator=generator) * 100
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        apply(images, labels, sample(generator, shape, settings), centres, outside=255)
        times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    names = [field.name for field in fields(AugmentationSettings) if field.name.endswith("_probability")]
    nothing = replace(AugmentationSettings(), **dict.fromkeys(names, 0.0))
    for title, shape in SHAPES.items():
        for recipe, settings in (("adapted", AugmentationSettings()), ("robust", ROBUST)):
            times = milliseconds(shape, settings, 60)
            print(f"{title}, {recipe}: mean {statistics.mean(times):.1f} ms, longest {max(times):.1f} ms")
        print(f"  {'nothing':20s} {statistics.median(milliseconds(shape, nothing, 7)):6.2f} ms")
        for name in names:
            always = milliseconds(shape, replace(nothing, **{name: 1.0}), 7)
            print(f"  {name.removesuffix('_probability'):20s} {statistics.median(always):6.2f} ms")


if __name__ == "__main__":
    main()
