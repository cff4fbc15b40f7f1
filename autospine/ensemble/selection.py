"""From members to an ensemble: probabilities, search, table, comparison, ensemble.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from autospine.core.files import write_json
from autospine.core.workspace import WorkFolder
from autospine.ensemble.comparison import compare
from autospine.ensemble.gather import gather
from autospine.ensemble.search import all_pairs, best, hill_climb, measure, search_pairs, shares, single_member
from autospine.ensemble.weight_report import PublishedScores, WeightReport, describe
from autospine.inference.ensemble_card import EnsembleCard, Member
from autospine.inference.model import Model
from autospine.planning.splits import Subset

log = logging.getLogger(__name__)

PROBABILITIES, DIFFERENCE = "probabilities", "difference.json"


@dataclass(frozen=True)
class EnsembleSpec:
    """What weights are looked for.

    Attributes:
        models: The members.
        names: Theirs.
        validation: Cases that the weights are chosen on.
        test: Cases that the result is scored on; None where there are no others.
        uphill: Goes on from the best pair to more members.
        published: A paper's figures for the table.
        notes: More to be said below it.
    """

    models: tuple[Model, ...]
    names: tuple[str, ...]
    validation: Subset
    test: Subset | None = None
    hill_climb: bool = False
    published: PublishedScores = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose(candidates: EnsembleSpec, work: WorkFolder, folder: Path, device: torch.device) -> WeightReport:
    """Searches, and writes weights.csv, weights.md and difference.json.

    Args:
        candidates: Members and cases.
        work: Where the cases' files are noted.
        folder: The ensemble's.
        device: Where to compute.
    """
    models, names, count = candidates.models, candidates.names, len(candidates.models)
    images = gather(models, candidates.validation, work, folder / PROBABILITIES / "validation", device)
    measured = {**measure(images, [single_member(k, count) for k in range(count)]), **search_pairs(images, count)}
    if candidates.hill_climb and count > 2:
        measured = dict(hill_climb(images, measured))
    chosen = best(measured)
    table = WeightReport(names, measured, chosen, published=candidates.published, notes=candidates.notes)
    subset, tested, fair = candidates.test or candidates.validation, table.measured, False
    if candidates.test is not None:
        images = gather(models, candidates.test, work, folder / PROBABILITIES / "test", device)
        wanted = [single_member(k, count) for k in range(count)]
        wanted += [chosen, *(table.best_of(pair) for pair in all_pairs(count))]
        tested, fair = measure(images, wanted), True
    comparison = compare(names, chosen, images, tested, subset.name, fair)
    table = WeightReport(
        names,
        measured,
        chosen,
        tested if fair else {},
        comparison,
        candidates.published,
        candidates.notes,
    )
    table.save(folder)
    write_json(folder / DIFFERENCE, comparison.to_dict())
    log.info("ensemble: %s", describe(names, chosen))
    log.info("%s", comparison.line())
    return table


def save_ensemble(folder: Path, models: Sequence[Model], weights: Sequence[float], reason: str) -> None:
    """Writes ensemble.json over members that lie in folders of `folder`; those without weight are left out."""
    members = [
        Member(model.folder.name, weight, model.card.weights)
        for model, weight in zip(models, weights, strict=True)
        if weight
    ]
    EnsembleCard(tuple(members), reason).save(folder)


def chosen_weights(table: WeightReport) -> tuple[tuple[float, ...], str]:
    """The weights of a table's choice, and how they came about."""
    iou = table.measured[table.chosen].mean_iou
    images = len(table.measured[table.chosen].iou)
    where = f"{images} validation image{'' if images == 1 else 's'}"
    reason = f"highest mean IoU ({iou:.4f}) of {len(table.measured)} weightings on {where}"
    return shares(table.chosen), reason
