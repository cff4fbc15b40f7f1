"""What unseen.py runs for a line of its table: data sets, plans, trainings, predictions, and what is scored of them."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from figures import call, command
from unseen_cases import CaseFigure, annotated_kinds, case_figure

from autospine.core.files import read_json, write_json
from autospine.core.workspace import WorkFolder
from autospine.dataset.cases import Case, load_dataset
from autospine.fingerprint.statistics import checksum
from autospine.labels.anatomy import Kind
from autospine.labels.conversion import get_scheme, infer_scheme, present_labels
from autospine.labels.schemes import LabelScheme
from autospine.volumes import find_volumes, read_image, read_mask, volume_id

if TYPE_CHECKING:
    from autospine.inference.model import ModelCard

# What the masks of these sets mean where no dataset.json says it.
LABELS = {"spider_t2space": "spider", "t2": "bodies", "ffe": "bodies", "discs": "spider", "mixed": "bodies above S1"}
S1_FIRST = {"name": "bodies above S1", "labels": {"1": "sacrum", **{str(n + 1): f"body:{n}" for n in range(1, 25)}}}
PLAN = "2d_sagittal"
FRESH = ("--init-from", "none")  # a model to start from may have seen what is tested


@dataclass(frozen=True)
class Source:
    """A data set that is trained or tested on."""

    name: str
    root: Path
    labels: str | None  # for --labels; None: what its own dataset.json or integers say
    scheme: LabelScheme
    cases: tuple[Case, ...]  # annotated ones

    @property
    def answer(self) -> str:
        """Return the scheme to predict it in: that of the anatomy that it annotates."""
        kinds = {anatomy.kind for anatomy in self.scheme.anatomies.values()}
        if Kind.BODY not in kinds:
            return "spider"
        return "parts" if Kind.DISC in kinds else "bodies"


@dataclass(frozen=True)
class Fold:
    """A model and the scans that it is tested on."""

    line: str
    model: str
    tested: dict[str, set[str]]  # ids by source


def load_source(root: Path, work: Path, labels: str | None) -> Source:
    """List a data set with the meaning of its masks: as asked, as its dataset.json says, as known here, or inferred."""
    dataset = load_dataset(root)
    if labels is None and dataset.scheme is None:
        labels = LABELS.get(root.name)
    if labels == S1_FIRST["name"]:
        path = work / "bodies_above_s1.json"
        write_json(path, S1_FIRST)
        labels = str(path)
    cases = dataset.annotated
    scheme = get_scheme(labels) if labels else dataset.scheme
    if scheme is None:
        masks = [read_mask(case.mask).array for case in cases if case.mask]
        scheme = infer_scheme(label for mask in masks for label in present_labels(mask))
    return Source(root.name, root, labels, scheme, cases)


# Training


def plan(folder: Path, sources: Sequence[Source], options: argparse.Namespace, work: Path, *more: object) -> None:
    """Plan the sources and phantoms together; what is done already is not done again."""
    roots = [source.root.resolve() for source in sources]
    if options.phantoms:
        roots.append(phantoms(work / "phantom", options))
    named = [f"{source.name}={source.labels}" for source in sources if source.labels]
    if len(roots) == 1:
        named = [source.labels for source in sources if source.labels]
    labels = ["--labels", *named] if named else []
    given = ["--plans", PLAN, "--device", options.device, *FRESH, *more]
    logged(folder, command("plan", *roots, folder / "work", *labels, *given))


def phantoms(folder: Path, options: argparse.Namespace) -> Path:
    """Make the phantoms whole or not at all."""
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        given = ("--cases", options.phantoms, "--seed", options.seed, "--size", options.size)
        call(command("phantom", begun, *given, "--labels", "parts", "--varied"))
        begun.rename(folder)
    return folder


def train(folder: Path, fold: str, options: argparse.Namespace) -> Path:
    """Train a fold, or go on with it; return its model's folder."""
    work = folder / "work"
    model = WorkFolder(work).model("unet", PLAN, options.recipe, fold)
    if (model / "model.json").exists():
        return model
    length = ("--epochs", options.epochs) if options.epochs else ("--minutes", f"{options.minutes:g}")
    given = ["--trainer", "unet", "--plan", PLAN, "--recipe", options.recipe, "--seed", options.seed]
    given += ["--device", options.device, "--fold", fold, *FRESH]
    given += ["--continue"] if (model / "checkpoint.pt").exists() else []
    logged(folder, command("train", work, *length, *given))
    return model


def logged(folder: Path, line: list[str], allowed: Iterable[int] = (0,)) -> None:
    """Run a command with its output in log.txt; stop with the last lines if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log:
        status = subprocess.run(line, check=False, stdout=log, stderr=subprocess.STDOUT).returncode
    if status not in allowed:
        last = (folder / "log.txt").read_text(errors="replace").splitlines()[-3:]
        raise SystemExit("\n".join([*last, f"{folder / 'log.txt'} has the rest"]))


# Testing


def tested(fold: Fold, sources: dict[str, Source], folder: Path, device: str) -> list[CaseFigure]:
    """Predict and score scans of each source in the anatomy that it annotates."""
    figures = []
    for name, ids in fold.tested.items():
        if ids:
            figures += test(fold, sources[name], ids, folder, device)
    return figures


def test(fold: Fold, source: Source, ids: set[str], folder: Path, device: str) -> list[CaseFigure]:
    from autospine.evaluation.case import evaluate_case
    from autospine.evaluation.mask_pair import MaskPair
    from autospine.inference.model import find_models

    cards = [model.card for model in find_models([fold.model])]
    check_answers(cards, source, fold.model)
    cases = [case for case in source.cases if case.id in ids]
    masks = folder / "masks" / source.name
    reports = predict(fold.model, [path for case in cases for path in case.images], masks, source.answer, device)
    known = seen_cases(source, cards)
    schemes = get_scheme(source.answer), source.scheme
    scores = []
    for case in cases:
        reference = read_mask(case.mask, source.scheme.negative)
        if not reference.array.any():  # nobody annotated it, and planning leaves it out as well
            continue
        answer = read_mask(reports[case.id][1]).array if case.id in reports else np.zeros_like(reference.array)
        pair = MaskPair(answer, reference.array, reference.spacing, schemes, (f"answer to {case.id}", str(case.mask)))
        scores.append(evaluate_case(case.id, pair, missing=case.id not in reports))
    annotated = annotated_kinds(scores)
    return [
        case_figure(fold.line, source.name, s.id in known, s, reports[s.id][0] if s.id in reports else None, annotated)
        for s in scores
    ]


def check_answers(cards: Sequence[ModelCard], source: Source, model: str) -> None:
    """Stop where a model cannot answer in the anatomy that a source annotates, rather than score it 0."""
    kinds = {anatomy.kind for card in cards for anatomy in card.scheme.anatomies.values()}
    if source.answer != "spider" and Kind.BODY not in kinds:
        raise SystemExit(f"{model}: knows no vertebral bodies, which {source.name} annotates; name other --sources")


def predict(
    model: str, images: Sequence[Path], masks: Path, scheme: str, device: str
) -> dict[str, tuple[dict[str, Any], Path]]:
    """Return report and mask of each scan that could be segmented, by id."""
    given = ("-o", masks, "-m", model, "--labels", scheme, "--device", device)
    logged(masks.parent.parent, command("predict", "-i", *images, *given), allowed=(0, 2))
    found = {path.stem: path for path in masks.glob("*.json")} if masks.is_dir() else {}
    volumes = {volume_id(path): path for path in find_volumes(masks)} if found else {}
    reports = {id_: (read_json(path), volumes[id_]) for id_, path in found.items() if id_ in volumes}
    if not reports:
        raise SystemExit(f"{masks}: no scan could be segmented; {masks.parent.parent / 'log.txt'} says why")
    return reports


@dataclass(frozen=True)
class Scan:
    """What tells whether a model knows a scan."""

    id: str  # with the name of its source
    patient: str
    image_checksum: str
    shape: tuple[int, ...]  # voxels along each canonical axis

    @classmethod
    def of(cls, case: Case, source: str) -> Scan:
        """Read a case."""
        arrays = [read_image(path).array for path in case.images]
        return cls(f"{source}-{case.id}", case.patient, checksum(*arrays), arrays[0].shape)


def seen_cases(source: Source, cards: Sequence[ModelCard]) -> set[str]:
    """Return the ids of scans that a model was trained on, and of all scans of their patients.

    Scans are known by the rules of --init-from, and by their id with the name of their source. Where a card lists no
    scans with their voxels, bare ids count as well, which other data sets may have, too.
    """
    from autospine.training.start import known_cases

    seen = [scan for card in cards for scan in card.seen]
    trained = {id_ for card in cards for id_ in card.trained_on}
    scans = [Scan.of(case, source.name) for case in source.cases]
    bare = {f"{source.name}-{id_}" for id_ in trained} if not seen else set()
    patients = {scan.patient for scan in scans if scan.id in trained | bare}
    known = known_cases(scans, seen) | {scan.id for scan in scans if scan.patient in patients}
    return {id_.removeprefix(f"{source.name}-") for id_ in known}
