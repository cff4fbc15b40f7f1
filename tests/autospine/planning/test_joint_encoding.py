from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.labels.anatomy import Kind
from autospine.labels.encoding import MergedLabel, SemanticClass, SourceAnnotation
from autospine.labels.schemes import SCHEMES
from autospine.planning.joint_encoding import joint_encoding
from autospine.planning.plan import Plans
from autospine.planning.splits import make_splits
from autospine.preprocessing.storage import CaseStore
from tests.tiny import plan_of, spine_mask

LEVELS = (1, 2, 3, 4, 5)


def test_bodies_whole_vertebrae_and_discs_meet(joint_work: WorkFolder) -> None:
    plan = plan_of(joint_work, 2)
    assert plan.scheme == SCHEMES["parts"]
    assert plan.encoding.classes == (
        SemanticClass("vertebral body", (301, 302, 303, 304, 305), LEVELS),
        SemanticClass("posterior elements", (401, 402, 403, 404, 405), LEVELS, "vertebral body"),
        SemanticClass("disc", (201, 202, 203, 204, 205), LEVELS),
        SemanticClass("spinal canal", (100,)),
    )
    assert plan.encoding.merged == tuple(MergedLabel(k, (1, 2), k) for k in LEVELS)
    assert plan.encoding.sources == (
        SourceAnnotation("whole", ()),
        SourceAnnotation("bodies", (2, 3, 4)),
        SourceAnnotation("discs", (1, 2, 4), partial_annotation_above=True),  # a vertebra lies above its topmost disc
    )
    assert [(source.name, source.scheme.name, source.annotates) for source in plan.sources] == [
        ("whole", "spider", (Kind.VERTEBRA, Kind.DISC, Kind.CANAL)),
        ("bodies", "bodies", (Kind.BODY,)),
        ("discs", "spider", (Kind.DISC,)),
    ]
    assert Plans.load(joint_work.plans).plans[0] == plan


def test_what_a_source_labels_in_part_may_hide_in_its_background(joint_work: WorkFolder) -> None:
    fingerprint = Fingerprint.load(joint_work.fingerprint)
    whole, *others = fingerprint.sources
    in_part = replace(whole, annotates=(Kind.VERTEBRA, Kind.DISC))
    encoding = joint_encoding(replace(fingerprint, sources=(in_part, *others)), (1, 2))
    assert encoding is not None and encoding.classes[3] == SemanticClass("spinal canal", (100,))
    assert encoding.sources[0] == SourceAnnotation("whole", (4,))
    alone = replace(fingerprint, sources=(in_part,), cases=tuple(c for c in fingerprint.cases if c.source == "whole"))
    assert joint_encoding(alone, (1, 2)) is not None


def test_masks_of_the_work_folder_are_in_the_joint_scheme(joint_work: WorkFolder) -> None:
    folder = joint_work.preprocessed("2d_sagittal")
    stores = [CaseStore(folder, f"{source}-1_t2") for source in ("whole", "bodies", "discs")]
    shown = [np.unique(np.asarray(store.mask[:])).tolist() for store in stores]
    assert shown == [[0, *LEVELS, 100, *range(201, 206)], [0, *range(301, 306)], [0, *range(201, 206)]]
    assert [store.record.source for store in stores] == ["whole", "bodies", "discs"]


def test_the_centre_of_a_whole_vertebra_is_its_bodys(joint_work: WorkFolder) -> None:
    folder = joint_work.preprocessed("2d_sagittal")
    whole, bodies = (CaseStore(folder, f"{source}-1_t2").record.labels for source in ("whole", "bodies"))
    centres = {label.value + 300: label.body for label in whole if label.value <= 5}
    for body in bodies:
        assert centres[body.value] == pytest.approx(body.centroid, abs=0.6)
    assert all(label.body is None for label in whole if label.value > 5)


def test_folds_are_balanced_over_the_data_sets(joint_work: WorkFolder) -> None:
    cases = Fingerprint.load(joint_work.fingerprint).cases
    splits = make_splits(cases, 3)
    sources = [sorted(id_.partition("-")[0] for id_ in fold.validation) for fold in splits.folds]
    assert sources == [["bodies", "discs", "whole"]] * 3
    assert "balanced by data set, label and sequence" in splits.reason


def test_data_sets_that_annotate_the_same_need_no_merged_labels(joint_work: WorkFolder) -> None:
    fingerprint = Fingerprint.load(joint_work.fingerprint)
    twice = tuple(
        replace(case, source=case.source if int(case.id[6]) < 2 else "second")
        for case in fingerprint.cases
        if case.source == "whole"
    )
    second = replace(fingerprint.sources[0], name="second")
    alike = replace(fingerprint, cases=twice, sources=(fingerprint.sources[0], second))
    assert joint_encoding(alike, (1, 2)) is None


def test_annotation_that_stops_early_is_each_sources_own(joint_work: WorkFolder) -> None:
    fingerprint = Fingerprint.load(joint_work.fingerprint)
    taller = tuple(
        replace(
            case,
            shape=(case.shape[0], case.shape[1] + 60, case.shape[2]),
            centroids={value: (s, r + 60, c) for value, (s, r, c) in case.centroids.items()},
        )
        if case.source == "bodies"
        else case
        for case in fingerprint.cases
    )
    encoding = joint_encoding(replace(fingerprint, cases=taller), (1, 2))
    assert encoding is not None
    assert {s.name: s.partial_annotation_above for s in encoding.sources} == {
        "whole": False,
        "bodies": True,
        "discs": True,
    }


def test_the_tiny_bodies_are_where_the_spine_has_them() -> None:
    assert set(np.unique(spine_mask())) >= set(LEVELS)
