"""The ablation of Yilihamu et al. 2023, table 2: the base network, each component alone, and all."""

from __future__ import annotations

from autospine.ablation.scores import MEAN
from autospine.ablation.variants import Ablation, Variant


def _variant(name: str, title: str, dice: tuple[float, float], *components: str) -> Variant:
    """Return a variant with the components named."""
    options = {name: name in components for name in ("pyramid", "fusion", "attention")}
    return Variant(name, title, options, {"dice": {MEAN: dice}}, "base" if name != "base" else None)


ABLATION = Ablation(
    source="Yilihamu et al. 2023, table 2",
    variants=(
        _variant("base", "Base", (77.15, 7.63)),
        _variant("pyramid", "Base + ASPP", (81.12, 5.20), "pyramid"),
        _variant("fusion", "Base + multiscale fusion", (80.53, 4.78), "fusion"),
        _variant("attention", "Base + self-attention", (79.76, 4.96), "attention"),
        _variant("all", "SAFNet", (81.37, 3.68), "pyramid", "fusion", "attention"),
    ),
    layouts={"Table 2": ("dice",), "Beside it": ("hd_mm",)},
    structures=(MEAN,),
    notes=(
        "mean: a case's mean over its structures. What the paper's deviation runs over is not said; it gives no "
        "distances.",
    ),
)
