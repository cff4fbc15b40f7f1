"""Tables 2 to 4 of Liu et al. 2024: Dice, Hausdorff distance, mean IoU and PPV by structure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from autospine import volumes
from autospine.core.files import write_text
from autospine.core.tables import Table, csv_text, markdown_page, mean_text
from autospine.core.workspace import WorkFolder
from autospine.inference.predict import output_scheme
from autospine.inference.run import mask_suffix
from autospine.labels.conversion import conversion, get_scheme
from autospine.metrics import overlap, surface
from autospine.planning.split_strategies import LEAK
from autospine.planning.splits import Subset
from autospine.preprocessing.run import read_annotation
from autospine.training.trainer import Trainer

FILE = "tables_2_to_4"
SCHEME = "axial4"
STRUCTURES = {1: "vertebral body", 2: "vertebral foramen", 3: "lamina"}  # tables 2, 3 and 4
WORDS = {"dice": "Dice %", "hd_mm": "HD mm", "hd95_mm": "HD95 mm", "mean_iou": "mean IoU %", "ppv": "PPV %"}
METRICS = tuple(WORDS)
PERCENT = ("dice", "mean_iou", "ppv")
PRINTED = ("dice", "hd_mm", "mean_iou", "ppv")  # columns of the paper
Figures = tuple[float, float]  # mean and standard deviation
PUBLISHED: Mapping[str, Mapping[str, Sequence[Figures]]] = {
    "vertebral body": {
        "U-Net": ((81.4, 1.8), (5.2, 1.7), (88.2, 1.3), (90.8, 1.8)),
        "nnU-Net": ((90.4, 1.6), (2.5, 2.4), (94.5, 2.5), (96.7, 2.3)),
        "SegNet": ((81.3, 2.5), (4.8, 1.2), (90.6, 1.1), (94.3, 3.4)),
        "DeepLab v3+": ((85.3, 1.9), (4.2, 3.7), (85.8, 3.3), (89.5, 1.6)),
        "Spine-GAN": ((89.5, 5.1), (2.3, 1.9), (92.1, 2.9), (96.8, 1.3)),
        "Our Model": ((92.6, 2.8), (1.7, 2.4), (96.2, 1.5), (96.8, 0.4)),
    },
    "vertebral foramen": {
        "U-Net": ((85.6, 1.6), (4.9, 0.2), (83.2, 3.2), (85.9, 1.8)),
        "nnU-Net": ((88.7, 3.7), (3.8, 0.5), (90.4, 1.3), (94.8, 2.1)),
        "SegNet": ((81.3, 4.2), (4.6, 1.1), (83.5, 2.8), (89.3, 2.5)),
        "DeepLab v3+": ((87.5, 2.2), (4.3, 1.4), (84.2, 3.9), (88.6, 1.7)),
        "Spine-GAN": ((84.3, 1.7), (2.7, 0.6), (89.7, 1.1), (94.1, 1.4)),
        "Our Model": ((91.5, 2.4), (2.8, 0.4), (92.6, 1.5), (94.2, 1.8)),
    },
    "lamina": {
        "U-Net": ((70.8, 5.6), (5.9, 0.6), (71.3, 2.2), (75.2, 3.9)),
        "nnU-Net": ((73.5, 4.8), (5.3, 0.4), (77.8, 3.5), (85.9, 2.3)),
        "SegNet": ((71.2, 3.5), (5.7, 0.6), (70.3, 3.6), (78.7, 2.2)),
        "DeepLab v3+": ((68.5, 3.8), (6.3, 1.4), (75.2, 1.8), (80.7, 4.2)),
        "Spine-GAN": ((70.6, 4.6), (5.2, 1.1), (76.4, 2.5), (86.3, 1.8)),
        "Our Model": ((75.3, 4.2), (4.8, 0.4), (81.9, 1.8), (90.5, 3.6)),
    },
}
NOTES = (
    "Every axial slice is an image of its own; mean and standard deviation over the slices on which prediction or "
    "reference shows the structure.",
    "Unmatched slices, on which only one of both shows it, have Dice 0, PPV 0 and distances of the slice's diagonal.",
    "The paper's rows are those of its tables 2 to 4, on its own slices. It does not say what it took the mean over.",
    "Its equation 16 is the maximal Hausdorff distance, its text speaks of 95 %: ours are both.",
    "Its mean IoU lies above its Dice, which the IoU of a structure alone cannot: ours is the mean of the structure's "
    "IoU and of that of all the rest.",
    "The body's PPV stands as 96.8, 98.8 +- 1.2 and 98.8 +- 0.2 in three places of the paper, its HD's deviation as "
    "2.4 and 0.4.",
)


@dataclass(frozen=True)
class AxialScore:
    """One structure on one slice that at least one mask shows it on.

    Where only one mask shows it, Dice and PPV are 0 and distances the slice's diagonal.
    """

    slice: int  # its index
    label: int  # of the structure
    both: bool  # whether both masks show it
    dice: float  # 0 to 1 (the paper's equation 15)
    hd_mm: float  # largest distance between the contours (equation 16); `hd95_mm` its 95th percentile by length
    hd95_mm: float
    mean_iou: float  # mean IoU of the structure and of all that is not the structure (equation 17), 0 to 1
    ppv: float  # share of the prediction that is right (equation 18), 0 to 1


def score_slices(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    labels: Sequence[int],
    axis: int = 1,
    ignore_label: int | None = None,
) -> list[AxialScore]:
    """Score every slice of a case.

    Args:
        prediction: `(slices, rows, columns)` labels.
        reference: The same grid and labels. Where it is unlabelled nothing is scored.
        spacing: mm along each axis.
        labels: Structures to score.
        axis: Across the slices; 1 for axial ones.
        ignore_label: The reference's value of voxels that are not annotated.

    Returns:
        Slice by slice; nothing for slices on which neither mask shows a structure, and nothing at all where the
        reference could not be derived: it shows none, and what is not annotated.
    """
    if ignore_label is not None and set(np.unique(reference)) - {0} == {ignore_label}:
        return []
    in_plane = [mm for k, mm in enumerate(spacing) if k != axis]
    scores = []
    for k in range(reference.shape[axis]):
        true = reference.take(k, axis)  # (rows, columns)
        known = np.ones(true.shape, bool) if ignore_label is None else true != ignore_label
        predicted, true = prediction.take(k, axis) * known, true * known
        shown = [label for label in labels if (predicted == label).any() or (true == label).any()]
        scores += [_score(k, label, predicted == label, true == label, known, in_plane) for label in shown]
    return scores


def _score(
    k: int, label: int, prediction: np.ndarray, reference: np.ndarray, known: np.ndarray, spacing: Sequence[float]
) -> AxialScore:
    """Score one structure of one slice from its boolean masks, both empty where nothing is `known`."""
    counts = overlap.count(prediction[known], reference[known])
    rest = overlap.Counts(counts.neither, counts.reference_only, counts.prediction_only, counts.both)
    between = surface.surfaces(prediction, reference, spacing)
    diagonal = surface.diagonal(reference.shape, spacing)
    return AxialScore(
        slice=k,
        label=label,
        both=between is not None,
        dice=overlap.dice(counts),
        hd_mm=diagonal if between is None else surface.hausdorff_distance(between),
        hd95_mm=diagonal if between is None else surface.hausdorff_distance(between, 95),
        mean_iou=overlap.mean_iou((counts, rest)),
        ppv=overlap.precision(counts),
    )


@dataclass(frozen=True)
class AxialSummary:
    """One structure over many slices."""

    slices: int  # that at least one mask shows it on
    unmatched: int  # of these, those that only one mask shows it on
    means: dict[str, float]  # by metric; NaN without slices
    deviations: dict[str, float]  # standard deviations (n - 1); NaN below two slices


def summarise(scores: Iterable[AxialScore], label: int) -> AxialSummary:
    """Compute mean and deviation over the slices of one structure."""
    chosen = [score for score in scores if score.label == label]
    values = {metric: [getattr(score, metric) for score in chosen] for metric in METRICS}
    return AxialSummary(
        slices=len(chosen),
        unmatched=sum(not score.both for score in chosen),
        means={metric: mean(of_metric) if of_metric else nan for metric, of_metric in values.items()},
        deviations={metric: stdev(of_metric) if len(of_metric) > 1 else nan for metric, of_metric in values.items()},
    )


def write_table(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> None:
    """Write tables_2_to_4.md and tables_2_to_4.csv from the masks that were predicted."""
    scores = [score for case in subset.cases for score in case_scores(trainer, folder, case, subset, work)]
    summaries = {name: summarise(scores, label) for label, name in STRUCTURES.items()}
    write_text(folder / f"{FILE}.csv", _csv(summaries))
    write_text(folder / f"{FILE}.md", _markdown(summaries, subset))


def case_scores(trainer: Trainer, folder: Path, case: str, subset: Subset, work: Path) -> list[AxialScore]:
    """Score the slices of one case, or those that the subset has of it."""
    files = WorkFolder(work).load_sources()[case]
    source = Path(files.mask)
    annotated = read_annotation(source, files.source, trainer.plan)
    to_structures = conversion(trainer.derived.scheme, get_scheme(SCHEME))
    reference = to_structures.apply(trainer.reference(annotated.array, source), source)
    written = output_scheme(trainer.label_scheme, trainer.plan.scheme, None)
    segmented = volumes.read_mask(folder / f"{case}{mask_suffix(source)}").array
    prediction = conversion(written, get_scheme(SCHEME)).apply(segmented, case)
    axis, ignore_label = trainer.plan.view_axis or 0, to_structures.target.ignore_label
    scores = score_slices(prediction, reference, annotated.spacing, tuple(STRUCTURES), axis, ignore_label)
    return scores if subset.slices is None else [score for score in scores if score.slice in subset.slices[case]]


def _csv(summaries: Mapping[str, AxialSummary]) -> str:
    rows: list[list[object]] = []
    for name, summary in summaries.items():
        figures = [_shown(side, m) for m in METRICS for side in (summary.means, summary.deviations)]
        rows.append([name, "this one", summary.slices, summary.unmatched, *figures])
        for model, row in PUBLISHED[name].items():
            printed = dict(zip(PRINTED, row, strict=True))
            rows.append([name, f"{model} (paper)", "", "", *(x for m in METRICS for x in printed.get(m, ("", "")))])
    columns = [f"{name}{end}" for name in METRICS for end in ("", "_sd")]
    return csv_text(["structure", "model", "slices", "unmatched", *columns], rows)


def _shown(values: Mapping[str, float], metric: str) -> float:
    return 100 * values[metric] if metric in PERCENT else values[metric]


def _markdown(summaries: Mapping[str, AxialSummary], subset: Subset) -> str:
    tables = []
    for number, (name, summary) in enumerate(summaries.items(), start=2):
        rows = [("model", *WORDS.values())]
        rows.append(("this one", *(_cell(_shown(summary.means, m), _shown(summary.deviations, m)) for m in METRICS)))
        for model, row in PUBLISHED[name].items():
            printed = dict(zip(PRINTED, row, strict=True))
            rows.append((f"{model} (paper)", *(_cell(*printed[m]) if m in printed else "" for m in METRICS)))
        title = f"Table {number}: {name}, {summary.slices} slices, {summary.unmatched} of them unmatched"
        tables.append(Table(title, tuple(rows)).as_section())
    notes = NOTES if subset.slices is None else (*NOTES, f"WARNING: {LEAK}.")
    return markdown_page("Tables 2 to 4", [f"{subset.name}: {len(subset.cases)} cases", *tables], notes)


def _cell(mean: float, deviation: float) -> str:
    return mean_text(mean, deviation, digits=1)
