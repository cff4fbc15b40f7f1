"""Write phantom sets in SPIDER's layout."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import make_folder, read_json, remove_abandoned, replacing, write_json, write_text, writing
from autospine.core.parallel import run_cases
from autospine.labels.schemes import SCHEMES
from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.mask_labels import MASK_LABELS, SPIDER, MaskLabels
from autospine.phantom.series import Size, find_series
from autospine.phantom.tables import GRADINGS, OVERVIEW, grading_rows, overview_row, to_csv
from autospine.phantom.truth import TRUTH, truth_rows

MARK = "phantom.json"  # says which set a folder holds, so that an interrupted run can go on
# Of overview.csv, radiological_gradings.csv and truth.csv.
Rows = tuple[dict[str, str], list[dict[str, str]], list[dict[str, str]]]


def check_request(cases: int, seed: int, workers: int) -> None:
    """Refuse numbers that make no sense.

    Raises:
        UserError: Fewer than one case, or a negative number.
    """
    for option, value, least, hint in (
        ("--cases", cases, 1, "ask for at least 1 case"),
        ("--seed", seed, 0, "give a whole number from 0 on"),
        ("--workers", workers, 0, "give 0 (one per core) or more"),
    ):
        if value < least:
            raise UserError(option, f"is {value}", hint)


def check_folder(out: Path, identity: Mapping[str, Any]) -> None:
    """Refuse a folder that cannot take a phantom set; an unfinished set of the same identity is continued.

    Raises:
        UserError: `out` is a file, holds other things, or cannot be made.
    """
    if out.is_file():
        raise UserError(out, "is a file", "name a new or empty folder")
    if any(parent.is_file() for parent in out.parents):
        raise UserError(out, "lies inside a file", "name a new or empty folder")
    make_folder(out)
    remove_abandoned(out)
    with writing(out):
        empty = not any(out.iterdir())
    if empty:
        write_json(out / MARK, dict(identity))
    elif not (out / MARK).is_file() or read_json(out / MARK) != dict(identity):
        raise UserError(out, "is not empty", "name a new or empty folder")


def save_case(case: PhantomCase, out: Path) -> None:
    """Write a case's image and mask, compressed, each whole or not at all.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    import SimpleITK as sitk  # noqa: N813

    for folder, array in (("images", case.image), ("masks", case.labels)):
        path = out / folder / f"{case.id}.mha"
        image: Any = sitk.GetImageFromArray(np.ascontiguousarray(case.volume(array).in_file_order().T))
        image.SetSpacing(case.geometry.spacing)
        image.SetOrigin(case.geometry.origin)
        image.SetDirection(case.geometry.direction)
        with replacing(path) as temporary:
            try:
                sitk.WriteImage(image, str(temporary), useCompression=True)
            except RuntimeError as error:
                raise UserError(path, "cannot be written", "check the disk's free space and rights") from error


def _make_and_save(
    index: int, out: Path, cases: int, seed: int, size: Size, integers: MaskLabels, varied: bool
) -> Rows:
    case = make_case(seed, index, size, integers, varied)
    save_case(case, out)
    directions = case.geometry.canonical().directions()
    up = np.array([directions[2, 0], directions[2, 2], -directions[2, 1]])  # the scanner's z in the spine's world
    truth = list(truth_rows(case.id, case.spine, case.vertebrae, case.discs, up))
    return overview_row(case, seed, cases), grading_rows(case), truth


def _identity(seed: int, size: Size, integers: MaskLabels, varied: bool) -> dict[str, Any]:
    """Return what tells one set from another, in the words of the command; what is as usual is left out."""
    identity: dict[str, Any] = {"seed": seed, "size": size.value}
    if integers is not SPIDER:
        identity["labels"] = integers.scheme
    return identity | ({"varied": True} if varied else {})


def _mask_labels(name: str) -> MaskLabels:
    if name not in MASK_LABELS:
        raise UserError("--labels", f"is {name}", f"choose from {', '.join(MASK_LABELS)}")
    return MASK_LABELS[name]


def write_phantom(
    out: str | Path,
    cases: int,
    seed: int = 0,
    size: Size | str = Size.FULL,
    workers: int = 1,
    labels: str = SPIDER.scheme,
    varied: bool = False,
) -> list[str]:
    """Write a phantom set: images/, masks/, overview.csv, radiological_gradings.csv, truth.csv.

    The same seed and size give the same bytes, and case k is the same however many are made; only the
    column `subset` knows how many (validation patients exist from six cases on).

    Args:
        out: A new or empty folder, or one that an interrupted run with the same seed and size has begun.
        cases: How many series.
        seed: Any whole number from 0 on.
        size: The grid, "small" or "full".
        workers: Threads or processes at once.
        labels: Scheme of the masks: "spider", or "parts", which tells bodies, posterior elements and sacrum apart; a
            dataset.json then says so.
        varied: Whether fractures, slips, narrow discs, scoliosis, implants, six contrasts and cropped fields of view
            are drawn, which SPIDER hardly shows.

    Returns:
        The ids, in order.

    Raises:
        UserError: Bad numbers, or a folder that cannot take the set.
    """
    check_request(cases, seed, workers)
    out, size, integers = Path(out), Size(size), _mask_labels(labels)
    check_folder(out, _identity(seed, size, integers, varied))
    ids = [find_series(seed, index, varied).id for index in range(cases)]
    work = partial(_make_and_save, out=out, cases=cases, seed=seed, size=size, integers=integers, varied=varied)
    rows = run_cases(work, range(cases), ids, "phantoms", max(1, workers), out)
    if integers is not SPIDER:
        write_json(out / "dataset.json", {"labels": SCHEMES[integers.scheme].to_dict()["labels"]})
    # Series of one patient share its gradings.
    gradings = {(row["Patient"], row["IVD label"]): row for _, discs, _ in rows for row in discs}
    write_text(out / "radiological_gradings.csv", to_csv(GRADINGS, gradings.values()))
    write_text(out / "overview.csv", to_csv(OVERVIEW, [overview for overview, *_ in rows]))
    write_text(out / "truth.csv", to_csv(TRUTH, (row for *_, truth in rows for row in truth)))
    return ids
