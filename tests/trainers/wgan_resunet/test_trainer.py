from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine import volumes
from autospine.core.errors import UserError
from autospine.core.precision import Precision
from autospine.core.workspace import WorkFolder
from autospine.labels.conversion import get_scheme
from autospine.labels.encoding import plain_encoding
from autospine.networks.clustered_attention import AttentionBlock
from autospine.planning.plan import Plan, Plans
from autospine.planning.recipe import Recipe
from autospine.planning.run import PlanRequest, make_plans
from autospine.planning.splits import Subset
from autospine.preprocessing.run import transform_cases
from autospine.preprocessing.storage import CaseStore
from autospine.training import budget
from autospine.training.loading import make_batches
from autospine.training.losses.adversarial import discriminator_inputs
from autospine.training.run import TrainRequest, train
from autospine.training.trainer import prepare
from tests.contracts.trainer import CPU, TrainerContract
from tests.paths import SHARED
from tests.tiny import IDS, make_job, spine_image, spine_mask, tiny_shape, write_array
from trainers.wgan_resunet import tables as table
from trainers.wgan_resunet.labels import IGNORE_LABEL, derive_axial4
from trainers.wgan_resunet.trainer import CRITIC, GENERATOR, SMALLEST_SIDE, WGANResUNetTrainer

SPIDER, AXIAL = get_scheme("spider"), get_scheme("axial4")
PATCH = (8, 1, 32)


def bones(shift: int = 0) -> np.ndarray:
    """The tiny spine with an arch behind its canal."""
    mask = spine_mask(shift)
    arch = mask[1:5, :, 27:31]
    arch[...] = np.where(mask[1:5, :, 10:11] < 100, mask[1:5, :, 10:11], 0)
    return mask


def write(root: Path, labels: str = "spider", without_canal: tuple[str, ...] = ()) -> Path:
    for number, case_id in enumerate(IDS):
        mask = bones(number % 3)
        write_array(root / "images" / f"{case_id}.mha", spine_image(mask, number))
        if case_id in without_canal:
            mask[mask == 100] = 0
        if labels == "axial4":
            mask = derive_axial4(mask, SPIDER)
        write_array(root / "masks" / f"{case_id}.mha", mask)
    return root


def planned(root: Path, labels: str = "spider", without_canal: tuple[str, ...] = ()) -> WorkFolder:
    dataset = write(root / "data", labels, without_canal)
    names = ("2d_axial",)
    make_plans(PlanRequest(dataset, root / "work", names, labels=labels, folds=3, workers=1, device="cpu"))
    work = WorkFolder(root / "work")
    Plans((small_plan(Plans.load(work.plans).plans[0]),)).save(work.plans)
    return work


def small_plan(plan: Plan) -> Plan:
    return replace(plan, patch=PATCH, batch=2, network=tiny_shape(2, plan.encoding.channels))


def axial_plan(work: WorkFolder) -> Plan:
    return Plans.load(work.plans).get("2d_axial", work.plans)


@pytest.fixture(scope="module")
def tiny_work(tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    """As everywhere, cut across its slices."""
    return planned(tmp_path_factory.mktemp("axial"))


def narrow(plan: Plan, recipe: Recipe) -> WGANResUNetTrainer:
    """A trainer of seconds."""
    steps = tuple(
        replace(step, settings={"slices": 16, "columns": 32}) if step.name == "fit" else step
        for step in recipe.transforms
    )
    recipe = replace(recipe, epochs=3, iterations_per_epoch=3, batch=2, patch=None, min_updates=1, transforms=steps)
    kind = type("WGANResUNetTrainer", (WGANResUNetTrainer,), {"widths": (4, 4, 8, 8, 8), "critic_width": 2})
    return kind(plan, recipe)


class TestWGANResUNetTrainer(TrainerContract):
    name = "wgan_resunet"
    dimensions = (2,)
    loss_term = "semantic"

    def make(self, work: WorkFolder, dimension: int, recipe_name: str | None = None) -> WGANResUNetTrainer:
        return narrow(axial_plan(work), self.kind.recipe_named(recipe_name))


def made(work: WorkFolder, **options: object) -> WGANResUNetTrainer:
    recipe = WGANResUNetTrainer.recipes["adapted"]
    return narrow(axial_plan(work), replace(recipe, options=options, augmentation=None))


def run(trainer: WGANResUNetTrainer, work: WorkFolder, folder: Path, steps: int = 1) -> tuple:
    job = make_job(work, trainer.plan, folder)
    batch = make_batches(trainer, job, job.fold.train, 0).make(0)
    torch.manual_seed(0)
    context = prepare(trainer, trainer.shape(), Precision(), CPU)
    return context, [trainer.training_step(replace(context, step=k), batch) for k in range(steps)]


def test_the_published_recipe_is_the_papers(tiny_work: WorkFolder) -> None:
    trainer = WGANResUNetTrainer(axial_plan(tiny_work), WGANResUNetTrainer.recipes["published"])
    recipe = trainer.recipe
    assert (trainer.batch, recipe.epochs, trainer.patch) == (4, 500, (512, 512))
    names = ["derive_axial4", "wavelet_denoise", "adaptive_histogram", "otsu_crop", "fit", "z_score"]
    assert [step.name for step in recipe.transforms] == names
    assert recipe.split is not None
    assert (recipe.split.shares, recipe.split.folds) == ((0.6, 0.1, 0.3), 5)
    for optimiser in recipe.optimisers.values():
        assert (optimiser.kind, optimiser.learning_rate) == ("adam", 1e-4)
        assert (optimiser.momentum, optimiser.second_beta) == (0.5, 0.9)
    assert trainer.options.critic_steps == 5
    assert (trainer.options.alpha, trainer.options.beta, trainer.options.gamma) == (0.01, 1, 1)
    assert trainer.shape().widths == (32, 64, 128, 256, 512)
    assert trainer.width_options() == (trainer.shape(),)
    settings = trainer.augmentation()
    assert settings is not None
    assert settings.mirror_axes == ()
    used = {name for name, value in vars(settings).items() if name.endswith("_probability") and value}
    assert used == {"rotation_probability", "scale_probability"}
    assert settings.scale == (0.8, 1.0)


def test_body_foramen_and_lamina_are_learnt(tiny_work: WorkFolder) -> None:
    trainer = made(tiny_work)
    assert [each.name for each in trainer.encoding.classes] == [a.name for a in AXIAL.anatomies.values()]
    assert trainer.encoding.ignore_label == IGNORE_LABEL


def test_the_parts_of_the_ablation_are_options(tiny_work: WorkFolder) -> None:
    def blocks(trainer: WGANResUNetTrainer) -> list[int | None]:
        network = trainer.build(trainer.shape())
        return [block.clusters for block in network.modules() if isinstance(block, AttentionBlock)]

    assert blocks(made(tiny_work, clusters=3)) == [3] * 3
    assert blocks(made(tiny_work, attention="full")) == [None] * 3
    plain = made(tiny_work, attention="none", residual=False, dilated=False, adversarial=False)
    assert blocks(plain) == []
    assert set(plain.build_all(plain.shape())) == {GENERATOR}
    assert {level.branch[0].dilation for level in plain.build(plain.shape()).encoder} == {(1, 1)}


@pytest.mark.parametrize("options", [{"clusters": 0}, {"critic_steps": 0}, {"constraint": "none"}])
def test_impossible_options_are_refused(tiny_work: WorkFolder, options: dict) -> None:
    with pytest.raises(UserError, match="--trainer wgan_resunet"):
        made(tiny_work, **options)


def test_without_its_critic_the_generator_learns_alone(tiny_work: WorkFolder, tmp_path: Path) -> None:
    _, (terms,) = run(made(tiny_work, adversarial=False), tiny_work, tmp_path)
    assert set(terms) == {"loss", "semantic"}


@pytest.mark.parametrize(
    ("options", "logged"),
    [({}, True), ({"constraint": "clipping"}, False), ({"critic": "cross_entropy"}, True)],
    ids=["penalty", "clipping", "cross-entropy"],
)
def test_what_is_logged(tiny_work: WorkFolder, tmp_path: Path, options: dict, logged: bool) -> None:
    _, (terms,) = run(made(tiny_work, **options), tiny_work, tmp_path)
    wanted = {"loss", "semantic", "adversarial", "critic", "wasserstein"} | ({"penalty"} if logged else set())
    assert set(terms) == wanted
    alpha = WGANResUNetTrainer.options_type().alpha
    torch.testing.assert_close(terms["loss"], terms["semantic"] + alpha * terms["adversarial"])


def test_the_critic_moves_the_generator(tiny_work: WorkFolder, tmp_path: Path) -> None:
    heads = []
    for alpha in (0.0, 10.0):
        context, _ = run(made(tiny_work, alpha=alpha), tiny_work, tmp_path)
        heads.append(context.networks[GENERATOR].heads[0].weight.detach().clone())
    assert not torch.equal(*heads)


def test_the_critic_gets_five_updates_for_one_of_the_generator(tiny_work: WorkFolder, tmp_path: Path) -> None:
    context, _ = run(made(tiny_work), tiny_work, tmp_path, steps=2)
    counts = {
        name: {int(state["step"]) for state in optimiser.state.values()}
        for name, optimiser in context.updater.optimisers.items()
    }
    assert counts == {GENERATOR: {2}, CRITIC: {10}}


def test_the_critic_is_blind_where_nothing_is_annotated(tiny_work: WorkFolder) -> None:
    loss = made(tiny_work).loss()
    logits = torch.randn(2, 4, 70, 70)
    labels = torch.randint(4, (2, 70, 70))
    labels[:, :30] = 4  # the encoding's ignored index
    real, fake = discriminator_inputs(loss, logits, labels, SMALLEST_SIDE)
    assert not real[:, :, :30].any()
    assert not fake[:, :, :30].any()
    assert torch.allclose(fake[:, :, 30:].sum(1), torch.ones(2, 40, 70))
    assert torch.equal(real[:, :, 30:].argmax(1), labels[:, 30:])


def test_small_slices_are_enlarged_for_the_critic(tiny_work: WorkFolder) -> None:
    loss = made(tiny_work).loss()
    logits, labels = torch.randn(1, 4, 15, 100), torch.zeros(1, 15, 100, dtype=torch.long)
    real, fake = discriminator_inputs(loss, logits, labels, SMALLEST_SIDE)
    assert real.shape == fake.shape == (1, 4, 75, 100)


def test_slices_without_vertebrae_and_more_clusters_than_positions(tiny_work: WorkFolder, tmp_path: Path) -> None:
    trainer = made(tiny_work, clusters=10_000)
    job = make_job(tiny_work, trainer.plan, tmp_path)
    bare = [k for k in range(spine_mask().shape[1]) if not bones()[:, k].any() or k < 2]
    batch = make_batches(trainer, job, IDS[:1], 0, {IDS[0]: tuple(bare)}).make(0)
    assert not batch.labels[batch.labels != trainer.encoding.ignore_index].any()
    context = prepare(trainer, trainer.shape(), Precision(), CPU)
    terms = trainer.training_step(context, batch)
    assert all(bool(term.isfinite()) for term in terms.values())


# Data sets.


def test_another_plan_is_refused(tiny_work: WorkFolder) -> None:
    plan = replace(axial_plan(tiny_work), name="2d_sagittal", view_axis=0)
    with pytest.raises(UserError, match="does not take the plan 2d_sagittal; use 2d_axial"):
        WGANResUNetTrainer(plan, WGANResUNetTrainer.recipes["adapted"])


def test_a_data_set_without_canal_is_refused(tiny_work: WorkFolder) -> None:
    plan = axial_plan(tiny_work)
    bare = replace(plan, encoding=plain_encoding(SPIDER, (1, 2, 3)))
    with pytest.raises(UserError, match="shows no spinal canal, from which body, foramen and lamina"):
        WGANResUNetTrainer(bare, WGANResUNetTrainer.recipes["adapted"])


def test_a_case_without_canal_is_named_before_training(tmp_path: Path) -> None:
    work = planned(tmp_path, without_canal=(IDS[1],))
    trainer = made(work)
    job = make_job(work, trainer.plan, tmp_path / "model")
    with pytest.raises(UserError, match=f"the mask of {IDS[1]}: shows no spinal canal"):
        make_batches(trainer, job, job.fold.train, 0)


def write_axially(path: Path, array: np.ndarray) -> None:
    """A file whose slices are axial, from below, in LPS; its canonical array is `array`."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array[:, ::-1].transpose(1, 2, 0)))
    image.SetSpacing((1.0, 1.0, 4.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_a_truly_axial_series_keeps_its_slices(tmp_path: Path) -> None:
    masks = [bones(k).repeat(6, axis=0) for k in range(2)]  # 36 x 72 x 36
    for k, mask in enumerate(masks):
        write_axially(tmp_path / "data" / "images" / f"{k}_t2.nii.gz", spine_image(mask, k))
        write_axially(tmp_path / "data" / "masks" / f"{k}_t2.nii.gz", mask)
    make_plans(PlanRequest(tmp_path / "data", tmp_path / "work", ("2d_axial",), workers=1, device="cpu"))
    work = WorkFolder(tmp_path / "work")
    plan = axial_plan(work)
    assert plan.grid.spacing == (1.0, None, 1.0)
    trainer = narrow(plan, WGANResUNetTrainer.recipes["adapted"])
    folder = transform_cases(trainer.plan, trainer.recipe.transforms, work.preprocessed(plan.name), ("0_t2", "1_t2"))
    for k, mask in enumerate(masks):
        stored = CaseStore(folder, f"{k}_t2")
        assert stored.record.spacing == (1.0, 4.0, 1.0)
        np.testing.assert_array_equal(stored.mask[:], derive_axial4(mask, SPIDER))


def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(WGANResUNetTrainer.recipes["adapted"], iterations_per_epoch=2)
    monkeypatch.setitem(WGANResUNetTrainer.recipes, "adapted", quick)
    monkeypatch.setattr(WGANResUNetTrainer, "widths", (4, 4, 8, 8, 8))
    monkeypatch.setattr(WGANResUNetTrainer, "critic_width", 2)
    monkeypatch.setattr(budget, "precisions", lambda device: (Precision(),))


@pytest.mark.slow
def test_whole_vertebrae_and_axial_labels_train_alike(
    tiny_work: WorkFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same spines, once with SPIDER's labels and once with axial4: the same weights, scores and table."""
    small_recipe(monkeypatch)
    root = tmp_path / "work"
    shutil.copytree(tiny_work.root, root)
    given = planned(tmp_path / "given", "axial4")
    found = []
    for place in (root, given.root):
        said = train(TrainRequest(place, "wgan_resunet", device="cpu", epochs=1))
        assert "vertebral body" in said
        folder = WorkFolder(place).model("wgan_resunet", "2d_axial", "adapted", "0")
        rows = (folder / "metrics.csv").read_text().splitlines()
        assert {"critic", "wasserstein", "adversarial"} <= set(rows[0].split(","))
        found.append((folder / "validation" / "tables_2_to_4.csv").read_text())
    assert found[0] == found[1]


# Tables 2 to 4.


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_right_masks_score_one_and_stand_beside_the_papers_figures(tiny_work: WorkFolder, tmp_path: Path) -> None:
    for case_id, source in tiny_work.load_sources().items():
        reference = volumes.read_mask(source.mask)
        derived = derive_axial4(reference.array, SPIDER)
        volumes.write_volume(reference.with_array(derived), tmp_path / f"{case_id}.mha")
    trainer = made(tiny_work)
    trainer.write_tables(tmp_path, Subset("validation", IDS[:2]), tiny_work.root)
    rows = read_table(tmp_path / "tables_2_to_4.csv")
    own = [row for row in rows if row["model"] == "this one"]
    assert [row["structure"] for row in own] == list(table.STRUCTURES.values())
    for row in own:
        assert int(row["slices"]) > 0
        assert (row["unmatched"], row["dice"], row["hd_mm"], row["mean_iou"]) == ("0", "100", "0", "100")
    paper = {(row["structure"], row["model"]): row for row in rows if row["model"] != "this one"}
    assert paper["lamina", "Our Model (paper)"]["dice"] == "75.3"
    assert paper["lamina", "Our Model (paper)"]["hd95_mm"] == ""
    text = (tmp_path / "tables_2_to_4.md").read_text()
    assert "| Our Model (paper) | 92.6 ± 2.8 | 1.7 ± 2.4 |" in text


def test_only_the_held_out_slices_count(tiny_work: WorkFolder, tmp_path: Path) -> None:
    case_id = IDS[0]
    reference = volumes.read_mask(tiny_work.load_sources()[case_id].mask)
    empty = np.zeros_like(reference.array)
    volumes.write_volume(reference.with_array(empty), tmp_path / f"{case_id}.mha")
    row = int(np.flatnonzero((reference.array == 1).any((0, 2)))[0])
    subset = Subset("test", (case_id,), {case_id: (row,)})
    scores = table.case_scores(made(tiny_work), tmp_path, case_id, subset, tiny_work.root)
    assert {score.slice for score in scores} == {row}
    assert all((score.dice, score.both) == (0, False) for score in scores)


def test_a_test_case_without_canal_is_in_no_table(tmp_path: Path) -> None:
    work = planned(tmp_path, without_canal=(IDS[0],))
    reference = volumes.read_mask(work.load_sources()[IDS[0]].mask)
    found = np.ones_like(reference.array)
    volumes.write_volume(reference.with_array(found), tmp_path / f"{IDS[0]}.mha")
    subset = Subset("test", (IDS[0],))
    assert table.case_scores(made(work), tmp_path, IDS[0], subset, work.root) == []


def test_the_published_figures_are_the_papers() -> None:
    """Every row of the tables stands in the paper's text."""
    path = SHARED / "papers" / "wgan_resunet.txt"
    if not path.exists():
        pytest.skip(f"no text of the paper at {path}")
    lines = {" ".join(line.replace("|", " ").split()) for line in path.read_text("utf-8").splitlines()}
    for models in table.PUBLISHED.values():
        for model, figures in models.items():
            words = " ".join(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in figures)
            assert f"{model} {words}" in lines
