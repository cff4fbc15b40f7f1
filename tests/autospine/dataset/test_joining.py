from __future__ import annotations

import logging
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.dataset.joining import load_datasets
from autospine.labels.anatomy import Kind


def folder(root: Path, *ids: str, declaration: str = "") -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
        for id_ in ids:
            (root / name / f"{id_}.mha").touch()
    if declaration:
        (root / "dataset.json").write_text(declaration)
    return root


def test_one_data_set_alone_keeps_its_ids(tmp_path: Path) -> None:
    dataset = load_datasets([folder(tmp_path / "a", "1_t1", "1_t2")], ("bodies",))
    assert [(case.id, case.patient, case.source) for case in dataset.cases] == [("1_t1", "1", ""), ("1_t2", "1", "")]
    assert dataset.scheme is not None
    assert dataset.scheme.name == "bodies"
    assert dataset.sources == ()


def test_several_have_their_names_before_ids_and_patients(tmp_path: Path) -> None:
    roots = [folder(tmp_path / name, "1_t1") for name in ("a", "b")]
    dataset = load_datasets(roots, ("spider", "b=bodies"))
    assert [(case.id, case.patient, case.sequence, case.source) for case in dataset.cases] == [
        ("a-1_t1", "a-1", "t1", "a"),
        ("b-1_t1", "b-1", "t1", "b"),
    ]
    assert [(source.name, source.scheme.name) for source in dataset.sources if source.scheme] == [
        ("a", "spider"),
        ("b", "bodies"),
    ]


def test_folders_of_one_name_get_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    roots = [folder(tmp_path / home / "t2", "1") for home in ("x", "y")]
    with caplog.at_level(logging.WARNING):
        assert [source.name for source in load_datasets(roots).sources] == ["t2", "t2_2"]
    assert f"{roots[1]}: another data set is called t2 already, so this one is t2_2" in caplog.text


def test_what_dataset_json_says_of_annotation(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", "1", declaration='{"annotates": ["disc", "body"], "empty_masks": true}')
    dataset = load_datasets([root])
    assert dataset.annotates == (Kind.DISC, Kind.BODY)
    assert dataset.empty_masks


@pytest.mark.parametrize(
    ("declaration", "problem"),
    [
        ('{"annotates": "disc"}', "\"annotates\" is 'disc', no list of kinds"),
        ('{"annotates": ["discs"]}', "no list of kinds; choose from vertebra, partial vertebra, disc"),
        ('{"annotates": []}', "no list of kinds"),
        ('{"empty_masks": 1}', '"empty_masks" is 1'),
    ],
)
def test_wrong_declarations_are_one_line(tmp_path: Path, declaration: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        load_datasets([folder(tmp_path / "a", "1", declaration=declaration)])
    assert str(error.value).startswith(str(tmp_path / "a" / "dataset.json"))


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (("c=bodies",), "--labels c=bodies: names none of the data sets; choose from a, b"),
        (("a=bodies", "a=spider"), "--labels a=spider: is a second scheme of a"),
        (("a=nothing",), "nothing: is neither a label scheme nor a file"),
    ],
)
def test_labels_of_no_data_set(tmp_path: Path, labels: tuple[str, ...], problem: str) -> None:
    roots = [folder(tmp_path / name, "1") for name in ("a", "b")]
    with pytest.raises(UserError, match=problem):
        load_datasets(roots, labels)


def test_a_folder_named_twice_and_other_channels(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", "1")
    with pytest.raises(UserError, match="is named twice"):
        load_datasets([root, tmp_path / "a" / ".." / "a"])
    other = folder(tmp_path / "b", "1", declaration='{"channels": ["T1"]}')
    with pytest.raises(UserError, match=r"has the channels T1, .*a has MRI; plan data sets of the same channels"):
        load_datasets([root, other])
