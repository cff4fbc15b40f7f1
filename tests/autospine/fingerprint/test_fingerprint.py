from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.dataset.cases import load_dataset
from autospine.fingerprint import fingerprint as module
from autospine.fingerprint.case import fingerprint_case
from autospine.fingerprint.fingerprint import Fingerprint, make_fingerprint
from autospine.labels.anatomy import Kind
from autospine.volumes import read_image


def made(root, **options):
    return make_fingerprint(load_dataset(root), **options)


def warned(root, *words):
    found = [line for line in made(root).warnings if all(word in line for word in words)]
    assert len(found) == 1, made(root).warnings
    return found[0]


def test_figures_of_one_case(tmp_path, spine, boxes):
    spine(tmp_path, "1_t2")
    (case,) = load_dataset(tmp_path).cases
    found = fingerprint_case(case)
    mask = boxes([1, 2, 3, 4, 5])
    assert found.shape == (6, 48, 16)
    assert found.spacing == (4.0, 1.5, 1.5)
    assert found.slice_axis == 0
    assert found.anisotropy == pytest.approx(4 / 1.5)
    assert found.voxels == {0: mask.size - 5 * 96, **dict.fromkeys(range(1, 6), 96)}
    assert found.slices == dict.fromkeys(range(1, 6), 4)
    assert found.boxes[1] == (1, 40, 4, 4, 43, 9)
    assert found.centroids[2] == (2.5, 33.5, 6.5)
    assert found.foreground.mean - found.intensity.mean > 20
    assert found.checksum.endswith(found.mask_checksum)
    assert found.orientation == "PIR"


def test_a_flipped_and_permuted_copy_has_the_same_figures(tmp_path, spine):
    import SimpleITK as sitk

    spine(tmp_path, "1_t2")
    for folder in ("images", "masks"):
        image = sitk.ReadImage(str(tmp_path / folder / "1_t2.mha"))
        copy = sitk.Flip(sitk.PermuteAxes(image, (2, 0, 1)), (True, False, True))
        sitk.WriteImage(copy, str(tmp_path / folder / "1_t1.mha"))
    one, other = (fingerprint_case(case) for case in load_dataset(tmp_path).cases)
    assert one.orientation != other.orientation
    assert replace(other, id=one.id, sequence=one.sequence, orientation=one.orientation) == one


def test_an_image_without_mask_has_no_label_statistics(tmp_path, spine):
    spine(tmp_path, "1_t1")
    case = replace(load_dataset(tmp_path).cases[0], mask=None)
    found = fingerprint_case(case)
    assert found.voxels == {}
    assert found.foreground is None
    assert found.mask_checksum is None


def test_whole_fingerprint_survives_json(tmp_path, spine):
    for number in range(3):
        spine(tmp_path, f"{number}_t2")
    found = made(tmp_path)
    found.save(tmp_path / "fingerprint.json")
    assert Fingerprint.load(tmp_path / "fingerprint.json") == found
    assert found.scheme.name == "spider"
    assert found.ordered_labels[0].kind is Kind.VERTEBRA
    assert found.ordered_labels[0].intervertebral_distance_mm == pytest.approx(12)


@pytest.mark.parametrize(("key", "value", "word"), [("version", 99, "newer AutoSpine"), ("extra", 1, "extra")])
def test_a_file_of_another_version_or_form_is_refused(tmp_path, spine, key, value, word):
    spine(tmp_path, "1_t1")
    path = tmp_path / "fingerprint.json"
    made(tmp_path).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match=word):
        Fingerprint.load(path)


def test_properties_are_over_training_cases_only(tmp_path, spine, write):
    for case, labels in (("1_t1", [1, 2]), ("1_t2", [1, 2]), ("2_t2", [1]), ("3_t2", [1, 2, 3])):
        spine(tmp_path, case, labels)
    for folder in ("images", "masks"):
        array = np.random.default_rng(0).integers(1, 3, (6, 20, 20)).astype(np.uint8)
        write(tmp_path / folder / "3_t2.mha", array, spacing=(8, 1, 1))
    rows = ["new_file_name,subset,Manufacturer", "1_t1,training,SIEMENS", "3_t2,validation,GE"]
    (tmp_path / "overview.csv").write_text("\n".join(rows))
    found = made(tmp_path)
    assert len(found.cases) == 4
    assert len(found.training) == 3
    assert found.median_spacing == (4.0, 1.5, 1.5)
    assert found.median_shape == (6, 48, 16)
    assert found.sequences == {"t1": 1, "t2": 2}
    assert found.patients == ("1", "2")


def test_processes_give_the_same_as_one(tmp_path, spine):
    for number in range(5):
        spine(tmp_path, f"{number}_t2")
    assert made(tmp_path, workers=2) == made(tmp_path, workers=1)


def test_unchanged_cases_come_from_the_cache(tmp_path, spine, monkeypatch):
    data, cache, read = tmp_path / "data", tmp_path / "cache", []
    for number in range(3):
        spine(data, f"{number}_t2")
    measure = module.fingerprint_case
    monkeypatch.setattr(module, "fingerprint_case", lambda case, scheme: read.append(case.id) or measure(case, scheme))
    first = made(data, cache=cache)
    assert made(data, cache=cache) == first
    assert read == ["0_t2", "1_t2", "2_t2"]
    os.utime(data / "masks" / "1_t2.mha", ns=(1, 1))
    (cache / "2_t2.json").write_text("{ cut in hal")
    assert made(data, cache=cache) == first
    assert read[3:] == ["1_t2", "2_t2"]


def test_an_interrupted_run_continues_and_a_new_subset_is_obeyed(tmp_path, spine, monkeypatch):
    data, cache, read = tmp_path / "data", tmp_path / "cache", []
    for number in range(3):
        spine(data, f"{number}_t2")
    measure = module.fingerprint_case

    def interrupted(case, scheme):
        if case.id == "2_t2" and "2_t2" not in read:
            read.append(case.id)
            raise KeyboardInterrupt
        read.append(case.id)
        return measure(case, scheme)

    monkeypatch.setattr(module, "fingerprint_case", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(data, cache=cache)
    (data / "overview.csv").write_text("new_file_name,subset\n0_t2,validation\n1_t2,training\n2_t2,training\n")
    assert [case.subset for case in made(data, cache=cache).cases] == ["validation", "training", "training"]
    assert read == ["0_t2", "1_t2", "2_t2", "2_t2"]


def test_warns_of_duplicates_and_of_a_mask_shared_by_two_patients(tmp_path, spine):
    spine(tmp_path, "1_t2", seed=1)
    spine(tmp_path, "1_t1", seed=1)
    spine(tmp_path, "2_t1", seed=2)
    warned(tmp_path, "same image under 2 ids", "1_t1", "1_t2")
    warned(tmp_path, "2_t1", "same mask", "patients.csv")


def test_two_series_of_a_patient_may_share_a_mask(tmp_path, spine):
    spine(tmp_path, "1_t2")
    spine(tmp_path, "1_t1")
    assert not any("same mask" in line for line in made(tmp_path).warnings)


def test_warns_of_an_empty_mask_and_few_patients(tmp_path, spine):
    spine(tmp_path, "1_t1")
    spine(tmp_path, "2_t1", [])
    warned(tmp_path, "1 mask holds no label, so nothing counts as annotated there and it is left out", "2_t1")
    warned(tmp_path, "only 1 patient")
    assert [case.id for case in made(tmp_path).cases] == ["1_t1"]


def test_an_empty_mask_that_is_meant_stays(tmp_path, spine):
    spine(tmp_path, "1_t1")
    spine(tmp_path, "2_t1", [])
    (tmp_path / "dataset.json").write_text('{"empty_masks": true}')
    warned(tmp_path, "1 masks are empty", "2_t1")
    warned(tmp_path, "only 2 patients")
    assert [case.id for case in made(tmp_path).cases] == ["1_t1", "2_t1"]


def test_warns_of_a_single_slice(tmp_path, write, boxes):
    image = np.random.default_rng(0).random((1, 48, 16)).astype(np.float32)
    write(tmp_path / "images" / "1_t1.mha", image)
    write(tmp_path / "masks" / "1_t1.mha", boxes([1, 2])[2:3])
    warned(tmp_path, "single slice", "1_t1")


def test_warns_of_ids_that_name_no_patient(tmp_path, spine):
    spine(tmp_path, "case_a")
    spine(tmp_path, "2_t1")
    warned(tmp_path, "1 ids name no patient", "case_a", "patients.csv")


def test_warns_of_mixed_sequences_clipping_and_spacings(tmp_path, spine, write):
    for number in range(6):
        spine(tmp_path, f"{number}_{'t1' if number % 2 else 't2'}")
    image = np.random.default_rng(0).normal(0, 1, (6, 48, 16)).astype(np.float32).clip(-1, 1)
    mask = np.zeros(image.shape, np.uint8)
    mask[2:4, 10:20] = 1
    write(tmp_path / "images" / "7_t2.mha", image, spacing=(9, 1.5, 1.5))
    write(tmp_path / "masks" / "7_t2.mha", mask, spacing=(9, 1.5, 1.5))
    warned(tmp_path, "sequences are mixed", "3 t1, 4 t2")
    warned(tmp_path, "clipped in 1 of 7")
    warned(tmp_path, "spacing of slices", "4.00 to 9.00")
    warned(tmp_path, "more than 6 mm apart in 1", "7_t2")


def test_warns_of_rare_labels_and_of_a_case_out_of_order(tmp_path, spine):
    for number in range(12):
        spine(tmp_path, f"{number}_t1", [1, 2, 3, 4, 5] if number == 4 else [1, 2, 3, 4])
    spine(tmp_path, "20_t1", [1, 3, 2, 4])
    warned(tmp_path, "few of the 13 patients", "5 (L1: 1)")
    warned(tmp_path, "order of vertebra labels", "20_t1")


def test_warns_where_annotation_stops_early(tmp_path, spine):
    spine(tmp_path, "1_t1", [1, 2, 3])
    warned(tmp_path, "highest vertebra label", "39 mm")


def test_warns_of_labels_where_the_image_is_constant(tmp_path, spine, write, boxes):
    for name in ("1_t1", "2_t1"):
        spine(tmp_path, name, [1, 2, 3])
    image, mask = read_image(tmp_path / "images" / "2_t1.mha").array, boxes([1, 2, 3])
    image[:, : np.argwhere(mask == 2)[:, 1].max() + 1] = 0  # all above the lowest vertebra is cut off
    write(tmp_path / "images" / "2_t1.mha", image)
    assert "2_t1 (2, 3)" in warned(tmp_path, "labels lie where the image is constant")


def test_a_stray_integer_is_named_with_what_it_costs(tmp_path, spine, write, boxes):
    for number in range(4):
        spine(tmp_path, f"{number}_t1", [1, 2, 3, 4])
    mask = boxes([1, 2, 3, 4])
    mask.ravel()[np.flatnonzero(mask == 0)[0]] = 77
    write(tmp_path / "masks" / "2_t1.mha", mask)
    line = warned(tmp_path, "2_t1.mha: holds 77 (1 voxels), which the scheme spider lacks")
    assert "plain structures, without levels" in line and "autospine_clean" in line and "--labels" in line
    assert made(tmp_path).scheme.name == "plain"
    mask[mask == 0] = 77  # no stray any more
    write(tmp_path / "masks" / "2_t1.mha", mask)
    assert not [line for line in made(tmp_path).warnings if "which the scheme spider lacks" in line]


def test_a_case_with_other_integers_than_all_others_is_named(tmp_path, spine):
    for number in range(4):
        spine(tmp_path, f"{number}_t1", [11, 12] if number == 2 else [1, 2, 3])
    assert "2_t1 shares no label with any other case (11, 12)" in warned(tmp_path, "shares no label")


@pytest.mark.parametrize(
    ("name", "values"),
    [("t2", range(1, 8)), ("mixed", range(1, 10)), ("ffe", range(1, 6)), ("discs", range(201, 206))],
)
def test_real_scans(real_data, name, values):
    found = made(real_data / name)
    (sequence,) = found.ordered_labels
    assert sequence.values == tuple(values)
    assert sequence.kind is (Kind.DISC if name == "discs" else Kind.VERTEBRA)
    assert 28 < sequence.intervertebral_distance_mm < 42
    assert all((case.clipped_share > 0) == (name == "mixed") for case in found.cases)
