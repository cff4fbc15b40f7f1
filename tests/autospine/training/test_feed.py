from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from autospine.core.workspace import WorkFolder
from autospine.training.data import Batch, Batches
from autospine.training.feed import Feed
from tests.autospine.training.test_data import same, sampler_of


def test_batches_come_in_order_and_their_waiting_is_measured(tiny_work: WorkFolder) -> None:
    made = Batches(sampler_of(tiny_work, 2), 2, 3)

    def slowly() -> Iterator[Batch]:
        for step in range(3):
            time.sleep(0.05)
            yield made.make(step)

    with Feed(slowly(), torch.device("cpu")) as feed:
        assert all(same(feed.take(), made.make(step)) for step in range(3))
        assert 0.15 <= feed.waited() < 1.5
        assert feed.waited() == 0


def test_the_spacing_of_a_batch_is_read_before_it_leaves_the_host(tiny_work: WorkFolder) -> None:
    batch = Batches(sampler_of(tiny_work, 3), 2, 3).make(0)
    moved = batch.to(torch.device("meta"))  # where nothing can be read
    assert moved.pixel_spacing == batch.pixel_spacing == pytest.approx((3.0, 3.0))
    assert moved.patches(0, 1).pixel_spacing == batch.pixel_spacing
