"""Which patient and which series a case number stands for, so that no case depends on how many are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

# Steps around the circle that spread evenly, one per topic: golden ratio for the orientation, so that any
# eight patients in a row hold both; roots of 2 and 3 for the others, so that the topics do not go together.
STRIDES = {"pattern": 0.41421356237309515, "orientation": 0.6180339887498949, "extra disc": 0.7320508075688772}
PIR_SHARE = 73 / 447  # SPIDER: 374 series LPS, 73 PIR
PATTERNS: tuple[tuple[float, tuple[str, ...]], ...] = (  # share of the patients, their series
    (0.42, ("t1", "t2")),
    (0.26, ("t2",)),
    (0.12, ("t1",)),
    (0.08, ("t2", "t2_SPACE")),
    (0.12, ("t2_SPACE",)),
)
VARIED_PATTERNS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.26, ("t1", "t2")),
    (0.16, ("t2", "tirm")),
    (0.14, ("t1", "t2_water")),
    (0.18, ("t1_ffe",)),
    (0.14, ("t2",)),
    (0.12, ("t2_SPACE",)),
)
VALIDATION_EVERY, VALIDATION_REMAINDER, VALIDATION_FROM = 5, 2, 6


class Size(str, Enum):
    """How fine the grid is: `full` as clinical scans are, `small` for tests and demonstrations."""

    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True)
class Series:
    """One series of one patient."""

    patient: int  # from 1 on
    sequence: str  # "t1", "t2" or "t2_SPACE"
    orientation: str  # the file's axis code, "LPS" or "PIR"
    stretched: bool  # whether grey values are clipped at percentiles and stretched to -1000..3096
    extra_disc: bool  # whether the disc above the topmost labelled vertebra is labelled too

    @property
    def id(self) -> str:
        """Return SPIDER's name of the series, for example "7_t2"."""
        return f"{self.patient}_{self.sequence}"


def generator(*key: int) -> np.random.Generator:
    """Return a generator of its own for every key of whole numbers."""
    return np.random.default_rng(np.random.SeedSequence(list(key)))


def quota(seed: int, patient: int, topic: str) -> float:
    """Return an evenly spread number in 0..1: any few patients in a row hold each share nearly exactly."""
    start = float(generator(seed, 1_000_003, list(STRIDES).index(topic)).random())
    return (start + patient * STRIDES[topic]) % 1.0


def patient_sequences(seed: int, patient: int, varied: bool = False) -> tuple[str, ...]:
    """Return the sequences that a patient has."""
    share = quota(seed, patient, "pattern")
    for portion, sequences in VARIED_PATTERNS if varied else PATTERNS:
        if share < portion:
            return sequences
        share -= portion
    return PATTERNS[-1][1]


def find_series(seed: int, index: int, varied: bool = False) -> Series:
    """Return the series that case `index` (from 0) stands for."""
    patient = 1
    while index >= len(sequences := patient_sequences(seed, patient, varied)):
        index -= len(sequences)
        patient += 1
    pir = quota(seed, patient, "orientation") < PIR_SHARE
    # In SPIDER as many series are unclipped as are PIR; the phantom takes them to be the same ones.
    return Series(
        patient=patient,
        sequence=sequences[index],
        orientation="PIR" if pir else "LPS",
        stretched=not pir,
        extra_disc=quota(seed, patient, "extra disc") < 0.06,
    )


def subset(patient: int, cases: int) -> str:
    """Return SPIDER's column `subset`: every fifth patient validates, from six cases on."""
    held_out = patient % VALIDATION_EVERY == VALIDATION_REMAINDER and cases >= VALIDATION_FROM
    return "validation" if held_out else "training"
