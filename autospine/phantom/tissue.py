"""Brightness of tissues in each contrast, relative to fat on T1 = 1: SPIDER's three, then those of varied sets."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Contrast:
    """How bright each tissue is (arbitrary units, air 0)."""

    fat: float
    skin: float
    muscle: float
    marrow: float
    fatty_marrow: float
    cortex: float
    annulus: float
    nucleus: float  # of a healthy disc
    worn_nucleus: float
    cleft: float
    csf: float
    cord: float
    root: float
    flow: float
    wall: float
    liver: float  # painted nowhere, but its chance number keeps the scans of a seed as they are
    fluid: float
    stool: float
    gas: float
    ligament: float
    cartilage: float
    vein: float
    edema: float


CONTRASTS: dict[str, Contrast] = {
    "t1": Contrast(
        fat=1.0, skin=0.45, muscle=0.30, marrow=0.50, fatty_marrow=0.68, cortex=0.07, annulus=0.26,
        nucleus=0.30, worn_nucleus=0.27, cleft=0.28, csf=0.15, cord=0.33, root=0.31, flow=0.07, wall=0.27,
        liver=0.42, fluid=0.17, stool=0.40, gas=0.03, ligament=0.16, cartilage=0.30, vein=0.34, edema=0.25,
    ),
    "t2": Contrast(
        fat=0.86, skin=0.30, muscle=0.17, marrow=0.40, fatty_marrow=0.58, cortex=0.06, annulus=0.09,
        nucleus=0.68, worn_nucleus=0.13, cleft=0.32, csf=0.98, cord=0.42, root=0.36, flow=0.06, wall=0.22,
        liver=0.22, fluid=0.95, stool=0.35, gas=0.03, ligament=0.10, cartilage=0.42, vein=0.62, edema=0.66,
    ),
    "t2_SPACE": Contrast(
        fat=0.66, skin=0.24, muscle=0.13, marrow=0.35, fatty_marrow=0.50, cortex=0.05, annulus=0.10,
        nucleus=0.62, worn_nucleus=0.14, cleft=0.30, csf=1.10, cord=0.44, root=0.34, flow=0.04, wall=0.18,
        liver=0.17, fluid=0.90, stool=0.28, gas=0.02, ligament=0.08, cartilage=0.40, vein=0.55, edema=0.60,
    ),
    "tirm": Contrast(
        fat=0.07, skin=0.16, muscle=0.24, marrow=0.17, fatty_marrow=0.11, cortex=0.04, annulus=0.11,
        nucleus=0.60, worn_nucleus=0.15, cleft=0.30, csf=1.10, cord=0.48, root=0.42, flow=0.08, wall=0.26,
        liver=0.28, fluid=1.00, stool=0.30, gas=0.02, ligament=0.08, cartilage=0.45, vein=0.66, edema=0.90,
    ),
    "t2_water": Contrast(
        fat=0.06, skin=0.25, muscle=0.20, marrow=0.26, fatty_marrow=0.17, cortex=0.04, annulus=0.10,
        nucleus=0.66, worn_nucleus=0.14, cleft=0.32, csf=1.00, cord=0.44, root=0.38, flow=0.06, wall=0.24,
        liver=0.24, fluid=0.95, stool=0.32, gas=0.02, ligament=0.09, cartilage=0.44, vein=0.60, edema=0.75,
    ),
    "t1_ffe": Contrast(
        fat=0.60, skin=0.40, muscle=0.38, marrow=0.42, fatty_marrow=0.48, cortex=0.05, annulus=0.50,
        nucleus=0.78, worn_nucleus=0.55, cleft=0.60, csf=0.95, cord=0.55, root=0.50, flow=0.85, wall=0.36,
        liver=0.42, fluid=0.70, stool=0.38, gas=0.01, ligament=0.20, cartilage=0.70, vein=0.62, edema=0.40,
    ),
}  # fmt: skip
# Of each tissue's brightness: its deviation, and the largest difference that is taken.
SPREAD, VARIED_SPREAD = (0.07, 0.2), (0.18, 0.5)


def sample_contrast(rng: np.random.Generator, sequence: str, varied: bool = False) -> Contrast:
    """Sample the sequence's contrast with every tissue a little off, as echo times differ."""
    mean, (spread, most) = CONTRASTS[sequence], VARIED_SPREAD if varied else SPREAD
    factors = {f.name: float(np.clip(rng.normal(1, spread), 1 - most, 1 + most)) for f in fields(mean)}
    return Contrast(**{name: getattr(mean, name) * factor for name, factor in factors.items()})
