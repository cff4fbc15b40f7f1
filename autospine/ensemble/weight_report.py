"""The weights of every pair: what each blend scores, and what blending the members' scores would claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autospine.core.files import write_text
from autospine.core.tables import Table, csv_text, markdown_page, mean_text
from autospine.ensemble.comparison import MemberComparison
from autospine.ensemble.search import (
    GRID_STEPS,
    BlendScores,
    ScoresByWeighting,
    Weighting,
    all_pairs,
    best,
    pair_grid,
    shares,
    single_member,
)

FILE = "weights"
PublishedScores = Mapping[frozenset[str], tuple[float, float]]  # IoU and Dice of a member, or of a pair
NOTES = (
    "IoU and Dice: of each image the mean over the classes that the reference or the answer shows, without the "
    "background; then the mean over the images.",
    "The answer of a blend is the most probable class of w p + (1 - w) q, with p and q the members' soft-max.",
    "In brackets what blending the members' scores would claim, w times the one's plus 1 - w times the other's. Such "
    "a figure always lies between the members' own scores, whatever their answers, and is highest for one member "
    "alone: it says nothing of the ensemble.",
)


@dataclass(frozen=True)
class WeightReport:
    """What weights.md and weights.csv show.

    Attributes:
        names: Of the members.
        measured: On the images that the weights were chosen on.
        chosen: The ensemble's weighting.
        tested: Scores on the test images of each member, of the chosen weighting and of each pair's best; may be empty.
        comparison: Of the ensemble with its members; None where nothing was compared.
        published: A paper's figures.
        notes: More to be said below the tables.
    """

    names: tuple[str, ...]
    measured: ScoresByWeighting
    chosen: Weighting
    tested: ScoresByWeighting = field(default_factory=dict)
    comparison: MemberComparison | None = None
    published: PublishedScores = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Writes weights.csv and weights.md."""
        write_text(folder / f"{FILE}.csv", self.as_csv())
        write_text(folder / f"{FILE}.md", self.as_markdown())

    def best_of(self, pair: tuple[int, int]) -> Weighting:
        """A pair's best weighting."""
        return best({each: self.measured[each] for each in pair_grid(*pair, len(self.names))})

    def score_blend(self, weighting: Weighting, measured: ScoresByWeighting | None = None) -> tuple[float, float]:
        """IoU and Dice that the members' scores come to when they are blended instead of the probabilities."""
        found = self.measured if measured is None else measured
        own = [(w, found[single_member(k, len(self.names))]) for k, w in enumerate(shares(weighting)) if w]
        return sum(w * s.mean_iou for w, s in own), sum(w * s.mean_dice for w, s in own)

    def as_csv(self) -> str:
        """One row per pair and weight, and one for a blend of three members or more that was chosen."""
        count = len(self.names)
        rows = [self._row(each, pair) for pair in all_pairs(count) for each in pair_grid(*pair, count)]
        if self._blended:
            rows.append(self._row(self.chosen))
        columns = ("first", "second", "weight_first", "weight_second", "iou", "dice")
        return csv_text([*columns, "score_blend_iou", "score_blend_dice", "chosen"], rows)

    @property
    def _blended(self) -> bool:
        """Whether no pair's row shows the chosen weighting."""
        return sum(part > 0 for part in self.chosen) > 2

    def _row(self, each: Weighting, pair: tuple[int, int] | None = None) -> list[object]:
        """Of a pair, or of all members that have a weight, in one cell."""
        members = pair or [k for k, part in enumerate(each) if part]
        names = [self.names[k] for k in members]
        weights = [f"{shares(each)[k]:.2f}" for k in members]
        if pair is None:
            names, weights = [" + ".join(names), ""], [" + ".join(weights), ""]
        own = self.measured[each]
        figures = (own.mean_iou, own.mean_dice, *self.score_blend(each))
        return [*names, *weights, *figures, int(each == self.chosen)]

    def as_markdown(self) -> str:
        """Members, each pair's best weights, all weights."""
        parts = [f"Chosen: {describe(self.names, self.chosen)}."]
        parts += [table.as_section() for table in (self._members(), *self._pairs(), *self._blend())]
        if self.comparison is not None:
            parts.append(f"{self.comparison.line()}.")
        parts += [table.as_section() for table in self._weights()]
        return markdown_page("Weights of the ensemble", parts, (*NOTES, *self.notes))

    def _members(self) -> Table:
        rows = [("member", *self._heads(), "published")]
        for k, name in enumerate(self.names):
            cells = self._cells(single_member(k, len(self.names)))
            rows.append((name, *cells, _figures(self.published.get(frozenset([name])))))
        return Table("Members alone", tuple(rows))

    def _pairs(self) -> Iterator[Table]:
        rows = [("pair", "best weights", *self._heads(), "published")]
        for first, second in all_pairs(len(self.names)):
            each = self.best_of((first, second))
            names = (self.names[first], self.names[second])
            weights = f"{each[first] / GRID_STEPS:.2f} + {each[second] / GRID_STEPS:.2f}"
            cells = self._cells(each, claims=True)
            rows.append((" + ".join(names), weights, *cells, _figures(self.published.get(frozenset(names)))))
        if len(rows) > 1:
            yield Table("Pairs at their best weights", tuple(rows))

    def _blend(self) -> Iterator[Table]:
        """The chosen weighting where no pair's row shows it: of three members or more."""
        if self._blended:
            row = (describe(self.names, self.chosen), *self._cells(self.chosen, claims=True))
            yield Table("The blend that was chosen", (("members", *self._heads()), row))

    def _heads(self) -> list[str]:
        heads = ["IoU", "Dice"]
        return [*heads, *(f"test {head}" for head in heads)] if self.tested else heads

    def _cells(self, each: Weighting, claims: bool = False) -> list[str]:
        cells = []
        for measured in (self.measured, self.tested) if self.tested else (self.measured,):
            found = measured.get(each)
            claimed = self.score_blend(each, measured) if claims else None
            cells += ["-", "-"] if found is None else _both(found, claimed)
        return cells

    def _weights(self) -> Iterator[Table]:
        """One line per weight, one column per pair."""
        count, pairs = len(self.names), all_pairs(len(self.names))
        rows = [("w of the first", *(f"{self.names[a]} + {self.names[b]}" for a, b in pairs))]
        for parts in range(GRID_STEPS + 1):
            blends = [pair_grid(*pair, count)[parts] for pair in pairs]
            cells = [_both(self.measured[each], self.score_blend(each))[0] for each in blends]
            rows.append((f"{parts / GRID_STEPS:.2f}", *cells))
        if pairs:
            yield Table("Mean IoU at every weight", tuple(rows))


def _both(scores: BlendScores, claimed: tuple[float, float] | None) -> list[str]:
    figures = (scores.mean_iou, scores.mean_dice)
    if claimed is None:
        return [_text(value) for value in figures]
    return [f"{_text(value)} ({_text(blended)})" for value, blended in zip(figures, claimed, strict=True)]


def _text(value: float) -> str:
    return mean_text(value, digits=4)


def _figures(published: tuple[float, float] | None) -> str:
    return "" if published is None else f"{published[0]:.3f} / {published[1]:.3f}"


def describe(names: Sequence[str], weighting: Weighting) -> str:
    """Such as "0.85 x unetplusplus + 0.15 x resunet"."""
    weighted = [f"{w:.2f} x {name}" for name, w in zip(names, shares(weighting), strict=True) if w]
    return " + ".join(weighted) if len(weighted) > 1 else f"{weighted[0].split(' x ', 1)[1]} alone"
