"""Print what denoising gains on phantom slices with Gaussian noise, and how long it takes per slice.

The scanner of these phantoms has no noise of its own. Gains are in dB of peak signal-to-noise ratio over the noisy
slices, the mean over phantoms; both methods use the same estimate of the noise. Target: shearlets at least as good as
soft-thresholded db4 wavelets.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from figures import Spread, machine, timed

from autospine.phantom import case as phantom
from autospine.phantom.series import Size
from autospine.preprocessing.transforms.denoising import ShearletDenoise, WaveletDenoise
from autospine.preprocessing.transforms.intensity import IntensityTransform

LEVELS = (0.005, 0.01, 0.02, 0.05, 0.1)  # of the range of intensities
TRANSFORMS: dict[str, IntensityTransform] = {
    "wavelets": WaveletDenoise(),
    "shearlets": ShearletDenoise(),
    "shearlets, 3 and 4 deviations": ShearletDenoise(threshold=3, finest=4),
    "shearlets, 2.5 deviations": ShearletDenoise(threshold=2.5, finest=2.5),
}


def clean_slices(size: Size, seed: int, count: int) -> list[np.ndarray]:
    """`(1, 3, rows, columns)` the middle slices of each phantom, without noise."""
    scanner, found = phantom.sample_scanner, []
    with patch.object(phantom, "sample_scanner", lambda *given: replace(scanner(*given), noise=0.0)):
        for index in range(count):
            image = phantom.make_case(seed, index, size).image.astype(np.float32)
            found.append(image[None, len(image) // 2 - 1 : len(image) // 2 + 2])
    return found


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(truth) ** 2 / np.square(image - truth, dtype=np.float64).mean()))


def gains(step: IntensityTransform, clean: list[np.ndarray], level: float) -> list[float]:
    random, found = np.random.default_rng(0), []
    for truth in clean:
        noisy = (truth + random.normal(0, level * np.ptp(truth), truth.shape)).astype(np.float32)
        found.append(psnr(step.change(noisy), truth) - psnr(noisy, truth))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=4, help="phantoms of each size (default: 4)")
    parser.add_argument("--seed", type=int, default=3, help="of the phantoms (default: 3)")
    options = parser.parse_args()
    print(machine())
    for size in Size:
        clean = clean_slices(size, options.seed, options.cases)
        print(f"{size.value} phantoms; gain in dB at noise of " + ", ".join(f"{100 * v:g} %" for v in LEVELS))
        found = {name: [gains(step, clean, level) for level in LEVELS] for name, step in TRANSFORMS.items()}
        for name, by_level in found.items():
            print(f"  {name:32s}" + "".join(f"{np.mean(values):8.2f}" for values in by_level))
        ahead = np.array(found["shearlets"]) - np.array(found["wavelets"])  # (levels, cases)
        print(f"  {'shearlets over wavelets, fewest':32s}" + "".join(f"{v:8.2f}" for v in ahead.min(axis=1)))
        for name, step in TRANSFORMS.items():
            same = [psnr(step.change(truth), truth) for truth in clean]
            print(f"  {name:32s} without noise: {min(same):.1f} dB from the original or better")
    stack = np.repeat(clean_slices(Size.FULL, options.seed, 1)[0], 13, axis=1)
    for name, step in list(TRANSFORMS.items())[:2]:
        step.change(stack)  # makes the frame
        seconds = Spread(tuple(timed(lambda step=step: step.change(stack)) / stack.shape[1] for _ in range(5)))
        print(f"{name:10s} per slice of {stack.shape[2]} x {stack.shape[3]}  {seconds}")


if __name__ == "__main__":
    main()
