"""What every planner of the project keeps. A planner's test inherits PlannerContract and names itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.machine import Machine
from autospine.fingerprint.case import CaseFingerprint
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.fingerprint.label_order import find_ordered_labels
from autospine.fingerprint.statistics import IntensityStatistics
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.networks.shape import NetworkShape
from autospine.planning.memory import training_memory_gib
from autospine.planning.plan import VERSION, Plan
from autospine.planning.planner import COARSEST_MM, Planner, pixel_mm

STATISTICS = IntensityStatistics(0.0, 1.0, 100.0, 400.0, 500.0, 110.0, 60.0)
SAGITTAL = (4.4, 0.6, 0.6)
WHOLE_SPIDER = (1, 2, 3, 4, 5, 6, 7, 100, 201, 202, 203, 204, 205, 206, 207)
VERTEBRAE, DISCS = (1, 2, 3, 4, 5, 6, 7), (201, 202, 203, 204, 205, 206, 207)
LARGE = Machine("cpu", 64.0, 2)


def column(
    shape: Sequence[int], spacing: Sequence[float], labels: Sequence[int]
) -> tuple[dict[int, tuple[float, float, float]], dict[int, tuple[int, int, int, int, int, int]]]:
    """Centroids and boxes of SPIDER's labels one above another, 32 mm apart, in the middle of the image."""
    middle, centroids, boxes = (shape[0] - 1) / 2, {}, {}
    pitch = min(32 / spacing[1], shape[1] / 8.5)
    columns = (int(0.4 * shape[2]), int(0.55 * shape[2]))
    for label in labels:
        level = label if label < 100 else label - 200.5 if label > 200 else 4.0
        row = shape[1] - pitch * (level + 0.3)
        half = 0.35 * pitch if label < 100 else 0.1 * pitch if label > 200 else 3.5 * pitch
        rows = max(int(row - half), 0), min(int(row + half), shape[1] - 1)
        centroids[label] = (middle, sum(rows) / 2, sum(columns) / 2)
        boxes[label] = (shape[0] // 4, rows[0], columns[0], 3 * shape[0] // 4, rows[1], columns[1])
    return centroids, boxes


def case(
    case_id: str = "1_t2",
    shape: tuple[int, int, int] = (17, 450, 450),
    spacing: tuple[float, float, float] = SAGITTAL,
    labels: Sequence[int] = WHOLE_SPIDER,
    **changes: object,
) -> CaseFingerprint:
    """A series of SPIDER's kind."""
    centroids, boxes = column(shape, spacing, labels)
    made = CaseFingerprint(
        id=case_id,
        patient=case_id.split("_", maxsplit=1)[0],
        sequence="t2",
        subset="training",
        vendor=None,
        shape=shape,
        spacing=spacing,
        orientation="PIR",
        slice_axis=int(np.argmax(spacing)),
        anisotropy=max(spacing) / min(spacing),
        clipped_share=0.0,
        intensity=STATISTICS,
        foreground=STATISTICS,
        voxels={0: 1_000_000, **dict.fromkeys(labels, 5000)},
        slices=dict.fromkeys(labels, shape[0] // 2),
        centroids=centroids,
        boxes=boxes,
        checksum=case_id.ljust(32, "0"),
        mask_checksum=case_id.ljust(16, "0"),
    )
    return replace(made, **changes)


def fingerprint(*cases: CaseFingerprint, scheme: LabelScheme = SCHEMES["spider"]) -> Fingerprint:
    """Of the cases given, ordered labels as they are found in a data set."""
    return Fingerprint(1, scheme, ("MRI",), cases, find_ordered_labels(cases, scheme), ())


def some_cases(count: int = 4, **changes: object) -> tuple[CaseFingerprint, ...]:
    """Cases of different patients, alike."""
    return tuple(case(f"{k + 1}_t2", **changes) for k in range(count))


def coarsest(network: NetworkShape, patch: Sequence[int]) -> tuple[int, ...]:
    """Voxels of the patch at the network's deepest stage, each stride rounded up as padding does."""
    size = list(patch)
    for stride in network.strides:
        size = [ceil(n / s) for n, s in zip(size, stride, strict=True)]
    return tuple(size)


def padded_share(network: NetworkShape, patch: Sequence[int]) -> float:
    """Voxels that the network computes over those of the patch."""
    whole = [ceil(n / s) * s for n, s in zip(patch, network.scale_factor, strict=True)]
    return float(np.prod(whole) / np.prod(patch))


class PlannerContract:
    """Say `name`, and override the rest where the planner claims another thing.

    Attributes:
        name: What --plans takes.
        axes_in_view: Canonical axes along which the whole labelled column must lie in one patch.
        kept_axis: Canonical axis of the thick slices in `sagittal` series.
        coarser_mm: Pixels for trainings that are short of time, of cases with 0.6 mm.
    """

    name: str
    axes_in_view: tuple[int, ...] = (1, 2)
    kept_axis: int = 0
    coarser_mm: tuple[float, ...] = (0.85, 1.2)

    def planner(self, found: Fingerprint, machine: Machine = LARGE) -> Planner:
        return registry.load("planners", self.name)(found, machine)

    def plan(self, *cases: CaseFingerprint, machine: Machine = LARGE) -> Plan:
        return self.planner(fingerprint(*(cases or some_cases())), machine).plan()

    def test_the_plan_bears_the_planners_name_and_the_data_sets_scheme(self) -> None:
        plan = self.plan()
        assert plan.name == self.name
        assert plan.version == VERSION
        assert plan.scheme == SCHEMES["spider"]
        assert set(plan.encoding.values) == set(WHOLE_SPIDER)

    def test_pixels_are_as_long_as_asked_for(self) -> None:
        planner, usual = self.planner(fingerprint(*some_cases())), self.plan()
        planner.pixel_spacing = 1.5
        plan = planner.plan()
        in_plane = [axis for axis in (1, 2) if axis != plan.view_axis]
        assert [plan.grid.spacing[axis] for axis in in_plane] == [1.5] * len(in_plane)
        assert plan.grid.spacing[0] == usual.grid.spacing[0]
        assert np.prod(plan.patch) < np.prod(usual.patch)
        assert any("1.5" in reason.decision for reason in plan.reasons)

    def test_larger_cards_get_no_smaller_plans(self) -> None:
        """What 60 % of cards of 8, 12, 24 and 80 GB hold; each plan fits."""
        cards = [Machine("cuda", 0.6 * gib, 16) for gib in (8, 12, 24, 80)]
        plans = [self.plan(machine=card) for card in cards]
        assert all(plan.memory_gib <= card.memory_gib for plan, card in zip(plans, cards, strict=True))
        voxels = [plan.batch * int(np.prod(plan.patch)) for plan in plans]
        assert voxels == sorted(voxels)

    def test_coarser_grids_take_the_same_decisions(self) -> None:
        plan = self.plan()
        finest = plan.resolutions()[0]
        for before, other in pairwise(plan.resolutions()):
            assert pixel_mm(before) < pixel_mm(other) == other.pixel_mm <= COARSEST_MM
            assert np.prod(other.patch) < np.prod(before.patch)
            assert other.memory_gib < before.memory_gib
            assert other.memory_gib == pytest.approx(training_memory_gib(other), abs=0.01)
            assert other.cases_name == f"{plan.name}@{other.pixel_mm:g}" != finest.cases_name == plan.name
            factors = zip(other.network_patch, other.network.scale_factor, strict=True)
            assert all(size % factor == 0 for size, factor in factors)
            assert any(f"{other.pixel_mm:g} mm where time is short" in reason.decision for reason in plan.reasons)
            kept = ("view_axis", "normalisation", "scheme", "encoding", "mirror_axes", "training_domain")
            assert all(getattr(other, name) == getattr(finest, name) for name in kept)
        assert tuple(other.pixel_mm for other in plan.coarser) == self.coarser_mm

    def test_what_is_coarse_or_fixed_has_no_coarser_grid(self) -> None:
        assert self.plan(*some_cases(spacing=(4.4, 1.2, 1.2), shape=(17, 256, 256))).coarser == ()
        (one,) = self.plan(*some_cases(spacing=(4.4, 1.0, 1.0), shape=(17, 300, 300))).coarser
        assert one.pixel_mm == COARSEST_MM
        planner = self.planner(fingerprint(*some_cases()))
        planner.pixel_spacing = 0.6
        assert planner.plan().coarser == ()

    def test_json_there_and_back(self) -> None:
        plan = self.plan()
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False)), "plan") == plan

    def test_planning_twice_gives_the_same(self) -> None:
        assert self.plan() == self.plan()

    def test_an_unknown_key_is_an_error_at_any_depth(self) -> None:
        for place in (lambda d: d, lambda d: d["grid"], lambda d: d["network"], lambda d: d["encoding"]):
            data = self.plan().to_dict()
            place(data)["learning_speed"] = 1
            with pytest.raises(UserError, match=r"plans\.json.*unknown key 'learning_speed'"):
                Plan.from_dict(data, "plans.json")

    def test_a_missing_key_is_an_error(self) -> None:
        data = self.plan().to_dict()
        del data["patch"]
        with pytest.raises(UserError, match="lacks the key 'patch'"):
            Plan.from_dict(data, "plans.json")

    def test_a_newer_version_is_an_error_even_with_unknown_keys(self) -> None:
        data = {**self.plan().to_dict(), "version": VERSION + 1, "quantum": True}
        with pytest.raises(UserError, match=r"newer AutoSpine.*update AutoSpine"):
            Plan.from_dict(data, "plans.json")

    def test_every_decision_has_a_reason(self) -> None:
        plan = self.plan()
        decided = " | ".join(reason.decision for reason in plan.reasons)
        for word in ("mm", "patch", "stages", "intensities", "batch", "levels"):
            assert word in decided, f"no reason for {word}: {decided}"
        assert all(reason.decision and reason.because for reason in plan.reasons)
        assert len({reason.decision for reason in plan.reasons}) == len(plan.reasons)

    def test_reasons_name_what_is_in_the_plan(self) -> None:
        for machine in (LARGE, Machine("cpu", self.some_memory(0.5), 2)):
            plan = self.plan(machine=machine)
            words = " | ".join(reason.decision for reason in plan.reasons)
            assert " x ".join(str(v) for v in plan.patch) in words
            assert f"batch of {plan.batch}" in words
            assert f"{len(plan.network.strides)} stages" in words

    def some_memory(self, share: float) -> float:
        """Between what the plain plan needs and what is needed by anything at all."""
        full = self.plan().memory_gib
        return 0.6 + share * (full - 0.6)

    def test_the_network_fits_the_patch(self) -> None:
        for size in (150, 320, 450, 512, 640):
            plan = self.plan(*some_cases(shape=(17, size, size)))
            assert plan.patch[plan.view_axis or 0] == 1 or plan.view_axis is None
            assert len(plan.network_patch) == plan.network.dimension == plan.dimension
            assert min(coarsest(plan.network, plan.network_patch)) >= 2
            assert padded_share(plan.network, plan.network_patch) < 1.3

    def test_strides_only_pool_axes_of_like_spacing(self) -> None:
        plan = self.plan()
        own = np.array([SAGITTAL[axis] for axis in plan.network_axes])
        spacing = np.array([plan.grid.spacing_for(SAGITTAL)[axis] for axis in plan.network_axes])
        assert spacing == pytest.approx(own, rel=0.3) or plan.view_axis == 1
        for stride in plan.network.strides:
            pooled = np.array(stride) > 1
            assert (spacing[pooled] <= 2 * spacing.min() + 1e-6).all()
            spacing = spacing * stride

    def test_a_memory_limit_shrinks_the_batch_first(self) -> None:
        full = self.plan()
        plan = self.plan(machine=Machine("cpu", self.some_memory(0.7), 2))
        assert plan.batch < full.batch
        assert plan.patch == full.patch

    def test_a_small_memory_shrinks_the_patch_too_but_rows_last(self) -> None:
        full = self.plan()
        smallest = self.planner(fingerprint(*some_cases())).smallest_batch
        limit = training_memory_gib(replace(full, batch=smallest)) - 0.001
        plan = self.plan(machine=Machine("cpu", limit, 2))
        assert plan.memory_gib <= limit + 0.01
        assert plan.batch == smallest
        assert plan.patch[1] == full.patch[1]
        assert np.prod(plan.patch) < np.prod(full.patch)
        factors = zip(plan.network_patch, plan.network.scale_factor, strict=True)
        assert all(size % factor == 0 for size, factor in factors)
        assert any("memory" in reason.because for reason in plan.reasons if "patch" in reason.decision)

    def test_too_little_memory_is_an_error_that_says_how_much_is_needed(self) -> None:
        with pytest.raises(UserError, match=rf"{self.name}: needs [\d.]+ GiB, 0\.30 are allowed; raise --memory"):
            self.plan(machine=Machine("cpu", 0.3, 2))

    def test_predicted_memory_is_that_of_the_plan(self) -> None:
        plan = self.plan()
        assert plan.memory_gib == pytest.approx(training_memory_gib(plan), abs=0.01)
        assert plan.memory_gib <= LARGE.memory_gib

    def test_no_mirroring_upside_down_or_front_to_back(self) -> None:
        plan = self.plan()
        assert set(plan.mirror_axes) <= {0}
        assert set(plan.mirror_axes) <= set(plan.network_axes)

    def test_the_whole_column_is_in_view(self) -> None:
        for spacing in (SAGITTAL, (4.0, 0.9, 0.9)):
            plan = self.plan(*some_cases(spacing=spacing))
            boxes = np.array(list(case(spacing=spacing).boxes.values()))
            extent = (boxes[:, 3:].max(axis=0) - boxes[:, :3].min(axis=0) + 1) * spacing  # mm
            chosen = plan.grid.spacing_for(spacing)
            for axis in self.axes_in_view:
                limit = self.planner(fingerprint(case())).patch_limit[axis]
                assert plan.patch[axis] >= min(extent[axis] / chosen[axis], limit) - 1, f"axis {axis}"

    def test_the_patch_stays_within_its_limit(self) -> None:
        plan = self.plan(*some_cases(shape=(400, 2000, 2000), spacing=(0.6, 0.3, 0.3)))
        limits = self.planner(fingerprint(case())).patch_limit
        assert all(v <= most for v, most in zip(plan.patch, limits, strict=True))

    def test_one_case_suffices(self) -> None:
        plan = self.plan(case())
        assert plan.training_domain.spacing_low == plan.training_domain.spacing_high == SAGITTAL

    def test_mixed_spacings_are_within_what_was_seen(self) -> None:
        cases = [
            case("1_t2", spacing=(3.3, 0.47, 0.47), shape=(15, 512, 512)),
            case("2_t2", spacing=(4.4, 0.7, 0.7), shape=(17, 400, 400)),
            case("3_t2_SPACE", spacing=(0.9, 0.47, 0.47), shape=(120, 640, 640), sequence="t2_SPACE"),
            case("4_t1", spacing=(5.5, 0.9, 0.9), shape=(13, 320, 320), sequence="t1"),
        ]
        plan = self.plan(*cases)
        assert plan.training_domain.spacing_low == (0.9, 0.47, 0.47)
        assert plan.training_domain.spacing_high == (5.5, 0.9, 0.9)
        assert plan.training_domain.sequences == ("t1", "t2", "t2_SPACE")
        for axis, target in enumerate(plan.grid.spacing):
            if target is not None:
                assert plan.training_domain.spacing_low[axis] * 0.5 <= target <= plan.training_domain.spacing_high[axis]

    def test_thick_slices_within_a_quarter_keep_their_grid(self) -> None:
        thick = [(4.4 * (1 + share), 0.6, 0.6) for share in (-0.24, 0.0, 0.0, 0.0, 0.24)]
        plan = self.plan(*(case(f"{k}_t2", spacing=spacing) for k, spacing in enumerate(thick)))
        for spacing in thick:
            assert plan.grid.spacing_for(spacing)[self.kept_axis] == spacing[self.kept_axis]

    def test_validation_cases_are_not_looked_at(self) -> None:
        strange = case("9_t2", spacing=(9.0, 3.0, 3.0), shape=(5, 100, 100), labels=(1,), subset="validation")
        assert self.plan(*some_cases(), strange) == self.plan(*some_cases())

    def test_nothing_to_train_on_is_an_error(self) -> None:
        with pytest.raises(UserError, match="no case with a mask"):
            self.plan(case(subset="validation"))

    @pytest.mark.parametrize("labels", [VERTEBRAE, DISCS], ids=["vertebrae", "discs"])
    def test_partly_labelled_sets_are_numbered_by_their_order(self, labels: tuple[int, ...]) -> None:
        encoding = self.plan(*some_cases(labels=labels)).encoding
        assert encoding.ordered
        assert [each.values for each in encoding.classes] == [labels]
        assert encoding.levels == (1, 2, 3, 4, 5, 6, 7)

    def test_labels_without_order_are_plain_classes(self) -> None:
        encoding = self.plan(*some_cases(labels=(100,))).encoding
        assert not encoding.ordered
        assert encoding.values == (100,)
        assert encoding.channels == 2

    def test_levels_with_a_gap_have_a_distance(self) -> None:
        encoding = self.plan(*some_cases(labels=(1, 3, 5))).encoding
        assert not encoding.ordered or 10 < encoding.intervertebral_distance_mm < 100

    def test_levels_never_seen_together_are_still_planned(self) -> None:
        encoding = self.plan(case("1_t2", labels=(1,)), case("2_t2", labels=(2,))).encoding
        assert not encoding.ordered or encoding.intervertebral_distance_mm > 1

    def test_tiny_volumes_can_be_planned(self) -> None:
        plan = self.plan(*some_cases(shape=(6, 48, 16), spacing=(4.0, 1.5, 1.5)))
        assert len(plan.network.strides) >= 2
        assert min(coarsest(plan.network, plan.network_patch)) >= 1

    def test_the_networks_channels_are_the_encodings(self) -> None:
        plan = self.plan()
        assert plan.network.out_channels == plan.encoding.channels
        assert plan.network.in_channels == len(plan.channels)
