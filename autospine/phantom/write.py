"""Write phantom sets in SPIDER's layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autospine.core.errors import UserError
from autospine.core.files import make_folder, read_json, remove_abandoned, replacing, write_json, write_text, writing
from autospine.core.parallel import run_cases
from autospine.phantom.case import PhantomCase, make_case
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


def check_folder(out: Path, seed: int, size: Size) -> None:
    """Refuse a folder that cannot take a phantom set; an unfinished set of the same seed is continued.

    Raises:
        UserError: `out` is a file, holds other things, or cannot be made.
    """
    identity = {"seed": seed, "size": size.value}
    if out.is_file():
        raise UserError(out, "is a file", "name a new or empty folder")
    if any(parent.is_file() for parent in out.parents):
        raise UserError(out, "lies inside a file", "name a new or empty folder")
    make_folder(out)
    remove_abandoned(out)
    with writing(out):
        empty = not any(out.iterdir())
    if empty:
        write_json(out / MARK, identity)
    elif not (out / MARK).is_file() or read_json(out / MARK) != identity:
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


def _make_and_save(index: int, out: Path, cases: int, seed: int, size: Size) -> Rows:
    case = make_case(seed, index, size)
    save_case(case, out)
    directions = case.geometry.canonical().directions()
    up = np.array([directions[2, 0], directions[2, 2], -directions[2, 1]])  # the scanner's z in the spine's world
    truth = list(truth_rows(case.id, case.spine, case.vertebrae, case.discs, up))
    return overview_row(case, seed, cases), grading_rows(case), truth


def write_phantom(
    out: str | Path, cases: int, seed: int = 0, size: Size | str = Size.FULL, workers: int = 1
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

    Returns:
        The ids, in order.

    Raises:
        UserError: Bad numbers, or a folder that cannot take the set.
    """
    check_request(cases, seed, workers)
    out, size = Path(out), Size(size)
    check_folder(out, seed, size)
    ids = [find_series(seed, index).id for index in range(cases)]
    work = partial(_make_and_save, out=out, cases=cases, seed=seed, size=size)
    rows = run_cases(work, range(cases), ids, "phantoms", max(1, workers), out)
    # Series of one patient share its gradings.
    gradings = {(row["Patient"], row["IVD label"]): row for _, discs, _ in rows for row in discs}
    write_text(out / "radiological_gradings.csv", to_csv(GRADINGS, gradings.values()))
    write_text(out / "overview.csv", to_csv(OVERVIEW, [overview for overview, *_ in rows]))
    write_text(out / "truth.csv", to_csv(TRUTH, (row for *_, truth in rows for row in truth)))
    return ids
