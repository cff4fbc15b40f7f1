"""The papers' ablations: that each variant is the network that it is called after, and the figures are the papers'."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean

import pytest
import torch
from torch import nn

from autospine.ablation.run import AblateRequest, ablate
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.networks.clustered_attention import AttentionBlock
from autospine.networks.safnet import SAFNet
from autospine.planning.recipe import Recipe
from autospine.training import budget
from autospine.training.trainer import Trainer
from tests.tiny import plan_of
from tests.trainers.wgan_resunet.test_trainer import axial_plan, planned
from trainers.safnet.trainer import SAFNetTrainer
from trainers.wgan_resunet.trainer import CRITIC, WGANOptions, WGANResUNetTrainer

WGAN, SAFNET = WGANResUNetTrainer.ablation, SAFNetTrainer.ablation
NARROW = (4, 4, 8, 8, 8)


@pytest.fixture(scope="module")
def axial_work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    return planned(tmp_path_factory.mktemp("axial"))


def networks(kind: type[Trainer], work: WorkFolder, variant: str, **narrow: object) -> dict[str, nn.Module]:
    (options,) = (each.options for each in kind.ablation.variants if each.name == variant)
    small = type(kind.__name__, (kind,), narrow)
    plan = axial_plan(work) if kind is WGANResUNetTrainer else plan_of(work, 3)
    recipe = Recipe("test", learns="classes", transforms=kind.recipe_named(None).transforms, options=dict(options))
    trainer = small(plan, recipe)
    return trainer.build_all(trainer.shape())


@pytest.mark.parametrize(
    ("variant", "residual", "blocks", "clusters", "dilation", "critic"),
    [
        ("unet", False, 0, None, 1, False),
        ("residual", True, 0, None, 1, False),
        ("attention", False, 3, None, 1, False),
        ("clustered", False, 3, 64, 1, False),
        ("residual_clustered", True, 3, 64, 1, False),
        ("dilated", True, 3, 64, 8, False),
        ("critic", True, 3, 64, 8, True),
    ],
)
def test_each_variant_of_wgan_resunet_has_its_parts(
    axial_work: WorkFolder,
    variant: str,
    residual: bool,
    blocks: int,
    clusters: int | None,
    dilation: int,
    critic: bool,
) -> None:
    made = networks(WGANResUNetTrainer, axial_work, variant, widths=NARROW)
    generator = made["generator"]
    found = [m for m in generator.modules() if isinstance(m, AttentionBlock)]
    assert generator.encoder[0].residual is residual
    assert len(found) == blocks
    assert all(WGANOptions(**dict(v.options)).clusters == 64 for v in WGAN.variants)
    (options,) = (each.options for each in WGAN.variants if each.name == variant)
    assert options["attention"] == ("none" if not blocks else "full" if clusters is None else "clustered")
    assert generator.encoder[3].branch[0].dilation == (dilation, dilation)
    assert (CRITIC in made) is critic


def test_the_last_variants_are_the_full_models() -> None:
    assert WGANOptions(**dict(WGAN.variants[-1].options)) == WGANOptions()
    assert all(SAFNET.variants[-1].options.values())


@pytest.mark.parametrize("variant", ["base", "pyramid", "fusion", "attention", "all"])
def test_each_variant_of_safnet_has_its_part(tiny_work: WorkFolder, variant: str) -> None:
    (network,) = networks(SAFNetTrainer, tiny_work, variant, widths=(4, 8, 16, 16, 16)).values()
    assert isinstance(network, SAFNet)
    parts = {"pyramid": network.pyramid, "fusion": network.fuse_low, "attention": network.attention}
    there = {name for name, part in parts.items() if not isinstance(part, nn.Identity)}
    assert there == (set(parts) if variant == "all" else {variant} & set(parts))


def test_published_figures_agree_with_the_papers_own_averages() -> None:
    """mIOU 90.25 and PPV 94.5 of the full model; Dice up by 1.9 and HD down by 1.25 mm on average with residuals."""
    plain, residual, full = WGAN.variants[0], WGAN.variants[1], WGAN.variants[-1]

    def average(variant: object, metric: str, count: int = 3) -> float:
        return mean(value for value, _ in list(variant.published[metric].values())[:count])

    assert average(full, "mean_iou") == pytest.approx(90.25, abs=0.05)
    assert average(full, "ppv") == pytest.approx(94.5, abs=0.05)
    body_and_foramen = average(residual, "dice", 2) - average(plain, "dice", 2)
    assert body_and_foramen == pytest.approx(1.6, abs=0.05)  # 1.9 in the text, of two structures or of three
    assert average(plain, "hd_mm", 2) - average(residual, "hd_mm", 2) == pytest.approx(1.25, abs=0.05)
    reported = [variant.published["dice"]["mean"][0] for variant in SAFNET.variants]
    assert reported == [77.15, 81.12, 80.53, 79.76, 81.37]


def test_each_is_tested_against_the_variant_without_its_part() -> None:
    pairs = {(one.name, other.name) for one, other in WGAN.pairs()}
    assert {("attention", "unet"), ("residual_clustered", "residual"), ("critic", "dilated")} <= pairs
    assert len(pairs) == 6 + 5  # the last pair of the first kind is one of the second, too
    assert all(other.name == "base" for one, other in SAFNET.pairs() if one.name != "all")


@pytest.mark.slow
def test_the_seven_variants_train_into_tables_5_and_6(axial_work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))
    monkeypatch.setattr(WGANResUNetTrainer, "widths", NARROW)
    monkeypatch.setattr(WGANResUNetTrainer, "critic_width", 2)
    request = AblateRequest(axial_work.root, "wgan_resunet", recipe="published", size=32, epochs=1, device="cpu")
    text = ablate(request)
    for heading in ("Table 5: Dice %", "Table 5: HD mm", "Table 6: mean IoU %", "Table 6: PPV %"):
        assert f"## {heading}" in text
    place = Path(axial_work.root, "ablations", "wgan_resunet", "2d_axial", "published_size-32", "fold_0")
    with open(place / "ablation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 5 * 3
    assert all(row["published"] for row in rows if row["metric"] != "hd95_mm")
    with open(place / "tests.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 11 * 2 * 3
