"""Brightness of tissues in the three contrasts, relative to fat on T1 = 1."""

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
}  # fmt: skip


def sample_contrast(rng: np.random.Generator, sequence: str) -> Contrast:
    """Sample the sequence's contrast with every tissue a little off, as echo times differ."""
    mean = CONTRASTS[sequence]
    values = {f.name: getattr(mean, f.name) * float(np.clip(rng.normal(1, 0.07), 0.8, 1.2)) for f in fields(mean)}
    return Contrast(**values)
