"""A column that cannot be one is told; real masks are columns, and what becomes of them by force is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.dataset.cases import load_dataset
from autospine.inference.column import impossible
from autospine.labels.conversion import get_scheme
from autospine.preprocessing.storage import describe_labels
from autospine.volumes import read_image, read_mask
from tests.tiny import DISTANCE_ROWS, SHAPE, SPACING, spine_image, spine_mask

SPIDER = get_scheme("spider")
LEARNT = (*range(1, 10), 100, *range(201, 210))


def judged(mask: np.ndarray, image: np.ndarray | None = None, learnt: tuple[int, ...] = LEARNT) -> tuple[str, ...]:
    image = spine_image(spine_mask()) if image is None else image
    return impossible(image, mask, describe_labels(mask), SPACING, SPIDER, learnt)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_a_column(levels: int) -> None:
    assert judged(spine_mask(levels=levels)) == ()


def test_without_numbered_vertebrae_nothing_is_said() -> None:
    mask = spine_mask()
    mask[mask < 100] = 0
    assert judged(mask) == judged(np.zeros(SHAPE, np.uint8)) == ()


def test_vertebrae_as_dark_as_air() -> None:
    mask = spine_mask()
    image = spine_image(mask)
    image[mask == 0], image[mask < 100] = 300, 0
    assert judged(mask, image) == ("the vertebrae are as dark as air",)
    assert judged(mask, np.ones(SHAPE, np.float32)) == ()  # a constant image says nothing


def test_an_arm_has_air_on_both_sides() -> None:
    mask = spine_mask()
    mask[mask >= 100] = 0
    image = np.where(mask > 0, 200.0, 0.0).astype(np.float32)
    vertebrae_only = tuple(range(1, 10))
    assert judged(mask, image, vertebrae_only) == ("air lies in front of and behind the vertebrae, as beside an arm",)
    image[:, :, 22:] = 100  # the back of a body
    assert judged(mask, image, vertebrae_only) == ()


def test_neighbours_beside_each_other_and_sharp_bends() -> None:
    vertebrae = tuple(range(1, 10))

    def column_of(*places: tuple[int, int]) -> np.ndarray:
        mask = np.zeros(SHAPE, np.uint8)
        for level, (row, column) in enumerate(places, start=1):
            mask[1:5, row : row + 3, column : column + 3] = level
        return mask

    assert judged(column_of((40, 4), (39, 14), (30, 14)), None, vertebrae)[0].startswith("neighbours lie beside")
    bent = column_of((50, 10), (42, 18), (34, 10))  # 45 degrees back, then 45 degrees forward
    assert judged(bent, None, vertebrae) == ("the column bends by 90 degrees at a vertebra",)
    assert judged(column_of((50, 10), (42, 14), (34, 10)), None, vertebrae) == ()


def test_a_canal_in_front_in_pieces_or_missing() -> None:
    front = spine_mask()
    front[front == 100] = 0
    front[2:4, :, 4:7] = 100
    assert judged(front) == ("the canal does not run behind the vertebrae",)
    short = spine_mask()
    short[:, DISTANCE_ROWS * 3 :][short[:, DISTANCE_ROWS * 3 :] == 100] = 0
    assert judged(short) == ("along most of the vertebrae there is no canal",)
    pieces = spine_mask()
    for first in (16, 30, 44):
        pieces[:, first : first + 4][pieces[:, first : first + 4] == 100] = 0
    assert judged(pieces) == ("the canal lies in pieces",)


def test_discs_in_few_gaps_or_elsewhere() -> None:
    few = spine_mask()
    few[np.isin(few, (203, 204, 205))] = 0
    assert judged(few) == ("discs were found in 1 of 4 gaps between vertebrae",)
    assert judged(few, learnt=(*range(1, 10), 100)) == ()  # a model that knows none
    shifted = spine_mask()
    discs = shifted > 200
    shifted[discs] = np.where(shifted[discs] == 205, 201, shifted[discs] + 1)
    assert judged(shifted) == ("discs do not lie between their vertebrae",)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "learnt"), [("t2", range(1, 8)), ("mixed", range(1, 10)), ("ffe", range(1, 6))])
def test_real_columns_are_possible_and_those_moved_into_air_are_not(
    real_data: Path, source: str, learnt: range
) -> None:
    told, silent = [], []
    for case in load_dataset(real_data / source).annotated:
        image, mask = read_image(case.images[0]), read_mask(case.mask)
        records = describe_labels(mask.array)
        told += impossible(image.array, mask.array, records, mask.spacing, SPIDER, tuple(learnt))
        dark = np.where(mask.array > 0, image.array.min(), image.array)
        silent += [] if impossible(dark, mask.array, records, mask.spacing, SPIDER, tuple(learnt)) else [case.id]
    assert told == silent == []
