"""Leave slices of real scans out, interpolate them from the others, and compare with what was left out.

Images: peak signal-to-noise ratio over the scan's range (dB) and structural similarity, mean over the slices left out.
Masks: Dice of each label over all slices left out, mean over labels, then cases; and how far, in mm, a label's centroid
is off between slices that both show it. Then times a scan of 16 slices of 512 x 512 with nine labels.

Targets: masks by the rule "aligned" reach Dice 0.957 where every second slice is left out and 0.927 where three of four
are, and are never more than 0.002 below shape-based interpolation; linear images and masks at 1 mm take 3 s.

Example:
    python benchmarks/reconstruction.py ../shared/data/t2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import Spread, machine, make_parser, timed

from autospine.reconstruction.distances import signed_distance
from autospine.reconstruction.grid import SliceGrid, plan_slices
from autospine.reconstruction.images import interpolate_image
from autospine.reconstruction.masks import interpolate_mask
from autospine.reconstruction.registration import displacement, warp
from autospine.volumes import find_volumes, read_image, read_mask

KEPT = {2: "every second slice left out", 4: "three of four slices left out"}
TARGETS = {2: 0.957, 4: 0.927}
SLACK = 0.002
SECONDS = 3.0


@dataclass(frozen=True)
class Thinned:
    """A case without some of its slices.

    Attributes:
        image: All slices that the grid spans.
        mask: Its labels.
        grid: Of the slices kept.
        spacing: mm of the slices kept, rows, columns.
    """

    image: np.ndarray
    mask: np.ndarray
    grid: SliceGrid
    spacing: tuple[float, float, float]

    @property
    def left_out(self) -> np.ndarray:
        """Slices that were not kept."""
        return np.setdiff1d(np.arange(self.grid.count), self.grid.measured_indices)

    @property
    def kept_image(self) -> np.ndarray:
        """`(grid.measured, rows, columns)`."""
        return self.image[:: self.grid.subdivisions]

    @property
    def kept_mask(self) -> np.ndarray:
        """`(grid.measured, rows, columns)`."""
        return self.mask[:: self.grid.subdivisions]


SliceInterpolation = Callable[[Thinned], np.ndarray]
Claim = Callable[[Thinned, int, int, float], np.ndarray]  # of a case, label, slice kept and share of the way


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, help="how many cases of the data set (default: all)")
    options = parser.parse_args()
    print(machine())
    if options.dataset is not None:
        for subdivisions, what in KEPT.items():
            cases = [thin(path, subdivisions) for path in find_volumes(options.dataset / "images")[: options.cases]]
            gap = cases[0].grid.gap_mm
            print(f"\n{what}: {len(cases)} cases, {gap:.3g} mm apart instead of {gap / subdivisions:.3g} mm")
            compare_images(cases)
            compare_masks(cases, subdivisions)
    time_linear(options.repeats)


def thin(path: Path, subdivisions: int) -> Thinned:
    image, mask = read_image(path), read_mask(path.parent.parent / "masks" / path.name)
    measured = (image.array.shape[0] - 1) // subdivisions + 1
    gap, rows, columns = image.spacing[0] * subdivisions, image.spacing[1], image.spacing[2]
    grid = SliceGrid(measured, gap, subdivisions)
    return Thinned(image.array[: grid.count], mask.array[: grid.count], grid, (gap, rows, columns))


def compare_images(cases: list[Thinned]) -> None:
    methods: dict[str, SliceInterpolation] = {"nearest": lambda case: nearest(case.kept_image, case.grid)}
    for method in ("linear", "cubic", "registration"):
        methods[method] = lambda case, method=method: interpolate_image(
            case.kept_image[None], case.grid, method, case.spacing[1:]
        )[0]
    print(f"  {'image':38s}{'PSNR dB':>9s}{'SSIM':>8s}")
    for name, slice_interpolation in methods.items():
        scores = np.mean([score_image(case, slice_interpolation(case)) for case in cases], axis=0)
        print(f"  {name:38s}{scores[0]:9.2f}{scores[1]:8.4f}")


def score_image(case: Thinned, interpolated: np.ndarray) -> tuple[float, float]:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    span = float(np.ptp(case.image))
    pairs = [(case.image[index], interpolated[index]) for index in case.left_out]
    ratio = np.mean([peak_signal_noise_ratio(true, estimate, data_range=span) for true, estimate in pairs])
    likeness = np.mean([structural_similarity(true, estimate, data_range=span) for true, estimate in pairs])
    return float(ratio), float(likeness)


def compare_masks(cases: list[Thinned], subdivisions: int) -> None:
    rules: dict[str, SliceInterpolation] = {
        "nearest": lambda case: nearest(case.kept_mask, case.grid),
        "linear": lambda case: by_planes(case, shares),
        "linear along the image's displacement": lambda case: by_planes(case, along_image(case)),
        "shape-based (signed distances)": lambda case: by_planes(case, distances),
        "box (published)": lambda case: interpolate_mask(case.kept_mask, case.grid, case.spacing, "box"),
        "aligned": lambda case: interpolate_mask(case.kept_mask, case.grid, case.spacing),
    }
    print(f"  {'mask':38s}{'Dice':>9s}{'centroid mm':>13s}")
    found = {}
    for name, slice_interpolation in rules.items():
        found[name], error = np.mean([score_mask(case, slice_interpolation(case)) for case in cases], axis=0)
        print(f"  {name:38s}{found[name]:9.4f}{error:13.2f}")
    bar = max(TARGETS[subdivisions], found["shape-based (signed distances)"] - SLACK)
    print(f"  aligned: target {bar:.4f}, {'reached' if found['aligned'] >= bar else 'MISSED'}")


def score_mask(case: Thinned, interpolated: np.ndarray) -> tuple[float, float]:
    """Mean Dice of the labels, and mean centroid error in mm between slices that both show the label."""
    dices, errors = [], []
    for value in np.unique(case.mask[case.left_out])[1:]:
        true, estimate = case.mask == value, interpolated == value
        both = (true & estimate)[case.left_out].sum()
        dices.append(2 * both / (true[case.left_out].sum() + estimate[case.left_out].sum()))
        for index in case.left_out:
            low = index - index % case.grid.subdivisions
            shown = (true[low], true[low + case.grid.subdivisions], true[index], estimate[index])
            if all(plane.any() for plane in shown):
                way = np.argwhere(true[index]).mean(axis=0) - np.argwhere(estimate[index]).mean(axis=0)
                errors.append(np.linalg.norm(way * case.spacing[1:]))
    return float(np.mean(dices)), float(np.mean(errors))


def nearest(values: np.ndarray, grid: SliceGrid) -> np.ndarray:
    return values[(np.arange(grid.count) + grid.subdivisions // 2) // grid.subdivisions]


def by_planes(case: Thinned, claim: Claim) -> np.ndarray:
    """Each label's claim on a new slice from its two neighbours; the largest of at least 0 wins."""
    result = np.zeros_like(case.mask)
    result[:: case.grid.subdivisions] = case.kept_mask
    for index in case.left_out:
        low, step = divmod(int(index), case.grid.subdivisions)
        best = np.full(case.mask.shape[1:], -1e-6)
        for value in np.unique(case.kept_mask[low : low + 2])[1:]:
            values = claim(case, int(value), low, step / case.grid.subdivisions)
            result[index][values > best] = value
            best = np.maximum(best, values)
    return result


def shares(case: Thinned, value: int, low: int, share: float) -> np.ndarray:
    """Linear interpolation of the label's indicator, above one half."""
    below, above = (case.kept_mask[low : low + 2] == value).astype(np.float32)
    return shares_of(below, above, share)


def shares_of(below: np.ndarray, above: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * below + share * above - 0.5


def along_image(case: Thinned) -> Claim:
    """The same, each neighbour moved along the displacement between the two images."""
    pairs = zip(case.kept_image, case.kept_image[1:], strict=False)
    fields = [displacement(below, above, case.spacing[1:]) for below, above in pairs]

    def claim(case: Thinned, value: int, low: int, share: float) -> np.ndarray:
        below, above = (case.kept_mask[low : low + 2] == value).astype(np.float32)
        return shares_of(warp(below, -share * fields[low]), warp(above, (1 - share) * fields[low]), share)

    return claim


def distances(case: Thinned, value: int, low: int, share: float) -> np.ndarray:
    """Shape-based interpolation; a label that one neighbour lacks stays while the other is the nearer one."""
    planes = case.kept_mask[low : low + 2] == value
    if not planes.any(axis=(1, 2)).all():
        nearer = planes[0] if share < 0.5 else planes[1] & (share > 0.5)
        return np.where(nearer, 1.0, -1.0)
    below, above = (signed_distance(plane, case.spacing[1:]) for plane in planes)
    return (1 - share) * below + share * above


def time_linear(repeats: int) -> None:
    """Time a scan and its mask from 4.4 mm to 1.1 mm; reading and writing left out."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 16, 512, 512), np.float32)
    mask = np.zeros((16, 512, 512), np.uint8)
    rows, columns = np.indices((512, 512))
    for value in range(1, 10):
        for index in range(2, 14):
            size = 1 - ((index - 7.5) / 8) ** 2
            tall, wide = (rows - 50 * value - index) / (20 * size), (columns - 250) / (32 * size)
            mask[index][tall**4 + wide**4 < 1] = value
    grid, spacing = plan_slices(16, 4.4, 1.0), (4.4, 0.6, 0.6)

    def work() -> None:
        interpolate_image(image, grid, "linear", spacing[1:])
        interpolate_mask(mask, grid, spacing)

    work()
    found = Spread(tuple(timed(work) for _ in range(repeats)))
    print(f"\n16 x 512 x 512 with nine labels to {grid.count} slices, linear: {found}  target {SECONDS:g} s")


if __name__ == "__main__":
    main()
