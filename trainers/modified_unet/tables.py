"""Table 2 of Ahmed et al. 2024: seven metrics per class and sequence, beside the published ones.

Every slice is an image of its own, and a class is scored once over all slices: its pixels are counted together, and the
distances of all its contours lie in one pool. So a slice counts by what it shows of the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from math import nan
from pathlib import Path

import numpy as np

from autospine import volumes
from autospine.core.files import write_text
from autospine.core.tables import Table, csv_text, markdown_page, mean_text
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.predict import output_scheme
from autospine.inference.run import mask_suffix
from autospine.labels.conversion import conversion, get_scheme
from autospine.labels.schemes import LabelScheme
from autospine.metrics import overlap
from autospine.metrics.overlap import Counts
from autospine.metrics.surface import Surfaces, diagonal, reference_surface_recall, surfaces
from autospine.planning.split_strategies import LEAK
from autospine.planning.splits import Subset

FILE = "table_2"
SCHEME = "semantic4"
BACKGROUND = 0
CLASSES = {0: "background", 3: "discs", 1: "vertebrae", 2: "canal"}  # in the paper's order
METRICS = {
    "iou": "IoU",
    "dice": "Dice",
    "asd_mm": "ASD mm",
    "nsd": "NSD",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
PUBLISHED: Mapping[str, Mapping[str, Sequence[float]]] = {
    "t2_SPACE": {
        "background": (0.9906, 0.9950, 0.0543, 0.9951, 0.9951, 0.9955, 0.9953),
        "discs": (0.9476, 0.9688, 0.0288, 0.9994, 0.9684, 0.9778, 0.9731),
        "vertebrae": (0.9461, 0.9712, 0.0464, 0.9944, 0.9745, 0.9701, 0.9723),
        "canal": (0.9501, 0.9671, 0.0361, 0.9963, 0.9761, 0.9727, 0.9744),
    },
    "t1": {
        "background": (0.9891, 0.9893, 0.0578, 0.9901, 0.9899, 0.9921, 0.9917),
        "discs": (0.9378, 0.9592, 0.0389, 0.9954, 0.9556, 0.9696, 0.9663),
        "vertebrae": (0.9367, 0.9634, 0.0489, 0.9912, 0.9711, 0.9697, 0.9678),
        "canal": (0.9445, 0.9628, 0.0372, 0.9893, 0.9711, 0.9692, 0.9725),
    },
    "t2": {
        "background": (0.9867, 0.9877, 0.0533, 0.9921, 0.9856, 0.9933, 0.9867),
        "discs": (0.9317, 0.9527, 0.0401, 0.9934, 0.9524, 0.9658, 0.9650),
        "vertebrae": (0.9331, 0.9647, 0.0488, 0.9919, 0.9703, 0.9671, 0.9666),
        "canal": (0.9439, 0.9625, 0.0371, 0.9856, 0.9689, 0.9697, 0.9709),
    },
}
TOLERANCE_MM = 1.0
NOTES = (
    "In brackets what the paper's table 2 prints, on its own slices: 1000 of each sequence, filtered, split at random.",
    "Every slice is an image of its own; pixels and contours of all slices are counted together.",
    "Dice and F1 are one number on the same counts. The paper prints two that differ; how it got them is not said.",
    "The paper does not state the unit of its ASD; ours is mm.",
    f"NSD is the paper's: the share of the reference's contour nearer than tau to the predicted one. It gives no tau; "
    f"ours is {TOLERANCE_MM:g} mm. It does not see what is predicted where there is nothing.",
    "The background's distances are those of all structures together.",
)


@dataclass(frozen=True)
class ClassScore:
    """One class over all slices; NaN where no slice shows it."""

    slices: int  # that show it, in prediction or reference
    iou: float  # like Dice, precision, recall and F1: from the pixels of all slices, 0 to 1
    dice: float
    # Mean distance of both contours to the other one, by length: the sum over both, divided by both lengths.
    asd_mm: float
    nsd: float  # share of the reference's contour nearer to the predicted one than the tolerance
    precision: float
    recall: float
    f1: float


class SliceScorer:
    """Counts the pixels and measures the contours of slices, and scores their classes.

    The background's contours are those of all structures together, so that the border of the image, which everybody
    gets right, is none. Where only one of both masks shows a class, its contour is a slice's diagonal away.
    """

    def __init__(self, classes: Sequence[int], tolerance_mm: float = 1.0) -> None:
        self.classes, self.tolerance_mm = tuple(classes), tolerance_mm
        self.counts = {label: Counts(0, 0, 0) for label in self.classes}
        self.contours: dict[int, list[Surfaces]] = {label: [] for label in self.classes}

    def add(self, prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
        """Add one slice, `(rows, columns)` labels of both sides, with the mm of its pixels."""
        for label in self.classes:
            masks = prediction == label, reference == label
            counts, more = self.counts[label], overlap.count(*masks)
            self.counts[label] = Counts(*(a + b for a, b in zip(astuple(counts), astuple(more), strict=True)))
            if label == BACKGROUND:
                masks = ~masks[0], ~masks[1]
            if masks[0].any() or masks[1].any():
                self.contours[label].append(_contours(*masks, spacing))

    def score(self, label: int) -> ClassScore:
        """Score one class over all slices so far."""
        counts, contours = self.counts[label], self.contours[label]
        asd, nsd = nan, nan
        if contours:
            pooled = _pooled(contours)
            asd = _mean_distance(pooled)
            nsd = reference_surface_recall(pooled, self.tolerance_mm) if len(pooled.reference_area) else 0.0
        return ClassScore(
            slices=len(contours),
            iou=overlap.iou(counts),
            dice=overlap.dice(counts),
            asd_mm=asd,
            nsd=nsd,
            precision=overlap.precision(counts),
            recall=overlap.recall(counts),
            f1=overlap.f1(counts),
        )


def _contours(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> Surfaces:
    """Measure both contours; where only one mask has one, the other is the slice's diagonal away."""
    between = surfaces(prediction, reference, spacing)
    if between is not None:
        return between
    either = prediction | reference
    alone = surfaces(either, either, spacing)
    lengths = np.empty(0) if alone is None else alone.reference_area
    distances, none = np.full(len(lengths), diagonal(either.shape, spacing)), np.empty(0)
    if prediction.any():
        return Surfaces(distances, none, lengths, none)
    return Surfaces(none, distances, none, lengths)


def _pooled(contours: Sequence[Surfaces]) -> Surfaces:
    names = ("to_reference", "to_prediction", "prediction_area", "reference_area")
    return Surfaces(*(np.concatenate([getattr(contour, name) for contour in contours]) for name in names))


def _mean_distance(between: Surfaces) -> float:
    """Compute the paper's ASD (section 3.3), over the elements of both contours together."""
    distances = np.concatenate([between.to_reference, between.to_prediction])
    lengths = np.concatenate([between.prediction_area, between.reference_area])
    return float(np.average(distances, weights=lengths))


Row = tuple[str, str, ClassScore]  # sequence ("t1", "t2", "t2_SPACE", "unknown" or "all"), class, score


def write_table(folder: Path, subset: Subset, work: WorkFolder, scheme: LabelScheme, view_axis: int) -> None:
    """Write table_2.md and table_2.csv from the masks that were predicted."""
    fingerprint = Fingerprint.load(work.fingerprint)
    sequences = {case.id: case.sequence for case in fingerprint.cases}
    annotated = {case.id: fingerprint.mask_schemes[case.source] for case in fingerprint.cases}
    scorers: dict[str, SliceScorer] = {}
    several = len({sequences[case] for case in subset.cases}) > 1
    for case in subset.cases:
        names = [sequences[case], *(["all"] if several else [])]
        chosen = [scorers.setdefault(name, SliceScorer(tuple(CLASSES), TOLERANCE_MM)) for name in names]
        _add(chosen, folder, case, subset, work, (scheme, annotated[case]), view_axis)
    ordered = sorted(scorers, key=lambda name: (name == "all", [*PUBLISHED, name].index(name)))
    rows = [(sequence, name, scorers[sequence].score(label)) for sequence in ordered for label, name in CLASSES.items()]
    write_text(folder / f"{FILE}.csv", _csv(rows))
    write_text(folder / f"{FILE}.md", _markdown(rows, subset))


def _add(
    scorers: Sequence[SliceScorer],
    folder: Path,
    case: str,
    subset: Subset,
    work: WorkFolder,
    schemes: tuple[LabelScheme, LabelScheme],
    view_axis: int,
) -> None:
    """Add the slices of one case to the scorers; the schemes are those of the plan and of the case's own mask."""
    source = Path(work.load_sources()[case].mask)
    annotated = volumes.read_mask(source, schemes[1].negative)
    written = output_scheme(get_scheme(SCHEME), schemes[0], None)
    segmented = volumes.read_mask(folder / f"{case}{mask_suffix(source)}").array
    prediction = conversion(written, get_scheme(SCHEME)).apply(segmented, case)
    to_classes = conversion(schemes[1], get_scheme(SCHEME))
    reference = to_classes.apply(annotated.array, source)
    if to_classes.target.ignore_label is not None:
        ignored = reference == to_classes.target.ignore_label
        prediction[ignored] = reference[ignored] = 0
    spacing = [mm for axis, mm in enumerate(annotated.spacing) if axis != view_axis]
    for k in range(reference.shape[view_axis]) if subset.slices is None else subset.slices[case]:
        for scorer in scorers:
            scorer.add(prediction.take(k, view_axis), reference.take(k, view_axis), spacing)


def _csv(rows: Sequence[Row]) -> str:
    header = ["sequence", "class", "slices", *METRICS, *(f"published_{m}" for m in METRICS)]
    return csv_text(
        header,
        (
            [sequence, name, score.slices, *(getattr(score, m) for m in METRICS), *_published(sequence, name)]
            for sequence, name, score in rows
        ),
    )


def _published(sequence: str, name: str) -> Sequence[float | None]:
    """Return the paper's figures in the order of `METRICS`, None where it has none."""
    return PUBLISHED.get(sequence, {}).get(name, (None,) * len(METRICS))


def _markdown(rows: Sequence[Row], subset: Subset) -> str:
    count = "all" if subset.slices is None else str(sum(map(len, subset.slices.values())))
    cases = f"{len(subset.cases)} case{'' if len(subset.cases) == 1 else 's'}"
    header = ("sequence", "class", "slices", *METRICS.values())
    cells = [(sequence, name, str(score.slices), *_cells(sequence, name, score)) for sequence, name, score in rows]
    table = Table("", (header, *cells), text_columns=2)
    notes = NOTES if subset.slices is None else (*NOTES, f"WARNING: {LEAK}.")
    return markdown_page("Table 2", [f"{subset.name}: {count} slices of {cases}", table.as_markdown()], notes)


def _cells(sequence: str, name: str, score: ClassScore) -> Iterator[str]:
    """Yield each metric, the paper's in brackets."""
    for metric, published in zip(METRICS, _published(sequence, name), strict=True):
        yield mean_text(getattr(score, metric), digits=4) + ("" if published is None else f" ({published:.4f})")
