"""What a radiologist would report of a spine: fractures, slips, narrow discs, scoliosis, implants, and their chance.

Plain sets are like SPIDER's. Varied ones (`VARIED`) teach shapes that plain ones hardly show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FRACTURE_SITES = (0.05, 0.08, 0.12, 0.2, 0.25, 0.3)  # of the levels from the lowest lumbar up; the junction most


@dataclass(frozen=True)
class Fracture:
    """An osteoporotic fracture of a vertebral body."""

    wedge: float  # degrees by which the front loses height against the back
    height: float  # share of the height that stays
    hollow: float  # mm by which the endplates sink in further


@dataclass(frozen=True)
class Findings:
    """Findings by level, 1 the lowest lumbar vertebra; a disc has the level of the vertebra above it."""

    lumbar: int | None = None  # number of lumbar vertebrae, None for chance
    fractures: Mapping[int, Fracture] = field(default_factory=dict)
    narrowing: Mapping[int, float] = field(default_factory=dict)  # share of the disc's height that stays
    slips: Mapping[int, float] = field(default_factory=dict)  # mm that a vertebra and all above it lie further forward
    scoliosis: float | None = None  # largest lean to either side, degrees; None for chance
    coccyx: bool = False
    screws: tuple[int, ...] = ()  # levels with a pair of pedicle screws, joined by rods
    cement: tuple[int, ...] = ()  # levels filled with cement
    blooming: float = 0.0  # mm by which metal's void is larger than the metal


PLAIN = Findings()


def sample_findings(rng: np.random.Generator, levels: int) -> Findings:
    """Sample the findings of a varied spine of `levels` vertebrae."""
    share = np.array([*FRACTURE_SITES, *[0.05] * levels])[:levels]
    broken = rng.choice(levels, int(rng.choice([0, 1, 2, 3], p=[0.5, 0.3, 0.13, 0.07])), False, share / share.sum())
    narrow = [level for level in range(1, 7) if rng.random() < (0.35 if level <= 2 else 0.12)]
    slipped = [level for level in (1, 2, 3) if rng.random() < 0.12]
    first, count = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    operated, cemented = rng.random() < 0.15, rng.random() < 0.4
    return Findings(
        lumbar=int(rng.choice([4, 5, 6], p=[0.15, 0.65, 0.2])),
        fractures={int(k) + 1: _sample_fracture(rng) for k in sorted(broken)},
        narrowing={level: float(rng.uniform(0.15, 0.5)) for level in narrow},
        slips={level: float(rng.choice([1, 1, 1, -0.5]) * rng.uniform(3, 13)) for level in slipped},
        scoliosis=float(rng.uniform(5, 14)) if rng.random() < 0.25 else None,
        coccyx=True,
        screws=tuple(range(first, first + count)) if operated else (),
        cement=tuple(int(k) + 1 for k in sorted(broken)) if cemented else (),
        blooming=float(rng.uniform(0.5, 3.5)),
    )


def _sample_fracture(rng: np.random.Generator) -> Fracture:
    """Sample a wedge, biconcave or crush fracture."""
    kind = int(rng.choice(3, p=[0.5, 0.3, 0.2]))
    return Fracture(
        wedge=float(rng.uniform(8, 22)) if kind == 0 else float(rng.uniform(0, 4)),
        height=float((rng.uniform(0.72, 0.9), rng.uniform(0.8, 0.95), rng.uniform(0.4, 0.7))[kind]),
        hollow=float(rng.uniform(2, 4.5)) if kind == 1 else 0.0,
    )
