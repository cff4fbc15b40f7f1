from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autospine.core.errors import UserError
from autospine.core.workspace import WorkFolder
from autospine.labels.conversion import get_scheme
from autospine.planning.plan import Plan
from autospine.preprocessing.storage import CaseRecord, CaseStore, describe_labels
from autospine.training.data import Batch, Batches, Loader, PatchSampler
from tests.tiny import IDS, make_plan, ordered_encoding, plan_of, spine_image, spine_mask
from tests.toys import EndingSampler

SPIDER = get_scheme("spider")


def sampler_of(
    work: WorkFolder, dimension: int, foreground_oversampling: float = 0.67, **changes: object
) -> PatchSampler:
    plan = plan_of(work, dimension)
    settings = {"patch": plan.network_patch, **changes}
    return PatchSampler(
        work.preprocessed(plan.name),
        IDS[:4],
        plan,
        SPIDER,
        plan.encoding,
        foreground_oversampling=foreground_oversampling,
        **settings,
    )


def same(first: Batch, second: Batch) -> bool:
    names = ("images", "labels", "centres", "through_plane_offset_mm", "spacing")
    return all(torch.equal(getattr(first, n).nan_to_num(), getattr(second, n).nan_to_num()) for n in names)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_batch_is_a_function_of_seed_step_and_rank(tiny_work: WorkFolder, dimension: int) -> None:
    one = Batches(sampler_of(tiny_work, dimension), 3, seed=7)
    other = Batches(sampler_of(tiny_work, dimension), 3, seed=7, workers=1)
    list(other.iterate(0, 3))  # what was made before does not matter
    assert same(one.make(5), other.make(5))
    assert not same(one.make(5), one.make(6))
    assert not same(one.make(5), Batches(one.sampler, 3, seed=8).make(5))
    assert not same(one.make(5), Batches(one.sampler, 3, seed=7, rank=1).make(5))


@pytest.mark.parametrize(("workers", "loader"), [(1, "threads"), (3, "threads"), (1, "processes"), (2, "processes")])
def test_iteration_gives_the_steps_in_order(tiny_work: WorkFolder, workers: int, loader: Loader) -> None:
    batches = Batches(sampler_of(tiny_work, 2), 2, seed=1, workers=workers, loader=loader)
    made = list(batches.iterate(4, 11))
    assert len(made) == 7
    assert all(same(batch, batches.make(step)) for step, batch in enumerate(made, start=4))
    assert list(batches.iterate(4, 4)) == []


@pytest.mark.parametrize("dimension", [2, 3])
def test_shapes_and_types(tiny_work: WorkFolder, dimension: int) -> None:
    sampler = sampler_of(tiny_work, dimension)
    batch, patch = Batches(sampler, 3, 0).make(0), plan_of(tiny_work, dimension).network_patch
    places = len(sampler.encoding.values) + 2
    assert batch.images.shape == (3, 1, *patch)
    assert batch.images.dtype == torch.float32
    assert batch.labels.shape == (3, *patch)
    assert batch.centres.shape == (3, places, dimension)
    assert batch.through_plane_offset_mm.shape == (3, places)
    assert batch.spacing.shape == (3, dimension)


@pytest.mark.parametrize("dimension", [2, 3])
def test_points_are_the_centroids_of_the_labels_in_the_patch(tiny_work: WorkFolder, dimension: int) -> None:
    """With a patch that holds the whole case, every point can be measured in the label patch itself."""
    shape = (6, 72, 36)
    plan = plan_of(tiny_work, dimension)
    sampler = sampler_of(tiny_work, dimension, patch=tuple(shape[axis] for axis in plan.network_axes))
    for step in range(4):
        batch = Batches(sampler, 2, seed=3).make(step)
        for labels, centres in zip(batch.labels.numpy(), batch.centres.numpy(), strict=True):
            for k in np.unique(labels[(labels > 0) & (labels < sampler.encoding.ignore_index)]):
                measured = np.argwhere(labels == k).mean(axis=0)
                np.testing.assert_allclose(centres[k], measured, atol=1e-3)


def test_points_move_with_a_smaller_patch(tiny_work: WorkFolder) -> None:
    """The point of a label lies where the whole case has it, wherever the patch begins, even outside of it."""
    sampler = sampler_of(tiny_work, 3, patch=(3, 20, 12))
    record = sampler.labels[0][0]
    k = sampler.encoding.values.index(record.value) + 1
    for start in ((0, 0, 0), (2, 30, 11), (3, 50, -4)):
        sample = sampler.extract_patch(0, start)
        np.testing.assert_allclose(sample.centres[k] + start, record.centroid, atol=1e-4)


def test_through_is_the_way_from_the_slice_to_the_middle_in_mm(tiny_work: WorkFolder) -> None:
    sampler = sampler_of(tiny_work, 2)
    record = sampler.labels[0][0]
    k = sampler.encoding.values.index(record.value) + 1
    for row in range(6):
        sample = sampler.extract_patch(0, (row, 0, 0))
        assert sample.through_plane_offset_mm[k] == pytest.approx((record.centroid[0] - row) * 4.0, abs=1e-4)


def test_absent_labels_have_no_point(tiny_work: WorkFolder) -> None:
    sampler = sampler_of(tiny_work, 2)
    sampler.labels[0] = sampler.labels[0][1:]
    centres = sampler.extract_patch(0, (2, 0, 0)).centres
    assert np.isnan(centres[0]).all()
    assert np.isnan(centres[1]).all()
    assert np.isnan(centres[-1]).all()
    assert np.isfinite(centres[2:-1]).all()


def test_foreground_patches_show_a_label(tiny_work: WorkFolder) -> None:
    sampler = sampler_of(tiny_work, 2, foreground_oversampling=1.0, patch=(8, 8))
    labels = Batches(sampler, 30, 0).make(0).labels
    assert all(bool((each > 0).any()) for each in labels)
    nowhere = Batches(sampler_of(tiny_work, 2, foreground_oversampling=0.0, patch=(8, 8)), 60, 0).make(0).labels
    assert not all(bool((each > 0).any()) for each in nowhere)


def test_what_lies_outside_the_case_is_ignored_and_as_dark_as_the_case(tiny_work: WorkFolder) -> None:
    sampler = sampler_of(tiny_work, 2, patch=(100, 50))
    sample = sampler.extract_patch(0, (2, -10, -4))
    assert sample.labels.shape == (100, 50)
    outside = np.ones((100, 50), bool)
    outside[10:82, 4:40] = False
    assert (sample.labels[outside] == sampler.encoding.ignore_index).all()
    assert (sample.labels[~outside] != sampler.encoding.ignore_index).all()
    assert (sample.image[0][outside] == sample.image[0][~outside].min()).all()


def stored(tmp_path, plan: Plan, mask: np.ndarray, slices: tuple[int, ...] | None = None) -> PatchSampler:
    spacing = (4.0, 3.0, 3.0)
    record = CaseRecord("case", "p", "t2", mask.shape, spacing, describe_labels(mask), slices, "key")
    CaseStore(tmp_path, "case").write(spine_image(mask)[None], mask, record, plan.view_axis)
    return PatchSampler(tmp_path, ["case"], plan, SPIDER, plan.encoding, plan.network_patch, 0.5)


def test_rows_above_the_topmost_label_are_ignored_where_annotation_ends_early(tmp_path) -> None:
    encoding = replace(ordered_encoding(3), partial_annotation_above=True)
    mask = spine_mask(levels=3)
    mask[mask == 100] = 0
    sampler = stored(tmp_path, make_plan(encoding, patch=(1, 72, 36)), mask)
    labels = sampler.extract_patch(0, (2, 0, 0)).labels
    top = int(np.argwhere(mask)[:, 1].min())
    assert (labels[:top] == encoding.ignore_index).all()
    assert not (labels[top:] == encoding.ignore_index).any()


def test_unlabelled_voxels_are_ignored(tmp_path) -> None:
    encoding = replace(ordered_encoding(5), ignore_label=150)
    mask = spine_mask()
    mask[:, :5] = 150
    sampler = stored(tmp_path, make_plan(encoding, patch=(1, 72, 36)), mask)
    labels = sampler.extract_patch(0, (2, 0, 0)).labels
    np.testing.assert_array_equal(labels == encoding.ignore_index, mask[2] == 150)
    assert 150 not in [record.value for record in sampler.labels[0]]


def test_only_the_slices_of_the_record_are_drawn(tmp_path) -> None:
    mask = spine_mask()
    sampler = stored(tmp_path, make_plan(ordered_encoding()), mask, slices=(2, 4))
    generator = np.random.default_rng(0)
    drawn = {sampler._start(0, wanted, generator)[0] for wanted in (None, *sampler.labels[0]) for _ in range(20)}
    assert drawn == {2, 4}
    assert sampler.pass_length() == 2


def test_axial_and_sagittal_slices_are_those_of_the_case(tmp_path) -> None:
    mask = spine_mask()
    plan = make_plan(ordered_encoding(offset_axes=(0, 2)), view_axis=1, patch=(6, 1, 36))
    sampler = stored(tmp_path, plan, mask)
    train_ids = plan.encoding.train_ids(mask, "mask")
    for row in (3, 30, 55):
        np.testing.assert_array_equal(sampler.extract_patch(0, (0, row, 0)).labels, train_ids[:, row])


def test_labels_of_another_scheme_are_converted(tmp_path) -> None:
    from autospine.labels.encoding import plain_encoding

    semantic = get_scheme("semantic4")
    values = tuple(sorted(semantic.anatomies))
    mask, plan = spine_mask(), make_plan(ordered_encoding(), patch=(1, 72, 36))
    record = CaseRecord("case", "p", "t2", mask.shape, (4.0, 3.0, 3.0), describe_labels(mask), None, "key")
    CaseStore(tmp_path, "case").write(spine_image(mask)[None], mask, record, 0)
    encoding = plain_encoding(semantic, values)
    sampler = PatchSampler(tmp_path, ["case"], plan, semantic, encoding, (72, 36), 0.5)
    labels = sampler.extract_patch(0, (2, 0, 0)).labels
    for part in ((mask[2] > 0) & (mask[2] < 100), mask[2] == 100, mask[2] > 200):
        assert len(np.unique(labels[part])) == 1
    assert len(np.unique(labels)) == 4


def test_a_worker_process_that_ends_is_named(tiny_work: WorkFolder) -> None:
    batches = Batches(EndingSampler(sampler_of(tiny_work, 2)), 2, seed=1, workers=1, loader="processes")
    with pytest.raises(UserError, match="a worker process ended, as shown above; use --loader threads"):
        next(batches.iterate(0, 4))


def test_a_worker_process_names_a_damaged_file(work: WorkFolder) -> None:
    sampler = sampler_of(work, 2)
    sampler.stores = [CaseStore(work.root / "nowhere", "1_t1")]
    sampler.stores[0].__dict__["record"] = sampler_of(work, 2).stores[0].record
    batches = Batches(sampler, 2, seed=1, workers=1, loader="processes")
    with pytest.raises(UserError, match=r"1_t1\.(image|mask)\.b2nd: is missing or damaged"):
        next(batches.iterate(0, 4))


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_batch_like_another_has_its_content_on_other_voxels(tiny_work: WorkFolder, dimension: int) -> None:
    """For timing: as many patches as asked for, the same ones again where there are fewer."""
    batch = Batches(sampler_of(tiny_work, dimension), 2, 0).make(0)
    patch = tuple(size // 2 for size in batch.labels.shape[1:])
    found = batch.like(3, patch)
    assert found.images.shape == (3, 1, *patch)
    assert (found.labels.shape, found.labels.dtype) == ((3, *patch), batch.labels.dtype)
    every_other = (slice(None), *(slice(None, None, 2),) * dimension)
    assert torch.equal(found.labels[:2], batch.labels[every_other])
    torch.testing.assert_close(found.centres, batch.centres[[0, 1, 0]] / 2, equal_nan=True)
    torch.testing.assert_close(found.spacing, batch.spacing[[0, 1, 0]] * 2)
    assert same(batch.like(2, tuple(batch.labels.shape[1:])), batch)
