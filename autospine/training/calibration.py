"""Temperatures of a trained model, fitted on cases that it was not trained on.

Those of the classes minimise the negative log-likelihood of the reference's classes in what is segmented (Guo et al.,
ICML 2017); those of the levels that of the lowest instance's level.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.evaluation.case import CaseScore
from autospine.inference.aggregator import argmax_and_max
from autospine.inference.calibration import Calibration, tempered
from autospine.inference.levels.numbering import LevelEvidence
from autospine.labels.conversion import conversion
from autospine.labels.encoding import Encoding
from autospine.labels.schemes import BACKGROUND
from autospine.metrics.probability import SMALLEST
from autospine.training.trainer import Trainer

log = logging.getLogger(__name__)

FEWEST = 3  # cases that a temperature is fitted on
VOXELS = 20_000  # of a case, spread evenly over what is segmented
LIMITS = 0.25, 4.0
# Deviation of a level temperature from 1 that is usual. Where all levels are right, their likelihood grows as the
# temperature falls to 0; a log-normal prior ends that where the cases are too few to say so.
PRIOR = 2.0


@dataclass(frozen=True)
class ClassSample:
    """Segmented voxels of one case that are annotated."""

    probabilities: np.ndarray  # (classes, N) float32 soft-max
    possible: np.ndarray  # (classes, N) bool, which classes each may be by the reference


@dataclass(frozen=True)
class LevelSample:
    """What the levels of one case were decided by, and the entry that is right by the reference."""

    evidence: LevelEvidence
    right: int


def reference_ids(mask: np.ndarray, trainer: Trainer, where: str | Path, source: str = "") -> np.ndarray:
    """Convert `(slices, rows, columns)` labels of the data set to train ids of what is learnt.

    Args:
        mask: In the plan's scheme.
        trainer: Of the model.
        where: The file that an error names.
        source: Whose mask it is, of several data sets that were joined.

    Returns:
        `(slices, rows, columns)`, the background's for labels that the trainer's scheme lacks, the ignored one's where
        nobody annotated.

    Raises:
        UserError: The mask holds a label that the plan does not know.
    """
    labels, derived = trainer.reference(mask, where), trainer.derived.scheme
    unlabelled = np.zeros(labels.shape, bool) if derived.ignore_label is None else labels == derived.ignore_label
    labels = np.where(unlabelled, BACKGROUND, labels).astype(labels.dtype)
    if derived != trainer.label_scheme:
        labels = conversion(derived, trainer.label_scheme).apply(labels, where)
    ids = trainer.encoding.train_ids(labels, str(where), source)
    ids[unlabelled] = trainer.encoding.ignore_index
    return ids


def class_sample(stored: np.ndarray, ids: np.ndarray, encoding: Encoding, source: str = "") -> ClassSample:
    """Take the voxels of a case that a class other than the background was predicted for.

    Args:
        stored: `(classes, slices, rows, columns)` soft-max.
        ids: `(slices, rows, columns)` train ids of the reference.
        encoding: Of both.
        source: Whose reference it is.
    """
    possible = encoding.members().T  # (classes, train ids)
    background = encoding.background_of(source)
    annotated = np.asarray(possible.any(axis=0))  # (train ids,)
    counted = (argmax_and_max(stored)[0] > 0) & annotated[ids]
    if encoding.stops_early(source):
        shown = (ids != background) & (ids != encoding.ignore_index)
        top = int(shown.any(axis=(0, 2)).argmax())  # 0 where nothing is shown
        counted[:, :top] &= ids[:, :top] != background
    voxels = np.flatnonzero(counted)
    voxels = voxels[:: max(-(-len(voxels) // VOXELS), 1)]  # (N,)
    probabilities = stored.reshape(len(stored), -1)[:, voxels].astype(np.float32)
    return ClassSample(probabilities, possible[:, ids.ravel()[voxels]])


def level_sample(evidence: LevelEvidence | None, score: CaseScore) -> LevelSample | None:
    """Tell which entry is right by the levels of the detected instances, most of them; None where none was detected."""
    if evidence is None:
        return None
    pairs = score.level_pairs
    shifts = Counter(found - true for found, true in pairs if found is not None and true is not None)
    if not shifts:
        return None
    right = evidence.start - shifts.most_common(1)[0][0]
    return LevelSample(evidence, int(np.clip(right, 0, len(evidence.scores) - 1)))


def fit_class_temperature(samples: Sequence[ClassSample]) -> float:
    """Minimise the mean negative log-likelihood of the reference, in which all cases count alike."""
    known = [(np.clip(sample.probabilities, SMALLEST, 1), sample.possible) for sample in samples]

    def loss(temperature: float) -> float:
        likelihoods = [(tempered(values, temperature) * possible).sum(axis=0) for values, possible in known]  # (N,)
        return -float(np.mean([np.log(likelihood).mean() for likelihood in likelihoods]))

    return _minimised(loss)


def fit_level_temperature(samples: Sequence[LevelSample]) -> float:
    """Minimise the negative log-likelihood of the right levels, with a log-normal prior around 1."""

    def loss(temperature: float) -> float:
        likelihoods = [sample.evidence.probabilities(temperature)[sample.right] for sample in samples]
        prior = (math.log(temperature) / math.log(PRIOR)) ** 2 / 2
        return prior - float(np.log(np.clip(likelihoods, SMALLEST, 1)).sum())

    return _minimised(loss)


def _minimised(loss: Callable[[float], float]) -> float:
    """Find the temperature with the least loss, by its logarithm."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda x: loss(math.exp(x)), bounds=[math.log(limit) for limit in LIMITS], method="bounded")
    return round(math.exp(float(found.x)), 3)


def fit_calibration(classes: Sequence[ClassSample], levels: Sequence[LevelSample], fold: str) -> Calibration:
    """Fit both temperatures, each 1 where fewer than three cases tell it, and say so."""
    classes = [sample for sample in classes if sample.probabilities.size]
    if len(classes) < FEWEST:
        log.info(
            "%s: %d segmented held-out cases are too few to calibrate confidences, %d would do",
            fold,
            len(classes),
            FEWEST,
        )
        return Calibration()
    found = Calibration(
        fit_class_temperature(classes),
        fit_level_temperature(levels) if len(levels) >= FEWEST else 1.0,
        len(classes),
    )
    log.info(
        "%s: confidences are calibrated on %d held-out cases: temperature of classes %g, of levels %g",
        fold,
        found.cases,
        found.classes,
        found.levels,
    )
    return found
