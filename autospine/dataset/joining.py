"""Several data sets as one: each keeps its label scheme, and its name goes before the ids of its cases and patients."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autospine.core.errors import UserError
from autospine.dataset.cases import Dataset, listed, load_dataset
from autospine.labels.conversion import get_scheme

log = logging.getLogger(__name__)


def load_datasets(roots: Sequence[str | Path], labels: Sequence[str] = ()) -> Dataset:
    """List one data set, or several as one, without reading any pixels.

    Args:
        roots: Their folders, at least one.
        labels: Label schemes by name or file, "SCHEME" for all or "NAME=SCHEME" for one of several.

    Raises:
        UserError: One of them is at fault (see `load_dataset`), a folder is named twice, their channels differ, or a
            scheme is unknown or of none of them.
    """
    paths = [Path(root) for root in roots]
    for number, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise UserError(path, "is named twice", "name each data set once")
    datasets = [load_dataset(path) for path in paths]
    if len(datasets) == 1:
        return _labelled(datasets, labels)[0]
    sources = [_named(*pair) for pair in zip(datasets, _names(paths), strict=True)]
    first, sources = sources[0], _labelled(sources, labels)
    for other in sources[1:]:
        if other.channels != first.channels:
            problem = f"has the channels {', '.join(other.channels)}, {first.root} has {', '.join(first.channels)}"
            raise UserError(other.root, problem, "plan data sets of the same channels together")
    cases = tuple(case for source in sources for case in source.cases)
    table = {id_: row for source in sources for id_, row in source.table.items()}
    return Dataset(first.root, cases, first.channels, None, table, sources=tuple(sources))


def _names(paths: Sequence[Path]) -> list[str]:
    """Name each by its folder; one whose name is taken gets a number."""
    names: list[str] = []
    for path in paths:
        name, number = path.resolve().name, 1
        while (unique := name if number == 1 else f"{name}_{number}") in names:
            number += 1
        if unique != name:
            log.warning("%s: another data set is called %s already, so this one is %s", path, name, unique)
        names.append(unique)
    return names


def _named(dataset: Dataset, name: str) -> Dataset:
    cases = tuple(
        replace(case, id=f"{name}-{case.id}", patient=f"{name}-{case.patient}", source=name) for case in dataset.cases
    )
    return replace(dataset, cases=cases, name=name, table={f"{name}-{id_}": row for id_, row in dataset.table.items()})


def _labelled(datasets: list[Dataset], labels: Sequence[str]) -> list[Dataset]:
    """Give each data set the scheme that --labels names for it, or for all."""
    schemes = {}
    names = [dataset.name for dataset in datasets if dataset.name]
    for text in labels:
        name, equals, scheme = text.partition("=")
        name, scheme = (name, scheme) if equals and name in names else ("", text)
        if equals and not name and not Path(text).exists():
            hint = f"choose from {listed(names)}" if names else "write SCHEME alone for one data set"
            raise UserError(f"--labels {text}", "names none of the data sets", hint)
        if name in schemes:
            raise UserError(f"--labels {text}", f"is a second scheme of {name or 'all data sets'}", "give one")
        schemes[name] = get_scheme(scheme)
    default = schemes.get("")
    return [replace(d, scheme=schemes.get(d.name, default) or d.scheme) for d in datasets]
