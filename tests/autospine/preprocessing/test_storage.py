from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels

RECORD = CaseRecord("1_t2", "1", "t2", (3, 20, 10), (4.0, 0.6, 0.6), (), None, "key")


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(2, 3, 20, 10)).astype(np.float32), random.integers(0, 4, (3, 20, 10), np.uint16)


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    made = CaseStore(tmp_path, "1_t2")
    made.write(*arrays(), replace(RECORD, labels=describe_labels(arrays()[1])), 0)
    return made


@pytest.mark.parametrize("view_axis", [0, 1, None])
def test_arrays_and_record_come_back(tmp_path: Path, view_axis: int | None) -> None:
    image, mask = arrays()
    record = replace(RECORD, labels=describe_labels(mask), slices=(0, 2))
    CaseStore(tmp_path, "1_t2").write(image, mask, record, view_axis)
    read = CaseStore(tmp_path, "1_t2")
    assert np.array_equal(read.image[:], image.astype(np.float16))
    assert np.array_equal(read.mask[:], mask)
    assert read.mask.dtype == mask.dtype
    assert replace(read.record, checksums=(0, 0)) == record
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1_t2.image.b2nd", "1_t2.json", "1_t2.mask.b2nd"]


def test_parts_are_read_where_they_are_sliced(store: CaseStore) -> None:
    image, mask = arrays()
    assert store.image.chunks == (2, 1, 20, 10)
    assert store.mask.chunks == (1, 20, 10)
    assert np.array_equal(store.image[:, 1, 5:9], image.astype(np.float16)[:, 1, 5:9])
    assert np.array_equal(store.mask[2, :, 3], mask[2, :, 3])


def test_done_only_with_the_same_key_and_all_files(store: CaseStore) -> None:
    assert CaseStore(store.folder, "1_t2").done("key")
    assert not CaseStore(store.folder, "1_t2").done("another")
    assert not CaseStore(store.folder, "2_t2").done("key")


@pytest.mark.parametrize("part", ["image_path", "mask_path", "record_path"])
def test_a_case_that_lacks_a_file_is_not_done(store: CaseStore, part: str) -> None:
    getattr(store, part).unlink()
    assert not CaseStore(store.folder, "1_t2").done("key")


@pytest.mark.parametrize("damage", ['{"id": "1', "[]", '{"id": "1_t2", "key": "key"}'])
def test_a_damaged_record_is_made_again(store: CaseStore, damage: str) -> None:
    store.record_path.write_text(damage)
    fresh = CaseStore(store.folder, "1_t2")
    assert not fresh.done("key")
    with pytest.raises(UserError, match=r"1_t2\.json.*again"):
        _ = fresh.record


def test_a_record_of_another_version_is_made_again(store: CaseStore) -> None:
    write_json(store.record_path, {**read_json(store.record_path), "quality": 1})
    assert not CaseStore(store.folder, "1_t2").done("key")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_an_array_cut_off_names_the_file_and_the_mend(store: CaseStore, share: float) -> None:
    data = store.image_path.read_bytes()
    store.image_path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"1_t2\.image\.b2nd: is missing or damaged; delete it and run autospine_plan"):
        _ = CaseStore(store.folder, "1_t2").image


@pytest.mark.parametrize("part", ["image", "mask"])
def test_an_array_damaged_in_its_middle_names_the_file_and_the_mend(store: CaseStore, part: str) -> None:
    path = getattr(store, f"{part}_path")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{path.name}: is missing or damaged; delete it and run autospine_plan"):
        _ = getattr(CaseStore(store.folder, "1_t2"), part)


def test_a_missing_array_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"9\.mask\.b2nd: is missing"):
        _ = CaseStore(tmp_path, "9").mask


def test_a_case_whose_name_is_not_utf_8_is_stored_and_opened(tmp_path: Path) -> None:
    image, mask = arrays(1)
    CaseStore(tmp_path, os.fsdecode(b"caf\xe9")).write(image, mask, RECORD, 0)
    stored = CaseStore(tmp_path, os.fsdecode(b"caf\xe9"))
    assert np.array_equal(stored.image[:], image.astype(np.float16))
    assert np.array_equal(stored.mask[:], mask)


def test_an_interrupted_rewrite_is_not_vouched_for_by_the_old_record(
    store: CaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autospine.preprocessing.storage.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(*arrays(1), replace(RECORD, key="new"), 0)
    again = CaseStore(store.folder, "1_t2")
    assert not again.done("key")
    assert not again.done("new")


def test_a_rewrite_is_seen_by_the_same_store(store: CaseStore) -> None:
    assert store.record.key == "key"
    _ = store.image, store.mask
    image, mask = arrays(1)
    store.write(image, mask, replace(RECORD, key="new"), 0)
    assert store.record.key == "new"
    assert np.array_equal(store.mask[:], mask)


@given(hnp.arrays(np.uint16, (4, 6, 5), elements=st.sampled_from([0, 0, 1, 100, 201])))
def test_labels_are_described_as_counted_one_by_one(mask: np.ndarray) -> None:
    records = describe_labels(mask)
    assert [record.value for record in records] == [v for v in np.unique(mask) if v]
    for record in records:
        where = np.argwhere(mask == record.value)
        assert record.voxels == len(where)
        assert record.centroid == pytest.approx(where.mean(axis=0), abs=1e-3)
        assert record.low == tuple(where.min(axis=0))
        assert record.high == tuple(where.max(axis=0))


def test_a_case_that_is_called_like_anothers_mask_has_files_of_its_own(tmp_path: Path) -> None:
    stores = [CaseStore(tmp_path, name) for name in ("pa", "pa.mask", "pa.image", "pa.mask.image")]
    paths = [path for store in stores for path in (store.image_path, store.mask_path, store.record_path)]
    assert len(set(paths)) == 12
