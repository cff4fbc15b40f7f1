from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.core.errors import UserError
from autospine.core.serial import from_plain, to_plain
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.conversion import (
    conversion,
    generalisations,
    get_scheme,
    infer_scheme,
    present_labels,
    scheme_entries,
    scheme_of_report,
)
from autospine.labels.schemes import SCHEMES, LabelScheme

NAMES = st.sampled_from(sorted(SCHEMES))
L3 = Anatomy(Kind.VERTEBRA, 3)
LEVELLED = (Kind.VERTEBRA, Kind.DISC, Kind.BODY, Kind.POSTERIOR_ELEMENTS)  # a scheme that ends below the neck


def masks(scheme: LabelScheme) -> st.SearchStrategy[np.ndarray]:
    values = st.sampled_from([0, *scheme.anatomies])
    return st.lists(values, min_size=24, max_size=24).map(lambda flat: np.array(flat).reshape(2, 3, 4))


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_built_in_schemes_come_back_from_json(name: str) -> None:
    scheme = SCHEMES[name]
    assert LabelScheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == replace(scheme, extra=())
    assert from_plain(LabelScheme, json.loads(json.dumps(to_plain(scheme))), "file") == scheme
    assert get_scheme(name) is scheme


@pytest.mark.parametrize(
    ("scheme", "value", "key"),
    [
        ("spider", 1, "vertebra:1"),
        ("spider", 100, "canal"),
        ("spider", 106, "partial vertebra:6"),
        ("spider", 201, "disc:1"),
        ("lumbar7", 1, "vertebra:5"),
        ("lumbar7", 5, "vertebra:1"),
        ("lumbar7", 6, "vertebra:7"),
        ("lumbar7", 7, "vertebra:6"),
        ("spider20", 10, "canal"),
        ("spider20", 19, "disc:9"),
        ("mrspineseg", 1, "sacrum"),
        ("mrspineseg", 10, "vertebra:9"),
        ("mrspineseg", 11, "disc:1"),
        ("mrspineseg", 16, "disc:6"),
        ("mrspineseg18", 9, "vertebra:8"),
        ("mrspineseg18", 10, "disc:1"),
        ("mrspineseg18", 17, "disc:8"),
        ("totalspineseg", 45, "vertebra:1"),
        ("totalspineseg", 11, "vertebra:24"),
        ("totalspineseg", 95, "disc:2"),
        ("totalspineseg", 91, "disc:6"),
        ("totalspineseg", 63, "disc:23"),
        ("totalspineseg", 100, "disc:1"),
        ("totalsegmentator", 27, "vertebra:1"),
        ("totalsegmentator", 50, "vertebra:24"),
        ("totalsegmentator", 79, "cord"),
        ("totalsegmentator_total_mr", 1, "structure:1"),
        ("totalsegmentator_total_mr", 18, "sacrum"),
        ("totalsegmentator_total_mr", 19, "vertebra"),
        ("totalsegmentator_total_mr", 20, "disc"),
        ("totalsegmentator_total_mr", 21, "cord"),
        ("totalsegmentator_vertebrae_mr", 1, "sacrum"),
        ("totalsegmentator_vertebrae_mr", 2, "vertebra:1"),
        ("totalsegmentator_vertebrae_mr", 7, "vertebra:6"),
        ("totalsegmentator_vertebrae_mr", 25, "vertebra:24"),
        ("spineps", 24, "vertebra:1"),
        ("spineps", 1, "vertebra:24"),
        ("spineps", 124, "disc:1"),
        ("spineps", 49, "body"),
        ("spineps", 41, "posterior elements"),
        ("spineps", 48, "posterior elements"),
    ],
)
def test_integers(scheme: str, value: int, key: str) -> None:
    assert SCHEMES[scheme].anatomies[value].key == key


@pytest.mark.parametrize(
    ("target", "values", "lost"),  # of L5's disc, body and posterior elements, T12's whole vertebra, sacrum, canal
    [
        ("spider", (201, 1, 1, 6, 0, 100), {Kind.SACRUM, Kind.CORD}),
        ("bodies", (0, 1, 0, 0, 0, 0), {*Kind} - {Kind.BODY, Kind.LAMINA, Kind.FORAMEN, Kind.STRUCTURE}),
        ("mrspineseg", (11, 2, 2, 7, 1, 0), {Kind.CANAL, Kind.CORD, Kind.PARTIAL_VERTEBRA, *LEVELLED}),
        ("totalspineseg", (100, 45, 45, 32, 50, 2), {Kind.PARTIAL_VERTEBRA, *LEVELLED}),
        ("spineps", (124, 24, 24, 19, 26, 61), {Kind.PARTIAL_VERTEBRA, Kind.VERTEBRA}),
        ("semantic4", (3, 1, 1, 1, 0, 2), {Kind.SACRUM, Kind.CORD}),
        ("totalsegmentator_total_mr", (20, 19, 19, 19, 18, 0), {Kind.CANAL}),
    ],
)
def test_parts_become_what_each_scheme_can_say(target: str, values: tuple[int, ...], lost: set[Kind]) -> None:
    change = conversion(SCHEMES["parts"], SCHEMES[target])
    assert tuple(change.apply(np.array([201, 301, 401, 6, 50, 100])).tolist()) == values
    assert {anatomy.kind for anatomy in change.lost} == lost


def test_a_report_tells_the_labels_of_schemes_that_are_not_built_in() -> None:
    assert scheme_entries(SCHEMES["parts"]) == {"scheme": "parts"}
    own = LabelScheme("joint", {**SCHEMES["parts"].anatomies, 501: Anatomy(Kind.BODY)})
    entries = scheme_entries(own)
    assert entries["scheme_labels"]["501"] == "body"
    assert scheme_of_report(entries, "report") == own
    assert scheme_of_report({"scheme": "parts"}, "report") == SCHEMES["parts"]
    assert scheme_of_report({"scheme": "theirs"}, "report") is None
    with pytest.raises(UserError, match="report"):
        scheme_of_report({"scheme": "joint", "scheme_labels": {"1": "rune"}}, "report")


def test_sub_regions_of_spineps_are_body_and_posterior_elements() -> None:
    """They have no levels: the scheme parts, which has, cannot say them, and vertebrae without levels hold both."""
    mask = np.array([0, 41, 42, 47, 49, 50, 61])
    assert conversion(SCHEMES["spineps"], SCHEMES["semantic4"]).apply(mask).tolist() == [0, 1, 1, 1, 1, 1, 2]
    assert conversion(SCHEMES["spineps"], SCHEMES["parts"]).apply(mask).tolist() == [0, 0, 0, 0, 0, 0, 100]


@pytest.mark.parametrize(
    ("scheme", "shown", "levels"),
    [
        ("spineps", (24, 124), {24: "vertebra:1", 19: "vertebra:6", 1: "vertebra:24", 124: "disc:1"}),
        ("spineps", (25, 24), {25: "vertebra:1", 24: "vertebra:2", 1: "vertebra:25", 125: "disc:1", 124: "disc:2"}),
        ("spineps", (28,), {24: "vertebra:1", 20: "vertebra:5", 28: "vertebra:6", 19: "vertebra:7", 119: "disc:7"}),
        ("spineps", (125, 28), {25: "vertebra:1", 20: "vertebra:6", 28: "vertebra:7", 128: "disc:7", 1: "vertebra:26"}),
        ("totalspineseg", (46,), {46: "vertebra:1", 45: "vertebra:2", 100: "disc:1", 96: "disc:2", 95: "disc:3"}),
        ("totalspineseg", (45,), {45: "vertebra:1", 100: "disc:1", 95: "disc:2"}),
    ],
)
def test_extra_vertebrae_raise_the_levels_above_them(scheme: str, shown: tuple[int, ...], levels: dict) -> None:
    anatomies = SCHEMES[scheme].shown_by(shown).anatomies
    assert {value: anatomies[value].key for value in levels} == levels


def test_a_data_set_with_extra_vertebrae_cannot_be_learnt() -> None:
    with pytest.raises(UserError, match="label 25, which the scheme spineps lacks"):
        conversion(SCHEMES["spineps"], SCHEMES["spider"]).apply(np.array([24, 25]))


@given(NAMES, NAMES, st.data())
@settings(max_examples=60)
def test_what_is_not_lost_comes_back(source: str, target: str, data: st.DataObject) -> None:
    """There and back again is the identity on every anatomy that both schemes hold exactly once."""
    there, back = conversion(SCHEMES[source], SCHEMES[target]), conversion(SCHEMES[target], SCHEMES[source])
    mask = data.draw(masks(SCHEMES[source]))
    returned = back.apply(there.apply(mask))
    held = SCHEMES[target].anatomies.values()
    for before, after in zip(mask.ravel(), returned.ravel(), strict=True):
        anatomy = SCHEMES[source].anatomies.get(int(before))
        if anatomy in held:
            assert SCHEMES[source].anatomies[int(after)] == anatomy
        if anatomy in there.lost:
            assert after == 0


@given(NAMES, st.data())
@settings(max_examples=30)
def test_a_scheme_converts_to_itself(name: str, data: st.DataObject) -> None:
    itself = conversion(SCHEMES[name], SCHEMES[name])
    mask = data.draw(masks(SCHEMES[name]))
    assert itself.lost == ()
    assert [SCHEMES[name].anatomies.get(int(v)) for v in itself.apply(mask).ravel()] == [
        SCHEMES[name].anatomies.get(int(v)) for v in mask.ravel()
    ]


@given(NAMES, NAMES, st.data())
@settings(max_examples=40)
def test_apply_matches_voxel_by_voxel(source: str, target: str, data: st.DataObject) -> None:
    there = conversion(SCHEMES[source], SCHEMES[target])
    mask = data.draw(masks(SCHEMES[source]))
    made = there.apply(mask)
    assert made.shape == mask.shape
    for value, result in zip(mask.ravel(), made.ravel(), strict=True):
        assert there.table[int(value)] == result


def test_levels_generalise_and_never_appear() -> None:
    down = conversion(SCHEMES["spider"], SCHEMES["semantic4"])
    assert down.lost == ()
    assert down.apply(np.array([0, 1, 9, 100, 106, 201, 225])).tolist() == [0, 1, 1, 2, 1, 3, 3]
    up = conversion(SCHEMES["semantic4"], SCHEMES["spider"])
    assert up.lost == (Anatomy(Kind.VERTEBRA), Anatomy(Kind.DISC))
    assert up.apply(np.array([0, 1, 2, 3])).tolist() == [0, 0, 100, 0]


def test_a_partial_vertebra_is_no_whole_one_where_levels_count() -> None:
    there = conversion(SCHEMES["spider"], SCHEMES["spider20"])
    assert there.apply(np.array([6, 106, 9, 10, 209])).tolist() == [6, 0, 9, 0, 19]
    assert Anatomy(Kind.PARTIAL_VERTEBRA, 6) in there.lost
    assert Anatomy(Kind.VERTEBRA, 6) not in generalisations(Anatomy(Kind.PARTIAL_VERTEBRA, 6))


def test_lumbar7_to_spider_swaps_the_order() -> None:
    there = conversion(SCHEMES["lumbar7"], SCHEMES["spider"])
    assert there.apply(np.arange(8)).tolist() == [0, 5, 4, 3, 2, 1, 7, 6]
    assert there.lost == ()


@pytest.mark.parametrize("name", ["mrspineseg", "mrspineseg18"])
def test_spider_and_mrspineseg_go_there_and_back(name: str) -> None:
    """All but what one side has alone: SPIDER no sacrum, the challenge no canal, nothing higher and nothing partial."""
    top = 9 if name == "mrspineseg" else 8
    there = conversion(SCHEMES["spider"], SCHEMES[name])
    back = conversion(SCHEMES[name], SCHEMES["spider"])
    shared = np.array([*range(1, top + 1), *range(201, 201 + top)])
    made = there.apply(shared)
    assert made.tolist() == [*range(2, 2 + top), *range(2 + top, 2 + 2 * top)]
    assert back.apply(made).tolist() == shared.tolist()
    assert there.apply(np.array([top + 1, 100, 101, 201 + top])).tolist() == [0, 0, 0, 0]
    assert back.lost == (Anatomy(Kind.SACRUM),)
    assert back.apply(np.array([1])).tolist() == [0]


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8"])
def test_mask_types(kind: str) -> None:
    made = conversion(SCHEMES["spider"], SCHEMES["spider20"]).apply(np.array([[0, 100], [3, 201]], dtype=kind))
    assert made.dtype == np.uint8 and made.tolist() == [[0, 10], [3, 11]]


def test_result_type_fits_the_target_whatever_is_present() -> None:
    wide = LabelScheme("wide", {70000: L3})
    made = conversion(SCHEMES["lumbar7"], wide).apply(np.zeros((2, 2), np.uint8))
    assert made.dtype == np.uint32


def test_a_negative_ignore_label_is_read_as_a_free_one() -> None:
    scheme = LabelScheme.from_dict({"name": "x", "labels": {"1": "canal", "255": "cord"}, "ignore_label": -1})
    assert (scheme.ignore_label, scheme.negative) == (256, (-1, 256))
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme
    with pytest.raises(UserError, match=r'negative label -2; number the labels from 0; "ignore_label" may'):
        LabelScheme.from_dict({"labels": {"-2": "canal"}})


def test_large_and_negative_integers() -> None:
    source = LabelScheme("large", {2_000_000_000: L3, -7: Anatomy(Kind.CANAL)})
    mask = np.array([0, 2_000_000_000, -7, 0], np.int64)
    there = conversion(source, SCHEMES["spider"])
    assert there.apply(mask).tolist() == [0, 3, 100, 0]
    assert conversion(SCHEMES["spider"], source).apply(np.array([3, 100, 0], np.uint8)).tolist() == [
        2_000_000_000,
        -7,
        0,
    ]


@pytest.mark.parametrize("value", [8, 255, 70000, -1])
def test_a_label_outside_the_scheme_is_named(value: int) -> None:
    with pytest.raises(UserError, match=rf"5_t2\.mha: holds the label {value}, which the scheme lumbar7 lacks"):
        conversion(SCHEMES["lumbar7"], SCHEMES["spider"]).apply(np.array([0, value]), "5_t2.mha")


def test_floats_are_refused() -> None:
    with pytest.raises(UserError, match="float64"):
        conversion(SCHEMES["lumbar7"], SCHEMES["spider"]).apply(np.zeros(3))


def test_empty_arrays_and_booleans() -> None:
    there = conversion(SCHEMES["lumbar7"], SCHEMES["spider"])
    assert there.apply(np.zeros((0, 3), np.uint8)).shape == (0, 3)
    assert there.apply(np.array([True, False])).tolist() == [5, 0]
    assert present_labels(np.array([3, 1, 3])) == (1, 3)


@pytest.mark.parametrize(("own", "expected"), [(254, 254), (None, 255)])
def test_unlabelled_voxels_stay_unlabelled(own: int | None, expected: int) -> None:
    source = LabelScheme("part", {1: L3}, ignore_label=255)
    target = LabelScheme("whole", dict(SCHEMES["spider"].anatomies), ignore_label=own)
    there = conversion(source, target)
    assert there.target.ignore_label == expected
    assert there.apply(np.array([0, 1, 255])).tolist() == [0, 3, expected]


def test_unlabelled_value_taken_by_the_target_moves_on() -> None:
    source = LabelScheme("part", {1: L3}, ignore_label=9)
    target = LabelScheme("full", {9: L3, 255: Anatomy(Kind.CANAL)})
    assert conversion(source, target).apply(np.array([0, 1, 9])).tolist() == [0, 9, 256]


def test_the_smallest_of_several_integers_stands_for_an_anatomy() -> None:
    scheme = LabelScheme("twice", {9: L3, 4: L3, 7: Anatomy(Kind.CANAL)})
    assert scheme.value_of(L3) == 4 and scheme.value_of(Anatomy(Kind.DISC)) is None
    assert replace(scheme, anatomies={5: L3}).value_of(L3) == 5


def test_scheme_files(tmp_path: Path) -> None:
    own = {"name": "mine", "labels": {"7": "vertebra:3", "300": "canal"}, "ignore_label": 255}
    (tmp_path / "mine.json").write_text(json.dumps(own))
    scheme = get_scheme(str(tmp_path / "mine.json"))
    assert (scheme.name, scheme.value_of(L3), scheme.ignore_label) == ("mine", 7, 255)
    (tmp_path / "dataset.json").write_text(json.dumps({**own, "channels": ["t2"]}))
    assert get_scheme(str(tmp_path)) == scheme


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", 'no object "labels"'),
        ('{"labels": {"a": "canal"}}', "no integer"),
        ('{"labels": {"1": "canal", "01": "cord"}}', "twice"),
        ('{"labels": {"1": "kanal"}}', "names no anatomy"),
        ('{"labels": {"0": "canal"}}', "background"),
        ('{"labels": {"255": "canal"}, "ignore_label": 255}', "unlabelled voxels"),
        ('{"labels": {}, "ignore_label": "255"}', "no integer"),
        ('{"labels": {}, "colour": 1}', "unknown key 'colour'"),
    ],
)
def test_bad_scheme_files_are_user_errors(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(UserError, match=problem):
        get_scheme(str(tmp_path / "mine.json"))


def test_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"lumbar7.*spider"):
        get_scheme("spyder")


def test_inferred_schemes() -> None:
    assert infer_scheme([0, 1, 7, 100, 201]) is SCHEMES["spider"]
    plain = infer_scheme([0, 26, 3])
    assert plain.name == "plain" and plain.anatomies == {
        3: Anatomy(Kind.STRUCTURE, 3),
        26: Anatomy(Kind.STRUCTURE, 26),
    }
