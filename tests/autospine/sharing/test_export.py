"""Packing and export: half precision, the card, the licence, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import load

from autospine.commands.export import main
from autospine.core.errors import UserError
from autospine.core.workspace import SourceCase, WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model, read_model, save_model
from autospine.metrics.overlap import count, dice
from autospine.preprocessing.run import preprocess_image
from autospine.sharing.export import ExportRequest, export
from autospine.sharing.manage import install
from autospine.sharing.pack import Description, describe, halved, licence_text, read_metrics, source_of
from tests.paths import ROOT
from tests.tiny import IDS, SPACING, spine_image, spine_mask

CPU = torch.device("cpu")


def test_a_zip_holds_the_model_its_card_licence_and_hashes(
    trained: Model, described: Callable, command: Callable, tmp_path: Path
) -> None:
    path = tmp_path / "spine.zip"
    answer = command(main, "model", trained.folder, path, "--sources", described())
    assert answer.status == 0
    assert answer.out.startswith(f"spine: written to {path}")
    assert f"next: autospine_models install {path}" in answer.out
    with ZipFile(path) as archive:
        assert sorted(archive.namelist()) == [
            *("LICENCE.txt", "card.json", "manifest.json", "model.json", "weights.safetensors")
        ]
        licence = archive.read("LICENCE.txt").decode()
        weights = load(archive.read("weights.safetensors"))
    assert licence.splitlines() == [
        "spine 1.0. The weights are for research only, not a medical device.",
        "",
        "They learnt from:",
        "- Tiny spines; licence: CC-BY-4.0",
    ]
    assert {value.dtype for value in weights.values()} == {torch.float16}
    again = tmp_path / "again.zip"
    export(ExportRequest("model", trained.folder, again, described()))
    assert again.read_bytes() == path.read_bytes()


def learn(model: Model) -> None:
    """Let the model learn one image: of random weights, answers hang on the last digit."""
    image = torch.from_numpy(preprocess_image(spine_image(spine_mask())[None], SPACING, model.card.plan))
    classes = torch.from_numpy(model.card.encoding.class_of_index())
    truth = classes[torch.from_numpy(model.card.encoding.train_ids(spine_mask(), "mask")).long()]
    network = model.network(CPU)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(100):
        optimiser.zero_grad()
        logits = network(image.movedim(1, 0))[:, : model.card.encoding.semantic_channels]
        torch.nn.functional.cross_entropy(logits, truth).backward()
        optimiser.step()
    save_model(model.folder, model.card, network.state_dict())


def test_float16_weights_predict_what_float32_do(trained: Model, described: Callable, tmp_path: Path) -> None:
    learn(trained)
    half, full = tmp_path / "half.zip", tmp_path / "full.zip"
    export(ExportRequest("model", trained.folder, half, described()))
    export(ExportRequest("model", trained.folder, full, described(name="full"), precision="float32"))
    assert half.stat().st_size < full.stat().st_size
    for path in (half, full):
        install(str(path))
    models = [read_model(tmp_path / "installed_models" / name) for name in ("spine", "full")]
    assert {p.dtype for p in models[0].network(CPU).parameters()} == {torch.float32}
    image = torch.from_numpy(preprocess_image(spine_image(spine_mask())[None], SPACING, trained.card.plan))
    with torch.no_grad():
        logits = [model.network(CPU)(image.movedim(1, 0)) for model in models]  # offsets and levels have learnt nothing
    masks = [output[:, : trained.card.encoding.semantic_channels].argmax(1).numpy() for output in logits]
    assert masks[0].any()
    assert dice(count(masks[0] > 0, masks[1] > 0)) >= 0.999
    assert (masks[0] == masks[1]).mean() >= 0.999


def test_numbers_that_float16_cannot_hold_stay() -> None:
    weights = {"small": torch.tensor([0.5]), "large": torch.tensor([1e6]), "count": torch.tensor([3])}
    assert [value.dtype for value in halved(weights).values()] == [torch.float16, torch.float32, torch.int64]


def test_without_sources_the_zip_names_the_model_and_no_licence_is_stated(trained: Model, tmp_path: Path) -> None:
    path = tmp_path / "tiny-1.zip"
    assert export(ExportRequest("model", trained.folder, path)).startswith("tiny-1: written")
    with ZipFile(path) as archive:
        card = json.loads(archive.read("card.json"))
    assert [(source["name"], source["licence"]) for source in card["sources"]] == [("data", "none stated")]
    with pytest.raises(UserError, match=r"My Model\.zip: gives the model no name"):
        export(ExportRequest("model", trained.folder, tmp_path / "My Model.zip"))


def test_an_installed_model_is_exported_with_its_card(archive: Path, tmp_path: Path) -> None:
    install(str(archive))
    again = tmp_path / "other.zip"
    assert export(ExportRequest("model", Path("spine"), again)).startswith("spine: written")
    assert again.read_bytes() == archive.read_bytes()


def test_what_cannot_be_exported_is_one_line(trained: Model, described: Callable, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("model.json", "weights.safetensors", "metrics.csv"):
        (tmp_path / "elsewhere" / name).write_bytes((trained.folder / name).read_bytes())
    for changes, says, problem in (
        ({"output": tmp_path / "x.tar"}, {}, r"x\.tar: is no name of a zip"),
        ({"model": tmp_path / "elsewhere"}, {}, "lies in no work folder; name it with --work WORK"),
        ({"sources": tmp_path / "nothing.json"}, {}, r"nothing\.json: does not exist"),
        ({}, {"name": "No Name"}, r"sources\.json: Description: the name 'No Name' is none"),
        ({}, {"labels": "soup"}, "soup"),
        ({}, {"colour": 1}, "unknown key 'colour'"),
    ):
        settings: dict = {"model": trained.folder, "output": tmp_path / "x.zip", "sources": described(**says)}
        settings.update(changes)
        with pytest.raises(UserError, match=problem):
            export(ExportRequest("model", **settings))
        assert not (tmp_path / "x.zip").exists()


def test_a_training_without_its_log_is_named(trained: Model, described: Callable, tmp_path: Path) -> None:
    (trained.folder / "metrics.csv").write_text("step\n")
    with pytest.raises(UserError, match=r"metrics\.csv: is no table of a training"):
        export(ExportRequest("model", trained.folder, tmp_path / "x.zip", described()))


def two_sources() -> Description:
    from autospine.sharing.pack import SourceDescription

    phantoms = SourceDescription("phantoms", "Phantoms", synthetic=True)
    return Description("box", (SourceDescription("t2", "T2 scans"), phantoms))


def test_a_case_goes_by_its_id_or_its_folder() -> None:
    files = {"7": SourceCase("7", ("/data/phantoms/images/7.mha",), "")}
    assert source_of("t2-7", {}, two_sources()) == "t2"
    assert source_of("7", files, two_sources()) == "phantoms"
    with pytest.raises(UserError, match="8: comes from none of the sources t2, phantoms; describe its data set, too"):
        source_of("8", files, two_sources())


def test_the_card_tells_real_masks_from_phantoms(trained: Model, work: WorkFolder) -> None:
    """Of the four cases that were trained on, two are called phantoms; only they show the canal."""
    fingerprint = Fingerprint.load(work.fingerprint)
    folders = {id_: "phantoms" if id_ in IDS[2:5] else "t2" for id_ in IDS}
    files = {id_: SourceCase(id_, (f"/data/{folder}/images/{id_}.mha",), "") for id_, folder in folders.items()}
    cases = tuple(
        case if case.id in IDS[2:5] else replace(case, voxels={v: n for v, n in case.voxels.items() if v != 100})
        for case in fingerprint.cases
    )
    card = describe(trained.card, replace(fingerprint, cases=cases), files, two_sources(), read_metrics(trained.folder))
    assert [(s.name, s.trained_on, s.held_out) for s in card.sources] == [
        ("t2", ("1_t1", "2_t2"), ("6_t2",)),
        ("phantoms", ("3_t1", "4_t2"), ("5_t1",)),
    ]
    assert [(s.name, s.learnt_from, s.cases) for s in card.structures] == [
        ("vertebra", "real masks", 2),
        ("disc", "real masks", 2),
        ("canal", "phantoms only", 2),
    ]
    assert card.sources[0].contrasts == ("t1", "t2") and card.sources[0].slice_mm == (4.0,)
    assert "canal in real masks (phantoms only)" in card.unseen
    assert (card.training.updates, card.training.epochs, card.training.seed, card.training.loss) == (6, 2, 7, 1.25)
    assert "- Phantoms; licence: none stated" in licence_text(card)


def test_the_benchmark_packs_the_folder_that_the_wheel_carries(
    trained: Model, work: WorkFolder, described: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from box import make

    said = make(trained.folder, work.root, described(name="box"), tmp_path / "installed")
    assert said.startswith("box 1.0: Tiny spines.")
    monkeypatch.setattr("autospine.models.installed.BUNDLED", tmp_path / "installed")
    from autospine.inference.model import find_models

    assert np.isclose(find_models([])[0].network(CPU).heads[0].bias.sum().item(), 0, atol=10)
    with pytest.raises(UserError, match="box: is there already"):
        make(trained.folder, work.root, described(name="box"), tmp_path / "installed")
