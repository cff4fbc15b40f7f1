"""A model in its work folder, as a training leaves it, and its zip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.autospine.commands.conftest import command as command  # noqa: PLC0414
from tests.autospine.inference.conftest import _float32 as _float32  # noqa: PLC0414

if TYPE_CHECKING:
    from autospine.core.workspace import WorkFolder
    from autospine.inference.model import Model

DESCRIBED = {
    "name": "spine",
    "summary": "Tiny spines.",
    "labels": "spider",
    "sources": [{"name": "data", "title": "Tiny spines", "licence": "CC-BY-4.0", "contrasts": ["T1", "T2"]}],
    "not_seen": ["axial series"],
}


@pytest.fixture
def trained(work: WorkFolder, toys: None) -> Model:
    """Toy weights in WORK/models/toy/2d_sagittal/quick/fold_0, trained on four of six cases."""
    import torch

    from autospine.inference.model import read_model, save_model
    from tests.tiny import make_job, plan_of
    from tests.toys import QUICK, ToyTrainer

    plan = plan_of(work, 2)
    trainer = ToyTrainer(plan, QUICK)
    folder = work.model("toy", plan.name, "quick", "0")
    torch.manual_seed(3)
    weights = trainer.build(trainer.shape()).state_dict()
    save_model(folder, trainer.model_card(trainer.shape(), make_job(work, plan, folder, seed=7)), weights)
    rows = "epoch,step,loss,validation_dice,seconds\n1,3,1.5,0.2,2.0\n2,6,1.25,0.5,2.0\n"
    (folder / "metrics.csv").write_text(rows)
    return read_model(folder)


@pytest.fixture
def described(tmp_path: Path) -> Callable[..., Path]:
    """What a person says of the model, as a file."""

    def made(**changes: object) -> Path:
        path = tmp_path / "sources.json"
        path.write_text(json.dumps({**DESCRIBED, **changes}))
        return path

    return made


@pytest.fixture
def archive(trained: Model, described: Callable[..., Path], tmp_path: Path) -> Path:
    """The model's zip."""
    from autospine.sharing.export import ExportRequest, export

    path = tmp_path / "spine.zip"
    export(ExportRequest("model", trained.folder, path, described()))
    return path


@pytest.fixture
def rezipped(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """The zip with files changed, added or left out (None), each listed with its right hash unless told otherwise."""
    import hashlib
    from zipfile import ZipFile

    def made(listed: bool = True, **changes: bytes | None) -> Path:
        files = {name.replace(".", "_"): name for name in ("model.json", "weights.safetensors", "card.json")}
        with ZipFile(archive) as before:
            content = {name: before.read(name) for name in before.namelist()}
        for key, value in changes.items():
            name = files.get(key, key)
            if value is None:
                del content[name]
            else:
                content[name] = value
        manifest = json.loads(content.pop("manifest.json"))
        if listed:
            for name in set(manifest["files"]) & set(content):
                manifest["files"][name] = hashlib.sha256(content[name]).hexdigest()
        path = tmp_path / "changed.zip"
        with ZipFile(path, "w") as after:
            for name, value in {"manifest.json": json.dumps(manifest).encode(), **content}.items():
                after.writestr(name, value)
        return path

    return made
