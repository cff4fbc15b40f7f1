"""Table 2 of Narula et al. 2024 as printed, and the weights that they chose."""

from __future__ import annotations

from autospine.ensemble.weight_report import PublishedScores

PUBLISHED: PublishedScores = {
    frozenset(["unet"]): (0.410, 0.670),
    frozenset(["unetplusplus"]): (0.800, 0.986),
    frozenset(["resunet"]): (0.850, 0.890),
    frozenset(["deeplabv3"]): (0.750, 0.977),
    frozenset(["unet", "unetplusplus"]): (0.773, 0.881),
    frozenset(["unet", "resunet"]): (0.751, 0.826),
    frozenset(["unet", "deeplabv3"]): (0.751, 0.878),
    frozenset(["unetplusplus", "resunet"]): (0.822, 0.989),
    frozenset(["unetplusplus", "deeplabv3"]): (0.780, 0.981),
    frozenset(["resunet", "deeplabv3"]): (0.810, 0.918),
}
CHOSEN = {"unetplusplus": 0.85, "resunet": 0.15}


def arithmetic() -> tuple[float, float]:
    """Compute IoU and Dice as the printed code does at the chosen weights: the members' scores, blended.

    Example:
        >>> tuple(round(score, 4) for score in arithmetic())
        (0.8075, 0.9716)
    """
    scores = [(weight, PUBLISHED[frozenset([name])]) for name, weight in CHOSEN.items()]
    return sum(weight * iou for weight, (iou, _) in scores), sum(weight * dice for weight, (_, dice) in scores)


def note() -> str:
    """Return the note on the published figures."""
    iou, dice = arithmetic()
    printed_iou, printed_dice = PUBLISHED[frozenset(CHOSEN)]
    chosen = " + ".join(f"{weight:.2f} x {name}" for name, weight in CHOSEN.items())
    return (
        "published: IoU / Dice of Narula et al. 2024, table 2, on their own images. Their code blends the members' "
        f"scores; at their {chosen} it gives {iou:.4f} / {dice:.4f}, where they print {printed_iou:.3f} / "
        f"{printed_dice:.3f}. By that code the highest IoU is resunet alone."
    )
