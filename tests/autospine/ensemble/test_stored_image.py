from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.ensemble.stored_image import StoredImage, reference_classes
from tests.autospine.ensemble.conftest import WHOLE, make_image
from tests.tiny import make_plan, ordered_encoding
from tests.toys import QUICK, ToyTrainer


def test_only_disputed_voxels_are_stored_and_the_others_counted(tmp_path: Path) -> None:
    made = make_image(tmp_path, 3, sureness=6.0)
    answers, known = made.full().argmax(axis=1), made.reference >= 0
    disputed = known & ~np.all(answers == answers[0], axis=0)
    blocks = list(made.image.blocks())
    values, reference = (np.concatenate([block[k] for block in blocks], axis=-1) for k in (0, 1))
    np.testing.assert_array_equal(values, made.full()[:, :, disputed])
    np.testing.assert_array_equal(reference, made.reference[disputed])
    agreed = np.array(made.image.record.agreed)
    assert agreed.sum() + disputed.sum() == known.sum()
    assert 0 < disputed.sum() < known.sum()
    alike = known & ~disputed
    for label in range(4):
        assert agreed[label, label] == (alike & (answers[0] == label) & (made.reference == label)).sum()


def test_a_slice_is_an_image_of_its_own(tmp_path: Path) -> None:
    made = make_image(tmp_path, 1, shape=(3, 8, 6))
    for axis in (0, 1):
        image = StoredImage(tmp_path, f"slice_{axis}")
        window = tuple(slice(2, 3) if a == axis else slice(None) for a in range(3))
        image.write(made.paths, made.reference, window, "p", ["x"] * 3)
        known = (made.reference[window] >= 0).sum()
        stored = sum(len(reference) for _, reference in image.blocks())
        assert stored + np.array(image.record.agreed).sum() == known


def test_members_that_agree_everywhere_leave_nothing_to_store(tmp_path: Path) -> None:
    made = make_image(tmp_path, 0, members=1)
    assert sum(len(reference) for _, reference in made.image.blocks()) == 0
    assert np.load(made.image.values_path).shape == (1, 4, 0)


def test_what_is_stored_of_other_members_or_damaged_is_made_again(tmp_path: Path) -> None:
    image = make_image(tmp_path).image
    assert image.done(["digest_0", "digest_1", "digest_2"])
    assert not image.done(["digest_0", "digest_1"])
    assert not image.done(["digest_1", "digest_0", "digest_2"])
    text = image.record_path.read_text()
    image.record_path.write_text(text[:50])
    assert not StoredImage(tmp_path, image.name).done(["digest_0", "digest_1", "digest_2"])
    image.record_path.unlink()
    assert not image.done(["digest_0", "digest_1", "digest_2"])


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, small_disk: Path) -> None:
    """A map of a sparse file would kill the process when the disk has no block for a page."""
    made = make_image(tmp_path / "raw", shape=(4, 80, 80), sureness=0.0)
    image = StoredImage(small_disk, "a")
    with pytest.raises(UserError, match=r"a\.npy: the disk is full; free some space"):
        image.write(made.paths, made.reference, WHOLE, "p", ["x"] * 3)
    assert list(small_disk.iterdir()) == []


class Twenty(ToyTrainer):
    scheme = "spider20"


def test_references_become_the_classes_of_the_soft_max() -> None:
    plan = make_plan(ordered_encoding())
    mask = np.array([[[0, 1, 3, 100, 201]]], np.uint8)
    assert reference_classes(mask, ToyTrainer(plan, QUICK), "m").tolist() == [[[0, 1, 1, 3, 2]]]
    twenty = Twenty(plan, QUICK)
    assert twenty.encoding.values == (*range(1, 6), 10, *range(11, 16))
    # A partly visible vertebra has no place in spider20: background, as in training.
    partly = np.concatenate([mask, [[[102]]]], axis=-1).astype(np.uint8)
    assert reference_classes(partly, twenty, "m").tolist() == [[[0, 1, 3, 6, 7, 0]]]
    marked = replace(plan, scheme=replace(plan.scheme, ignore_label=255))
    assert reference_classes(np.array([[[1, 255]]], np.uint8), Twenty(marked, QUICK), "m").tolist() == [[[1, -1]]]
    with pytest.raises(UserError, match=r"m\.mha: holds label 9"):
        reference_classes(np.array([[[9]]], np.uint8), ToyTrainer(plan, QUICK), "m.mha")
