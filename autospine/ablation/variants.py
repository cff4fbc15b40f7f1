"""How a trainer declares its paper's ablation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autospine.ablation.scores import Score

Figures = tuple[float, float]  # mean and standard deviation, as printed: per cent or mm
Measure = Callable[..., Iterable[Score]]  # of trainer, folder of the masks, subset and work folder


@dataclass(frozen=True)
class Variant:
    """One network of the ablation."""

    name: str  # in the model's folder
    title: str  # in the tables, as the paper calls it
    options: Mapping[str, Any]  # over the recipe's, read by the trainer's `options_type`
    # The paper's figures by metric, then by structure.
    published: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    # The variant that it adds something to, which it is tested against; None for the one before it.
    builds_on: str | None = None


@dataclass(frozen=True)
class Ablation:
    """All of a paper's variants; the last one is the full model."""

    source: str
    variants: tuple[Variant, ...]  # in the paper's order
    layouts: Mapping[str, tuple[str, ...]]  # metrics of its tables, by title
    # Those that the tables show, by their names in the scores; empty for all that are scored.
    structures: tuple[str, ...] = ()
    tested: tuple[str, ...] = ("dice", "hd_mm")  # metrics of the paired tests
    # Takes scores from a model's predictions, called as (trainer, folder of the masks, subset, work folder); None reads
    # cases.csv, by anatomy, with "mean" for a case's mean over structures.
    measure: Measure | None = None
    notes: tuple[str, ...] = ()  # what a reader has to know

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics of all tables and tests, each once."""
        shown = [metric for metrics in self.layouts.values() for metric in metrics]
        return tuple(dict.fromkeys([*shown, *self.tested]))

    def pairs(self) -> list[tuple[Variant, Variant]]:
        """Return what is tested: each variant against the one it builds on, the full model against each."""
        by_name = {variant.name: variant for variant in self.variants}
        names = []
        for before, variant in zip(self.variants[:-1], self.variants[1:], strict=True):
            names.append((variant.name, variant.builds_on or before.name))
        names += [(self.variants[-1].name, variant.name) for variant in self.variants[:-1]]
        return [(by_name[one], by_name[other]) for one, other in dict.fromkeys(names)]
