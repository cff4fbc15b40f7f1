"""Masks of bodies, posterior elements and sacrum, and spines with findings."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autospine.core.errors import UserError
from autospine.core.files import read_json
from autospine.dataset.metadata import read_declaration
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES
from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.findings import PLAIN, Findings, Fracture, sample_findings
from autospine.phantom.mask_labels import PARTS, SPIDER
from autospine.phantom.series import Size, find_series, generator
from autospine.phantom.spine import Spine, sample_spine
from autospine.phantom.write import write_phantom

CASES = [(1, index) for index in range(6)]


@cache
def varied(seed: int, index: int) -> PhantomCase:
    return make_case(seed, index, Size.SMALL, PARTS, varied=True)


def spine(findings: Findings) -> Spine:
    return sample_spine(generator(3), 9, findings)


def test_parts_are_the_anatomies_of_their_scheme() -> None:
    parts = SCHEMES["parts"].anatomies
    assert parts[PARTS.bodies + 3] == Anatomy(Kind.BODY, 3)
    assert parts[PARTS.posterior_elements + 3] == Anatomy(Kind.POSTERIOR_ELEMENTS, 3)
    assert parts[PARTS.sacrum] == Anatomy(Kind.SACRUM)
    assert SCHEMES["spider"].anatomies[SPIDER.bodies + 3] == Anatomy(Kind.VERTEBRA, 3)


def test_parts_of_a_vertebra_make_spiders_vertebra() -> None:
    whole, parts = make_case(0, 0, Size.SMALL), make_case(0, 0, Size.SMALL, PARTS)
    assert np.array_equal(whole.image, parts.image)
    assert (whole.vertebrae, whole.discs) == (parts.vertebrae, parts.discs)
    assert {50, 100} <= set(np.unique(parts.labels))
    for level in whole.vertebrae:
        union = np.isin(parts.labels, (PARTS.bodies + level, PARTS.posterior_elements + level))
        assert (union != (whole.labels == level)).sum() <= 0.01 * union.sum()  # specks of one part are dropped
    sacrum = parts.labels == PARTS.sacrum
    assert (whole.labels[sacrum] > 0).mean() < 0.01  # the rim of the lowest disc


@pytest.mark.parametrize("key", CASES)
def test_bodies_lie_before_their_posterior_elements_and_above_the_sacrum(key: tuple[int, int]) -> None:
    made = varied(*key)
    assert made.vertebrae == tuple(range(1, len(made.vertebrae) + 1))
    assert len(made.vertebrae) >= 3
    for level in made.vertebrae[1:-1]:
        body = np.argwhere(made.labels == PARTS.bodies + level).mean(0)
        behind = np.argwhere(made.labels == PARTS.posterior_elements + level).mean(0)
        lower = np.argwhere(made.labels == PARTS.bodies + level - 1).mean(0)
        assert body[2] < behind[2]
        assert body[1] < lower[1]
    sacrum = np.argwhere(made.labels == PARTS.sacrum)
    assert not len(sacrum) or sacrum[:, 1].mean() > np.argwhere(made.labels == PARTS.bodies + 1)[:, 1].mean()


def test_a_varied_set_has_contrasts_that_a_plain_one_has_not() -> None:
    assert {find_series(0, k, varied=True).sequence for k in range(40)} == {
        "t1", "t2", "t2_SPACE", "tirm", "t2_water", "t1_ffe",
    }  # fmt: skip


def test_fat_is_dark_and_fluid_bright_in_tirm() -> None:
    made = varied(1, next(k for k in range(40) if find_series(1, k, varied=True).sequence == "tirm"))
    canal = made.image[made.labels == 100].mean()
    bodies = made.image[(made.labels > PARTS.bodies) & (made.labels < PARTS.posterior_elements)].mean()
    assert canal > bodies + 500


def test_a_fracture_lowers_the_front_and_all_above_come_down() -> None:
    before = spine(PLAIN)
    after = spine(Findings(fractures={2: Fracture(wedge=15.0, height=0.8, hollow=1.0)}))
    broken = after.vertebrae[1]
    assert broken.wedge == before.vertebrae[1].wedge - 15
    assert broken.height == pytest.approx(0.8 * before.vertebrae[1].height)
    fallen = np.linalg.norm(before.vertebrae[4].frame.origin - after.vertebrae[4].frame.origin)
    assert fallen == pytest.approx(0.2 * before.vertebrae[1].height, rel=0.2)


def test_a_slip_moves_a_vertebra_forward_on_the_one_below() -> None:
    before, after = spine(PLAIN), spine(Findings(slips={2: 8.0}))
    moved = after.vertebrae[1].frame.origin - before.vertebrae[1].frame.origin
    assert moved[1] < -6
    assert np.linalg.norm(moved) == pytest.approx(8, abs=1e-9)
    assert np.array_equal(after.vertebrae[0].frame.origin, before.vertebrae[0].frame.origin)


def test_a_narrow_disc_is_worn_and_keeps_a_share_of_its_height() -> None:
    before, after = spine(PLAIN), spine(Findings(narrowing={1: 0.2}))
    assert after.discs[0].grade == 5
    assert after.discs[0].height < 0.45 * before.discs[0].height


def test_the_coccyx_curves_forward_below_the_sacrum() -> None:
    made = spine(Findings(coccyx=True))
    centres = [segment.frame.origin for segment in (made.sacrum[-1], *made.coccyx)]
    assert len(centres) == 4
    assert all(lower[2] < upper[2] for upper, lower in itertools.pairwise(centres))
    forward = [(lower - upper)[1] for upper, lower in itertools.pairwise(centres)]
    assert forward == sorted(forward, reverse=True) or forward[-1] < 0
    assert spine(PLAIN).coccyx == ()


def test_findings_repeat_and_differ_by_seed() -> None:
    assert sample_findings(generator(1), 11) == sample_findings(generator(1), 11)
    drawn = [sample_findings(generator(seed), 11) for seed in range(60)]
    assert {findings.lumbar for findings in drawn} == {4, 5, 6}
    for name in ("fractures", "narrowing", "slips", "screws", "cement"):
        assert any(getattr(findings, name) for findings in drawn)
        assert not all(getattr(findings, name) for findings in drawn)


def test_screws_are_dark_in_a_bright_rim_and_leave_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    def operated(screws: tuple[int, ...]) -> PhantomCase:
        findings = replace(PLAIN, screws=screws, blooming=2.0)
        monkeypatch.setattr("autospine.phantom.case.sample_findings", lambda *_: findings)
        return make_case(2, 0, Size.SMALL, PARTS, varied=True)

    without, with_screws = operated(()), operated((2, 3))
    assert np.array_equal(without.labels, with_screws.labels)
    bone = np.isin(without.labels, (PARTS.bodies + 2, PARTS.bodies + 3))
    assert (with_screws.image[bone] < np.percentile(without.image[bone], 1)).mean() > 0.03
    assert not (with_screws.image != without.image)[without.labels == PARTS.bodies + 5].mean() > 0.5


def test_a_set_of_parts_says_so(tmp_path: Path) -> None:
    write_phantom(tmp_path / "set", 1, 4, Size.SMALL, labels="parts", varied=True)
    scheme = read_declaration(tmp_path / "set" / "dataset.json").scheme
    assert scheme is not None
    assert scheme.anatomies == SCHEMES["parts"].anatomies
    assert read_json(tmp_path / "set" / "phantom.json") == {
        "seed": 4, "size": "small", "labels": "parts", "varied": True,
    }  # fmt: skip
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(next((tmp_path / "set" / "masks").iterdir()))))
    assert mask.max() > 400
    with pytest.raises(UserError, match="is not empty"):
        write_phantom(tmp_path / "set", 1, 4, Size.SMALL, labels="parts")
    with pytest.raises(UserError, match="--labels: is bones; choose from spider, parts"):
        write_phantom(tmp_path / "other", 1, labels="bones")
