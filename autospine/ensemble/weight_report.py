"""Report on the weights of an ensemble: what each blend scores, and what blending the members' scores would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autospine.core.files import write_text
from autospine.core.tables import Table, csv_text, markdown_page, mean_text
from autospine.ensemble.comparison import MemberComparison
from autospine.ensemble.search import (
    GRID_STEPS,
    ScoresByWeighting,
    Weighting,
    all_pairs,
    best_weighting,
    pair_grid,
    shares,
    single_member,
)

FILE = "weights"
COLUMNS = ("first", "second", "weight_first", "weight_second", "iou", "dice")
PublishedScores = Mapping[frozenset[str], tuple[float, float]]  # IoU and Dice of a member, or of a pair
NOTES = (
    "IoU and Dice: of each image the mean over the classes that the reference or the prediction shows, without the "
    "background; then the mean over the images.",
    "The prediction of a blend is the most probable class of w p + (1 - w) q, with p and q the members' soft-max.",
    "In brackets the blend of the members' scores, w times the one's plus 1 - w times the other's. Such a figure "
    "always lies between the members' own scores, whatever their predictions, and is highest for one member alone: it "
    "says nothing of the ensemble.",
)


@dataclass(frozen=True)
class WeightReport:
    """Content of weights.md and weights.csv."""

    names: tuple[str, ...]  # of the members
    scores: ScoresByWeighting  # on the images that the weights were chosen on
    chosen: Weighting  # the ensemble's weighting
    # On the test images, of each member, of the chosen weighting and of each pair's best; may be empty.
    test_scores: ScoresByWeighting = field(default_factory=dict)
    comparison: MemberComparison | None = None  # of the ensemble with its members; None where nothing was compared
    published: PublishedScores = field(default_factory=dict)  # a paper's figures
    notes: tuple[str, ...] = ()  # further notes below the tables

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the chosen weights as shares of one."""
        return shares(self.chosen)

    @property
    def reason(self) -> str:
        """Return how the weights were chosen, in one sentence."""
        best, images = self.scores[self.chosen], len(self.scores[self.chosen].iou)
        where = f"{images} validation image{'' if images == 1 else 's'}"
        return f"highest mean IoU ({best.mean_iou:.4f}) of {len(self.scores)} weightings on {where}"

    def save(self, folder: Path) -> None:
        """Write weights.csv and weights.md."""
        write_text(folder / f"{FILE}.csv", self.as_csv())
        write_text(folder / f"{FILE}.md", self.as_markdown())

    def best_of(self, pair: tuple[int, int]) -> Weighting:
        """Return a pair's best weighting."""
        return best_weighting({weighting: self.scores[weighting] for weighting in self._grid(pair)})

    def _grid(self, pair: tuple[int, int]) -> list[Weighting]:
        return pair_grid(*pair, len(self.names))

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        return all_pairs(len(self.names))

    def score_blend(self, weighting: Weighting, scores: ScoresByWeighting | None = None) -> tuple[float, float]:
        """Return IoU and Dice when the members' scores are blended instead of their probabilities."""
        scores = self.scores if scores is None else scores
        members = [(w, scores[single_member(k, len(self.names))]) for k, w in enumerate(shares(weighting)) if w]
        return sum(w * s.mean_iou for w, s in members), sum(w * s.mean_dice for w, s in members)

    def as_csv(self) -> str:
        """Return one row per pair and weight, and one for a chosen blend of three members or more."""
        rows = [self._row(weighting, pair) for pair in self._pairs for weighting in self._grid(pair)]
        if self._beyond_pairs:
            rows.append(self._row(self.chosen))
        return csv_text([*COLUMNS, "score_blend_iou", "score_blend_dice", "chosen"], rows)

    @property
    def _beyond_pairs(self) -> bool:
        """Tell whether no pair's row shows the chosen weighting."""
        return sum(map(bool, self.chosen)) > 2

    def _row(self, weighting: Weighting, pair: tuple[int, int] | None = None) -> list[object]:
        """Return the row of a pair, or of all members that have a weight, in one cell."""
        members = pair or [k for k, steps in enumerate(weighting) if steps]
        names = [self.names[k] for k in members]
        weights = [f"{shares(weighting)[k]:.2f}" for k in members]
        if pair is None:
            names, weights = [" + ".join(names), ""], [" + ".join(weights), ""]
        scores = self.scores[weighting]
        figures = (scores.mean_iou, scores.mean_dice, *self.score_blend(weighting))
        return [*names, *weights, *figures, int(weighting == self.chosen)]

    def as_markdown(self) -> str:
        """Return the page with the members, each pair's best weights and all weights."""
        sections = [f"Chosen: {describe(self.names, self.chosen)}."]
        sections += [table.as_section() for table in self._tables_of_best()]
        if self.comparison is not None:
            sections.append(f"{self.comparison.line()}.")
        if self._pairs:
            sections.append(self._table_of_weights().as_section())
        return markdown_page("Weights of the ensemble", sections, (*NOTES, *self.notes))

    def _tables_of_best(self) -> Iterator[Table]:
        """Yield the members alone, the pairs at their best weights, and a chosen blend of three members or more."""
        head = ["IoU", "Dice", *(["test IoU", "test Dice"] if self.test_scores else [])]
        rows = [("member", *head, "published")]
        for k, name in enumerate(self.names):
            rows.append((name, *self._cells(single_member(k, len(self.names))), self._published(name)))
        yield Table("Members alone", tuple(rows))
        rows = [("pair", "best weights", *head, "published")]
        for pair in self._pairs:
            best, names = self.best_of(pair), [self.names[k] for k in pair]
            weights = " + ".join(f"{shares(best)[k]:.2f}" for k in pair)
            rows.append((" + ".join(names), weights, *self._cells(best, blended=True), self._published(*names)))
        if self._pairs:
            yield Table("Pairs at their best weights", tuple(rows))
        if self._beyond_pairs:
            row = (describe(self.names, self.chosen), *self._cells(self.chosen, blended=True))
            yield Table("The blend that was chosen", (("members", *head), row))

    def _published(self, *names: str) -> str:
        scores = self.published.get(frozenset(names))
        return "" if scores is None else f"{scores[0]:.3f} / {scores[1]:.3f}"

    def _cells(self, weighting: Weighting, blended: bool = False) -> list[str]:
        cells = []
        for scores in (self.scores, self.test_scores) if self.test_scores else (self.scores,):
            cells += self._figures(weighting, scores, blended) if weighting in scores else ["-", "-"]
        return cells

    def _figures(self, weighting: Weighting, scores: ScoresByWeighting, blended: bool) -> list[str]:
        """Return IoU and Dice, in brackets those of blended scores where they are wanted."""
        texts = [mean_text(mean, digits=4) for mean in (scores[weighting].mean_iou, scores[weighting].mean_dice)]
        if not blended:
            return texts
        blends = self.score_blend(weighting, scores)
        return [f"{text} ({mean_text(blend, digits=4)})" for text, blend in zip(texts, blends, strict=True)]

    def _table_of_weights(self) -> Table:
        """Return one line per weight, one column per pair."""
        rows = [("w of the first", *(f"{self.names[a]} + {self.names[b]}" for a, b in self._pairs))]
        for k in range(GRID_STEPS + 1):
            cells = [self._figures(self._grid(pair)[k], self.scores, blended=True)[0] for pair in self._pairs]
            rows.append((f"{k / GRID_STEPS:.2f}", *cells))
        return Table("Mean IoU at every weight", tuple(rows))


def describe(names: Sequence[str], weighting: Weighting) -> str:
    """Return a weighting as "0.85 x unetplusplus + 0.15 x resunet", or "resunet alone"."""
    weighted = [(share, name) for name, share in zip(names, shares(weighting), strict=True) if share]
    return " + ".join(f"{w:.2f} x {name}" for w, name in weighted) if len(weighted) > 1 else f"{weighted[0][1]} alone"
