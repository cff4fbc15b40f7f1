"""An ablation's tables: variants by structure, beside the published figures, and paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from autospine.ablation.scores import Score, structures_of, summarise, values_of
from autospine.ablation.variants import Ablation, Figures, Variant
from autospine.core.files import write_text
from autospine.core.tables import NONE, Table, csv_text, markdown_page, mean_text
from autospine.evaluation.report.tables import p_text
from autospine.evaluation.statistics import PairedTest, by_patient, correct, paired_tests

FILE, TESTS = "ablation", "tests"
TITLES = {
    "dice": "Dice %",
    "iou": "IoU %",
    "mean_iou": "mean IoU %",
    "ppv": "PPV %",
    "precision": "PPV %",
    "recall": "recall %",
    "hd_mm": "HD mm",
    "hd95_mm": "HD95 mm",
    "asd_mm": "ASD mm",
}
COMMON_NOTES = (
    "Mean ± standard deviation over the cases (or slices) that are scored; the paper's figures are its own, on its own "
    "data, and in no test.",
    "Tests are paired t-tests over patients (the mean of a patient's cases or slices is its value): each variant "
    "against the one it builds on, and the full model against every other. p is corrected by Holm over all rows.",
)


@dataclass(frozen=True)
class Trained:
    """One variant and what came of it."""

    variant: Variant
    updates: int  # of its training
    widths: tuple[int, ...]  # of its network
    scores: tuple[Score, ...]  # of the fold's cases
    precision: str = "-"  # number format of its training, the fastest for its network; "-" where that is not known


@dataclass(frozen=True)
class AblationResult:
    """All variants on the same cases."""

    ablation: Ablation  # what was asked
    trained: tuple[Trained, ...]  # in its order
    patients: Mapping[str, str]  # of the cases, by id
    training: str  # how all were trained, one sentence

    @property
    def structures(self) -> tuple[str, ...]:
        """Return the structures that the tables show."""
        return self.ablation.structures or structures_of(score for trained in self.trained for score in trained.scores)

    def tests(self) -> list[tuple[str, PairedTest]]:
        """Return structure and test of each comparison, corrected over all of them."""
        by_name = {trained.variant.name: trained for trained in self.trained}
        structures: list[str] = []
        tests: list[PairedTest] = []
        for metric, structure, pair in product(self.ablation.tested, self.structures, self.ablation.pairs()):
            values = {variant.title: self._values(by_name[variant.name], structure, metric) for variant in pair}
            structures.append(structure)
            tests += paired_tests(values, metric)
        return list(zip(structures, correct(tests), strict=True))

    def _values(self, trained: Trained, structure: str, metric: str) -> dict[str, tuple[float, ...]]:
        """Return a variant's values by patient."""
        values_by_patient: dict[str, list[float]] = {}
        for case, value in values_of(trained.scores, structure, metric):
            patient = self.patients.get(case) or next(iter(by_patient({case: value})))
            values_by_patient.setdefault(patient, []).append(value)
        return {patient: tuple(values) for patient, values in values_by_patient.items()}


def write_tables(folder: Path, result: AblationResult) -> str:
    """Write ablation.md, ablation.csv and tests.csv, and return the first as text."""
    tests = result.tests()
    text = _markdown(result, tests)
    write_text(folder / f"{FILE}.csv", _figures_csv(result))
    write_text(folder / f"{TESTS}.csv", _tests_csv(tests))
    write_text(folder / f"{FILE}.md", text)
    return text


def _markdown(result: AblationResult, tests: Iterable[tuple[str, PairedTest]]) -> str:
    ablation = result.ablation
    trained = [
        (trained.variant.title, str(trained.updates), ", ".join(map(str, trained.widths)), trained.precision)
        for trained in result.trained
    ]
    variants = Table("", (("variant", "updates", "widths", "number format"), *trained))
    layouts = [_layout(result, title, metric) for title, metrics in ablation.layouts.items() for metric in metrics]
    header = ("variant", "against", "structure", "metric", "patients", "difference", "p", "p, Holm")
    paired = Table("Paired t-tests", (header, *(_test_row(*test) for test in tests)), text_columns=4)
    sections = [result.training, variants.as_markdown(), *(table.as_section() for table in (*layouts, paired))]
    return markdown_page(f"Ablation: {ablation.source}", sections, (*COMMON_NOTES, *ablation.notes))


def _layout(result: AblationResult, title: str, metric: str) -> Table:
    rows = [("variant", *(cell for name in result.structures for cell in (name, "paper")))]
    for trained in result.trained:
        cells = []
        for structure in result.structures:
            summary = summarise(trained.scores, structure, metric)
            published = _published(trained.variant, metric, structure)
            cells.append(mean_text(_shown(metric, summary.mean), _shown(metric, summary.deviation)))
            cells.append(mean_text(*published) if published else NONE)
        rows.append((trained.variant.title, *cells))
    return Table(f"{title}: {TITLES.get(metric, metric)}", tuple(rows))


def _test_row(structure: str, test: PairedTest) -> tuple[str, ...]:
    difference = mean_text(_shown(test.metric, test.difference.mean))
    compared = (test.first, test.second, structure, TITLES.get(test.metric, test.metric))
    return (*compared, str(test.patients), difference, p_text(test.t_p), p_text(test.t_p_holm))


def _published(variant: Variant, metric: str, structure: str) -> Figures | None:
    return variant.published.get(metric, {}).get(structure)


def _shown(metric: str, value: float) -> float:
    return 100 * value if TITLES.get(metric, "").endswith("%") else value


def _figures_csv(result: AblationResult) -> str:
    rows: list[list[object]] = []
    for trained, metric, structure in product(result.trained, result.ablation.metrics, result.structures):
        summary = summarise(trained.scores, structure, metric)
        figures = [_shown(metric, value) for value in (summary.mean, summary.deviation)]
        published = _published(trained.variant, metric, structure) or ("", "")
        name, title = trained.variant.name, trained.variant.title
        rows.append([name, title, trained.updates, structure, metric, summary.count, *figures, *published])
    header = ("variant", "title", "updates", "structure", "metric", "count", "mean", "sd", "published", "published_sd")
    return csv_text(header, rows)


def _tests_csv(tests: Iterable[tuple[str, PairedTest]]) -> str:
    rows: list[list[object]] = []
    for structure, test in tests:
        ends = (test.difference.mean, test.difference.low, test.difference.high)
        figures = [_shown(test.metric, value) for value in ends]
        compared = (test.first, test.second, structure, test.metric, test.patients)
        rows.append([*compared, *figures, test.t_p, test.t_p_holm, test.note])
    header = ("variant", "against", "structure", "metric", "patients", "difference", "low", "high", "p", "p_holm")
    return csv_text([*header, "note"], rows)
