"""Writes phantom sets in SPIDER's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.files import make_folder, read_json, replacing, write_json, write_text, writing
from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.series import Size
from autospine.phantom.tables import GRADINGS, OVERVIEW, grading_rows, overview_row, to_csv

MARK = "phantom.json"  # says which set a folder holds, so that an interrupted run can go on
Rows = tuple[str, dict[str, str], list[dict[str, str]]]


def check_request(cases: int, seed: int, workers: int = 1) -> None:
    """Refuses numbers that make no sense.

    Raises:
        UserError: Fewer than one case, or a negative number.
    """
    if cases < 1:
        raise UserError("--cases", f"is {cases}", "ask for at least 1 case")
    if seed < 0:
        raise UserError("--seed", f"is {seed}", "give a whole number from 0 on")
    if workers < 0:
        raise UserError("--workers", f"is {workers}", "give 0 (one per core) or more")


def check_folder(out: Path, seed: int, size: Size) -> None:
    """Refuses a place where a phantom set cannot go; an unfinished one of the same seed may be gone on with.

    Raises:
        UserError: `out` is a file, holds other things, or cannot be made.
    """
    wanted = {"seed": seed, "size": size.value}
    if out.is_file():
        raise UserError(out, "is a file", "name a new or empty folder")
    if any(parent.is_file() for parent in out.parents):
        raise UserError(out, "lies inside a file", "name a new or empty folder")
    make_folder(out)
    with writing(out):
        empty = not any(out.iterdir())
    if not empty:
        if not (out / MARK).is_file() or read_json(out / MARK) != wanted:
            raise UserError(out, "is not empty", "name a new or empty folder")
        return
    write_json(out / MARK, wanted)


def save_case(case: PhantomCase, out: Path) -> None:
    """Writes a case's image and mask, compressed, each whole or not at all.

    Raises:
        UserError: The disk is full, or the folder cannot be written.
    """
    import SimpleITK as sitk  # noqa: N813

    for folder, array in (("images", case.image), ("masks", case.labels)):
        path = out / folder / f"{case.id}.mha"
        with replacing(path) as temporary:
            try:
                sitk.WriteImage(case.placement.to_image(array), str(temporary), useCompression=True)
            except RuntimeError as error:
                raise UserError(path, "cannot be written", "check the disk's free space and rights") from error


def make_and_save(index: int, out: Path, cases: int, seed: int, size: Size) -> Rows:
    """Makes and writes one case; answers its id and its rows of the two tables."""
    case = make_case(seed, index, size)
    save_case(case, out)
    return case.id, overview_row(case, seed, cases), grading_rows(case)


def _all_rows(make: Callable[[int], Rows], cases: int, workers: int) -> Iterator[Rows]:
    if workers == 1 or cases == 1:
        yield from map(make, range(cases))
        return
    with ProcessPoolExecutor(min(workers, cases), mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, range(cases))


def write_phantom(
    out: str | Path,
    cases: int,
    seed: int = 0,
    size: Size = Size.FULL,
    workers: int = 1,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Writes a phantom set: images/, masks/, overview.csv, radiological_gradings.csv.

    The same seed and size give the same bytes, and case k is the same however many are made; only the
    column `subset` knows how many (validation patients exist from six cases on).

    Args:
        out: A new or empty folder, or one that an interrupted run with the same seed and size has begun.
        cases: How many series.
        seed: Any whole number from 0 on.
        size: The grid.
        workers: Processes at once.
        progress: Is told the id of every case as it is finished.

    Returns:
        The ids, in order.

    Raises:
        UserError: Bad numbers, or a folder that cannot take the set.
    """
    check_request(cases, seed, workers)
    out = Path(out)
    check_folder(out, seed, size)
    make = partial(make_and_save, out=out, cases=cases, seed=seed, size=size)
    rows: list[Rows] = []
    for row in _all_rows(make, cases, max(1, workers)):
        rows.append(row)
        if progress is not None:
            progress(row[0])
    gradings = {(g["Patient"], g["IVD label"]): g for _, _, found in rows for g in found}
    write_text(out / "radiological_gradings.csv", to_csv(GRADINGS, gradings.values()))
    write_text(out / "overview.csv", to_csv(OVERVIEW, [overview for _, overview, _ in rows]))
    return [name for name, _, _ in rows]
