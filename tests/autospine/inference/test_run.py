from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.inference.predictor import Predictor
from autospine.inference.run import (
    PredictRequest,
    PredictResult,
    describe_segmentation,
    find_scans,
    mask_suffix,
    predict_scans,
    series_name,
)
from autospine.volumes import read_image, read_mask
from tests.paths import ROOT
from tests.tiny import spine_image, spine_mask, write_array


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number, name in enumerate(["1_t1.mha", "2_t2.nii.gz", "3_t2.nrrd"]):
        write_array(tmp_path / "scans" / name, spine_image(spine_mask(), number))
    return tmp_path / "scans"


@pytest.fixture
def model(tmp_path: Path, bright) -> Path:
    return bright(tmp_path / "model").folder


def run(tmp_path: Path, model: Path, *inputs: Path, **changes: object) -> PredictResult:
    settings: dict = {"device": "cpu", "workers": 1, **changes}
    return predict_scans(PredictRequest(inputs, tmp_path / "out", (model,), **settings))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_gives_a_mask_and_a_report_per_scan_in_its_own_format(tmp_path, scans, model) -> None:
    outcome = run(tmp_path, model, scans)
    assert list(outcome.done) == ["1_t1", "2_t2", "3_t2"]
    assert outcome.failures == []
    assert names(tmp_path / "out") == [*("1_t1.json", "1_t1.mha", "2_t2.json", "2_t2.nii.gz", "3_t2.json", "3_t2.nrrd")]
    for image in scans.iterdir():
        mask = read_mask(tmp_path / "out" / image.name)
        assert mask.geometry.difference(read_image(image).geometry) is None
        assert set(np.unique(mask.array)) == {0, 100}
    report = json.loads((tmp_path / "out" / "1_t1.json").read_text())
    assert [label["name"] for label in report["labels"]] == ["spinal canal"]
    assert "not a medical device" in report["note"]
    assert "not a medical device" in outcome.describe()


def test_a_single_file(tmp_path, scans, model) -> None:
    outcome = run(tmp_path, model, scans / "2_t2.nii.gz")
    assert list(outcome.done) == ["2_t2"]
    assert names(tmp_path / "out") == ["2_t2.json", "2_t2.nii.gz"]


def test_a_scan_is_decided_while_the_next_is_seen(tmp_path, scans, model, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the one after that is read and resampled."""
    begun, prepared, (see, decide, prepare) = [], [], (Predictor.see, Predictor.decide, Predictor.prepare)
    second, third = Event(), Event()

    def noting_see(self, ready, probabilities, interpolated):
        begun.append(ready)
        if len(begun) == 2:
            second.set()
            assert third.wait(60)
        return see(self, ready, probabilities, interpolated)

    def noting_prepare(self, image, spacing):
        prepared.append(image)
        if len(prepared) == 3:
            assert second.wait(60)
            third.set()
        return prepare(self, image, spacing)

    def waiting_decide(self, seen):
        assert second.wait(60)
        return decide(self, seen)

    monkeypatch.setattr(Predictor, "see", noting_see)
    monkeypatch.setattr(Predictor, "prepare", noting_prepare)
    monkeypatch.setattr(Predictor, "decide", waiting_decide)
    outcome = run(tmp_path, model, scans)
    assert (list(outcome.done), outcome.failures) == (["1_t1", "2_t2", "3_t2"], [])


def test_a_data_set_is_its_images(tmp_path, scans, model) -> None:
    shutil.copytree(scans, tmp_path / "set" / "images")
    shutil.copytree(scans, tmp_path / "set" / "masks")
    assert len(run(tmp_path, model, tmp_path / "set").done) == 3


def test_one_broken_file_is_named_and_the_others_finish(tmp_path, scans, model) -> None:
    broken = scans / "2_t2.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    outcome = run(tmp_path, model, scans)
    assert list(outcome.done) == ["1_t1", "3_t2"]
    (line,) = outcome.failures
    assert "2_t2.nii.gz" in line
    assert "\n" not in line
    assert names(tmp_path / "out") == ["1_t1.json", "1_t1.mha", "3_t2.json", "3_t2.nrrd"]
    assert f"failed: {line}" in outcome.describe()


@pytest.mark.parametrize("broken", ["1_t1.mha", "3_t2.nrrd"])
def test_the_first_or_the_last_may_be_the_broken_one(tmp_path, scans, model, broken: str) -> None:
    (scans / broken).write_bytes(b"nothing of a scan")
    outcome = run(tmp_path, model, scans)
    assert len(outcome.done) == 2
    assert len(outcome.failures) == 1


def test_what_is_there_already_is_left_alone_unless_asked(tmp_path, scans, model) -> None:
    run(tmp_path, model, scans / "1_t1.mha")
    mask = tmp_path / "out" / "1_t1.mha"
    mask.write_bytes(b"mine")
    outcome = run(tmp_path, model, scans)
    assert outcome.skipped == ["1_t1"]
    assert mask.read_bytes() == b"mine"
    assert run(tmp_path, model, scans, overwrite=True).skipped == []
    assert read_mask(mask).array.any()


EVERYTHING = {"overlay": True, "probabilities": True, "panoptic": True}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("lost", ["1_t1.mha", "1_t1.json", "1_t1.png", "1_t1.npy", "panoptic/1_t1.mha"])
def test_a_scan_is_done_when_all_that_was_asked_for_is_there(tmp_path, scans, model, lost: str) -> None:
    run(tmp_path, model, scans / "1_t1.mha", **EVERYTHING)
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / lost).unlink()
    assert list(run(tmp_path, model, scans, **EVERYTHING).done) == ["1_t1", "2_t2", "3_t2"]
    assert whole.items() <= contents(tmp_path / "out").items()
    assert len(run(tmp_path, model, scans, **EVERYTHING).skipped) == 3


def test_the_report_is_written_last(tmp_path, scans, model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the files are there already: between two runs no report vouches for files of both."""
    run(tmp_path, model, scans / "1_t1.mha", **EVERYTHING)

    def full(*_: object) -> None:
        raise UserError("1_t1.json", "the disk is full", "free some space")

    monkeypatch.setattr("autospine.inference.segmentation.write_json", full)
    assert len(run(tmp_path, model, scans / "1_t1.mha", overwrite=True, **EVERYTHING).failures) == 1
    assert names(tmp_path / "out") == ["1_t1.mha", "1_t1.npy", "1_t1.png", "panoptic"]


def test_a_mask_that_is_another_one_is_kept_and_said(tmp_path, scans, model) -> None:
    run(tmp_path, model, scans / "1_t1.mha")
    mask = tmp_path / "out" / "1_t1.mha"
    write_array(mask, np.ones((6, 72, 36), np.uint8))  # corrected by hand
    before = contents(tmp_path / "out")
    (line,) = run(tmp_path, model, scans / "1_t1.mha", overlay=True).failures
    assert "1_t1.mha: is there already and is another mask than these models predict; delete it, or" in line
    assert contents(tmp_path / "out") == before
    assert run(tmp_path, model, scans / "1_t1.mha", overlay=True, overwrite=True).failures == []
    assert set(np.unique(read_mask(mask).array)) == {0, 100}


def test_a_mask_of_other_models_is_kept_and_said(tmp_path, scans, model) -> None:
    run(tmp_path, model, scans / "1_t1.mha")
    report = tmp_path / "out" / "1_t1.json"
    report.write_text(report.read_text().replace("@", "@0"))
    before = contents(tmp_path / "out")
    (line,) = run(tmp_path, model, scans / "1_t1.mha", probabilities=True).failures
    assert "1_t1.mha: was predicted by other models; delete it, or predict again with --overwrite" in line
    assert contents(tmp_path / "out") == before


def test_another_tools_json_is_never_replaced(tmp_path, scans, model) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1_t1.json").write_text('{"EchoTime": 0.1}')
    for overwrite in (False, True):
        outcome = run(tmp_path, model, scans, overwrite=overwrite)
        assert [line.partition(": ")[2] for line in outcome.failures] == [
            "is no report of autospine_predict; choose another output"
        ]
    assert (tmp_path / "out" / "1_t1.json").read_text() == '{"EchoTime": 0.1}'


def test_scans_and_masks_of_a_data_set_are_never_replaced(tmp_path, scans, model) -> None:
    shutil.copytree(scans, tmp_path / "set" / "images")
    shutil.copytree(scans, tmp_path / "set" / "masks")
    (tmp_path / "alias").symlink_to(tmp_path / "set" / "images")
    before = contents(tmp_path / "set")
    data = tmp_path / "set"
    for given in (data, data / "images", data / "images" / "1_t1.mha"):
        for output in (data / "images", data / "masks", tmp_path / "alias"):
            for overwrite in (False, True):
                request = PredictRequest((given,), output, (model,), overwrite=overwrite)
                with pytest.raises(UserError, match="holds files of the input; choose another output"):
                    predict_scans(request)
    assert contents(tmp_path / "set") == before


@pytest.mark.parametrize("name", ["mask.nii.gz", "2_t2_seg.mha"])
def test_one_scan_goes_to_the_file_that_is_named(tmp_path, scans, model, name: str) -> None:
    request = PredictRequest((scans / "2_t2.nii.gz",), scans / name, (model,), device="cpu", overlay=True)
    before = contents(scans)
    assert list(predict_scans(request).done) == ["2_t2"]
    stem = name.partition(".")[0]
    assert {path.name for path in contents(scans).keys() - before.keys()} == {name, f"{stem}.json", f"{stem}.png"}
    assert before.items() <= contents(scans).items()
    assert set(np.unique(read_mask(scans / name).array)) == {0, 100}


@pytest.mark.parametrize(
    ("given", "output", "problem"),
    [
        ("", "mask.nii.gz", "is one file for 3 volumes; give a folder"),
        ("1_t1.mha", "mask.mhd", "would be two files; give .mha"),
        ("1_t1.mha", "scans/1_t1.mha", "would be written over an input"),
        ("1_t1.mha", "masks.csv", "has the name of a file; give a folder"),
    ],
)
def test_a_file_that_cannot_be_the_mask_is_refused(tmp_path, scans, model, given, output, problem) -> None:
    with pytest.raises(UserError, match=problem):
        predict_scans(PredictRequest((scans / given,), tmp_path / output, (model,), device="cpu"))


def test_overlay_and_probabilities_beside_the_masks(tmp_path, scans, model) -> None:
    run(tmp_path, model, scans / "1_t1.mha", overlay=True, probabilities=True)
    assert names(tmp_path / "out") == ["1_t1.json", "1_t1.mha", "1_t1.npy", "1_t1.png"]
    stored = np.load(tmp_path / "out" / "1_t1.npy", allow_pickle=False)
    assert stored.shape == (3, 6, 72, 36)


def test_a_dicom_folder(tmp_path, model) -> None:
    import SimpleITK as sitk

    image = sitk.Cast(sitk.GetImageFromArray(spine_image(spine_mask())), sitk.sitkInt16)
    series = tmp_path / "p7" / "DICOM"
    series.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetDepth()):
        part = image[:, :, k]
        tags = {
            "0008|0060": "MR",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.1",
            "0020|0032": f"0\\0\\{4 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k),
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.1.{k + 1}",
        }
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(series / f"{k}.dcm"))
        writer.Execute(part)
    outcome = run(tmp_path, model, series)
    assert list(outcome.done) == ["p7_DICOM"]
    mask = sitk.ReadImage(str(tmp_path / "out" / "p7_DICOM.nii.gz"))
    assert mask.GetSize() == (36, 72, 6)
    assert sitk.GetArrayFromImage(mask).max() == 100


def test_scans_that_share_a_name_are_refused(tmp_path, scans, model) -> None:
    shutil.copytree(scans, tmp_path / "more")
    with pytest.raises(UserError, match=r"1_t1.*two scans"):
        run(tmp_path, model, scans, tmp_path / "more")


def test_nothing_to_predict(tmp_path, model) -> None:
    with pytest.raises(UserError, match="does not exist"):
        run(tmp_path, model, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    outcome = run(tmp_path, model, tmp_path / "empty")
    assert len(outcome.failures) == 1
    assert "empty" in outcome.failures[0]


def test_a_missing_input_is_a_line_and_the_others_are_segmented(tmp_path, scans, model) -> None:
    outcome = run(tmp_path, model, scans / "1_t1.mha", tmp_path / "nowhere", scans / "3_t2.nrrd")
    assert list(outcome.done) == ["1_t1", "3_t2"]
    assert outcome.failures == [f"{tmp_path / 'nowhere'}: does not exist; name a scan or a folder of scans"]


def test_channels_are_grouped_by_name(tmp_path) -> None:
    for name in ("a_0000.mha", "a_0001.mha", "b_0000.mha", "b_0001.mha"):
        write_array(tmp_path / name, np.zeros((2, 3, 4), np.float32))
    found = find_scans([tmp_path], ("t1", "t2"))
    assert [(scan.id, [p.name for p in scan.images]) for scan in found] == [
        ("a", ["a_0000.mha", "a_0001.mha"]),
        ("b", ["b_0000.mha", "b_0001.mha"]),
    ]
    (tmp_path / "b_0001.mha").unlink()
    with pytest.raises(UserError, match="has 1 channel files, the model needs 2"):
        find_scans([tmp_path], ("t1", "t2"))


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("a_0000.mha", "b_0000.nii.gz"), ["a", "b"]),
        (("a.mha", "a_0000.mha"), ["a", "a_0000"]),
        (("a_0000.mha", "a_0001.mha"), ["a_0000", "a_0001"]),
        (("_0000.mha", "a_00000.mha"), ["_0000", "a_00000"]),
    ],
)
def test_nnunets_number_of_the_only_channel_is_no_part_of_the_id(tmp_path, names, ids: list[str]) -> None:
    for name in names:
        write_array(tmp_path / name, np.zeros((2, 3, 4), np.float32))
    assert [scan.id for scan in find_scans([tmp_path], ("image",))] == ids


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("p7/DICOM", "p7_DICOM"),
        ("p7/SE000001", "p7_SE000001"),
        ("p7/1.2.840.113619", "p7_1.2.840.113619"),
        ("p7/t2_sagittal", "t2_sagittal"),
        ("p7/s1_t2", "s1_t2"),
        ("p7/12_t1", "12_t1"),
    ],
)
def test_a_series_in_a_folder_whose_name_says_nothing_is_called_by_two(folder: str, name: str) -> None:
    assert series_name(Path(folder)) == name


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.nii.gz", ".nii.gz"), ("a.MHA", ".mha"), ("a.mhd", ".mha"), ("a.nhdr", ".nrrd"), ("a", ".nii.gz")],
)
def test_suffixes(name: str, suffix: str) -> None:
    assert mask_suffix(Path(name)) == suffix


def test_warnings_are_told_and_written(tmp_path, scans, bright, caplog: pytest.LogCaptureFixture) -> None:
    from dataclasses import replace

    from autospine.labels.conversion import get_scheme
    from autospine.labels.encoding import plain_encoding
    from tests.tiny import make_plan

    plan = make_plan(plain_encoding(get_scheme("spider"), (1, 100)))
    seen = replace(plan.training_domain, spacing_low=(1.0, 0.5, 0.5), spacing_high=(2.0, 0.6, 4.0), sequences=("t1",))
    model = bright(tmp_path / "narrow", replace(plan, training_domain=seen)).folder
    with caplog.at_level("WARNING"):
        run(tmp_path, model, scans)
    warnings = json.loads((tmp_path / "out" / "2_t2.json").read_text())["warnings"]
    assert any("from left to right is 4.00 mm" in warning for warning in warnings)
    assert any("sequence t2 was not" in warning for warning in warnings)
    assert all(f"2_t2: {warning}" in caplog.text for warning in warnings)
    first = json.loads((tmp_path / "out" / "1_t1.json").read_text())["warnings"]
    assert not any("sequence" in warning for warning in first)


@pytest.mark.slow
def test_the_command_exits_with_2_when_a_scan_failed(tmp_path, scans, tiny_work) -> None:
    from autospine.planning.splits import Fold
    from tests.tiny import make_job, plan_of
    from trainers.unet import UNetTrainer

    trainer = UNetTrainer(plan_of(tiny_work, 2), UNetTrainer.recipe_named(None))
    _save_unet(trainer, make_job(tiny_work, trainer.plan, tmp_path / "unet", fold=Fold(("1_t1",), ())))
    (scans / "1_t1.mha").write_bytes(b"nothing of a scan")
    command = [sys.executable, "-m", "autospine.commands.predict", "-i", str(scans)]
    command += ["-o", str(tmp_path / "out"), "-m", str(tmp_path / "unet"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "failed:" in done.stdout
    assert "1_t1.mha" in done.stdout
    assert "Traceback" not in done.stderr
    assert {"2_t2.nii.gz", "3_t2.nrrd"} <= set(names(tmp_path / "out"))


IMPORTED = """
import sys
from autospine.inference.predict import predict
predict(sys.argv[1], sys.argv[2], device="cpu")
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("trainers", "planners")))
"""


@pytest.mark.slow
def test_predicting_with_unet_imports_no_paper(tmp_path, scans, tiny_work) -> None:
    from tests.tiny import make_job, plan_of
    from trainers.unet import UNetTrainer

    trainer = UNetTrainer(plan_of(tiny_work, 2), UNetTrainer.recipe_named(None))
    _save_unet(trainer, make_job(tiny_work, trainer.plan, tmp_path / "unet"))
    command = [sys.executable, "-c", IMPORTED, str(scans / "1_t1.mha"), str(tmp_path / "unet")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["planners", "trainers", "trainers.unet"]


def _save_unet(trainer, job) -> None:
    from autospine.inference.model import save_model

    shape = trainer.shape()
    save_model(job.folder, trainer.model_card(shape, job), trainer.build(shape).state_dict())


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ((), "nothing was found"),
        (("vertebra:2",), "L4"),
        (("vertebra:1", "vertebra:2", "disc:1", "canal"), "2 levels L5 to L4, L5/S1 disc, spinal canal"),
        (("disc:2", "disc:1"), "2 discs L5/S1 to L4/L5"),
        (("structure:7", "structure:9"), "2 structures 7 to 9"),
        (
            ("body:2", "body:1", "posterior elements:1", "posterior elements:2"),
            "2 bodies L5 to L4, 2 posterior elements L5 to L4",
        ),
    ],
)
def test_the_line_about_a_scan_names_its_levels_from_the_lowest_up(keys: tuple[str, ...], line: str) -> None:
    labels = [SimpleNamespace(anatomy=key) for key in keys]
    assert describe_segmentation(SimpleNamespace(labels=labels, remarks=())) == line
    flagged = SimpleNamespace(labels=labels, remarks=("AMBIGUOUS levels: why", "IMPLAUSIBLE: small"))
    assert describe_segmentation(flagged) == f"{line}; AMBIGUOUS levels: why; IMPLAUSIBLE: small"
