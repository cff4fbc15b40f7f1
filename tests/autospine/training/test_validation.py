from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autospine.axial.derivation import AXIAL4, UNLABELLED, derive_axial4
from autospine.labels.conversion import SCHEMES
from autospine.training.validation import reference_of

WITHOUT_CANAL = np.zeros((4, 6, 8), np.uint8)  # (slices, rows, columns)
WITHOUT_CANAL[1:3, 1:4, 2:5] = 1


@pytest.fixture
def trainer() -> SimpleNamespace:
    """The part of `wgan_resunet` that derives references."""
    derive = lambda mask, path: derive_axial4(mask, SCHEMES["spider"], path)  # noqa: E731
    return SimpleNamespace(reference=derive, prepared=SimpleNamespace(scheme=AXIAL4))


def test_a_mask_that_leaves_nothing_to_score_is_named(trainer, caplog: pytest.LogCaptureFixture) -> None:
    annotated = reference_of(trainer, WITHOUT_CANAL, "masks/7_t2.mha")
    assert set(np.unique(annotated)) == {0, UNLABELLED}
    assert caplog.messages == [
        "masks/7_t2.mha: nothing of the trainer's labels can be derived from it; it is not scored"
    ]


def test_nothing_is_said_where_there_is_something(trainer, caplog: pytest.LogCaptureFixture) -> None:
    mask = WITHOUT_CANAL.copy()
    mask[1:3, 1:4, 5] = 100
    assert {1, 2} <= set(np.unique(reference_of(trainer, mask, "masks/7_t2.mha")))
    reference_of(trainer, np.zeros_like(mask), "masks/empty.mha")  # shows no vertebra, and says so itself
    assert not caplog.messages
