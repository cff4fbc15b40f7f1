"""The ablation of Liu et al. 2024, tables 5 and 6: seven generators, the last one with its critic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.ablation.scores import Score
from autospine.ablation.variants import Ablation, Figures, Variant
from trainers.wgan_resunet.tables import METRICS, STRUCTURES, case_scores

if TYPE_CHECKING:
    from autospine.planning.splits import Subset
    from autospine.training.trainer import Trainer

Row = Sequence[Figures]  # body, foramen, lamina


def _variant(
    name: str,
    title: str,
    components: dict[str, Any],
    dice: Row,
    hd: Row,
    iou: Row,
    ppv: Row,
    builds_on: str | None = None,
) -> Variant:
    """Return a variant with the components named; all others are left out."""
    nothing = {"residual": False, "dilated": False, "attention": "none", "adversarial": False}
    rows = {"dice": dice, "hd_mm": hd, "mean_iou": iou, "ppv": ppv}
    published = {metric: dict(zip(STRUCTURES.values(), row, strict=True)) for metric, row in rows.items()}
    return Variant(name, title, {**nothing, **components}, published, builds_on)


def measure(trainer: Trainer, folder: Path, subset: Subset, work: Path) -> Iterator[Score]:
    """Score slice by slice, as tables 2 to 4 do."""
    for case in subset.cases:
        for score in case_scores(trainer, folder, case, subset, work):
            values = {metric: getattr(score, metric) for metric in METRICS}
            yield Score(case, STRUCTURES[score.label], values)


ABLATION = Ablation(
    source="Liu et al. 2024, tables 5 and 6",
    variants=(
        _variant(
            "unet",
            "U-Net",
            {},
            dice=((81.4, 1.8), (85.6, 1.6), (70.8, 5.6)),
            hd=((5.2, 0.7), (4.9, 0.2), (5.9, 0.6)),
            iou=((88.2, 1.3), (83.2, 3.2), (71.3, 2.2)),
            ppv=((90.8, 0.8), (85.9, 1.8), (75.2, 3.9)),
        ),
        _variant(
            "residual",
            "U-Net + Res",
            {"residual": True},
            dice=((82.8, 1.1), (87.4, 1.3), (70.6, 3.1)),
            hd=((3.5, 1.3), (4.1, 0.4), (5.3, 0.2)),
            iou=((84.3, 2.5), (85.9, 2.8), (72.7, 1.9)),
            ppv=((90.2, 1.2), (86.6, 2.4), (80.5, 2.7)),
        ),
        _variant(
            "attention",
            "U-Net + TM",
            {"attention": "full"},
            dice=((81.9, 2.3), (85.4, 2.2), (70.3, 1.3)),
            hd=((5.1, 0.5), (4.8, 1.1), (6.3, 0.5)),
            iou=((92.6, 1.8), (82.2, 2.7), (73.9, 1.8)),
            ppv=((90.4, 2.3), (83.2, 1.7), (84.5, 1.7)),
            builds_on="unet",
        ),
        _variant(
            "clustered",
            "U-Net + CTM",
            {"attention": "clustered"},
            dice=((81.8, 2.7), (85.7, 1.5), (71.1, 2.8)),
            hd=((5.2, 0.3), (4.7, 0.5), (5.8, 1.1)),
            iou=((91.4, 1.3), (84.4, 1.7), (72.1, 1.1)),
            ppv=((88.7, 1.5), (84.4, 2.6), (83.1, 2.9)),
            builds_on="unet",
        ),
        _variant(
            "residual_clustered",
            "U-Net + Res + CTM",
            {"residual": True, "attention": "clustered"},
            dice=((84.7, 1.6), (87.2, 1.2), (72.3, 2.3)),
            hd=((4.1, 0.4), (3.3, 0.8), (5.1, 0.7)),
            iou=((90.3, 1.1), (88.4, 1.9), (75.2, 1.3)),
            ppv=((92.3, 0.7), (85.1, 1.4), (86.7, 2.2)),
            builds_on="residual",
        ),
        _variant(
            "dilated",
            "ResU-Net + CTM + Dconv",
            {"residual": True, "attention": "clustered", "dilated": True},
            dice=((88.6, 2.1), (90.1, 2.7), (75.4, 1.3)),
            hd=((2.8, 1.1), (3.5, 0.8), (5.2, 0.3)),
            iou=((94.3, 2.9), (89.6, 2.5), (76.7, 3.4)),
            ppv=((95.6, 1.1), (91.3, 2.3), (87.8, 3.2)),
        ),
        _variant(
            "critic",
            "Our Model",
            {"residual": True, "attention": "clustered", "dilated": True, "adversarial": True},
            dice=((92.6, 2.8), (91.5, 2.4), (75.3, 4.2)),
            hd=((1.7, 0.4), (2.8, 0.4), (4.8, 0.4)),
            iou=((96.2, 1.5), (92.6, 1.5), (81.9, 1.8)),
            ppv=((98.8, 1.2), (94.2, 1.8), (90.5, 3.6)),
        ),
    ),
    layouts={"Table 5": ("dice", "hd_mm", "hd95_mm"), "Table 6": ("mean_iou", "ppv")},
    structures=tuple(STRUCTURES.values()),
    measure=measure,
    notes=(
        "The paper's tables 5 and 6 call the body disc and the lamina arch. HD95 stands beside HD since its text "
        "speaks of 95 %.",
        "Every axial slice on which prediction or reference shows the structure is one value; mean IoU is that of the "
        "structure and of all the rest.",
    ),
)
