"""Selection of an ensemble's weights: stored probabilities, search, report, comparison, ensemble.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

from autospine.core import registry
from autospine.core.files import make_folder, remove, write_json
from autospine.core.workspace import WorkFolder
from autospine.ensemble.comparison import compare_with_members
from autospine.ensemble.search import all_pairs, best_weighting, hill_climb, score_blends, search_pairs, single_member
from autospine.ensemble.stored_image import StoredImage, reference_classes
from autospine.ensemble.weight_report import PublishedScores, WeightReport, describe
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.ensemble_card import EnsembleCard, Member
from autospine.inference.model import Model
from autospine.inference.predictor import Predictor
from autospine.planning.splits import Subset
from autospine.preprocessing.run import read_annotation, read_channels
from autospine.training.validation import images_of

log = logging.getLogger(__name__)

PROBABILITIES, DIFFERENCE = "probabilities", "difference.json"


@dataclass(frozen=True)
class EnsembleSpec:
    """Members and cases of a search for weights."""

    models: tuple[Model, ...]
    names: tuple[str, ...]
    validation: Subset  # cases that the weights are chosen on
    test: Subset | None = None  # cases that the ensemble is scored on; None where there are no others
    hill_climb: bool = False  # whether to go on from the best pair to more members
    published: PublishedScores = field(default_factory=dict)  # a paper's figures for the report
    notes: tuple[str, ...] = ()  # further notes for the report


def choose_weights(spec: EnsembleSpec, work: WorkFolder, folder: Path, device: torch.device) -> WeightReport:
    """Search for weights; write weights.csv, weights.md and difference.json."""
    count, names = len(spec.models), spec.names
    members = [single_member(k, count) for k in range(count)]
    images = store_probabilities(spec.models, spec.validation, work, folder / PROBABILITIES / "validation", device)
    scores = {**score_blends(images, members), **search_pairs(images, count)}
    if spec.hill_climb and count > 2:
        scores = hill_climb(images, scores)
    chosen = best_weighting(scores)
    report = WeightReport(names, scores, chosen, published=spec.published, notes=spec.notes)
    if spec.test is None:
        comparison = compare_with_members(names, chosen, images, scores, spec.validation.name, independent=False)
    else:
        images = store_probabilities(spec.models, spec.test, work, folder / PROBABILITIES / "test", device)
        best_pairs = [report.best_of(pair) for pair in all_pairs(count)]
        report = replace(report, test_scores=score_blends(images, [*members, chosen, *best_pairs]))
        comparison = compare_with_members(names, chosen, images, report.test_scores, spec.test.name, independent=True)
    report = replace(report, comparison=comparison)
    report.save(folder)
    write_json(folder / DIFFERENCE, comparison.to_dict())
    log.info("ensemble: %s", describe(names, chosen))
    log.info("%s", comparison.line())
    return report


def store_probabilities(
    models: Sequence[Model], subset: Subset, work: WorkFolder, folder: Path, device: torch.device
) -> list[StoredImage]:
    """Predict the cases not stored yet with every member; return one entry per image, a case or a slice.

    Raises:
        UserError: A case cannot be read.
    """
    make_folder(folder)
    sources, card = work.load_sources(), models[0].card
    patients = {case.id: case.patient for case in Fingerprint.load(work.fingerprint).cases}
    digests = [model.card.weights for model in models]
    trainer = registry.load("trainers", card.trainer)(card.plan, card.recipe)
    predictors: list[Predictor] = []
    images: list[StoredImage] = []
    for case in tqdm(subset.cases, desc=f"probabilities, {subset.name}", unit="case", disable=None, leave=False):
        windows = {StoredImage(folder, name): window for name, window in images_of(case, subset, card.plan.view_axis)}
        images += windows
        missing = {image: window for image, window in windows.items() if not image.done(digests)}
        if not missing:
            continue
        predictors = predictors or [Predictor([model], device) for model in models]
        stored = [folder / f".{case}.{k}.npy" for k in range(len(models))]
        try:
            predict_members(predictors, sources[case].images, stored)
            mask = read_annotation(sources[case].mask, sources[case].source, card.plan).array
            reference = reference_classes(mask, trainer, sources[case].mask, sources[case].source)
            for image, window in missing.items():
                image.write(stored, reference, window, patients[case], digests)
        finally:
            for path in stored:
                remove(path)
    return images


def predict_members(predictors: Sequence[Predictor], images: Sequence[str], stored: Sequence[Path]) -> None:
    """Store the probabilities of each member for one case."""
    image, volume = read_channels([Path(path) for path in images])
    for predictor, path in zip(predictors, stored, strict=True):
        predictor.predict(image, volume.spacing, path)


def save_ensemble(folder: Path, models: Sequence[Model], weights: Sequence[float], reason: str) -> None:
    """Write ensemble.json over members in folders of `folder`; those without weight are left out."""
    pairs = zip(models, weights, strict=True)
    members = [Member(model.folder.name, weight, model.card.weights) for model, weight in pairs if weight]
    EnsembleCard(tuple(members), reason).save(folder)
