from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.dataset.cases import Case, Dataset
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import joined
from autospine.fingerprint.joining import MeasuredCases
from autospine.fingerprint.statistics import IntensityStatistics
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES, LabelScheme

INTENSITY = IntensityStatistics(0, 1, 2, 3, 4, 2, 1)
PLAIN = LabelScheme("plain", {k: Anatomy(Kind.STRUCTURE, k) for k in range(1, 9)})


def case_of(source: str, labels: tuple[int, ...], image: str, upwards: bool = True) -> CaseFingerprint:
    """A case whose labels lie one above another, the first at the bottom."""
    rows = {value: 180.0 - 20 * k if upwards else 20.0 + 20 * k for k, value in enumerate(labels)}
    return CaseFingerprint(
        id=f"{source}-1",
        patient=f"{source}-p",
        sequence="t2",
        subset="training",
        vendor=None,
        shape=(9, 200, 100),
        spacing=(4.0, 1.0, 1.0),
        orientation="PIR",
        slice_axis=0,
        anisotropy=4.0,
        clipped_share=0.0,
        intensity=INTENSITY,
        foreground=INTENSITY,
        voxels={0: 1000, **dict.fromkeys(labels, 100)},
        slices=dict.fromkeys(labels, 5),
        centroids={value: (4.0, row, 50.0) for value, row in rows.items()},
        boxes={value: (2, int(row) - 8, 40, 6, int(row) + 8, 60) for value, row in rows.items()},
        checksum=image.ljust(16, "0") + source.ljust(16, "0"),
        mask_checksum=source.ljust(16, "0"),
        source=source,
    )


def measured(source: str, scheme: LabelScheme, case: CaseFingerprint, **changes: object) -> MeasuredCases:
    files = Case(case.id, (Path(source, "images", "1.mha"),), Path(source, "masks", "1.mha"), case.patient)
    dataset = replace(Dataset(Path(source), (files,), ("MRI",), None, {}, name=source), **changes)
    return MeasuredCases(dataset, scheme, (case,), ())


def set_of(source: str, scheme: str, labels: tuple[int, ...], image: str = "", **changes: object) -> MeasuredCases:
    return measured(source, SCHEMES[scheme], case_of(source, labels, image or source), **changes)


def test_labels_of_several_schemes_become_those_of_one() -> None:
    sources = [set_of("a", "bodies", (1, 2, 3)), set_of("b", "mrspineseg", (11, 2, 3, 4))]
    fingerprint = joined(sources, ("MRI",))
    assert [sorted(case.centroids) for case in fingerprint.cases] == [[301, 302, 303], [1, 2, 3, 201]]
    assert fingerprint.cases[0].voxels == {0: 1000, 301: 100, 302: 100, 303: 100}
    assert [(s.name, s.annotates) for s in fingerprint.sources] == [
        ("a", (Kind.BODY,)),
        ("b", (Kind.VERTEBRA, Kind.DISC)),
    ]
    assert fingerprint.scheme == SCHEMES["parts"]


def test_what_dataset_json_says_it_annotates_holds() -> None:
    declared = set_of("a", "bodies", (1, 2), annotates=(Kind.BODY, Kind.SACRUM))
    assert joined([declared, set_of("b", "spider", (1, 2))], ("MRI",)).sources[0].annotates[1] is Kind.SACRUM
    in_part = set_of("a", "spider", (201, 1, 2), annotates=(Kind.VERTEBRA,))
    assert joined([in_part, set_of("b", "spider", (1, 2))], ("MRI",)).sources[0].annotates == (Kind.VERTEBRA,)


def test_a_source_of_integers_without_meaning_annotates_nothing_usable() -> None:
    plain = measured("a", PLAIN, case_of("a", (1, 2, 3), "a"))
    with pytest.raises(UserError, match="a: annotates nothing that is known: its labels 1, 2, 3 are plain") as error:
        joined([plain, set_of("b", "spider", (1, 2))], ("MRI",))
    assert "--labels a=SCHEME" in str(error.value)
    assert joined([plain, measured("b", PLAIN, case_of("b", (1, 2, 3), "b"))], ("MRI",)).scheme == PLAIN


def test_a_source_without_labels_annotates_nothing() -> None:
    with pytest.raises(UserError, match="a: annotates nothing: its masks hold no label"):
        joined([set_of("a", "spider", ()), set_of("b", "spider", (1, 2))], ("MRI",))


def test_integers_that_contradict_the_order_name_both_files() -> None:
    wrong = measured("a", SCHEMES["spider"], case_of("a", (1, 2, 3, 4), "a", upwards=False))
    with pytest.raises(UserError, match="the labels count downward") as error:
        joined([wrong, set_of("b", "spider", (1, 2, 3, 4))], ("MRI",))
    line = str(error.value)
    assert "a/masks/1.mha" in line
    assert "b/masks/1.mha" in line
    assert "\n" not in line


def test_one_scan_in_two_sources_with_other_levels_names_both_files() -> None:
    one, other = set_of("a", "spider", (1, 2, 3, 4), "same"), set_of("b", "bodies", (2, 3, 4, 5), "same")
    with pytest.raises(UserError, match=r"b/masks/1.mha: is of the same scan as a/masks/1.mha, which has") as error:
        joined([one, other], ("MRI",))
    assert "--labels b=SCHEME" in str(error.value)


def test_one_scan_in_two_sources_is_one_patient() -> None:
    fingerprint = joined([set_of("a", "spider", (1, 2, 3), "same"), set_of("b", "bodies", (1, 2, 3), "same")], ("MRI",))
    assert {case.patient for case in fingerprint.cases} == {"a-p"}
    assert "the same image in several data sets: a-1, b-1" in fingerprint.warnings


def test_the_same_integer_may_mean_two_things_where_that_is_stated() -> None:
    fingerprint = joined([set_of("a", "mrspineseg", (1, 2, 3)), set_of("b", "spider", (1, 2, 3))], ("MRI",))
    assert [sorted(case.centroids) for case in fingerprint.cases] == [[1, 2, 50], [1, 2, 3]]
