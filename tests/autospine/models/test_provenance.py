from __future__ import annotations

import json
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.core.serial import to_plain
from autospine.models.provenance import (
    LearntStructure,
    Provenance,
    TrainingSource,
    TrainingSummary,
    gaps,
    ranges,
)

TRAINING = TrainingSummary("unet", "adapted", 1200, 20, 0, 0.25, 0.4, 0.9)


def source(name: str, **changes: object) -> TrainingSource:
    return TrainingSource(name, name.title(), **changes)  # type: ignore[arg-type]


CARD = Provenance(
    "box",
    "1.0",
    "Lumbar spines.",
    "spider",
    (
        source("t2", contrasts=("T2",), slice_mm=(2.0, 4.0, 4.4)),
        source("space", contrasts=("T2", "T1"), slice_mm=(0.9,)),
        source("phantoms", synthetic=True, contrasts=("STIR or TIRM",), slice_mm=(0.5, 10.0)),
    ),
    (LearntStructure("vertebra", "real masks", 30), LearntStructure("sacrum", "phantoms only", 60)),
    TRAINING,
    not_seen=("axial series",),
)


def test_distances_become_ranges_and_the_gaps_between_them() -> None:
    assert ranges([]) == ()
    assert ranges([4.4, 0.9, 1.2, 4.0]) == ((0.9, 1.2), (4.0, 4.4))
    assert ranges([1.0, 1.4, 1.9]) == ((1.0, 1.9),)
    assert gaps(()) == ()
    assert gaps([(2.0, 2.0)]) == ("slices under 2 mm", "slices over 2 mm")


def test_what_was_not_seen_is_told_of_real_scans_alone() -> None:
    assert CARD.slice_mm == ((0.9, 0.9), (2.0, 2.0), (4.0, 4.4))
    assert CARD.contrasts == ("T2", "T1")
    assert CARD.unseen == (
        *("slices under 0.9 mm", "slices of 0.9 to 2 mm", "slices of 2 to 4 mm", "slices over 4.4 mm"),
        *("STIR or TIRM", "gradient echo (FFE)", "water-fat (Dixon)", "proton density"),
        "axial series",
        "sacrum in real masks (phantoms only)",
    )
    assert CARD.title == "box 1.0"


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Provenance.load(tmp_path) is None
    CARD.save(tmp_path)
    assert Provenance.load(tmp_path) == CARD


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 9}, "newer AutoSpine"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"structures": [{"name": "disc", "learnt_from": "dreams", "cases": 1}]}, "'dreams', none of real masks"),
    ],
)
def test_a_foreign_card_is_a_users_error(tmp_path: Path, change: dict, problem: str) -> None:
    (tmp_path / "card.json").write_text(json.dumps({**to_plain(CARD), **change}))
    with pytest.raises(UserError, match=problem):
        Provenance.load(tmp_path)
