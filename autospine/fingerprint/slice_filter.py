"""Which sagittal slices are worth training on: those that show every class, none of them too small.

After Ahmed et al. 2024, 3.2.2: a slice is kept if it shows all four classes (background, vertebrae, canal, discs) and
its class weight ratio, the largest class frequency over the smallest, is at most 55. The paper prints the ratio with a
percent sign; it is a plain quotient. The ratio of many slices is that of their pixels taken together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from autospine.fingerprint.statistics import LabelStatistics, label_statistics
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES, LabelScheme

SEMANTIC4 = SCHEMES["semantic4"]
CLASSES = 1 + len(SEMANTIC4.anatomies)
CLASS_NAMES = ("background", *(anatomy.kind.value for anatomy in SEMANTIC4.anatomies.values()))
ALL_CLASSES = tuple(SEMANTIC4.anatomies)
MAX_RATIO = 55.0


@dataclass(frozen=True)
class SliceFilterResult:
    """The filter's decision on one slice."""

    index: int  # of the slice, along the view
    voxels: tuple[int, ...]  # of background, vertebrae, canal and discs
    ratio: float  # largest class frequency over the smallest; infinite where a class is missing
    missing: tuple[int, ...]  # the classes that it does not show
    reason: str  # why it is dropped; empty if it is kept

    @property
    def kept(self) -> bool:
        """Return whether it may be trained on."""
        return not self.reason

    @property
    def cells(self) -> tuple[str, ...]:
        """Return a row under `RESULT_COLUMNS`."""
        ratio = f"{self.ratio:.2f}" if isfinite(self.ratio) else ""
        return str(self.index), *map(str, self.voxels), ratio, "yes" if self.kept else "no", self.reason


RESULT_COLUMNS = ("slice", *CLASS_NAMES, "ratio", "kept", "reason")


@dataclass(frozen=True)
class ClassWeights:
    """How even the classes are, before and after the filter."""

    slices: int  # how many there are
    kept: int  # how many the filter keeps
    before: tuple[int, ...]  # voxels of background, vertebrae, canal and discs on all slices
    after: tuple[int, ...]  # the same on those that are kept


def class_weight_ratio(voxels: Sequence[int], classes: Sequence[int] = ALL_CLASSES) -> float:
    """Compute the largest class frequency over the smallest, background included; infinite where a class is missing.

    Example:
        >>> class_weight_ratio((900, 60, 30, 10)), class_weight_ratio((900, 60, 0, 10), classes=(1, 3))
        (90.0, 90.0)
    """
    counted = [voxels[k] for k in (0, *classes)]
    return max(counted) / min(counted) if min(counted) else inf


def class_counts(mask: np.ndarray, scheme: LabelScheme, axis: int = 0) -> np.ndarray:
    """Count background, vertebrae, canal and discs on each slice along an axis, `(slices, 4)`, of what is labelled."""
    turned = np.moveaxis(mask, axis, 0)
    return counts_of_statistics(label_statistics(turned), turned.shape, scheme)


def counts_of_statistics(
    labels: Mapping[int, LabelStatistics], shape: tuple[int, ...], scheme: LabelScheme
) -> np.ndarray:
    """Count the same, `(slices, 4)`, from label statistics of a mask of (slices, rows, columns)."""
    table = conversion(scheme, SEMANTIC4).table
    counts = np.zeros((shape[0], CLASSES), np.int64)
    counts[:, 0] = shape[1] * shape[2]
    for value, label in labels.items():
        rows = counts[label.box[0] : label.box[0] + len(label.per_slice)]  # (slices of the box, 4)
        rows[:, 0] -= label.per_slice
        if value != scheme.ignore_label:
            rows[:, table.get(value, 0)] += label.per_slice
    return counts


def filter_slices(
    counts: np.ndarray, max_ratio: float = MAX_RATIO, classes: Sequence[int] = ALL_CLASSES
) -> tuple[SliceFilterResult, ...]:
    """Decide which slices are kept by their `(slices, 4)` counts, the largest ratio and the classes to be shown."""
    results = []
    for index, row in enumerate(counts.tolist()):
        missing = tuple(k for k in classes if not row[k])
        ratio = class_weight_ratio(row, classes)
        if missing:
            reason = f"shows no {named(missing)}"
        elif ratio == inf:
            reason = "shows no background"
        else:
            reason = f"its class weight ratio is above {max_ratio:g}" if ratio > max_ratio else ""
        results.append(SliceFilterResult(index, tuple(row), ratio, missing, reason))
    return tuple(results)


def class_weights(results: Iterable[SliceFilterResult]) -> ClassWeights:
    """Sum up what the filter does to the slices' class weights."""
    results = tuple(results)
    voxels = np.array([result.voxels for result in results], np.int64).reshape(-1, CLASSES)  # (slices, 4)
    kept = np.array([result.kept for result in results], bool)
    before, after = voxels.sum(axis=0), voxels[kept].sum(axis=0)
    return ClassWeights(len(results), int(kept.sum()), tuple(before.tolist()), tuple(after.tolist()))


def combined(weights: Iterable[ClassWeights]) -> ClassWeights:
    """Add up the class weights of several cases."""
    weights = tuple(weights)
    return ClassWeights(
        sum(case.slices for case in weights),
        sum(case.kept for case in weights),
        tuple(map(sum, zip(*(case.before for case in weights), strict=True))),
        tuple(map(sum, zip(*(case.after for case in weights), strict=True))),
    )


def describe(weights: ClassWeights, classes: Sequence[int] = ALL_CLASSES) -> str:
    """Describe slices and ratios, before and after.

    Example:
        >>> describe(ClassWeights(10, 4, (900, 60, 30, 9), (300, 40, 20, 6)))
        '4 of 10 slices kept, class weight ratio 100.0 before and 50.0 after'
    """
    line = f"{weights.kept} of {weights.slices} slices kept"
    before = class_weight_ratio(weights.before, classes)
    if not isfinite(before):
        return f"{line}: not one shows {named([k for k in classes if not weights.before[k]])}"
    after = f" and {class_weight_ratio(weights.after, classes):.1f} after" if weights.kept else ""
    return f"{line}, class weight ratio {before:.1f} before{after}"


def reasons(results: Iterable[SliceFilterResult], max_ratio: float = MAX_RATIO) -> str:
    """Describe how many slices were dropped for what; empty if none was."""
    dropped = [result for result in results if not result.kept]
    lacking = Counter(value for result in dropped for value in result.missing)
    problems = [f"{count} show no {named([value])}" for value, count in sorted(lacking.items())]
    high = sum(isfinite(result.ratio) for result in dropped)
    if high:
        problems.append(f"{high} have a ratio above {max_ratio:g}")
    return ", ".join(problems)


def why_none(
    results: Sequence[SliceFilterResult], max_ratio: float = MAX_RATIO, classes: Sequence[int] = ALL_CLASSES
) -> str:
    """Explain why no slice is kept: what none shows, else what none shows at once, else the ratio."""
    never = [k for k in classes if not any(result.voxels[k] for result in results)]
    if never:
        return f"not one shows {named(never)}"
    if all(result.missing for result in results):
        return f"not one shows {' and '.join(named([k]) for k in classes)} at once"
    lowest = min(result.ratio for result in results)
    return f"the lowest class weight ratio is {lowest:.1f}, above {max_ratio:g}"


def named(classes: Iterable[int]) -> str:
    """Name classes of semantic4.

    Example:
        >>> named([1, 2]), named([3])
        ('vertebra or spinal canal', 'disc')
    """
    return " or ".join(SEMANTIC4.anatomies[value].name for value in classes)


def shown_classes(scheme: LabelScheme, labels: Iterable[int]) -> tuple[int, ...]:
    """Return the classes of semantic4 that some labels of a scheme become."""
    table = conversion(scheme, SEMANTIC4).table
    return tuple(sorted({table.get(label, 0) for label in labels} - {0}))
