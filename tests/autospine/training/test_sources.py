"""Training on several data sets that annotate different things."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.core import registry
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.evaluation.cohort import SOURCE
from autospine.evaluation.structures import Presence
from autospine.inference.segmentation import Segmentation
from autospine.labels.anatomy import Kind
from autospine.planning.splits import Fold, Subset
from autospine.training import validation
from autospine.training.data import Batch, PatchSampler
from autospine.training.epoch_validation import patch_scores
from autospine.training.losses.marginal import MarginalDiceCrossEntropy
from autospine.training.losses.multitask import MultiTaskLoss
from autospine.training.optimisation import OptimizerStep
from autospine.training.run import TrainRequest, check_source_weights, train_fold
from autospine.training.trainer import Context
from tests.tiny import SHAPE, make_job, plan_of, spine_mask, whole_mask
from trainers.unet import ADAPTED, UNetTrainer

SOURCES = ("whole", "bodies", "discs")
IDS = tuple(f"{source}-{k}_t2" for source in SOURCES for k in (1, 2, 3))


def sampler_of(work: WorkFolder, ids: tuple[str, ...] = IDS, **changes: object) -> PatchSampler:
    plan = plan_of(work, 2)
    encoding = replace(plan.encoding, **changes)
    return PatchSampler(
        work.preprocessed(plan.name), ids, plan, plan.scheme, encoding, plan.network_patch, foreground_oversampling=0.5
    )


def drawn(sampler: PatchSampler, count: int = 3000) -> dict[str, float]:
    generator = np.random.default_rng(0)
    picked = Counter()
    for _ in range(count):
        cases = sampler.sources.sample(generator)
        assert cases is not None
        picked[sampler.stores[int(generator.choice(cases))].record.source] += 1
    return {name: picked[name] / count for name in SOURCES}


def test_data_sets_are_sampled_evenly_or_by_weight(joint_work: WorkFolder) -> None:
    sampler = sampler_of(joint_work, (*IDS[:3], IDS[3], IDS[6]))
    assert drawn(sampler) == pytest.approx(dict.fromkeys(SOURCES, 1 / 3), abs=0.04)
    sampler.weigh_sources({"bodies": 4, "discs": 0})
    assert drawn(sampler) == pytest.approx({"whole": 0.2, "bodies": 0.8, "discs": 0.0}, abs=0.04)


def test_one_data_set_alone_is_sampled_as_ever(joint_work: WorkFolder) -> None:
    assert sampler_of(joint_work, IDS[:3]).sources.sample(np.random.default_rng(0)) is None


def test_patches_know_what_may_hide_in_their_background(joint_work: WorkFolder) -> None:
    sampler = sampler_of(joint_work)
    encoding, background = sampler.encoding, {}
    for index, store in enumerate(sampler.stores):
        sample = sampler.extract_patch(index, (2, 0, 0))
        shown = set(np.unique(sample.labels).tolist()) - {encoding.ignore_index}
        known = set(encoding.id_of_label().values())
        background[store.record.source] = shown - known
        for k in shown & known:
            assert np.isfinite(sample.centres[k]).all()
    assert background == {name: {encoding.background_of(name)} for name in SOURCES}
    assert encoding.background_of("whole") == 0


def test_only_the_background_of_sources_that_stop_early_is_ignored_above(joint_work: WorkFolder) -> None:
    annotations = sampler_of(joint_work).encoding.sources
    stops = tuple(replace(source, partial_annotation_above=source.name == "bodies") for source in annotations)
    sampler = sampler_of(joint_work, ("whole-1_t2", "bodies-1_t2"), sources=stops)
    top = {}
    for index, store in enumerate(sampler.stores):
        sample = sampler.extract_patch(index, (2, 0, 0))
        top[store.record.source] = int(sample.labels[0, 0])
    assert top == {"whole": 0, "bodies": sampler.encoding.ignore_index}


def test_all_levels_count_as_shown_where_whole_vertebrae_show_them(joint_work: WorkFolder) -> None:
    assert sampler_of(joint_work).absent_classes() == ()
    assert set(sampler_of(joint_work, IDS[6:]).absent_classes()) == {*range(301, 306), *range(401, 406), 100}


@pytest.mark.parametrize(
    ("trainer", "recipe", "problem"),
    [
        ("unet", "classification", "--recipe classification: learns from data sets that annotate the same"),
        ("unet", "published", "--recipe published"),
        ("attention_unet", None, "--trainer attention_unet: learns from data sets that annotate the same"),
        ("modified_unet", None, "--trainer modified_unet"),
    ],
)
def test_trainers_that_cannot_learn_so_are_refused(
    joint_work: WorkFolder, trainer: str, recipe: str | None, problem: str
) -> None:
    kind = registry.load("trainers", trainer)
    with pytest.raises(UserError, match=problem) as refused:
        kind(plan_of(joint_work, 2), kind.recipe_named(recipe))
    assert "\n" not in str(refused.value)
    assert "whole, bodies, discs" in str(refused.value)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"t1": 2.0}, "names t1, none of the plan's data sets; choose from whole, bodies, discs"),
        ({"bodies": -1.0}, "gives bodies -1"),
        (dict.fromkeys(SOURCES, 0.0), "leaves nothing to train on"),
    ],
)
def test_wrong_weights_are_refused(joint_work: WorkFolder, weights: dict[str, float], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_source_weights(weights, plan_of(joint_work, 2))


def test_a_training_on_all_of_them_scores_each_in_its_own_scheme(joint_work: WorkFolder, tmp_path: Path) -> None:
    plan = plan_of(joint_work, 2)
    trainer = UNetTrainer(plan, replace(ADAPTED, iterations_per_epoch=2, foreground_oversampling=0.5))
    assert isinstance(trainer.loss().semantic, MarginalDiceCrossEntropy)
    fold = Fold(tuple(id_ for id_ in IDS if "-3" not in id_), tuple(id_ for id_ in IDS if "-3" in id_))
    weights = (("bodies", 2.0),)
    job = make_job(joint_work, plan, tmp_path / "model", fold=fold, epochs=1, source_weights=weights)
    torch.manual_seed(0)
    evaluation = train_fold(trainer, job)
    assert evaluation is not None
    assert {source: len(ids) for source, ids in evaluation.strata[SOURCE].items()} == dict.fromkeys(SOURCES, 1)
    shown = (Presence.BOTH, Presence.REFERENCE)
    kinds = {
        case.id.partition("-")[0]: {score.anatomy.kind.value for score in case.scores if score.presence in shown}
        for case in evaluation.cases
    }
    assert kinds == {"whole": {"vertebra", "disc", "canal"}, "bodies": {"body"}, "discs": {"disc"}}
    assert "source_weights" in (tmp_path / "model" / "model.json").read_text()


def test_the_request_takes_weights_by_name() -> None:
    assert TrainRequest(Path("work"), source_weights={"t2": 2.0}).source_weights == {"t2": 2.0}


def test_patch_scores_take_each_class_that_a_voxel_may_be(joint_work: WorkFolder) -> None:
    """A whole vertebra called body or posterior elements is right; what may hide in a background is background."""
    encoding = plan_of(joint_work, 2).encoding
    whole, hides = encoding.id_of_label()[1], encoding.background_of("bodies")
    body, disc = encoding.id_of_label()[301], encoding.id_of_label()[201]
    labels = torch.tensor([[[whole, whole, whole, hides, hides, body, disc, encoding.ignore_index]]])
    predicted = torch.tensor([[[1, 2, 3, 3, 1, 1, 3, 1]]])
    logits = torch.nn.functional.one_hot(predicted, encoding.channels).movedim(-1, 1).float()
    loss = MultiTaskLoss(encoding, (1, 2), MarginalDiceCrossEntropy(encoding.members()))
    device = torch.device("cpu")
    context = Context({}, loss, OptimizerStep({}, {}, {}, Precision()), Precision(), device, 0)
    centres = torch.zeros((1, encoding.train_id_count, 2))
    batch = Batch(torch.zeros((1, 1, 1, 8)), labels, centres, centres[..., 0], torch.ones((1, 2)))
    scores = patch_scores(lambda _: logits, encoding, context, [batch])
    # Body: 2 right, 1 called disc, 1 in the background; posterior elements: 1 right; disc: 1 right, 1 too many.
    assert scores.dice == pytest.approx((2 * 2 / (3 + 3) + 1 + 2 / (1 + 2)) / 3)
    assert scores.accuracy == pytest.approx(5 / 7)


def test_predicted_parts_are_scored_as_what_the_data_set_calls_them(
    joint_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right answer scores 1 in every data set, though each labels other things; instances are counted alike."""
    plan = plan_of(joint_work, 2)
    mask = np.zeros(SHAPE, np.uint16)
    whole, own = whole_mask(2).astype(np.uint16), spine_mask(2).astype(np.uint16)
    mask[(whole > 0) & (whole < 10)] = 400 + whole[(whole > 0) & (whole < 10)]
    mask[(own > 0) & (own < 10)] = 300 + own[(own > 0) & (own < 10)]
    mask[own >= 100] = own[own >= 100]

    class Right:
        def __init__(self, *_: object) -> None:
            self.models = ()

    def answer(channels: list, _: Right, probabilities: None) -> Segmentation:
        volume = channels[0].with_array(mask)
        return Segmentation(volume, plan.scheme, (), "", (), ("right",), ("background",), 0.0)

    monkeypatch.setattr(validation, "Predictor", Right)
    monkeypatch.setattr(validation, "find_models", lambda _: [])
    monkeypatch.setattr(validation, "segment", answer)
    trainer = UNetTrainer(plan, replace(ADAPTED, iterations_per_epoch=2))
    subset = Subset("validation", tuple(id_ for id_ in IDS if "-3" in id_))
    evaluation = validation.score_cases(trainer, joint_work.root, tmp_path, torch.device("cpu"), subset)
    for case in evaluation.cases:
        shown = [score for score in case.scores if score.presence is not Presence.NEITHER]
        assert shown
        assert all(score.dice == 1 for score in shown), case.id
    counted = {s.kind: (s.references, s.detected, s.false_positives) for s in evaluation.instances if s.references}
    assert counted == {Kind.VERTEBRA: (5, 5, 0), Kind.BODY: (5, 5, 0), Kind.DISC: (10, 10, 0)}
